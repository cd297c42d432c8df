//! A mismatch: what a wrong answer should have been and what it was, each shortened around the place where they part.
//!
//! It is made on the host, of bytes that the host holds, and is put where people look; no guest ever gets it. An excerpt
//! has at most [`EXCERPT_BYTES_MAX`] bytes whatever the outputs hold, and no character that a terminal obeys: those, bytes
//! that are not UTF-8 and the backslash itself stand as escapes (`\x1b`, `\u{202e}`, `\xff`, `\\`), line breaks and tabs
//! as they are. The same outputs give the same excerpts.

use std::fmt;

use serde::{Deserialize, Serialize};

use hilora_contract::terminal::is_obeyed;

/// What is kept of the beginning of an output that is shortened before the difference.
const HEAD_BYTES: usize = 96;
/// What is kept just before the difference.
const BEFORE_BYTES: usize = 128;
/// What is kept from the difference on.
const FROM_BYTES: usize = 192;
/// What is kept of the end of an output that is shortened behind the difference.
const TAIL_BYTES: usize = 96;
/// The longest that stands where something is left out: `[… 18446744073709551615 bytes …]`.
const GAP_BYTES_MAX: usize = 40;
/// The most bytes of one excerpt.
pub const EXCERPT_BYTES_MAX: usize = HEAD_BYTES + BEFORE_BYTES + FROM_BYTES + TAIL_BYTES + 2 * GAP_BYTES_MAX;

/// The most characters of one line of an output in a table.
const LINE_CHARACTERS_MAX: usize = 60;

/// What was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mismatch {
    /// The expected output.
    pub expected: Excerpt,
    /// What the program wrote, or what the called function returned.
    pub actual: Excerpt,
}

/// An output, shortened around the place where it parts from the other one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excerpt {
    /// Its length in bytes.
    pub bytes: u64,
    /// The line of the difference, from 1.
    pub line: u64,
    /// Its column, from 1, in characters.
    pub column: u64,
    /// What stands before the difference: of a long text the beginning and the end.
    pub before: String,
    /// What stands there and behind it; empty if the output ends here.
    pub from: String,
}

impl Mismatch {
    /// Two outputs that part at these bytes.
    pub fn at(expected: (&[u8], usize), actual: (&[u8], usize)) -> Self {
        Self { expected: Excerpt::at(expected.0, expected.1), actual: Excerpt::at(actual.0, actual.1) }
    }
}

impl Excerpt {
    fn at(output: &[u8], difference: usize) -> Self {
        let difference = character_begin(output, difference.min(output.len()));
        let (before, from) = output.split_at(difference);
        let line_begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        Self {
            bytes: output.len() as u64,
            line: before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1,
            column: characters(&before[line_begin..]).count() as u64 + 1,
            before: shortened(before, HEAD_BYTES, BEFORE_BYTES),
            from: shortened(from, FROM_BYTES, TAIL_BYTES),
        }
    }

    /// The line of the difference alone, in so many characters, for a place that has one line.
    pub fn line_of_difference(&self, characters_max: usize) -> String {
        let before = self.before.rsplit('\n').next().unwrap_or_default();
        let from = self.from.split('\n').next().unwrap_or_default();
        if from.is_empty() && self.from.is_empty() && before.is_empty() {
            return "(nothing more)".to_owned();
        }
        // What stands before gives way: the difference is what is looked for.
        let room = characters_max.saturating_sub(from.chars().count()).max(characters_max / 3);
        let left_out = before.chars().count().saturating_sub(room);
        let before: String = before.chars().skip(left_out).collect();
        let line: String = before.chars().chain(from.chars()).take(characters_max).collect();
        if left_out > 0 { format!("…{line}") } else { line }
    }
}

/// What stands before the difference and from there on.
impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.before, self.from)
    }
}

/// Two lines, one of the expected output and one of what came, each where it parts from the other.
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |name: &str, excerpt: &Excerpt| {
            let Excerpt { line, column, .. } = excerpt;
            format!("    {name:<9} {} (line {line}, column {column})", excerpt.line_of_difference(LINE_CHARACTERS_MAX))
        };
        write!(f, "{}\n{}", line("expected:", &self.expected), line("came:", &self.actual))
    }
}

/// The first byte of the character that this byte belongs to.
fn character_begin(output: &[u8], at: usize) -> usize {
    let is_continuation = |at: usize| output.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|begin| !is_continuation(*begin)).unwrap_or(at)
}

/// A character of an output, or a byte that is part of none, with its length in bytes.
enum Character {
    Text(char),
    Byte(u8),
}

impl Character {
    fn push_to(&self, text: &mut String) {
        match *self {
            Self::Text('\\') => text.push_str("\\\\"),
            Self::Text(c) if is_obeyed(c) && (c as u32) < 0x100 => text.push_str(&format!("\\x{:02x}", c as u32)),
            Self::Text(c) if is_obeyed(c) => text.push_str(&format!("\\u{{{:x}}}", c as u32)),
            Self::Text(c) => text.push(c),
            Self::Byte(byte) => text.push_str(&format!("\\x{byte:02x}")),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(c) => c.len_utf8(),
            Self::Byte(_) => 1,
        }
    }
}

