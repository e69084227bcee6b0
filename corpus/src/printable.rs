//! Untrusted text on its way to a terminal.

/// Whether a character can move the cursor, or reorder or hide others.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text with every control character (but newline and tab) and every character that can reorder or hide
/// others written out as `\u{…}`: a crawled page must not move the cursor, set a title or paint over our words.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && c != '\n' && c != '\t' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// One line of at most `width` characters: [`printable`], spaces folded, an ellipsis where something was cut off.
pub fn one_line(text: &str, width: usize) -> String {
    // A page may be one line of many megabytes: look only at what can be shown.
    let mut folded = String::new();
    for word in text.split_whitespace() {
        if folded.len() > width * 4 {
            break;
        }
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().take(width + 1));
    }
    let safe = printable(&folded);
    if safe.chars().count() <= width {
        return safe;
    }
    safe.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// JSON text with the same characters written as `\uXXXX`: still the same JSON. They can only stand inside strings,
/// where JSON's own writers leave most of them as they are.
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmful(c) && c != '\n' && c != '\t' {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_moves_a_cursor_and_keeps_the_rest() {
        assert_eq!(printable("a\tb\nç 漢"), "a\tb\nç 漢");
        assert_eq!(printable("\u{1b}[31mred\r\u{9b}"), "\\u{1b}[31mred\\u{d}\\u{9b}");
        assert_eq!(printable("a\u{202e}b\u{7f}"), "a\\u{202e}b\\u{7f}");
    }

    #[test]
    fn lines_are_folded_and_cut() {
        assert_eq!(one_line("  a\n b\tc ", 10), "a b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("漢字漢字", 4), "漢字漢字");
        assert_eq!(one_line(&"x".repeat(1 << 20), 3), "xx…");
        assert_eq!(one_line("\u{1b}]0;title\u{7}", 40), "\\u{1b}]0;title\\u{7}");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({"text": "a\u{9b}31m\u{202e}b\u{1b}\n"});
        let text = printable_json(&value.to_string());
        assert!(text.contains("\\u009b") && text.contains("\\u202e"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
