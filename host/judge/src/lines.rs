//! The comparison of outputs, line by line.
//!
//! Two outputs match where they have the same lines once each line has lost its trailing white space (space, tab,
//! carriage return, form feed, vertical tab) and the output its trailing empty lines. Everything else counts: case (unless
//! it is to be ignored), leading and inner white space, empty lines between others, the last digit of a number. Bytes are compared, so an
//! output that is not UTF-8 matches nothing that is.

use super::pieces::{first_difference, places, same_bytes};

/// Where a program first wrote what was not expected, line by line, as places in both; with `ignore_case` in whatever case
/// of ASCII letters. `None` if it did nowhere.
pub(super) fn lines_difference(expected: &[u8], actual: &[u8], ignore_case: bool) -> Option<(usize, usize)> {
    let same = |expected: &[u8], actual: &[u8]| same_bytes(expected, actual, ignore_case);
    let differing = first_difference(lines(expected), lines(actual), same)?;
    Some(places((expected, actual), differing, ignore_case))
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

    fn lines_match(expected: &[u8], actual: &[u8], ignore_case: bool) -> bool {
        lines_difference(expected, actual, ignore_case).is_none()
    }

    #[test]
    fn the_first_difference_is_told_by_its_places() {
        for (expected, actual, places) in [
            ("1\n2 3\n", "1  \n2 4\n", (4, 6)),
            ("1\n2\n", "1\n", (2, 2)),
            ("1\n", "1\n2", (2, 2)),
            ("12", "1", (1, 1)),
            ("", "x", (0, 0)),
        ] {
            assert_eq!(lines_difference(expected.as_bytes(), actual.as_bytes(), false), Some(places), "{actual:?}");
        }
        assert_eq!(lines_difference(b"YES 1", b"Yes 2", true), Some((4, 4)));
    }

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
