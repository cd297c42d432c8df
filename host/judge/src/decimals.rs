//! The comparison of outputs as LiveCodeBench's grader makes it: line by line, and numbers by their value.
//!
//! Both outputs lose the white space around them, and so does each of their lines. They match where they have as many lines
//! and each pair of lines is equal, or consists on both sides of decimal numbers alone that are equal one by one: `0.50`
//! is `0.5` and `1e2` is `100`, and nothing is rounded. A line with any word that is no number is compared as it stands. An
//! output that is not UTF-8 matches nothing.
//!
//! What a decimal number is, is Python's `decimal.Decimal`, but for digits of other scripts.

use std::iter;

/// Where an output first is another than expected, as places in both. `None` if it is nowhere.
pub(super) fn decimals_difference(expected: &[u8], actual: &[u8]) -> Option<(usize, usize)> {
    let Ok(expected_text) = str::from_utf8(expected) else { return Some((0, 0)) };
    let actual_text = match str::from_utf8(actual) {
        Ok(text) => text,
        Err(error) => return Some((expected.len().min(error.valid_up_to()), error.valid_up_to())),
    };
    let (expected, actual) = (lines(expected_text), lines(actual_text));
    let place = |text: &str, lines: &[&str], index: usize, within: usize| match lines.get(index) {
        Some(line) => line.as_ptr().addr() - text.as_ptr().addr() + within,
        None => text.len(),
    };
    let pairs = iter::zip(&expected, &actual).position(|(expected, actual)| !lines_match(expected, actual));
    let differing = match pairs {
        Some(index) => index,
        None if expected.len() == actual.len() => return None,
        None => expected.len().min(actual.len()),
    };
    let line = |lines: &[&'_ str]| lines.get(differing).map(|line| line.as_bytes().to_vec()).unwrap_or_default();
    let within = iter::zip(line(&expected), line(&actual)).take_while(|(one, other)| one == other).count();
    Some((place(expected_text, &expected, differing, within), place(actual_text, &actual, differing, within)))
}

/// What Python's `str` calls white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn lines(text: &str) -> Vec<&str> {
    text.trim_matches(is_space).split('\n').map(|line| line.trim_matches(is_space)).collect()
}

fn lines_match(expected: &str, actual: &str) -> bool {
    if expected == actual {
        return true;
    }
    let numbers = |line: &str| -> Option<Vec<Decimal>> {
        line.split(is_space).filter(|word| !word.is_empty()).map(Decimal::read).collect()
    };
    numbers(actual).zip(numbers(expected)).is_some_and(|(actual, expected)| {
        // No number equals what is none.
        actual == expected && !actual.contains(&Decimal::NotANumber)
    })
}

/// The greatest and, below zero, the least exponent that a number may have in its scientific form.
const EXPONENT_MAX: i64 = 999_999_999_999_999_999;

/// A number as it is written, to the last digit.
#[derive(Debug, PartialEq)]
enum Decimal {
    /// Digits without zeros at either end, and the power of ten of the last of them. Zero has no digits.
    Finite {
        is_negative: bool,
        digits: Vec<u8>,
        exponent: i64,
    },
    Infinite {
        is_negative: bool,
    },
    NotANumber,
}

impl Decimal {
    fn read(word: &str) -> Option<Self> {
        let word = word.replace('_', "");
        let (is_negative, rest) = match word.as_bytes().first()? {
            b'-' => (true, &word[1..]),
            b'+' => (false, &word[1..]),
            _ => (false, &word[..]),
        };
        let lower = rest.to_ascii_lowercase();
        if lower == "inf" || lower == "infinity" {
            return Some(Self::Infinite { is_negative });
        }
        let payload = lower.strip_prefix("nan").or_else(|| lower.strip_prefix("snan"));
        if payload.is_some_and(|payload| payload.bytes().all(|byte| byte.is_ascii_digit())) {
            return Some(Self::NotANumber);
        }
        let (mantissa, exponent) = match lower.split_once('e') {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (&lower[..], 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Some(Self::Finite { is_negative: false, digits, exponent: 0 });
        }
        let scientific = exponent.checked_add(i64::try_from(digits.len()).ok()? - 1)?;
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&scientific) {
            return None;
        }
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent += 1;
        }
        Some(Self::Finite { is_negative, digits, exponent })
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An expected output, what came, and whether the published algorithm takes it; `tests/oracle/livecodebench_grades.py`
    /// makes them with Python's `decimal`.
    type Case = (String, String, bool);

    #[test]
    fn grades_as_the_published_algorithm_does() -> Result<(), serde_json::Error> {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../../tests/data/livecodebench_grades.json"))?;
        assert!(cases.len() > 500 && cases.iter().filter(|case| case.2).count() > 150);
        for (expected, actual, is_right) in cases {
            let found = decimals_difference(expected.as_bytes(), actual.as_bytes());
            assert_eq!(found.is_none(), is_right, "{expected:?} {actual:?}");
        }
        Ok(())
    }

    #[test]
    fn the_first_difference_is_told_by_its_places() {
        for (expected, actual, places) in [
            ("1\n2 3\n", "1.0\n2 4\n", (4, 6)),
            ("1\n2\n", "1\n", (2, 2)),
            (" 0.50\n", "0.51", (4, 3)),
            ("", "x", (0, 0)),
        ] {
            let found = decimals_difference(expected.as_bytes(), actual.as_bytes());
            assert_eq!(found, Some(places), "{expected:?} {actual:?}");
        }
        assert_eq!(decimals_difference(b"12", b"12\xff"), Some((2, 2)));
    }
}
