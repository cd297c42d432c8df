//! A list literal of Python that holds strings only, as `repr` writes it: `['dp', "Kruskal's"]`.
//!
//! It is read strictly and nothing is evaluated: whatever is not a plain string in a list is an error that names the
//! place.

/// The most strings that a list may hold.
const ITEMS_MAX: usize = 10_000;

/// The strings of the list; the error says what was expected at which character.
pub(crate) fn parse(literal: &str) -> Result<Vec<String>, String> {
    let mut reader = Reader { text: literal, rest: literal };
    let mut items = Vec::new();
    reader.expect('[', "a list of strings")?;
    loop {
        reader.skip_space();
        if reader.take(']') {
            break;
        }
        items.push(reader.string()?);
        if items.len() > ITEMS_MAX {
            return Err(format!("the list has more than {ITEMS_MAX} items"));
        }
        reader.skip_space();
        if reader.take(']') {
            break;
        }
        reader.expect(',', "a comma or the end of the list")?;
    }
    reader.skip_space();
    if reader.rest.is_empty() { Ok(items) } else { Err(reader.error("nothing after the list")) }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn error(&self, expected: &str) -> String {
        let at = self.text.chars().count() - self.rest.chars().count();
        let found = self.rest.chars().next().map_or("the end".to_owned(), |c| format!("`{c}`"));
        format!("expected {expected} at character {at}, got {found}")
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0C']);
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char, words: &str) -> Result<(), String> {
        self.skip_space();
        if self.take(wanted) { Ok(()) } else { Err(self.error(words)) }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(self.error("a string")),
        };
        self.next();
        let mut string = String::new();
        loop {
            let before = self.rest;
            match self.next() {
                Some(c) if c == quote => return Ok(string),
                Some('\\') => {
                    if let Some(c) = self.escape()? {
                        string.push(c);
                    }
                }
                Some('\n' | '\r') | None => {
                    self.rest = before;
                    return Err(self.error("the end of the string"));
                }
                Some(c) => string.push(c),
            }
        }
    }

    /// What stands behind a backslash; `None` for a line that goes on.
    fn escape(&mut self) -> Result<Option<char>, String> {
        let before = self.rest;
        let escaped = match self.next() {
            Some('\n') => return Ok(None),
            Some(c @ ('\\' | '\'' | '"')) => Some(c),
            Some('a') => Some('\x07'),
            Some('b') => Some('\x08'),
            Some('f') => Some('\x0C'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('v') => Some('\x0B'),
            Some('x') => self.hexadecimal(2),
            Some('u') => self.hexadecimal(4),
            Some('U') => self.hexadecimal(8),
            Some('0'..='7') => {
                self.rest = before;
                self.octal()
            }
            _ => None,
        };
        if escaped.is_none() {
            self.rest = before;
            return Err(self.error("an escape of Python"));
        }
        Ok(escaped)
    }

    fn hexadecimal(&mut self, digits: usize) -> Option<char> {
        let code = self.rest.get(..digits).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        self.rest = &self.rest[digits..];
        u32::from_str_radix(code, 16).ok().and_then(char::from_u32)
    }

    fn octal(&mut self) -> Option<char> {
        let digits = self.rest.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
        let (code, rest) = self.rest.split_at(digits);
        self.rest = rest;
        u32::from_str_radix(code, 8).ok().and_then(char::from_u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_repr_writes() {
        for (literal, expected) in [
            ("[]", vec![]),
            (" [ ] ", vec![]),
            ("['dp', 'greedy']", vec!["dp", "greedy"]),
            (r#"["Kruskal's", 'a "b"']"#, vec!["Kruskal's", "a \"b\""]),
            (r"['it\'s', '\\', '\x41\u00e9\U0001F600\n\101\0']", vec!["it's", "\\", "Aé😀\nA\0"]),
            ("['a',]", vec!["a"]),
            ("['Züge']", vec!["Züge"]),
            ("['a\\\nb']", vec!["ab"]),
        ] {
            assert_eq!(parse(literal).expect(literal), expected);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        for (literal, error) in [
            ("", "expected a list of strings at character 0, got the end"),
            ("None", "expected a list of strings at character 0, got `N`"),
            ("('a')", "expected a list of strings at character 0, got `(`"),
            ("['a'", "expected a comma or the end of the list at character 4, got the end"),
            ("['a' 'b']", "expected a comma or the end of the list at character 5, got `'`"),
            ("['é', 1]", "expected a string at character 6, got `1`"),
            ("[['a']]", "expected a string at character 1, got `[`"),
            ("[,]", "expected a string at character 1, got `,`"),
            ("['a\nb']", "expected the end of the string at character 3, got `\n`"),
            ("['a", "expected the end of the string at character 3, got the end"),
            (r"['\q']", "expected an escape of Python at character 3, got `q`"),
            (r"['\xZZ']", "expected an escape of Python at character 3, got `x`"),
            (r"['\ud800']", "expected an escape of Python at character 3, got `u`"),
            ("['a'] + x()", "expected nothing after the list at character 6, got `+`"),
            ("[f'a']", "expected a string at character 1, got `f`"),
        ] {
            assert_eq!(parse(literal), Err(error.to_owned()), "{literal}");
        }
        assert!(parse(&format!("[{}]", "'a',".repeat(10_001))).is_err());
    }
}
