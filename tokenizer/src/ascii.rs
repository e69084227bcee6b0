//! How far does a run of ASCII letters reach? Eight bytes at a time in one register.

/// One in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// The high bit of every byte of `word` that lies in `first..=last`, which are ASCII.
#[inline]
fn within(word: u64, first: u8, last: u8) -> u64 {
    // Seven bits a byte, so that no sum carries into the next byte.
    let low = word & !HIGH;
    let reaches_first = low.wrapping_add((0x80 - first as u64) * ONES);
    let passes_last = low.wrapping_add((0x7F - last as u64) * ONES);
    reaches_first & !passes_last & !word & HIGH
}

#[inline]
fn run(text: &[u8], mut at: usize, members: impl Fn(u64) -> u64) -> usize {
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let others = members(u64::from_le_bytes(*word)) ^ HIGH;
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    // Fewer than eight bytes are left: zeros, which are no letters, fill them up.
    let mut word = [0; 8];
    let rest = text.get(at..).unwrap_or_default();
    word[..rest.len()].copy_from_slice(rest);
    let others = members(u64::from_le_bytes(word)) ^ HIGH;
    at + others.trailing_zeros() as usize / 8
}

/// The end of `[A-Za-z]*` at `at`.
#[inline]
pub fn letters(text: &[u8], at: usize) -> usize {
    run(text, at, |word| within(word | (0x20 * ONES), b'a', b'z'))
}

/// The end of `[A-Z]*` at `at`.
#[inline]
pub fn upper(text: &[u8], at: usize) -> usize {
    run(text, at, |word| within(word, b'A', b'Z'))
}

/// The end of `[a-z]*` at `at`.
#[inline]
pub fn lower(text: &[u8], at: usize) -> usize {
    run(text, at, |word| within(word, b'a', b'z'))
}

/// The end of `[A-Z]*[a-z]*` at `at`, most often after reading eight bytes once.
#[inline]
pub fn upper_then_lower(text: &[u8], at: usize) -> usize {
    let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
        return lower(text, upper(text, at));
    };
    let word = u64::from_le_bytes(*word);
    let not_upper = within(word, b'A', b'Z') ^ HIGH;
    // The lowest bit, negated, covers all from there on; nothing where all eight are upper case.
    let after_upper = (not_upper & not_upper.wrapping_neg()).wrapping_neg();
    let others = (within(word, b'a', b'z') ^ HIGH) & after_upper;
    if others != 0 {
        at + others.trailing_zeros() as usize / 8
    } else if after_upper != 0 {
        lower(text, at + 8)
    } else {
        lower(text, upper(text, at + 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_the_plain_loop_ends_them() {
        let plain = |text: &[u8], at: usize, is: fn(&u8) -> bool| {
            at + text[at..].iter().take_while(|byte| is(byte)).count()
        };
        // Every byte at every place of texts of every short length, inside letters of either case.
        for byte in 0..=255 {
            for fill in *b"aZ" {
                for len in 1..20 {
                    for place in 0..len {
                        let mut text = vec![fill; len];
                        text[place] = byte;
                        for at in [0, place, len] {
                            assert_eq!(letters(&text, at), plain(&text, at, u8::is_ascii_alphabetic));
                            assert_eq!(upper(&text, at), plain(&text, at, u8::is_ascii_uppercase));
                            assert_eq!(lower(&text, at), plain(&text, at, u8::is_ascii_lowercase));
                            let after_upper = plain(&text, at, u8::is_ascii_uppercase);
                            let end = plain(&text, after_upper, u8::is_ascii_lowercase);
                            assert_eq!(upper_then_lower(&text, at), end);
                        }
                    }
                }
            }
        }
    }
}
