//! Python's tokens, and the logical lines they make, for text of which nobody knows whether it is Python.
//!
//! Strings, comments, brackets and continued lines are read as CPython reads them, which is what tells a fence or a
//! mark in a string from one that ends the code. It knows no statement.

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// An identifier or keyword.
    Name(&'a str),
    /// A number.
    Number,
    /// A string, with its prefix and quotes.
    Text,
    /// An operator or a bracket.
    Sign(&'a str),
}

/// Why a line is not Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It can be none, whatever follows.
    Broken,
    /// A string or a bracket is still open where the text ends.
    Unfinished,
}

/// A logical line: physical lines that brackets, strings or backslashes join, without its comments.
#[derive(Debug)]
pub(crate) struct LogicalLine<'a> {
    /// The column of its first token; a tab goes to the next multiple of 8.
    pub(crate) indent: usize,
    /// Where its first physical line begins in the text, in bytes.
    pub(crate) start: usize,
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) flaw: Option<Flaw>,
}

/// Operators of more than one character, longest first.
const LONG_SIGNS: [&str; 25] = [
    "...", "**=", "//=", ">>=", "<<=", "**", "//", ">>", "<<", "<=", ">=", "==", "!=", "->", "+=", "-=", "*=", "/=",
    "%=", "&=", "|=", "^=", "@=", ":=", "~",
];
/// What may follow a number without a space.
const KEYWORDS_AFTER_NUMBER: [&str; 7] = ["if", "else", "or", "and", "in", "is", "for"];
const SHORT_SIGNS: &str = "+-*/%@&|^<>()[]{},:.;=";

/// The logical lines of a text.
pub(crate) fn logical_lines(text: &str) -> Vec<LogicalLine<'_>> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (line, next) = logical_line(text, at);
        lines.extend(line);
        at = next;
    }
    lines
}

/// Where the logical lines of a text begin, in bytes.
pub(crate) fn line_starts(text: &str) -> Vec<usize> {
    logical_lines(text).iter().map(|line| line.start).collect()
}

/// The logical line whose first physical line begins here, and where the next one does; none for a blank or a comment.
fn logical_line(text: &str, start: usize) -> (Option<LogicalLine<'_>>, usize) {
    let bytes = text.as_bytes();
    let mut line = LogicalLine { indent: 0, start, tokens: Vec::new(), flaw: None };
    let mut open = Vec::new();
    let mut at = start;
    while let Some(width) = match bytes.get(at) {
        Some(b' ') => Some(1),
        Some(b'\t') => Some(8 - line.indent % 8),
        _ => None,
    } {
        line.indent += width;
        at += 1;
    }
    loop {
        let Some(&byte) = bytes.get(at) else {
            if !open.is_empty() {
                line.flaw = Some(Flaw::Unfinished);
            }
            break;
        };
        match byte {
            b'\n' => {
                at += 1;
                if open.is_empty() {
                    break;
                }
            }
            b' ' | b'\t' | 0x0c => at += 1,
            b'#' => at = line_end(text, at),
            b'\\' if bytes.get(at + 1) == Some(&b'\n') => at += 2,
            _ => match token(text, at) {
                Ok((token, end)) => {
                    let balanced = match token {
                        Token::Sign(sign @ ("(" | "[" | "{")) => {
                            open.push(sign);
                            true
                        }
                        Token::Sign(")") => open.pop() == Some("("),
                        Token::Sign("]") => open.pop() == Some("["),
                        Token::Sign("}") => open.pop() == Some("{"),
                        _ => true,
                    };
                    line.tokens.push(token);
                    at = end;
                    if !balanced {
                        line.flaw = Some(Flaw::Broken);
                    }
                }
                Err(flaw) => line.flaw = Some(flaw),
            },
        }
        match line.flaw {
            // Prose has many; the next line is another try.
            Some(Flaw::Broken) => {
                at = (line_end(text, at) + 1).min(text.len());
                break;
            }
            Some(Flaw::Unfinished) => {
                at = text.len();
                break;
            }
            None => {}
        }
    }
    let is_something = !line.tokens.is_empty() || line.flaw.is_some();
    (is_something.then_some(line), at)
}

fn line_end(text: &str, at: usize) -> usize {
    text.as_bytes()[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |length| at + length)
}

