//! Code as it is handed on: without the indentation of the list or quotation that it stood in, without characters that
//! copying leaves behind, and without blank lines around it.

use std::borrow::Cow;

use crate::info::is_invisible;
use crate::python::{Strings, line_starts};

/// The code, tidied. What is within its strings stays as it is, but for the indentation of the whole.
pub(crate) fn tidy(code: &str) -> String {
    let clean = without_strays(code);
    let trimmed = without_blank_lines(&clean);
    let code = without_common_indent(trimmed);
    without_end_tokens(&code).trim_end().to_owned()
}

/// Without characters that have no width, and with plain spaces, outside strings and comments.
fn without_strays(code: &str) -> Cow<'_, str> {
    let is_space = |c: char| c.is_whitespace() && !c.is_ascii_whitespace();
    let is_stray = |c: char| is_invisible(c) || is_space(c) || c == '\0';
    if !code.contains(is_stray) {
        return Cow::Borrowed(code);
    }
    let mut clean = String::with_capacity(code.len());
    let mut at = 0;
    let mut strings = Strings::of(code);
    while let Some(c) = code[at..].chars().next() {
        let kept = match c {
            '"' | '\'' => strings.end(at, code.len()),
            '#' => Some(code[at..].find('\n').map_or(code.len(), |length| at + length)),
            _ => None,
        };
        match kept {
            Some(end) => {
                clean.push_str(&code[at..end]);
                at = end;
            }
            None => {
                match c {
                    c if is_space(c) => clean.push(' '),
                    c if is_stray(c) => {}
                    c => clean.push(c),
                }
                at += c.len_utf8();
            }
        }
    }
    Cow::Owned(clean)
}

fn without_blank_lines(code: &str) -> &str {
    let mut code = code.trim_end();
    while let Some((line, rest)) = code.split_once('\n') {
        if !line.trim().is_empty() {
            break;
        }
        code = rest;
    }
    code
}

/// Without the indentation that all logical lines have. One that the first line alone has is a slip of the layout.
fn without_common_indent(code: &str) -> String {
    let starts = line_starts(code);
    let indents = starts.iter().map(|start| {
        let line = &code[*start..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    });
    let common = indents.reduce(common_prefix).unwrap_or("");
    let lines: Vec<&str> = code
        .split('\n')
        .map(|line| {
            let own = line.bytes().zip(common.bytes()).take_while(|(line, common)| line == common).count();
            &line[own..]
        })
        .collect();
    lines.join("\n").trim_start_matches([' ', '\t']).to_owned()
}

fn common_prefix<'a>(left: &'a str, right: &'a str) -> &'a str {
    let length = left.bytes().zip(right.bytes()).take_while(|(left, right)| left == right).count();
    &left[..length]
}

/// Without special tokens at the end.
fn without_end_tokens(code: &str) -> &str {
    let mut code = code.trim_end();
    loop {
        let word = ["</s>", "<eos>", "<end_of_turn>"].iter().find_map(|word| code.strip_suffix(word));
        let marked = [("<|", "|>"), ("<｜", "｜>")].iter().find_map(|(begin, end)| {
            let at = code.ends_with(end).then(|| code.rfind(begin)).flatten()?;
            (!code[at..].contains('\n')).then_some(&code[..at])
        });
        match word.or(marked) {
            Some(shorter) => code = shorter.trim_end(),
            None => return code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tidy;

    #[test]
    fn the_layout_around_code_goes_and_the_code_stays() {
        for (code, expected) in [
            ("\n\nx = 1\n\n", "x = 1"),
            ("   if x:\n       y()\n\n   z()", "if x:\n    y()\n\nz()"),
            ("\tif x:\n\t    y()", "if x:\n    y()"),
            ("  s = '''a\n b'''\n  x", "s = '''a\nb'''\nx"),
            ("    s = '''\n    a\n      b'''", "s = '''\na\n  b'''"),
            (" import sys\nx = 1", "import sys\nx = 1"),
            ("if x:\n    y()", "if x:\n    y()"),
            ("x\u{200b} =\u{a0}'\u{200b}'", "x = '\u{200b}'"),
            ("x = 1<|im_end|>\n", "x = 1"),
            ("x = 1</s>", "x = 1"),
            ("", ""),
        ] {
            assert_eq!(tidy(code), expected, "{code:?}");
        }
    }
}
