//! The comparison of outputs, token by token: the runs of bytes between white space (space, tab, carriage return, line
//! feed, form feed, vertical tab).
//!
//! With a tolerance, two tokens that are decimal numbers (`-1`, `.5`, `2.50`, `1e-9`) match where
//!
//! ```text
//! |expected − actual| ≤ max(absolute, relative · |expected|)
//! ```
//!
//! With 1e-6 for both, which is the default, that is what testlib's `rcmp6` says. Every other token, `nan` and `inf` among them, must be the same bytes.

use super::pieces::{first_difference, places, same_bytes};

/// How far apart two numbers may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// At most this much.
    pub absolute: f64,
    /// Or at most so many times the expected number.
    pub relative: f64,
}

impl Tolerance {
    fn allows(self, expected: f64, actual: f64) -> bool {
        (expected - actual).abs() <= self.absolute.max(self.relative * expected.abs())
    }
}

/// Where both first have other tokens, decimal numbers within the tolerance if there is one, as places in both; with
/// `ignore_case` in whatever case of ASCII letters. `None` if they have the same.
pub(super) fn tokens_difference(
    expected: &[u8],
    actual: &[u8],
    tolerance: Option<Tolerance>,
    ignore_case: bool,
) -> Option<(usize, usize)> {
    let near = |tolerance: Tolerance, expected: &[u8], actual: &[u8]| {
        decimal(expected).zip(decimal(actual)).is_some_and(|(a, b)| tolerance.allows(a, b))
    };
    let differing = first_difference(tokens(expected), tokens(actual), |expected, actual| {
        same_bytes(expected, actual, ignore_case)
            || tolerance.is_some_and(|tolerance| near(tolerance, expected, actual))
    })?;
    Some(places((expected, actual), differing, ignore_case))
}

fn tokens(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    let white = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    output.split(white).filter(|token| !token.is_empty())
}

/// The value of a decimal number; of no word that Rust reads as one, and of none too large for a double.
fn decimal(token: &[u8]) -> Option<f64> {
    let plain = token.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
    let value: f64 = std::str::from_utf8(token).ok().filter(|_| plain)?.parse().ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens_match(expected: &[u8], actual: &[u8]) -> bool {
        tokens_difference(expected, actual, None, false).is_none()
    }

    fn tokens_nearly_match(expected: &[u8], actual: &[u8]) -> bool {
        let tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };
        tokens_difference(expected, actual, Some(tolerance), false).is_none()
    }

    #[test]
    fn white_space_does_not_count_and_all_else_does() {
        for (expected, actual) in [("1 2\n3", "1\n2 \t3\n"), ("", " \n"), ("a", "\x0b a\r\n")] {
            assert!(tokens_match(expected.as_bytes(), actual.as_bytes()), "{expected:?} {actual:?}");
        }
        for (expected, actual) in [("1 2", "12"), ("YES", "Yes"), ("0.5", "0.50"), ("1 2", "1 2 3"), ("1", "")] {
            assert!(!tokens_match(expected.as_bytes(), actual.as_bytes()), "{expected:?} {actual:?}");
        }
        assert!(!tokens_match("é".as_bytes(), b"\xe9"));
    }

    #[test]
    fn decimals_match_within_a_millionth() {
        for (expected, actual) in [
            ("0.5", ".50"),
            ("1", "1.0000009"),
            ("0", "0.0000009"),
            ("1e9", "1000000999"),
            ("-2.5 yes", "-2.4999999 yes"),
            ("nan", "nan"),
            ("1e999", "1e999"),
        ] {
            assert!(tokens_nearly_match(expected.as_bytes(), actual.as_bytes()), "{expected:?} {actual:?}");
        }
        for (expected, actual) in [
            ("1", "1.0000011"),
            ("0", "0.0000011"),
            ("1e9", "1000001001"),
            ("1", "-1"),
            ("1", "nan"),
            ("nan", "NaN"),
            ("inf", "infinity"),
            ("1e999", "2e999"),
            ("1", "1,0"),
            ("0x10", "16"),
            ("1 2", "1"),
            ("1", "1 2"),
        ] {
            assert!(!tokens_nearly_match(expected.as_bytes(), actual.as_bytes()), "{expected:?} {actual:?}");
        }
    }
}
