//! Words of a server or of a file as a message may show them: of bounded length, on one line, and without characters that
//! would move a terminal's cursor or turn its text around.

/// Characters that are shown at most.
const CHARACTERS_MAX: usize = 200;

/// Whether a character has no place in a name or in a message: a control character, or a mark that changes the direction
/// of what follows.
pub(crate) fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text as a message may show it.
pub(crate) fn shown(text: &str) -> String {
    let mut words: String =
        text.chars().take(CHARACTERS_MAX).map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_short_and_moves_no_cursor() {
        assert_eq!(shown("timeout: per read"), "timeout: per read");
        assert_eq!(shown("a\u{1b}[2J\r\nb\0\u{202e}c"), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}\u{fffd}c");
        assert_eq!(shown(&"é".repeat(1 << 20)), format!("{}…", "é".repeat(CHARACTERS_MAX)));
    }
}
