//! Which classes does a character belong to? One byte of flags a code point, in a two-level table.
//!
//! The classes come from `regex-syntax`, the tables of the `regex` family, so that the hand-written splitters and the
//! regular expressions that they stand for agree on every code point.

use std::sync::LazyLock;

/// `\p{L}`
pub const LETTER: u8 = 1;
/// `\p{N}`
pub const NUMBER: u8 = 2;
/// `\s`
pub const SPACE: u8 = 4;
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`: what may begin a word in o200k
pub const UPPER: u8 = 8;
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`: what may end a word in o200k
pub const LOWER: u8 = 16;
/// `[\r\n]`
pub const NEWLINE: u8 = 32;
/// `[^\s\p{L}\p{N}]`. Past the end of the text no flag is set, this one neither.
pub const OTHER: u8 = 64;

/// Flags of all code points: `blocks[index[c >> 8]][c & 255]`.
pub struct Classes {
    ascii: [u8; 128],
    index: Vec<u16>,
    blocks: Vec<[u8; 256]>,
}

static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::build);

impl Classes {
    /// The table, built at first use in about 2 ms.
    pub fn get() -> &'static Self {
        &CLASSES
    }

    fn build() -> Self {
        let mut flags = vec![0_u8; 0x11_0000];
        for (class, flag) in [
            (r"\p{L}", LETTER),
            (r"\p{N}", NUMBER),
            (r"\s", SPACE),
            (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", UPPER),
            (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", LOWER),
            (r"[\r\n]", NEWLINE),
            (r"[^\s\p{L}\p{N}]", OTHER),
        ] {
            let hir = regex_syntax::parse(class).expect("the classes above are valid");
            let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(ranges)) = hir.kind()
            else {
                unreachable!("a bracketed class parses to a Unicode class");
            };
            for range in ranges.iter() {
                for flags in &mut flags[range.start() as usize..=range.end() as usize] {
                    *flags |= flag;
                }
            }
        }
        let mut blocks: Vec<[u8; 256]> = Vec::new();
        let mut index = Vec::with_capacity(flags.len() / 256);
        for chunk in flags.as_chunks::<256>().0 {
            let block = blocks.iter().position(|b| b == chunk).unwrap_or_else(|| {
                blocks.push(*chunk);
                blocks.len() - 1
            });
            index.push(block as u16);
        }
        let mut ascii = [0; 128];
        ascii.copy_from_slice(&flags[..128]);
        Self { ascii, index, blocks }
    }

    /// Flags and length in bytes of the character that begins at byte `at` of `text` (UTF-8); `(0, 0)` at the end.
    #[inline]
    pub fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        let Some(&lead) = text.get(at) else { return (0, 0) };
        if lead < 128 {
            return (self.ascii[lead as usize], 1);
        }
        let tail = |k: usize| (text.get(at + k).copied().unwrap_or(0) & 0x3F) as usize;
        let (code, len) = if lead < 0xE0 {
            ((lead as usize & 0x1F) << 6 | tail(1), 2)
        } else if lead < 0xF0 {
            ((lead as usize & 0x0F) << 12 | tail(1) << 6 | tail(2), 3)
        } else {
            ((lead as usize & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4)
        };
        (self.blocks[self.index[code >> 8] as usize][code & 255], len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_its_length_and_one_of_the_four_base_classes() {
        let classes = Classes::get();
        let mut buffer = [0; 4];
        for c in '\0'..=char::MAX {
            let text = c.encode_utf8(&mut buffer).as_bytes();
            let (flags, len) = classes.at(text, 0);
            assert_eq!(len, text.len());
            assert_eq!((flags & (LETTER | NUMBER | SPACE | OTHER)).count_ones(), 1, "{c:?}");
            assert_eq!(flags & SPACE != 0, c.is_whitespace(), "{c:?}");
        }
        assert_eq!(classes.at(b"", 0), (0, 0));
    }
}
