//! What general compressors make of a text, beside what a model makes of it: a model that predicts text well could compress it
//! well (Delétang et al. 2024), in bits per byte both.

use std::io::Write;

use anyhow::{Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use gristmill_tokenizer::Tokenizer;
use liblzma::write::XzEncoder;
use serde::Serialize;

use crate::loader::TokenSource;

/// A text's size under one compressor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compressed {
    /// The command that does the same.
    pub compressor: &'static str,
    /// Bytes that it leaves.
    pub bytes: u64,
    /// Bits that it leaves of each byte.
    pub bits_per_byte: f64,
}

/// Tokens decoded at once.
const STRIDE: u64 = 1 << 16;

/// Compresses the text of the first `limit` tokens (0: all), as `gzip -9` and `xz -9e` would: documents one behind the other,
/// without special tokens. What a compressor knows it has from this text alone, as its dictionary starts empty.
pub fn compress(source: &dyn TokenSource, tokenizer: &Tokenizer, limit: u64) -> Result<[Compressed; 2]> {
    let n = if limit == 0 { source.n_tokens() } else { source.n_tokens().min(limit) };
    let mut gzip = GzEncoder::new(Counted::default(), Compression::best());
    let mut xz = XzEncoder::new(Counted::default(), 9 | XZ_EXTREME);
    let mut n_bytes = 0;
    let mut ids = vec![0; STRIDE as usize];
    for start in (0..n).step_by(STRIDE as usize) {
        let ids = &mut ids[..STRIDE.min(n - start) as usize];
        source.read(start, ids)?;
        let text: Vec<u32> = ids.iter().copied().filter(|&id| !tokenizer.is_special(id)).collect();
        let bytes = tokenizer.decode(&text);
        n_bytes += bytes.len() as u64;
        gzip.write_all(&bytes)?;
        xz.write_all(&bytes)?;
    }
    ensure!(n_bytes > 0, "there is no text to compress");
    let of = |compressor, bytes: u64| Compressed {
        compressor,
        bytes,
        bits_per_byte: bytes as f64 * 8.0 / n_bytes as f64,
    };
    Ok([of("gzip -9", gzip.finish()?.0), of("xz -9e", xz.finish()?.0)])
}

/// `LZMA_PRESET_EXTREME` of liblzma.
const XZ_EXTREME: u32 = 1 << 31;

/// Counts what is written, and keeps nothing.
#[derive(Default)]
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};

    use super::*;
    use crate::generate::prompt_ids;

    #[test]
    fn the_sizes_are_those_of_the_text() {
        let text = "the mill grinds the grain, é\n".repeat(400);
        let mut counts = PretokenCounts::new(Pattern::nanochat());
        counts.add(&text);
        let tokenizer = train(&counts, &TrainOptions { vocab_size: 290, ..TrainOptions::default() }).unwrap();
        // Two documents, whose first tokens are no text.
        let mut ids = prompt_ids(&tokenizer, &text);
        ids.extend(prompt_ids(&tokenizer, &text));
        let both = format!("{text}{text}");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(both.as_bytes()).unwrap();
        let mut xz = XzEncoder::new(Vec::new(), 9 | XZ_EXTREME);
        xz.write_all(both.as_bytes()).unwrap();
        let expected = [gzip.finish().unwrap().len() as u64, xz.finish().unwrap().len() as u64];
        let compressed = compress(&ids, &tokenizer, 0).unwrap();
        assert_eq!(compressed.clone().map(|compressed| compressed.bytes), expected);
        let bits = compressed[0].bits_per_byte;
        assert!((bits - expected[0] as f64 * 8.0 / both.len() as f64).abs() < 1e-12 && bits < 0.2, "{bits}");
        assert!(compress(&ids, &tokenizer, 1).is_err(), "the first token is no text");
    }
}
