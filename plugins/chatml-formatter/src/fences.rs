//! Fenced blocks in an answer, as models write them: with three backticks or more, or tildes, at the beginning of a line,
//! in a list, in a quotation or behind a sentence, closed by a line of their own, behind code or not at all.
//!
//! A fence within a string of the code is the code's. Whether a block holds a program is not asked here.

use crate::info::{Info, Language, is_blank};
use crate::python::{Module, Strings};
use crate::tidy::tidy;

/// One block with code in it.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) language: Language,
    /// Tidied.
    pub(crate) code: String,
    /// Whether its end is there, and not only the next block's beginning.
    pub(crate) is_closed: bool,
}

/// What a text holds in fences.
#[derive(Debug, Default)]
pub(crate) struct Fenced {
    /// The blocks, in order.
    pub(crate) blocks: Vec<Block>,
    /// What stands between fences on one line, in order.
    pub(crate) inline: Vec<Block>,
    /// Whether there is any fence.
    pub(crate) has_fences: bool,
    /// Bytes in which the ends of blocks were looked for.
    looked_through: usize,
}

/// How often a text is looked through for the ends of its blocks, all together. Each block that has none is looked for up to
/// the end of the text; of a text with more of them than anybody writes, the rest is not read.
const PASSES_MAX: usize = 32;
/// Bytes that may be looked through in any text.
const LOOKED_THROUGH_MIN: usize = 1 << 20;
/// Lines of a quotation that are read at first.
const QUOTED_LINES: usize = 256;

/// A fence that opens a block.
struct Opening<'a> {
    /// What stands before it on its line.
    before: &'a str,
    mark: u8,
    length: usize,
    info: Info<'a>,
    /// Whether its line is part of a quotation.
    is_quoted: bool,
}

