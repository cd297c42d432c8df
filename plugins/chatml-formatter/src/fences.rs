//! Fenced code in an answer: lines between a line that opens with at least three backticks and one that closes with
//! at least as many. Whether the code is right, or even Python, is not asked here.

/// One fenced block.
struct Block {
    python: bool,
    closed: bool,
    code: String,
}

/// The program in an answer. The prompt asks for reasoning first and the code last, so of several complete Python
/// blocks the last one counts. Without any, in this order: a Python block that the end of the text cut off, the last
/// complete block that names no language, one of those cut off. Prose holds no program.
pub(crate) fn solution(completion: &str) -> Option<String> {
    let blocks = blocks(completion);
    let last = |python, closed| blocks.iter().rev().find(|block| block.python == python && block.closed == closed);
    let chosen = last(true, true).or_else(|| last(true, false)).or_else(|| last(false, true));
    chosen.or_else(|| last(false, false)).map(|block| block.code.clone())
}

/// A fence that no line of the code can close.
pub(crate) fn fence_around(code: &str) -> String {
    let longest = code.lines().map(|line| backticks(line.trim_start())).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn backticks(line: &str) -> usize {
    line.bytes().take_while(|&byte| byte == b'`').count()
}

/// Every block with code in it whose language is Python or not named, in order.
fn blocks(completion: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = completion.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let length = backticks(trimmed);
        let language = trimmed[length..].trim();
        // A backtick after the fence makes it inline code.
        if length < 3 || language.contains('`') {
            continue;
        }
        let mut code = Vec::new();
        let mut closed = false;
        for line in lines.by_ref() {
            let trimmed = line.trim();
            if backticks(trimmed) >= length && trimmed.len() == backticks(trimmed) {
                closed = true;
                break;
            }
            code.push(without_indent(line, indent));
        }
        let python = match language.split_whitespace().next().unwrap_or("").to_ascii_lowercase().as_str() {
            "python" | "python3" | "py" | "py3" => true,
            "" => false,
            _ => continue,
        };
        if code.iter().any(|line| !line.trim().is_empty()) {
            found.push(Block { python, closed, code: code.join("\n") });
        }
    }
    found
}

/// The line without the indentation that its fence has, as in a list item.
fn without_indent(line: &str, indent: usize) -> &str {
    let blank = line.bytes().take(indent).take_while(u8::is_ascii_whitespace).count();
    &line[blank..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[(&str, Option<&str>)]) {
        for (completion, expected) in cases {
            assert_eq!(solution(completion).as_deref(), *expected, "{completion:?}");
        }
    }

    #[test]
    fn the_last_complete_python_block_counts() {
        check(&[
            ("Text.\n\n```python\nprint(1)\n```", Some("print(1)")),
            ("```python\nslow()\n```\nBetter:\n```python\nfast()\n```\nDone.", Some("fast()")),
            ("```python\nprint(1)\n```\nOutput:\n```\n1\n```\n", Some("print(1)")),
            ("```python\nprint(1)\n```\nOr\n```python\nprint(", Some("print(1)")),
            ("```python\nprint(1)\n```\n```cpp\nint main() {}\n```", Some("print(1)")),
        ]);
    }

    #[test]
    fn other_spellings_are_understood() {
        check(&[
            ("```py\nx = 1\n```", Some("x = 1")),
            ("```Python3\nx = 1\n```", Some("x = 1")),
            ("``` python title=a\nx = 1\n```", Some("x = 1")),
            ("```\nx = 1\n```", Some("x = 1")),
            ("````python\ns = '''\n```\n'''\n````", Some("s = '''\n```\n'''")),
            ("1. So:\n   ```python\n   if x:\n       y()\n   ```", Some("if x:\n    y()")),
            ("```python\r\nx = 1\r\n```\r\n", Some("x = 1")),
        ]);
    }

    #[test]
    fn a_missing_end_fence_at_the_end_is_forgiven() {
        check(&[
            ("So:\n```python\nprint(1)\nprint(2)", Some("print(1)\nprint(2)")),
            ("```\n3 4\n```\nso\n```python\nprint(7)", Some("print(7)")),
            ("```\nprint(1)", Some("print(1)")),
        ]);
    }

    #[test]
    fn prose_other_languages_and_empty_blocks_hold_no_program() {
        check(&[
            ("print(1)", None),
            ("", None),
            ("Use `print(1)` or ```print(2)``` inline.", None),
            ("```print(2)``` at the start of a line", None),
            ("```cpp\nint main() {}\n```", None),
            ("```python\n\n```", None),
            ("```python", None),
        ]);
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_code() {
        assert_eq!(fence_around("x = 1"), "```");
        assert_eq!(fence_around("  ````\n```"), "`````");
        assert_eq!(fence_around("s = '```'"), "```");
    }
}
