//! Code that stands between marks other than fences: tags of HTML and of CodeLlama, LaTeX's listings, and lines that
//! Markdown takes for code because they are indented.

use crate::fences::Block;
use crate::info::Language;
use crate::tidy::tidy;

/// What begins code, what ends it, and whether it is Python's alone. What begins with `<` may have attributes.
const MARKS: [(&str, &str, bool); 16] = [
    ("[PYTHON]", "[/PYTHON]", true),
    ("<python", "</python>", true),
    ("<|python_tag|>", "<|", true),
    ("<pre", "</pre>", false),
    ("<code", "</code>", false),
    ("<solution", "</solution>", false),
    ("<answer", "</answer>", false),
    ("<syntaxhighlight", "</syntaxhighlight>", false),
    ("[BEGIN]", "[DONE]", false),
    ("[code]", "[/code]", false),
    ("\\begin{lstlisting}", "\\end{lstlisting}", false),
    ("\\begin{verbatim}", "\\end{verbatim}", false),
    ("\\begin{minted}", "\\end{minted}", false),
    ("{code:python}", "{code}", true),
    ("{code}", "{code}", false),
    ("<script type=\"text/python\"", "</script>", true),
];

/// The pieces between marks of more than one line, in order of their kind; a program in a tag may have tags around it.
pub(crate) fn marked(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (begin, end, is_python) in MARKS {
        let mut rest = text;
        while let Some(at) = find(rest, begin) {
            rest = &rest[at + begin.len()..];
            if begin.starts_with('<') && !begin.ends_with('>') {
                // The end of the tag; another tag that begins likewise is not meant.
                if rest.starts_with(|c: char| c.is_alphanumeric()) {
                    continue;
                }
                let Some(close) = rest.find('>') else { break };
                rest = &rest[close + 1..];
            }
            if begin.starts_with('\\') {
                // `[language=Python]`, `{python}`
                let line = rest.find('\n').unwrap_or(rest.len());
                rest = &rest[line..];
            }
            let (content, is_closed) = match find(rest, end) {
                Some(at) => (&rest[..at], true),
                None => (rest, false),
            };
            let language = if is_python { Language::Python } else { Language::Unnamed };
            let content = without_inner_tag(content);
            let content =
                if begin.starts_with('<') && end.starts_with("</") { unescaped(content) } else { content.to_owned() };
            let code = tidy(&content);
            if !code.is_empty() {
                blocks.push(Block { language, code, is_closed });
            }
            rest = &rest[content_end(rest, end)..];
        }
    }
    blocks
}

fn content_end(rest: &str, end: &str) -> usize {
    find(rest, end).map_or(rest.len(), |at| at + end.len())
}

/// The first place of a mark in any case of letters.
fn find(text: &str, mark: &str) -> Option<usize> {
    let first = mark.as_bytes()[0];
    let places = text.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == first);
    let is_here = |at: usize| {
        text.as_bytes()[at..].get(..mark.len()).is_some_and(|here| here.eq_ignore_ascii_case(mark.as_bytes()))
    };
    places.map(|(at, _)| at).find(|at| is_here(*at))
}

/// What stands in `<code …>` within `<pre>`.
fn without_inner_tag(content: &str) -> &str {
    let trimmed = content.trim_start();
    let Some(rest) = trimmed.strip_prefix("<code") else { return content };
    let inner = rest.split_once('>').map_or(content, |(_, inner)| inner);
    inner.rsplit_once("</code>").map_or(inner, |(inner, _)| inner)
}

/// Text with HTML's entities for what code needs, and its line breaks.
fn unescaped(text: &str) -> String {
    let mut plain = text.replace("<br>\n", "\n").replace("<br/>", "\n").replace("<br>", "\n");
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&apos;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        plain = plain.replace(entity, c);
    }
    plain
}

/// The runs of lines that are indented by four columns or more, behind a blank line or at the beginning.
pub(crate) fn indented(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut code = String::new();
    let mut after_blank = true;
    for line in text.lines().chain(["end"]) {
        let is_blank = line.trim().is_empty();
        let is_code = line.starts_with("    ") || line.starts_with('\t');
        if is_code && (after_blank || !code.is_empty()) || is_blank && !code.is_empty() {
            code.push_str(line);
            code.push('\n');
        } else if !code.is_empty() {
            blocks.push(Block { language: Language::Unnamed, code: tidy(&code), is_closed: true });
            code.clear();
        }
        after_blank = is_blank;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(blocks: Vec<Block>) -> Vec<String> {
        blocks.into_iter().map(|block| block.code).collect()
    }

    #[test]
    fn code_between_marks_is_found() {
        for text in [
            "[PYTHON]\nx < 1\n[/PYTHON]",
            "<pre>\nx &lt; 1\n</pre>",
            "<pre class=\"python\">x &lt; 1</pre>",
            "So:\n\\begin{lstlisting}[language=Python]\nx < 1\n\\end{lstlisting}",
            "<answer>\nx < 1\n</answer>",
            "<|python_tag|>x < 1<|eom_id|>",
            "[BEGIN]\nx < 1\n[DONE]",
            "[python]\nx < 1",
        ] {
            assert_eq!(codes(marked(text)), ["x < 1"], "{text:?}");
        }
        let nested = codes(marked("<pre><code class=\"language-python\">x &lt; 1\n</code></pre>"));
        assert_eq!(nested, ["x < 1", "x < 1"]);
        assert_eq!(codes(marked("<codex>y</codex>")), Vec::<String>::new());
    }

    #[test]
    fn indented_lines_are_code() {
        assert_eq!(codes(indented("So:\n\n    if x:\n        y\n\n    z\n\nDone.")), ["if x:\n    y\n\nz"]);
        assert_eq!(codes(indented("A list:\n    no code")), Vec::<String>::new());
    }
}