/// What a line holds.
enum Line<'a> {
    Opening(Opening<'a>),
    /// Code between two fences.
    Inline(&'a str),
    Text,
}

impl Fenced {
    /// Finds all blocks of a text whose lines end in a line feed.
    pub(crate) fn of(text: &str) -> Self {
        let mut fenced = Self::default();
        let closers = Closers::of(text);
        let mut at = 0;
        let looked_through_max = (PASSES_MAX * text.len()).max(LOOKED_THROUGH_MIN);
        while at < text.len() && fenced.looked_through <= looked_through_max {
            let line_end = line_end(text, at);
            let next = (line_end + 1).min(text.len());
            match read_line(&text[at..line_end]) {
                Line::Text => at = next,
                Line::Inline(code) => {
                    fenced.has_fences = true;
                    fenced.push_inline(code);
                    at = next;
                }
                Line::Opening(opening) => {
                    let is_first = !fenced.has_fences;
                    fenced.has_fences = true;
                    let before = &text[..at + opening.before.len()];
                    if is_first && !opening.info.is_known && fenced.push_beginning(before) {
                        at = next;
                    } else {
                        at = fenced.push_block(text, next, &opening, &closers);
                    }
                }
            }
        }
        fenced
    }

    /// Adds what stands before the first fence, if it is a program: its own opening stood in the prompt.
    fn push_beginning(&mut self, before: &str) -> bool {
        let (_, code) = named_by_first_line(Language::Python, tidy(before));
        let is_program = Module::of(&code).is_program();
        if is_program {
            self.blocks.push(Block { language: Language::Python, code, is_closed: true });
        }
        is_program
    }

    /// Whether a long fence without a language is there to hold other fences.
    fn is_wrapper(&mut self, text: &str, start: usize, info: &Info<'_>, mark: u8) -> bool {
        if info.language != Language::Unnamed {
            return false;
        }
        for line in text[start..].lines() {
            self.looked_through += line.len() + 1;
            let line = line.trim_start_matches(is_blank);
            let length = run(line, mark);
            if length >= 3 {
                return Info::of(&line[length..]).language == Language::Python;
            }
        }
        false
    }

    fn push_inline(&mut self, text: &str) {
        let info = Info::of(text);
        let word_only = matches!(info.language, Language::Python) && info.code.is_empty();
        let code = if info.code.is_empty() { text } else { info.code };
        if !word_only && matches!(info.language, Language::Python | Language::Unnamed) {
            self.inline.push(Block { language: info.language, code: tidy(code), is_closed: true });
        }
    }

    /// Adds the block whose content begins here; says where the text goes on behind it.
    fn push_block(&mut self, text: &str, start: usize, opening: &Opening<'_>, closers: &Closers) -> usize {
        let info = &opening.info;
        if info.language == Language::Markdown || opening.length > 3 && self.is_wrapper(text, start, info, opening.mark)
        {
            return start;
        }
        let least = if closers.has_from(start, opening.length) { opening.length } else { 3 };
        let end_in = |content: &str| End::of(content, opening.mark, least, info.language);
        let is_quoted = opening.is_quoted;
        let quotation;
        let (content, end) = if is_quoted {
            let mut lines = QUOTED_LINES;
            let end;
            (quotation, end) = loop {
                let read = Quotation::of(&text[start..], lines);
                self.looked_through += read.text.len();
                let end = end_in(&read.text);
                // It is read as a whole only where the block is as long.
                if read.is_whole || end.looked_through < read.text.len() {
                    break (read, end);
                }
                lines *= 8;
            };
            (quotation.text.as_str(), end)
        } else {
            (&text[start..], end_in(&text[start..]))
        };
        self.looked_through += end.looked_through;
        let code = match info.code {
            "" => tidy(&content[..end.code]),
            first => tidy(&format!("{first}\n{}", &content[..end.code])),
        };
        let (language, code) = named_by_first_line(info.language, code);
        let is_session = code.starts_with(">>>") || code.starts_with("In [");
        let language = if is_session { Language::Other } else { language };
        if !code.is_empty() {
            self.blocks.push(Block { language, code, is_closed: end.is_closed });
        }
        match is_quoted {
            // Lines of a quotation are as many as they were.
            true => line_number(text, start, content[..end.next].matches('\n').count()),
            false => start + end.next,
        }
    }
}

/// Where the line begins that follows so many line ends.
fn line_number(text: &str, start: usize, count: usize) -> usize {
    text[start..].match_indices('\n').nth(count.max(1) - 1).map_or(text.len(), |(at, _)| start + at + 1)
}

/// A block without a language, whose first line names it.
fn named_by_first_line(language: Language, code: String) -> (Language, String) {
    let (first, rest) = code.split_once('\n').unwrap_or((&code, ""));
    let is_word =
        first.len() <= "python 3.14.0".len() && first.bytes().all(|b| b.is_ascii_alphanumeric() || b" .".contains(&b));
    let info = Info::of(first);
    let names = is_word && info.language == Language::Python && info.code.is_empty() && !first.ends_with(".py");
    match names && matches!(language, Language::Unnamed | Language::Python) {
        true => (Language::Python, tidy(rest)),
        false => (language, code),
    }
}

/// The lines of a quotation without its marks, up to the first line that is not quoted.
struct Quotation {
    text: String,
    /// Whether it goes on no further than was read.
    is_whole: bool,
}

impl Quotation {
    /// The first lines of it.
    fn of(text: &str, lines_max: usize) -> Self {
        let lines = text.lines().map_while(|line| line.trim_start().strip_prefix('>')).take(lines_max);
        let lines: Vec<&str> = lines.collect();
        let is_whole = lines.len() < lines_max;
        let are_spaced = lines.iter().all(|line| line.is_empty() || line.starts_with(' '));
        let lines: Vec<&str> =
            lines.iter().map(|line| line.strip_prefix(' ').filter(|_| are_spaced).unwrap_or(line)).collect();
        Self { text: lines.join("\n") + "\n", is_whole }
    }
}

/// How long the bare fences are that close blocks from some line on.
struct Closers(Vec<(usize, usize)>);

impl Closers {
    fn of(text: &str) -> Self {
        let mut closers = Vec::new();
        let mut at = 0;
        for line in text.split('\n') {
            let trimmed = line.trim_matches(is_blank);
            let length = ["`", "~"].iter().map(|mark| run(trimmed, mark.as_bytes()[0])).max().unwrap_or(0);
            if length > 3 && length == trimmed.len() {
                closers.push((at, length));
            }
            at += line.len() + 1;
        }
        // From each place on, the longest.
        let mut longest = 0;
        for (_, length) in closers.iter_mut().rev() {
            longest = longest.max(*length);
            *length = longest;
        }
        Self(closers)
    }

    /// Whether a fence of at least this length closes a block from here on; of three, any does.
    fn has_from(&self, at: usize, length: usize) -> bool {
        let next = self.0.partition_point(|(place, _)| *place < at);
        length > 3 && self.0.get(next).is_some_and(|(_, longest)| *longest >= length)
    }
}

/// Where a block ends.
struct End {
    /// The end of its code.
    code: usize,
    /// Where the text goes on.
    next: usize,
    is_closed: bool,
    /// How many bytes it was looked for in.
    looked_through: usize,
}

impl End {
    /// The end of the block that begins with the text, closed by so many marks.
    fn of(text: &str, mark: u8, least: usize, language: Language) -> Self {
        let bytes = text.as_bytes();
        let is_code = language != Language::Other;
        let mut at = 0;
        let mut is_line_start = true;
        // Marks of HTML, of chat templates and of CodeLlama are no Python, so the code ends before them.
        let mut foreign = None;
        let mut in_comment = None;
        let mut has_open_string = false;
        let mut strings = Strings::of(text);
        let mut this_line_end = 0;
        while at < text.len() {
            if at > this_line_end || at == 0 {
                this_line_end = line_end(text, at);
            }
            if is_line_start {
                let line = &text[at..this_line_end];
                if let Some(closing) = Self::at_line(line, mark, least) {
                    let code = foreign.unwrap_or(at);
                    let next = if closing { (at + line.len() + 1).min(text.len()) } else { at };
                    return Self { code, next, is_closed: closing, looked_through: at };
                }
                is_line_start = false;
            }
            match bytes[at] {
                b'\n' => {
                    is_line_start = true;
                    at += 1;
                }
                _ if !is_code => at = this_line_end,
                // Behind a string that has no end, others must end on their lines.
                b'"' | b'\'' => match strings.end(at, if has_open_string { this_line_end } else { text.len() }) {
                    Some(end) => at = end,
                    None if bytes[at..].starts_with(&[bytes[at]; 3]) => {
                        has_open_string = true;
                        at += 3;
                    }
                    None => at += 1,
                },
                b'#' => {
                    let end = this_line_end;
                    let line = text[at..end].trim_end();
                    if line.ends_with("```") {
                        in_comment.get_or_insert((at + line.len() - 3, (end + 1).min(text.len())));
                    }
                    at = end;
                }
                b'`' if run(&text[at..], b'`') >= least => {
                    let code = foreign.unwrap_or(at);
                    let next = (this_line_end + 1).min(text.len());
                    return Self { code, next, is_closed: true, looked_through: at };
                }
                b'<' | b'[' if is_foreign(&text[at..]) => {
                    foreign.get_or_insert(at);
                    at += 1;
                }
                _ => at += 1,
            }
        }
        let looked_through = text.len();
        match (foreign, in_comment) {
            (None, Some((code, next))) => Self { code, next, is_closed: true, looked_through },
            (foreign, _) => {
                let code = foreign.unwrap_or(text.len());
                Self { code, next: text.len(), is_closed: foreign.is_some(), looked_through }
            }
        }
    }

    /// Whether a line closes the block, and if so, whether it is no more than that: a fence that names a language opens
    /// the next block, and the one before it was left open.
    fn at_line(line: &str, mark: u8, least: usize) -> Option<bool> {
        let trimmed = line.trim_start_matches(is_blank);
        let length = [mark, b'`'].into_iter().map(|mark| run(trimmed, mark)).max().unwrap_or(0);
        // In a string of quotes as fences there is one length.
        if length < least {
            return None;
        }
        let info = Info::of(&trimmed[length..]);
        Some(!(info.is_known && info.code.is_empty()))
    }
}

fn is_foreign(text: &str) -> bool {
    text.starts_with("</") || text.starts_with("<|") || text.starts_with("[/")
}

fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |length| at + length)
}

