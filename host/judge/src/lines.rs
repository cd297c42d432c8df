//! The comparison of outputs, line by line.
//!
//! Two outputs match where they have the same lines once each line has lost its trailing white space (space, tab,
//! carriage return, form feed, vertical tab) and the output its trailing empty lines. Everything else counts: case (unless
//! it is to be ignored), leading and inner white space, empty lines between others, the last digit of a number. Bytes are compared, so an
//! output that is not UTF-8 matches nothing that is.

use super::pieces::{pieces_match, same_bytes};

/// Whether a program wrote what was expected, line by line; with `ignore_case` in whatever case of ASCII letters.
pub(super) fn lines_match(expected: &[u8], actual: &[u8], ignore_case: bool) -> bool {
    pieces_match(lines(expected), lines(actual), |expected, actual| same_bytes(expected, actual, ignore_case))
}

fn lines(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    trimmed(output).split(|byte| *byte == b'\n').map(trimmed)
}

fn trimmed(text: &[u8]) -> &[u8] {
    let white = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let end = text.iter().rposition(|byte| !white(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_white_space_does_not_count() {
        for (expected, actual) in
            [("1 2\n3", "1 2  \r\n3\n\n \n"), ("", "\n\n"), ("", ""), ("a\n\nb\n", "a\n \nb"), ("x\t", "x\x0b\x0c")]
        {
            assert!(lines_match(expected.as_bytes(), actual.as_bytes(), false), "{expected:?} {actual:?}");
        }
    }

    #[test]
    fn everything_else_does() {
        for (expected, actual) in [
            ("YES", "yes"),
            ("1 2", "1  2"),
            ("1", " 1"),
            ("1\n2", "1\n\n2"),
            ("1\n2", "1"),
            ("1", "1\n2"),
            ("0.50", "0.5"),
            ("", "0"),
        ] {
            assert!(!lines_match(expected.as_bytes(), actual.as_bytes(), false), "{expected:?} {actual:?}");
        }
        assert!(!lines_match("é".as_bytes(), b"\xe9", false));
    }
}
