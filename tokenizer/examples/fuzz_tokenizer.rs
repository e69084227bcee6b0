//! The fuzz target of encoding: texts that nobody wrote, for as long as you like.
//!
//! `cargo run --release -p gristmill-tokenizer --example fuzz_tokenizer -- SECONDS [SEED]` splices special tokens whole
//! and cut, words and arbitrary characters, and asks of every text and every built-in vocabulary: no panic, no special
//! token, the text comes back, and a thread that remembers nothing gives the same ids. Exits with 101 at the first text
//! that fails, and prints it.

use gristmill_tokenizer::{DEFAULT_SPECIALS, NAMES, Tokenizer, default_specials};
use std::time::{Duration, Instant};

const PIECES: &[&str] = &[
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u{a0}",
    "'",
    "'s",
    "'ſ",
    "1",
    "2345",
    "½",
    "the",
    " The",
    "HTML",
    "日本語",
    "привет",
    "नमस्ते",
    "🙂",
    "e\u{301}",
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|fim_middle|>",
    "<|",
    "|>",
    "aaaaaaaaaaaaaaaaaaaaaa",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ mixed >> 31) % n as u64) as usize
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.below(12) {
            let piece = match self.below(4) {
                0 => DEFAULT_SPECIALS[self.below(DEFAULT_SPECIALS.len())],
                _ => PIECES[self.below(PIECES.len())],
            };
            match self.below(8) {
                0 => text.extend(char::from_u32(self.below(0x11_0000) as u32)),
                1 => text.push_str(&piece[..piece.floor_char_boundary(self.below(piece.len() + 1))]),
                2 => text.push_str(&piece[piece.floor_char_boundary(self.below(piece.len() + 1))..]),
                3 => text.push_str(&piece.repeat(1 + self.below(40))),
                _ => text.push_str(piece),
            }
        }
        text
    }
}

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let seconds = *arguments.first().expect("usage: fuzz_tokenizer SECONDS [SEED]");
    let mut random = Random(arguments.get(1).copied().unwrap_or(1));
    let published = NAMES.map(|name| Tokenizer::named(name).expect("the name is one of NAMES"));
    let ours = published[0].with_specials(&default_specials()).expect("our names are distinct");
    let tokenizers = [&published[0], &published[1], &published[2], &ours];
    let (began, mut n) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(seconds) {
        let texts: Vec<String> = (0..1000).map(|_| random.text()).collect();
        for tokenizer in tokenizers {
            let warm: Vec<Vec<u32>> = texts.iter().map(|text| tokenizer.encode(text)).collect();
            let backwards = || texts.iter().rev().map(|text| tokenizer.encode(text)).collect::<Vec<_>>();
            let fresh = std::thread::scope(|scope| scope.spawn(backwards).join().expect("no panic"));
            for ((text, ids), again) in texts.iter().zip(&warm).zip(fresh.iter().rev()) {
                assert!(!ids.iter().any(|id| tokenizer.is_special(*id)), "a special token from {text:?}");
                assert!(tokenizer.decode(ids) == text.as_bytes(), "other text from {text:?}");
                assert!(ids == again, "other ids, depending on what came before, from {text:?}");
            }
        }
        n += texts.len() as u64;
    }
    println!("{n} texts, {} vocabularies", tokenizers.len());
}