fn characters(output: &[u8]) -> impl DoubleEndedIterator<Item = Character> + '_ {
    let chunks: Vec<std::str::Utf8Chunk<'_>> = output.utf8_chunks().collect();
    chunks.into_iter().flat_map(|chunk| {
        chunk.valid().chars().map(Character::Text).chain(chunk.invalid().iter().map(|byte| Character::Byte(*byte)))
    })
}

/// A text with its characters escaped; of one that is too long its first and last bytes, and how many are left out.
fn shortened(output: &[u8], head_max: usize, tail_max: usize) -> String {
    // Only what may be shown is looked at: an output may have megabytes, and no character becomes shorter.
    let most = head_max + tail_max;
    if output.len() <= most {
        let mut whole = String::new();
        characters(output).for_each(|character| character.push_to(&mut whole));
        if whole.len() <= most {
            return whole;
        }
    }
    let (mut head, mut head_bytes) = (String::new(), 0);
    for character in characters(&output[..output.len().min(head_max + 4)]) {
        let length = head.len();
        character.push_to(&mut head);
        if head.len() > head_max {
            head.truncate(length);
            break;
        }
        head_bytes += character.bytes();
    }
    let (mut pieces, mut length, mut tail_bytes) = (Vec::new(), 0, 0);
    let tail_begin = character_begin(output, output.len().saturating_sub(tail_max).max(head_bytes));
    for character in characters(&output[tail_begin.max(head_bytes)..]).rev() {
        let mut piece = String::new();
        character.push_to(&mut piece);
        length += piece.len();
        if length > tail_max {
            break;
        }
        tail_bytes += character.bytes();
        pieces.push(piece);
    }
    let left_out = output.len() - head_bytes - tail_bytes;
    let tail: String = pieces.into_iter().rev().collect();
    if left_out == 0 { head + &tail } else { format!("{head}[… {left_out} bytes …]{tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_whole_and_parts_at_its_line_and_column() {
        let mismatch = Mismatch::at((b"1 2\n3 4\n", 6), (b"1 2\n3 5\n", 6));
        let Mismatch { expected, actual } = &mismatch;
        assert_eq!((expected.line, expected.column, expected.bytes), (2, 3, 8));
        assert_eq!((expected.before.as_str(), expected.from.as_str()), ("1 2\n3 ", "4\n"));
        assert_eq!((actual.before.as_str(), actual.from.as_str()), ("1 2\n3 ", "5\n"));
        assert_eq!((expected.line_of_difference(40), actual.line_of_difference(40)), ("3 4".into(), "3 5".into()));
        let ended = Excerpt::at(b"1\n", 2);
        assert_eq!((ended.line, ended.column, ended.from.as_str()), (2, 1, ""));
        assert_eq!(ended.line_of_difference(40), "(nothing more)");
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_nothing_is_ambiguous() {
        let hostile = "\u{1b}[2J\\x1b\r\t\u{202e}é".as_bytes();
        let output = [hostile, b"\xff\n"].concat();
        assert_eq!(Excerpt::at(&output, 0).from, "\\x1b[2J\\\\x1b\\x0d\t\\u{202e}é\\xff\n");
        // A difference in the middle of a character is one of the whole character.
        let inside = Excerpt::at("aé".as_bytes(), 2);
        assert_eq!((inside.column, inside.before.as_str(), inside.from.as_str()), (2, "a", "é"));
    }

    #[test]
    fn a_long_output_keeps_its_head_its_tail_and_the_difference() {
        let output = format!("HEAD{}<{}>{}TAIL", "a".repeat(9_000), "X", "b".repeat(9_000)).into_bytes();
        let excerpt = Excerpt::at(&output, 4 + 9_000 + 1);
        assert!(excerpt.before.starts_with("HEADaa") && excerpt.before.ends_with("aaa<"), "{}", excerpt.before);
        assert!(excerpt.from.starts_with("X>bbb") && excerpt.from.ends_with("bbTAIL"), "{}", excerpt.from);
        assert!(excerpt.before.contains("[… 8781 bytes …]"), "{}", excerpt.before);
        assert_eq!(excerpt.column, 9_006);
        assert!(excerpt.line_of_difference(60).contains("<X>bb"), "{}", excerpt.line_of_difference(60));
    }

    #[test]
    fn no_output_makes_a_longer_excerpt() {
        for unit in ["\u{1b}", "\u{202e}", "\\", "\u{1f469}", "a"] {
            for length in [10, 100, 288, 289, 5_000] {
                let output = unit.repeat(length).into_bytes();
                for at in [0, output.len() / 2, output.len()] {
                    let Excerpt { before, from, .. } = Excerpt::at(&output, at);
                    assert!(before.len() + from.len() <= EXCERPT_BYTES_MAX, "{unit:?} {length} {at}");
                    assert!(!(before + &from).contains(is_obeyed), "{unit:?} {length} {at}");
                }
            }
        }
        let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        for at in (0..bytes.len()).step_by(997) {
            let Excerpt { before, from, .. } = Excerpt::at(&bytes, at);
            assert!(before.len() + from.len() <= EXCERPT_BYTES_MAX, "{at}");
        }
    }
}