fn run(text: &str, mark: u8) -> usize {
    text.bytes().take_while(|&byte| byte == mark).count()
}

/// Reads a line outside all blocks.
fn read_line(line: &str) -> Line<'_> {
    let content = line.trim_start_matches(is_blank);
    let mark = content.bytes().next().filter(|byte| b"~'\"".contains(byte)).unwrap_or(b'`');
    let at = match mark {
        b'`' => line.find("```"),
        mark => (run(content, mark) >= 3).then_some(line.len() - content.len()),
    };
    let Some(at) = at else { return Line::Text };
    let (before, fence) = line.split_at(at);
    let length = run(fence, mark);
    let rest = &fence[length..];
    let info = Info::of(rest);
    if mark == b'`' && rest.contains('`') {
        return match rest.find("```") {
            Some(end) if !rest[..end].trim().is_empty() => Line::Inline(&rest[..end]),
            _ => Line::Text,
        };
    }
    // Quotes as fences are read only where they name the language.
    let names_python = length == 3 && info.language == Language::Python && info.code.is_empty();
    if b"'\"".contains(&mark) && (!names_python || rest.contains(char::from(mark))) {
        return Line::Text;
    }
    let is_word = before.trim_matches(is_blank).chars().all(|c| !c.is_alphanumeric());
    let is_empty = rest.trim_matches(is_blank).is_empty();
    if is_word || is_marked(before) || is_empty || info.is_known || !info.code.is_empty() {
        let is_quoted = before.trim_start().starts_with('>');
        return Line::Opening(Opening { before, mark, length, info, is_quoted });
    }
    Line::Text
}

