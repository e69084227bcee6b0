//! `tokenizer encode --show`: where does text fall into tokens?

use std::fmt::Write;

use gristmill_corpus::printable::printable;
use gristmill_tokenizer::Tokenizer;

/// Backgrounds that black letters stand out from; neighbours differ.
const BACKGROUNDS: [u8; 6] = [153, 157, 229, 217, 183, 159];

/// The text token by token and, below it, the ids in the same colours. Without colour `|` stands between tokens.
///
/// What could move the cursor is written out, and so are bytes of a character that tokens split (`\xE6`). A newline is
/// written `\n` and ends the line too.
pub fn show(tokenizer: &Tokenizer, text: &str, color: bool) -> String {
    let ids = tokenizer.encode(text);
    let mut out = String::new();
    let mut begins_line = true;
    for (n, id) in ids.iter().enumerate() {
        if !color && !begins_line {
            out.push('|');
        }
        begins_line = false;
        let token = visible(tokenizer.token_bytes(*id).unwrap_or_default());
        let mut lines = token.split_inclusive("\\n").peekable();
        while let Some(line) = lines.next() {
            painted(&mut out, n, line, color);
            // `visible` writes backslashes of the text twice, so that this one is a newline's.
            if line.ends_with("\\n") && !line.ends_with("\\\\n") {
                out.push('\n');
                begins_line = lines.peek().is_none();
            }
        }
    }
    if !begins_line {
        out.push('\n');
    }
    for (n, id) in ids.iter().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        painted(&mut out, n, &id.to_string(), color);
    }
    if !ids.is_empty() {
        out.push('\n');
    }
    writeln!(out, "{} tokens, {} bytes", ids.len(), text.len()).expect("a String takes all");
    out
}

fn painted(out: &mut String, n: usize, text: &str, color: bool) {
    if color {
        let background = BACKGROUNDS[n % BACKGROUNDS.len()];
        write!(out, "\x1b[30;48;5;{background}m{text}\x1b[0m").expect("a String takes all");
    } else {
        out.push_str(text);
    }
}

/// The bytes of a token on one line, whatever they are.
pub fn visible(token: &[u8]) -> String {
    let mut out = String::new();
    for chunk in token.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c => out.push_str(&printable(c.encode_utf8(&mut [0; 4]))),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02X}").expect("a String takes all");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cl100k() -> Tokenizer {
        Tokenizer::named("cl100k_base").unwrap()
    }

    #[test]
    fn tokens_and_ids_stand_in_one_order() {
        assert_eq!(
            show(&cl100k(), "hello world\nand <|endoftext|>", false),
            "hello| world|\\n\nand| <||endo|ft|ext|||>\n15339 1917 198 438 83739 8862 728 428 91 29\n10 tokens, 29 bytes\n"
        );
        assert_eq!(show(&cl100k(), "", false), "0 tokens, 0 bytes\n");
    }

    #[test]
    fn neighbours_have_other_colours() {
        assert_eq!(
            show(&cl100k(), "hello world", true),
            "\x1b[30;48;5;153mhello\x1b[0m\x1b[30;48;5;157m world\x1b[0m\n\
             \x1b[30;48;5;153m15339\x1b[0m \x1b[30;48;5;157m1917\x1b[0m\n2 tokens, 11 bytes\n"
        );
    }

    #[test]
    fn text_cannot_reach_the_terminal() {
        let shown = show(&cl100k(), "\x1b[2J\u{202e}\r a\\n 丐𓀀", false);
        assert!(shown.contains("\\u{1b}") && shown.contains("\\u{d}"), "{shown}");
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(shown.contains("\\x"), "tokens split the last characters: {shown}");
        assert_eq!(shown.lines().count(), 3, "a backslash and an n are no newline: {shown}");
    }
}
