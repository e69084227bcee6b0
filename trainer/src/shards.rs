//! The token shards of a corpus, as the loader reads them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gristmill_corpus::shards::{ShardReader, ShardSet};
use gristmill_tokenizer::Tokenizer;
use xxhash_rust::xxh3::Xxh3;

use crate::loader::TokenSource;

/// Both splits of a corpus.
#[derive(Debug)]
pub struct Splits {
    /// Tokens to learn from.
    pub train: Split,
    /// Tokens to score.
    pub val: Split,
    /// Hash over the names and checksums of all shards.
    pub fingerprint: String,
}

/// The shards of one split of one or more sources, read as one run of tokens.
#[derive(Debug)]
pub struct Split {
    sources: Vec<ShardSet>,
    vocabulary: u32,
}

/// Opens the splits `train` and `val` in `folder`, and errors where another tokenizer wrote them.
///
/// `name` is what to call the tokenizer in the error.
pub fn open(folder: &Path, tokenizer: &Tokenizer, name: &str) -> Result<Splits> {
    open_all(&[folder], tokenizer, name)
}

/// As [`open`], of several folders: each split is those of all of them, one behind the other.
pub fn open_all(folders: &[&Path], tokenizer: &Tokenizer, name: &str) -> Result<Splits> {
    let vocabulary = u32::try_from(tokenizer.vocab_size())
        .with_context(|| format!("{} token ids do not fit 32 bits", tokenizer.vocab_size()))?;
    let mut hash = Xxh3::new();
    let mut open = |folder: &Path, split: &str| open_set(folder, split, tokenizer, name, &mut hash);
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for folder in folders {
        train.push(open(folder, "train")?);
        val.push(open(folder, "val")?);
    }
    let split = |sources| Split { sources, vocabulary };
    Ok(Splits { train: split(train), val: split(val), fingerprint: format!("{:032x}", hash.digest128()) })
}

/// Opens one split as [`open`] does, and adds its shards' names and checksums to `hash`.
pub(crate) fn open_set(
    folder: &Path,
    split: &str,
    tokenizer: &Tokenizer,
    name: &str,
    hash: &mut Xxh3,
) -> Result<ShardSet> {
    let shards = ShardSet::open(folder, split).with_context(|| {
        format!("cannot read the split `{split}` of the token shards in `{}`", folder.display())
    })?;
    let meta = shards.shards()[0].meta();
    ensure!(
        meta.tokenizer == tokenizer.hash() && meta.vocab_size == tokenizer.vocab_size(),
        "the shards in `{}` were written with the tokenizer {} ({} tokens), and `{name}` is {} ({} tokens)\n\
         hint: use the tokenizer.json of the run that wrote the shards",
        folder.display(),
        meta.tokenizer,
        meta.vocab_size,
        tokenizer.hash(),
        tokenizer.vocab_size()
    );
    for file in shards.shards().iter().map(ShardReader::meta).flat_map(|meta| &meta.files) {
        hash.update(format!("{} {} {}\n", file.name, file.bytes, file.xxh3).as_bytes());
    }
    Ok(shards)
}

impl Split {
    /// UTF-8 bytes of the text.
    pub fn n_bytes(&self) -> u64 {
        self.sources.iter().map(ShardSet::n_bytes).sum()
    }

    /// The shards of each source, in order.
    pub fn sources(&self) -> &[ShardSet] {
        &self.sources
    }
}

impl TokenSource for Split {
    fn n_tokens(&self) -> u64 {
        self.sources.iter().map(ShardSet::n_tokens).sum()
    }

