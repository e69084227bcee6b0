//! Words that the English tokenizer knows by heart: contractions, abbreviations, emoticons.
//!
//! Facts read off spaCy 3.8, 1,347 of them; the rules below give the same list.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::hashing::FastHash;

/// Contractions: the parts after the first, then every word that they may follow. Each also exists with a capital
/// and, where there is an apostrophe, with the typographic one.
const CONTRACTIONS: &[(&[&str], &str)] = &[
    (&["'d"], "he how i it she that there these they this those we what when where who why you"),
    (&["'d", "'ve"], "he how i it she that there these they this those we what when where who why you"),
    (&["'d", "'y"], "how"),
    (&["'ll"], "he how i it she that there these they this those we what when where who why you"),
    (&["'ll", "'ve"], "he how i it she that there these they this those we what when where who why you"),
    (&["'m"], "i"),
    (&["'m", "a"], "i"),
    (&["'re"], "how there these they those we what when where who why you"),
    (&["'s"], "he how it let she that there this what when where who why"),
    (
        &["'ve"],
        "could how i might must not should there these they those we what when where who why would you",
    ),
    (&["d"], "he how i it that there these they this those we what when where who why you"),
    (&["d", "ve"], "he how i it she that there these they this those we what when where who why you"),
    (&["ll"], "how it that there these they this those what when where who why you"),
    (&["ll", "ve"], "he how i it she that there these they this those we what when where who why you"),
    (&["m"], "i"),
    (&["m", "a"], "i"),
    (
        &["n't"],
        "ai are ca could dare did do does had has have is may might must need ought sha should was were wo would",
    ),
    (&["n't", "'ve"], "ca could did do does had may might must need ought sha should wo would"),
    (
        &["nt"],
        "ai are ca could dare did do does had has have is may might must need ought sha should was were wo would",
    ),
    (&["nt", "ve"], "ca could did do does had may might must need ought sha should wo would"),
    (&["na"], "gon"),
    (&["not"], "can"),
    (&["on"], "c'm"),
    (&["re"], "how there these they those what when where why you"),
    (&["s"], "he how she that there this what when where who why"),
    (&["ta"], "got"),
    (
        &["ve"],
        "could how i might must not should there these they those we what when where who why would you",
    ),
];

/// Other words of several parts, the parts with a bar between them.
const COMPOUNDS: &str = "y|all y'|all °|c|. °|f|. °|k|. °|C|. °|F|. °|K|.";

