//! Equality of two JSON texts as values: white space, the order of an object's keys and the spelling of a number make no
//! difference, the digits of a whole number of any length do.

use std::collections::BTreeMap;

/// Deeper values are refused, so that no output can exhaust the stack.
const DEPTH_MAX: usize = 128;

/// A JSON value whose numbers keep their text.
#[derive(Debug, PartialEq)]
enum Value {
    /// `null`, `true`, `false`, and the words that Python writes for what is no finite number.
    Word(&'static str),
    Whole(String),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// Whether both are JSON and equal: whole numbers digit by digit, a whole and a decimal number by their double.
pub(super) fn json_values_match(expected: &[u8], actual: &[u8]) -> bool {
    match (read(expected), read(actual)) {
        (Some(expected), Some(actual)) => equal(&expected, &actual),
        _ => false,
    }
}

/// Whether a text is one JSON value that can be compared.
pub(super) fn is_json_value(text: &[u8]) -> bool {
    read(text).is_some()
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Whole(whole), Value::Float(float)) | (Value::Float(float), Value::Whole(whole)) => {
            whole.parse() == Ok(*float)
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|((name, left), (other, right))| name == other && equal(left, right))
        }
        _ => left == right,
    }
}

fn read(text: &[u8]) -> Option<Value> {
    let mut reader = Reader { rest: std::str::from_utf8(text).ok()? };
    let value = reader.value(0)?;
    reader.skip_space();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.skip_space();
        match self.rest.as_bytes().first()? {
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            b'"' => self.text().map(Value::Text),
            b'0'..=b'9' => self.number(),
            b'-' if self.rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => self.number(),
            _ => {
                let words = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];
                words.into_iter().find(|word| self.take(word)).map(Value::Word)
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        self.take("[");
        if self.take("]") {
            return Some(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take("]") {
                return Some(Value::List(items));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut fields = BTreeMap::new();
        self.take("{");
        if self.take("}") {
            return Some(Value::Object(fields));
        }
        loop {
            self.skip_space();
            let name = self.text()?;
            if !self.take(":") {
                return None;
            }
            fields.insert(name, self.value(depth + 1)?);
            if self.take("}") {
                return Some(Value::Object(fields));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    /// A quoted text; serde_json reads its escapes.
    fn text(&mut self) -> Option<String> {
        let bytes = self.rest.as_bytes();
        if bytes.first() != Some(&b'"') {
            return None;
        }
        let mut end = 1;
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let (quoted, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest;
        serde_json::from_str(quoted).ok()
    }

    fn number(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return number.parse().ok().map(Value::Float);
        }
        let digits = digits.trim_start_matches('0');
        Some(Value::Whole(if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expected: &str, actual: &str) -> bool {
        json_values_match(expected.as_bytes(), actual.as_bytes())
    }

    #[test]
    fn the_same_values_match_however_they_are_written() {
        for (expected, actual) in [
            ("[1,2]", " [ 1, 2 ]\n"),
            ("2.00000", "2.0"),
            ("2", "2.0"),
            ("-0", "0"),
            (r#"{"a":1,"b":[]}"#, r#"{"b": [], "a": 1}"#),
            (r#""é""#, r#""\u00e9""#),
            ("NaN", "NaN"),
            ("[[],{}]", "[[], {}]"),
        ] {
            assert!(matches(expected, actual), "{expected} {actual}");
        }
    }

    #[test]
    fn other_values_do_not() {
        let long = "9".repeat(9_131);
        for (expected, actual) in [
            ("[1,2]", "[1]"),
            ("true", "1"),
            ("\"1\"", "1"),
            ("1", "1 1"),
            ("1", ""),
            ("[1,]", "[1,]"),
            (long.as_str(), &format!("{}8", "9".repeat(9_130))),
            ("0.1", "0.10000001"),
            ("null", "nul"),
        ] {
            assert!(!matches(expected, actual), "{expected} {actual}");
        }
        assert!(matches(&long, &long));
    }

    #[test]
    fn a_deep_value_is_refused_and_harms_nobody() {
        let deep = "[".repeat(1_000_000);
        assert!(!matches(&deep, &deep));
        assert!(!matches("\"\\", "\"\\"));
    }
}
