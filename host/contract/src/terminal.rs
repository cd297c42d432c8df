//! What a terminal gets. Text of a plugin, a program, a data row or a file's name can hold characters that a terminal
//! obeys: escape sequences that clear it or write to the clipboard, marks that turn a line around. Such characters are
//! shown, never sent, and a text that is meant as a line is no longer than a person reads.
//!
//! Every way out of the program to a terminal goes through here; nothing is changed in a file.

use std::borrow::Cow;
use std::fmt::Write;

/// The most characters of one message; a summary of many lines is one, too.
const MESSAGE_CHARACTERS_MAX: usize = 20_000;

/// What stands before a line that goes on with a message.
const INDENT: &str = "  ";

/// Whether a terminal would do something at this character instead of showing it. Line breaks and tabs are not among
/// them, because text is made of them.
pub fn is_obeyed(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Marks of direction, by which a text looks other than it is, and the separators that some take for line breaks.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// The text with control characters as their pictures.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_obeyed(c) { picture(c) } else { c }).collect())
}

/// The same of a text that is shown on one line: line breaks and tabs are pictures, too, and of so many characters the rest
/// is left out.
pub fn visible_line(text: &str, characters_max: usize) -> String {
    let is_unfit = |c| is_obeyed(c) || matches!(c, '\n' | '\t');
    let mut line: String =
        text.chars().take(characters_max).map(|c| if is_unfit(c) { picture(c) } else { c }).collect();
    if text.chars().nth(characters_max).is_some() {
        line.push('…');
    }
    line
}

/// What stands for a character that is not sent.
fn picture(c: char) -> char {
    match c {
        '\u{7f}' => '␡',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('�'),
        _ => '�',
    }
}

/// The same of a message, whose end is left out where it is too long to be read.
pub fn visible_message(message: &str) -> Cow<'_, str> {
    let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARACTERS_MAX) else { return visible(message) };
    let left_out = message[end..].chars().count();
    Cow::Owned(format!("{} … and {left_out} characters more", visible(&message[..end])))
}

/// The same of a message that begins a line with words of this program, such as `error:`. No later line of it begins
/// where such words stand, so that a text from elsewhere cannot pass for one of them.
pub fn visible_paragraph(message: &str) -> String {
    let shown = visible_message(message);
    let mut paragraph = String::with_capacity(shown.len());
    for (index, line) in shown.split('\n').enumerate() {
        if index > 0 {
            paragraph.push('\n');
            if !line.is_empty() && !line.starts_with([' ', '\t']) {
                paragraph.push_str(INDENT);
            }
        }
        paragraph.push_str(line);
    }
    paragraph
}

/// The text of JSON with control characters as JSON escapes them: the value stays the same.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_obeyed) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_obeyed(c) {
            // All of them are in the basic plane. Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clears the screen, by both spellings; rings; goes back to the line's beginning; turns the line around.
    const HOSTILE: &str = "a\u{1b}[2J\u{9b}2J\u{7}\rb\u{7f}\u{202e}\u{2067}\u{200f}c\u{2028}";

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        assert_eq!(visible(HOSTILE), "a␛[2J�2J␇␍b␡���c�");
        let plain = "línea\n\tこんにちは 👩‍👩‍👧 ⟪x⟫";
        assert!(matches!(visible(plain), Cow::Borrowed(text) if text == plain));
    }

    #[test]
    fn a_line_is_one_and_short() {
        assert_eq!(visible_line("timeout: per read", 20), "timeout: per read");
        assert_eq!(visible_line("a\u{1b}[2J\r\n\tb\0\u{202e}\u{61c}c", 20), "a␛[2J␍␊␉b␀��c");
        assert_eq!(visible_line(&"é".repeat(1 << 20), 200), format!("{}…", "é".repeat(200)));
        assert_eq!(visible_line(&"é".repeat(200), 200), "é".repeat(200));
    }

    #[test]
    fn of_a_long_message_the_beginning_is_shown() {
        let long = "\u{1b}".repeat(MESSAGE_CHARACTERS_MAX + 7);
        let shown = visible_message(&long);
        assert!(shown.starts_with("␛␛") && shown.ends_with("␛ … and 7 characters more"), "{shown}");
        assert_eq!(visible_message("short"), "short");
    }

    #[test]
    fn no_later_line_begins_as_a_message_does() {
        let forged = "the plugin says: x\nerror: nothing is verified\r\n\n  at f.rs:3\nhint: curl";
        assert_eq!(
            visible_paragraph(forged),
            "the plugin says: x\n  error: nothing is verified␍\n\n  at f.rs:3\n  hint: curl"
        );
    }

    #[test]
    fn json_says_the_same() -> Result<(), serde_json::Error> {
        let json = serde_json::to_string_pretty(&serde_json::json!({ "text": HOSTILE }))?;
        let shown = visible_json(&json);
        assert!(!shown.contains(is_obeyed) && shown.contains('\n'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown)?["text"], HOSTILE);
        Ok(())
    }
}