/// Words that stay whole, emoticons and abbreviations with their full stop among them.
const WHOLE: &str = r#"
    \") \n \t <space> C++ and/or w/o — ' '' 's 'S ‘s ‘S 'd 'll 're 'em em ll 'nuff nuff
    'Cause 'cause 'Cos 'cos 'Coz 'coz 'Cuz 'cuz 'bout ma'am Ma'am o'clock O'clock
    doin doin' Doin Doin' goin goin' Goin Goin' havin havin' Havin Havin' lovin lovin' Lovin Lovin' nothin nothin'
    Nothin Nothin' nuthin nuthin' Nuthin Nuthin' ol ol' Ol Ol' somethin somethin' Somethin Somethin'
    a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü.
    a.m. p.m. e.g. E.g. E.G. i.e. I.e. I.E. vs. v.s. co. Co.
    Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Colo. Conn. Corp. D.C. Dec. Del. Dr. Feb. Fla. Ga. Gen. Gov. Ia.
    Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd. Mar. Mass. Md. Messrs. Mich. Minn. Miss. Mo. Mont.
    Mr. Mrs. Ms. Mt. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. Ph.D. Prof. Rep. Rev.
    S.C. Sen. Sep. Sept. St. Tenn. Va. Wash. Wis.
    (*_*) (-8 (-: (-; (-_-) (._.) (: (; (= (>_<) (^_^) (o: (¬_¬) (ಠ_ಠ) (╯°□°）╯︵┻━┻ )-: ): -_- -__- ._. 0.0 0.o
    0_0 0_o 8) 8-) 8-D 8D :'( :') :'-( :'-) :( :(( :((( :() :) :)) :))) :* :-( :-(( :-((( :-) :-)) :-))) :-* :-/
    :-0 :-3 :-> :-D :-O :-P :-X :-] :-o :-p :-x :-| :-} :/ :0 :1 :3 :> :D :O :P :X :] :o :o) :p :x :| :} ;) ;-) ;-D
    ;D ;_; <.< </3 <3 <33 <333 =( =) =/ =3 =D =[ =] =| >.< >.> >:( >:o ><(((*> @_@ O.O O.o O_O O_o V.V V_V XD XDD
    [-: [: [= ]= ^_^ ^__^ ^___^ o.0 o.O o.o o_0 o_O o_o v.v v_v xD xDD ¯\(ツ)/¯ ಠ_ಠ ಠ︵ಠ
"#;

/// Every exception with the byte lengths of its parts.
pub struct Exceptions {
    parts: HashMap<Box<str>, Box<[u8]>, FastHash>,
    /// One bit for each hash of (length, first and last four bytes): most words are told apart without a look-up.
    seen: Box<[u64; 1024]>,
}

/// The one list.
pub static EXCEPTIONS: LazyLock<Exceptions> = LazyLock::new(Exceptions::new);

/// No exception is longer, in bytes.
pub const LONGEST: usize = 29;

/// No exception of ASCII letters alone is longer.
pub const LONGEST_OF_LETTERS: usize = 10;

impl Exceptions {
    /// The byte lengths of the parts of `word`, if it is an exception.
    #[inline]
    pub fn get(&self, word: &str) -> Option<&[u8]> {
        let bit = bit(word.as_bytes())?;
        if self.seen[bit >> 6] >> (bit & 63) & 1 == 0 {
            return None;
        }
        self.parts.get(word).map(|parts| &**parts)
    }

    /// Every exception, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.parts.iter().map(|(word, parts)| (&**word, &**parts))
    }

    fn new() -> Self {
        let mut exceptions = Self { parts: HashMap::default(), seen: Box::new([0; 1024]) };
        for (tail, heads) in CONTRACTIONS {
            for head in heads.split(' ') {
                for head in [head.to_owned(), capitalised(head)] {
                    let mut parts = vec![head.as_str()];
                    parts.extend_from_slice(tail);
                    exceptions.add(&parts);
                }
            }
        }
        for hour in 1..=12 {
            for period in ["a.m.", "am", "p.m.", "pm"] {
                exceptions.add(&[&hour.to_string(), period]);
            }
        }
        for parts in COMPOUNDS.split(' ') {
            exceptions.add(&parts.split('|').collect::<Vec<_>>());
        }
        for word in WHOLE.split_ascii_whitespace() {
            exceptions.add(&[word]);
        }
        exceptions
    }

    /// Adds a word, and its twin with typographic apostrophes.
    fn add(&mut self, parts: &[&str]) {
        let curly: Vec<String> = parts.iter().map(|part| part.replace('\'', "’")).collect();
        for parts in [parts.to_vec(), curly.iter().map(String::as_str).collect()] {
            let word = parts.concat();
            let bit = bit(word.as_bytes()).expect("exceptions are at most LONGEST bytes long");
            self.seen[bit >> 6] |= 1 << (bit & 63);
            self.parts.insert(word.into(), parts.iter().map(|part| part.len() as u8).collect());
        }
    }
}

/// Which of the 65,536 bits stands for a word; none for words longer than every exception.
#[inline]
fn bit(word: &[u8]) -> Option<usize> {
    let n = word.len();
    if n > LONGEST {
        return None;
    }
    let key = match (word.first_chunk::<4>(), word.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => word.iter().fold(0, |key, &byte| key << 8 | u64::from(byte)),
    };
    let mixed = (key ^ (n as u64).rotate_right(8)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Some((mixed >> 48) as usize)
}

fn capitalised(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Count and hash of spaCy's own list, less its four entries of whitespace: `word part part…`, sorted.
    #[test]
    fn the_list_is_the_references() {
        let mut lines: Vec<String> = EXCEPTIONS
            .iter()
            .map(|(word, parts)| {
                let mut line = word.to_owned();
                let mut at = 0;
                for length in parts {
                    line = line + " " + &word[at..at + *length as usize];
                    at += *length as usize;
                }
                assert_eq!(at, word.len(), "{word}");
                line
            })
            .collect();
        lines.sort();
        assert_eq!(lines.len(), 1343);
        assert_eq!(xxhash_rust::xxh3::xxh3_64(lines.join("\n").as_bytes()), 5_753_212_491_611_825_010);
    }

    #[test]
    fn a_contraction_has_parts_and_a_plain_word_none() {
        assert_eq!(EXCEPTIONS.get("don't"), Some(&[2, 3][..]));
        assert_eq!(EXCEPTIONS.get("Mr."), Some(&[3][..]));
        assert_eq!(EXCEPTIONS.get("well"), None);
        assert_eq!(EXCEPTIONS.get(""), None);
    }
}