/// Whether a line up to its fence is the number of a list's item, or ends as a tag or a sentence that announces code does.
fn is_marked(before: &str) -> bool {
    let before = before.trim_matches(is_blank);
    before.ends_with(['>', ':', '*', ']']) || before.trim_start_matches(|c: char| c.is_ascii_digit()).len() == 1
}

/// A fence that no line of the code can close.
pub(crate) fn fence_around(code: &str) -> String {
    let longest = code.lines().map(|line| run(line.trim_start(), b'`')).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Language, String, bool)> {
        Fenced::of(text).blocks.into_iter().map(|block| (block.language, block.code, block.is_closed)).collect()
    }

    #[test]
    fn any_number_of_openings_without_an_end_is_read_in_linear_time() {
        let quotes = "\"\"\"";
        for unit in [
            format!("{quotes}\\"),
            format!("{quotes}\\\n"),
            "'\\".to_owned(),
            "# ```\n".to_owned(),
            "> ```python\n> x = 1\n".to_owned(),
            "x: ````\n".to_owned(),
        ] {
            let text = format!("```python\nx = 1\n{}", unit.repeat(300_000));
            let begun = std::time::Instant::now();
            assert!(Fenced::of(&text).has_fences);
            // A fraction of a second, where a machine has nothing else to do; with their square it would be hours.
            assert!(begun.elapsed().as_secs() < 60, "{unit:?}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn blocks_are_found_wherever_they_stand() {
        for text in [
            "```python\nx = 1\n```",
            "~~~python\nx = 1\n~~~",
            "So: ```python\nx = 1\n```",
            "1. ```python\n   x = 1\n   ```",
            "- **Code**\n\n  ```python\n  x = 1\n  ```",
            "> ```python\n> x = 1\n> ```\nrest",
            "```python\nx = 1```",
            "```python\nx = 1\n``` Done.",
            "```python\nx = 1\n````",
            "````python\nx = 1\n```",
            "````\n```python\nx = 1\n```\n````",
            "```markdown\n```python\nx = 1\n```\n```",
            "```\npython\nx = 1\n```",
            "```python x = 1\n```",
            "'''python\nx = 1\n'''",
            "```python\nx = 1\n</answer>",
            "x = 1\n```\nThat is it.",
            "python\nx = 1\n```",
        ] {
            assert_eq!(found(text), [(Language::Python, "x = 1".to_owned(), true)], "{text:?}");
        }
        assert_eq!(found("```python\nx = 1"), [(Language::Python, "x = 1".to_owned(), false)]);
        assert_eq!(found("```cpp\nint x;\n```").len(), 1);
        assert_eq!(found("```python\n\n```"), []);
    }

    #[test]
    fn a_fence_in_a_string_is_the_codes() {
        for code in [
            "s = '''\n```\n'''",
            "s = '```'",
            "x = 1  # ```",
            "def f():\n    \"\"\"\n    ```python\n    f()\n    ```\n    \"\"\"",
        ] {
            assert_eq!(found(&format!("```python\n{code}\n```\n")), [(Language::Python, code.to_owned(), true)]);
        }
        // A string that nothing closes has none.
        assert_eq!(found("```python\ns = '''\n```\nText"), [(Language::Python, "s = '''".to_owned(), true)]);
    }

    #[test]
    fn a_block_that_is_left_open_ends_where_the_next_one_begins() {
        let blocks = found("```python\nx = 1\n\n```python\nx = 2\n```\n```cpp\n");
        assert_eq!(blocks.iter().map(|(_, code, _)| code.as_str()).collect::<Vec<_>>(), ["x = 1", "x = 2"]);
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_code() {
        assert_eq!(fence_around("x = 1"), "```");
        assert_eq!(fence_around("  ````\n```"), "`````");
        assert_eq!(fence_around("s = '```'"), "```");
    }
}