    fn read(&self, start: u64, out: &mut [u32]) -> Result<()> {
        let n_tokens = self.n_tokens();
        let end = start + out.len() as u64;
        ensure!(end <= n_tokens, "tokens {start}..{end} of the split are asked for, of {n_tokens}");
        let mut tokens = Vec::with_capacity(out.len());
        let mut first = 0;
        for source in &self.sources {
            let inside = |position: u64| position.saturating_sub(first).min(source.n_tokens());
            tokens.extend(source.tokens(inside(start)..inside(end))?);
            first += source.n_tokens();
        }
        // A damaged payload must not become an index beyond the embedding.
        for (place, &id) in tokens.iter().enumerate() {
            ensure!(
                id < self.vocabulary,
                "token {} of the split is {id}, and the vocabulary has {}: the shards are damaged",
                start + place as u64,
                self.vocabulary
            );
        }
        out.copy_from_slice(&tokens);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use crate::evaluate::score;
    use crate::generate::prompt_ids;
    use crate::model::Model;
    use burn::tensor::Device;
    use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter};
    use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};

    const TEXT: &str = "the mill grinds the grain, and the grain becomes flour";

    fn tokenizer(text: &str) -> Tokenizer {
        let mut counts = PretokenCounts::new(Pattern::nanochat());
        counts.add(text);
        train(&counts, &TrainOptions { vocab_size: 290, ..TrainOptions::default() }).unwrap()
    }

    fn write(folder: &Path, split: &str, tokenizer: &Tokenizer, documents: &[&str], max_tokens: u64) {
        let bos = tokenizer.bos().unwrap();
        let options =
            ShardOptions { max_tokens, ..ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), bos) };
        let mut writer = ShardWriter::create(folder, split, options).unwrap();
        for document in documents {
            let ids = prompt_ids(tokenizer, document);
            let n_bytes = document.len() as u64;
            writer
                .push(&DocumentTokens { ids: &ids, id: document, n_bytes, ..DocumentTokens::default() })
                .unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn splits_read_as_one_run_and_their_bytes_are_the_text_s() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer(TEXT);
        let documents = ["the mill", "grinds", "the grain, é", "flour \u{1F33E}"];
        write(folder.path(), "train", &tokenizer, &documents, 4);
        write(folder.path(), "val", &tokenizer, &documents[1..], 1000);
        let splits = open(folder.path(), &tokenizer, "t").unwrap();
        let all: Vec<u32> = documents.iter().flat_map(|d| prompt_ids(&tokenizer, d)).collect();
        assert_eq!(splits.train.n_tokens(), all.len() as u64);
        let mut out = vec![0; all.len() - 3];
        splits.train.read(2, &mut out).unwrap();
        assert_eq!(out, all[2..all.len() - 1]);
        assert!(splits.train.read(4, &mut out).is_err());

        let text = "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 1\nwidth = 8\ncontext = 5\n";
        let model = Model::new(&RunConfig::parse(text, &[]).unwrap().model, tokenizer.vocab_size());
        let weights = model.initial_weights(1, &Device::flex());
        let score = score(&model, &weights, &splits.val, &tokenizer, 2, 0).unwrap();
        assert_eq!(score.bytes, splits.val.n_bytes());
        assert_eq!(score.tokens, splits.val.n_tokens() - 1);
    }

    #[test]
    fn sources_are_read_one_behind_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer(TEXT);
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        for (at, documents) in [(&a, ["the mill", "grinds"]), (&b, ["the grain", "flour"])] {
            write(at, "train", &tokenizer, &documents, 4);
            write(at, "val", &tokenizer, &documents[..1], 1000);
        }
        let splits = open_all(&[&a, &b], &tokenizer, "t").unwrap();
        let documents = ["the mill", "grinds", "the grain", "flour"];
        let all: Vec<u32> = documents.iter().flat_map(|d| prompt_ids(&tokenizer, d)).collect();
        assert_eq!(splits.train.n_tokens(), all.len() as u64);
        assert_eq!(splits.train.sources().len(), 2);
        for start in 0..all.len() {
            for end in start..=all.len() {
                let mut out = vec![0; end - start];
                splits.train.read(start as u64, &mut out).unwrap();
                assert_eq!(out, all[start..end]);
            }
        }
        assert!(splits.train.read(1, &mut vec![0; all.len()]).is_err());
        assert_eq!(splits.val.n_bytes(), 17);
        let one = open(&a, &tokenizer, "t").unwrap();
        assert_ne!(one.fingerprint, splits.fingerprint);
        assert_ne!(open_all(&[&b, &a], &tokenizer, "t").unwrap().fingerprint, splits.fingerprint);
    }

    #[test]
    fn wrong_shards_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer(TEXT);
        let error =
            |tokenizer: &Tokenizer| format!("{:#}", open(folder.path(), tokenizer, "t.json").unwrap_err());
        assert!(error(&tokenizer).contains("split `train`"), "{}", error(&tokenizer));
        write(folder.path(), "train", &tokenizer, &["the mill"], 1000);
        assert!(error(&tokenizer).contains("split `val`"), "{}", error(&tokenizer));
        write(folder.path(), "val", &tokenizer, &["grinds"], 1000);
        let splits = open(folder.path(), &tokenizer, "t.json").unwrap();
        let other = super::tests::tokenizer("other words, other merges");
        assert!(error(&other).contains("`t.json` is"), "{}", error(&other));
        // An id beyond the vocabulary, in a payload of the right size.
        let payload = folder.path().join("val-00000.bin");
        let mut bytes = std::fs::read(&payload).unwrap();
        drop(splits);
        bytes[2..4].copy_from_slice(&u16::MAX.to_le_bytes());
        std::fs::write(&payload, bytes).unwrap();
        let val = open(folder.path(), &tokenizer, "t.json").unwrap().val;
        let error = val.read(0, &mut [0; 3]).unwrap_err().to_string();
        assert!(error.contains("token 1 of the split is 65535"), "{error}");
    }
}