/// The token that begins here, and where it ends.
fn token(text: &str, at: usize) -> Result<(Token<'_>, usize), Flaw> {
    let rest = &text[at..];
    let first = rest.chars().next().ok_or(Flaw::Broken)?;
    if let Some(end) = string_end(text, at) {
        return end.map(|end| (Token::Text, end));
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        return Ok((Token::Name(&rest[..length]), at + length));
    }
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    if digit(rest.as_bytes().first()) || first == '.' && digit(rest.as_bytes().get(1)) {
        let length = number_length(rest).ok_or(Flaw::Broken)?;
        return Ok((Token::Number, at + length));
    }
    if let Some(sign) = LONG_SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((Token::Sign(&rest[..sign.len()]), at + sign.len()));
    }
    match SHORT_SIGNS.contains(first) {
        true => Ok((Token::Sign(&rest[..1]), at + 1)),
        false => Err(Flaw::Broken),
    }
}

/// The length of a number; `None` for what only begins like one, such as `3rd`.
fn number_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let prefix = bytes.get(..2).map(<[u8]>::to_ascii_lowercase);
    let based = matches!(prefix.as_deref(), Some(b"0x" | b"0o" | b"0b"));
    let mut length = 0;
    let mut is_number = true;
    while let Some(&byte) = bytes.get(length) {
        let exponent = !based && length > 0 && bytes[length - 1].eq_ignore_ascii_case(&b'e');
        match byte {
            b'0'..=b'9' | b'_' => {}
            b'.' if !based => {}
            b'+' | b'-' if exponent && bytes.get(length + 1).is_some_and(u8::is_ascii_digit) => {}
            b'a'..=b'f' | b'A'..=b'F' | b'x' | b'X' | b'o' | b'O' if based => {}
            // `1if x else 2` is a number and a keyword.
            b'a'..=b'z' if KEYWORDS_AFTER_NUMBER.iter().any(|word| text[length..].starts_with(word)) => break,
            b'e' | b'E' | b'j' | b'J' => {}
            b'a'..=b'z' | b'A'..=b'Z' => is_number = false,
            _ => break,
        }
        length += 1;
    }
    is_number.then_some(length)
}

/// Where a string that begins here ends; `None` where none begins. Nothing is closed beyond its line but triple quotes.
fn string_end(text: &str, at: usize) -> Option<Result<usize, Flaw>> {
    let bytes = &text.as_bytes()[at..];
    let prefix = bytes.iter().take(3).take_while(|byte| b"rRbBuUfFtT".contains(byte)).count();
    let quote = *bytes.get(prefix).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let formatted = bytes[..prefix].iter().any(|byte| b"fFtT".contains(byte));
    let triple = bytes[prefix..].starts_with(&[quote; 3]);
    let mut end = prefix + if triple { 3 } else { 1 };
    // A string within a formatted one may use the same quotes. It is looked for only so deep.
    let mut braces = 0_usize;
    while let Some(&byte) = bytes.get(end) {
        let closes = match triple {
            true => bytes[end..].starts_with(&[quote; 3]),
            false => byte == quote,
        };
        match byte {
            b'\\' => end += 2,
            _ if closes && braces == 0 => return Some(Ok(at + end + if triple { 3 } else { 1 })),
            b'\n' if !triple => return Some(Err(Flaw::Broken)),
            b'{' if formatted && braces == 0 && bytes.get(end + 1) == Some(&b'{') => end += 2,
            b'{' if formatted => {
                braces += 1;
                end += 1;
            }
            b'}' if formatted => {
                braces = braces.saturating_sub(1);
                end += 1;
            }
            b'"' | b'\'' if braces > 0 => match inner_end(bytes, end) {
                Some(inner) => end = inner,
                // Before Python 3.12 the same quotes end the outer string.
                None if closes => return Some(Ok(at + end + if triple { 3 } else { 1 })),
                None => end += 1,
            },
            _ => end += 1,
        }
    }
    Some(Err(if triple { Flaw::Unfinished } else { Flaw::Broken }))
}

/// The plain strings of a text in which quotes may be anything, also the apostrophes of prose. It remembers the places from
/// which a string is known to have no end, so that any number of quotes is looked behind but once.
pub(crate) struct Strings<'a> {
    bytes: &'a [u8],
    /// For each kind of quotes, a bit a place.
    endless: [Vec<u64>; 4],
}

