//! The any-order checker: an answer is right where it has the expected lines, each as often, in whatever order.

use std::collections::BTreeMap;

use hilora_plugin_sdk::checker::{CheckError, Decision, OutputChecker};
use hilora_plugin_sdk::no_options;

/// How many characters of a line a reason shows.
const CHARACTERS_SHOWN: usize = 40;

/// The plugin.
pub struct AnyOrderChecker;

impl OutputChecker for AnyOrderChecker {
    fn check(_: String, expected: String, actual: Vec<u8>, options: String) -> Result<Decision, CheckError> {
        no_options(&options).map_err(CheckError::Options)?;
        let mut missing: BTreeMap<&[u8], usize> = BTreeMap::new();
        for line in lines(expected.as_bytes()) {
            *missing.entry(line).or_default() += 1;
        }
        for line in lines(&actual) {
            match missing.get_mut(line) {
                Some(left) if *left > 0 => *left -= 1,
                _ => return Ok(Decision::Rejected(format!("the line `{}` is one too many", shown(line)))),
            }
        }
        Ok(match missing.iter().find(|(_, left)| **left > 0) {
            Some((line, _)) => Decision::Rejected(format!("the line `{}` is missing", shown(line))),
            None => Decision::Accepted,
        })
    }
}

hilora_plugin_sdk::export_checker!(AnyOrderChecker);
hilora_plugin_sdk::manifest!("plugin.toml");

/// The lines without the white space at their ends; empty ones left out.
fn lines(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty())
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(CHARACTERS_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, actual: &[u8]) -> Option<String> {
        match AnyOrderChecker::check(String::new(), expected.to_owned(), actual.to_vec(), "{}".to_owned()) {
            Ok(Decision::Accepted) => None,
            Ok(Decision::Rejected(why)) => Some(why),
            Err(CheckError::BadTest(why) | CheckError::Options(why)) => panic!("{why}"),
        }
    }

    #[test]
    fn it_has_no_options() {
        let told = AnyOrderChecker::check(String::new(), String::new(), Vec::new(), "{\"case\": 1}".to_owned());
        assert!(matches!(told, Err(CheckError::Options(why)) if why.contains("{\"case\": 1}")));
    }

    #[test]
    fn order_does_not_count_and_number_does() {
        assert_eq!(check("a\nb\nb\n", b"b \n\na\r\nb"), None);
        assert_eq!(check("", b"\n"), None);
        assert_eq!(check("a\nb", b"a\na"), Some("the line `a` is one too many".to_owned()));
        assert_eq!(check("a\nb\nb", b"b\na"), Some("the line `b` is missing".to_owned()));
        assert_eq!(check("a b", b"b a"), Some("the line `b a` is one too many".to_owned()));
        assert!(check("\u{e9}", b"\xe9").is_some(), "what is not UTF-8 is not the same bytes");
    }
}