impl<'a> Strings<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), endless: Default::default() }
    }

    /// Where the string ends whose quotes begin here, if that is not beyond `limit`. Whoever gets an end goes on behind it,
    /// and whoever gets none sets no later limit for what stands before this one.
    pub(crate) fn end(&mut self, at: usize, limit: usize) -> Option<usize> {
        let quote = self.bytes[at];
        let is_triple = self.bytes[at..].starts_with(&[quote; 3]);
        let quotes = &[quote; 3][..if is_triple { 3 } else { 1 }];
        let endless = &mut self.endless[usize::from(quote == b'"') * 2 + usize::from(is_triple)];
        let mut end = at + quotes.len();
        while end + quotes.len() <= limit {
            let (word, bit) = (end / 64, 1_u64 << (end % 64));
            if endless.get(word).is_some_and(|bits| bits & bit != 0) {
                return None;
            }
            if self.bytes[end..].starts_with(quotes) {
                return Some(end + quotes.len());
            }
            if self.bytes[end] == b'\n' && !is_triple {
                return None;
            }
            if endless.is_empty() {
                endless.resize(self.bytes.len() / 64 + 1, 0);
            }
            // Nobody comes here again but where no end is found.
            endless[word] |= bit;
            end += if self.bytes[end] == b'\\' { 2 } else { 1 };
        }
        None
    }
}

/// The end of a plain string within the braces of a formatted one, on the same line.
fn inner_end(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes[at];
    let line = bytes[at + 1..].iter().take_while(|byte| **byte != b'\n');
    line.enumerate().find(|(_, byte)| **byte == quote).map(|(length, _)| at + length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaws(text: &str) -> Vec<Option<Flaw>> {
        logical_lines(text).iter().map(|line| line.flaw).collect()
    }

    #[test]
    fn strings_brackets_and_backslashes_join_lines() {
        for text in
            ["x = '''a\n#b'''", "f(1,  # one\n  2)", "x = 1 + \\\n 2", "f\"{d[\"k\"]}\" + f'{x:>{w}}'", "# no\nx"]
        {
            assert_eq!(flaws(text), [None], "{text:?}");
        }
        assert_eq!(flaws("a\nb  # c\n\n\tc\n"), [None; 3]);
        assert_eq!(logical_lines("if x:\n\ty").last().map(|line| line.indent), Some(8));
    }

    #[test]
    fn what_is_no_python_is_told_line_by_line() {
        assert_eq!(flaws("It's so.\nx = 1"), [Some(Flaw::Broken), None]);
        assert_eq!(flaws("x = 1\n```"), [None, Some(Flaw::Broken)]);
        assert_eq!(flaws("f(1\n2"), [Some(Flaw::Unfinished)]);
        assert_eq!(flaws("x = '''1\n2"), [Some(Flaw::Unfinished)]);
        assert_eq!(flaws(")"), [Some(Flaw::Broken)]);
        assert_eq!(flaws("the 3rd"), [Some(Flaw::Broken)]);
    }

    #[test]
    fn strings_end_where_python_ends_them() {
        let triple = "'''";
        for text in [
            "'a'b",
            "'a\\'b'c",
            "\"\"\"a\n\"b\"\"\"c",
            "''",
            "'a\nb'",
            "'a\\",
            "'\\\\'a",
            "\"'\"",
            "\"\"\"\"\"\"x",
            &format!("{triple}a'"),
            &format!("{triple}a\\{triple}'{triple}"),
        ] {
            let end = Strings::of(text).end(0, text.len());
            assert_eq!(end, string_end(text, 0).and_then(Result::ok), "{text:?}");
        }
        assert_eq!(Strings::of("'a'").end(0, 2), None);
    }

    #[test]
    fn numbers_are_those_of_python() {
        for number in ["1", "1_000", "0xFF", "1e-9", "1.", ".5", "3j", "0b11"] {
            assert_eq!(number_length(number), Some(number.len()), "{number}");
        }
        assert_eq!(number_length("1+2"), Some(1));
        assert_eq!(number_length("0xe+1"), Some(3));
    }
}
