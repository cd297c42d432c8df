//! The info string of a fence: what stands behind its opening. Models write a language, a file's name, attributes, or the
//! first line of the code.

use crate::python::Module;

/// What a fence says of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Python of any version.
    Python,
    /// None, plain text, or a word that is no known language.
    Unnamed,
    /// Markdown, in which other fences may stand.
    Markdown,
    /// Another language, a terminal, or sample data.
    Other,
}

/// An info string.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Info<'a> {
    pub(crate) language: Language,
    /// Whether the word is known, so that a fence with it opens a block wherever it stands.
    pub(crate) is_known: bool,
    /// The code that begins on the fence's line; may be empty.
    pub(crate) code: &'a str,
}

/// Words for Python, without version and in lower case.
const PYTHON: [&str; 14] = [
    "python",
    "py",
    "pypy",
    "ipython",
    "cpython",
    "micropython",
    "cython",
    "sage",
    "sagemath",
    "pyodide",
    "pythonic",
    "python-code",
    "python-script",
    "python-exec",
];

/// Words for what is neither Python nor may hide it.
const OTHER: [&str; 105] = [
    "ada",
    "algorithm",
    "asm",
    "assembly",
    "awk",
    "bash",
    "bat",
    "batch",
    "c",
    "c#",
    "c++",
    "cc",
    "clojure",
    "cmd",
    "cobol",
    "console",
    "cpp",
    "cs",
    "csharp",
    "css",
    "csv",
    "d",
    "dart",
    "diff",
    "docker",
    "dockerfile",
    "dot",
    "elixir",
    "erlang",
    "error",
    "example",
    "f#",
    "fish",
    "fortran",
    "fsharp",
    "gcc",
    "go",
    "golang",
    "graphviz",
    "groovy",
    "haskell",
    "html",
    "http",
    "ini",
    "input",
    "java",
    "javascript",
    "jl",
    "js",
    "json",
    "jsonl",
    "jsx",
    "julia",
    "kotlin",
    "kt",
    "latex",
    "less",
    "lisp",
    "log",
    "lua",
    "make",
    "makefile",
    "math",
    "matlab",
    "mermaid",
    "nim",
    "objc",
    "ocaml",
    "output",
    "patch",
    "perl",
    "php",
    "postgresql",
    "powershell",
    "prolog",
    "ps1",
    "pseudo",
    "pseudo-code",
    "pseudocode",
    "r",
    "rb",
    "ruby",
    "rs",
    "rust",
    "sample",
    "scala",
    "scheme",
    "sh",
    "shell",
    "shell-session",
    "sql",
    "stderr",
    "stdin",
    "stdout",
    "svg",
    "swift",
    "terminal",
    "tex",
    "toml",
    "ts",
    "tsx",
    "typescript",
    "vb",
    "xml",
    "yaml",
];

/// Words for a session of Python, which is no program.
const SESSIONS: [&str; 11] = [
    "pycon",
    "python-repl",
    "pyrepl",
    "python-console",
    "pytb",
    "py3tb",
    "python-traceback",
    "doctest",
    "python-session",
    "pyconsole",
    "traceback",
];

/// Attributes of a block.
const ATTRIBUTES: [&str; 22] = [
    "title",
    "filename",
    "file",
    "name",
    "path",
    "id",
    "class",
    "label",
    "caption",
    "lineno",
    "linenos",
    "linenums",
    "lines",
    "start",
    "startline",
    "hl_lines",
    "highlight",
    "mark",
    "theme",
    "run",
    "version",
    "copy",
];

impl<'a> Info<'a> {
    /// Reads what stands behind a fence.
    pub(crate) fn of(info: &'a str) -> Self {
        let info = info.trim_matches(is_blank);
        let known = |language| Info { language, is_known: true, code: "" };
        let unnamed = Info { language: Language::Unnamed, is_known: false, code: "" };
        // `{.python}`, `{code-cell} python`, `language-python`
        let mut rest = info;
        for mark in ["{code-cell}", "{code}", "language-", "lang-", "lang:", "lang=", "language=", "language:"] {
            let begins = rest.get(..mark.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(mark));
            rest = if begins { &rest[mark.len()..] } else { rest };
        }
        let rest = rest.trim_start_matches(|c: char| is_blank(c) || "{[(.:\"'*".contains(c));
        let in_word = |c: char| c.is_alphanumeric() || "+#-_.".contains(c);
        let length = rest.find(|c: char| !in_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(length);
        let lower = word.to_ascii_lowercase();
        let base = lower.trim_end_matches(|c: char| c.is_ascii_digit() || "-_.".contains(c));
        if SESSIONS.contains(&base) {
            return known(Language::Other);
        }
        if PYTHON.contains(&base) {
            return Info { language: Language::Python, is_known: true, code: code_behind(behind) };
        }
        let names_file =
            |word: &str| [".py", ".py3", ".pyw"].iter().any(|end| word.to_ascii_lowercase().ends_with(end));
        if info.split(|c: char| is_blank(c) || "=:\"'{}(),".contains(c)).any(names_file) {
            return known(Language::Python);
        }
        if ["markdown", "md", "mdx", "rst"].contains(&lower.as_str()) {
            return known(Language::Markdown);
        }
        match lower.as_str() {
            "text" | "txt" | "plaintext" | "plain" | "code" | "none" if behind.trim_matches(is_blank).is_empty() => {
                known(Language::Unnamed)
            }
            other if OTHER.contains(&other) => known(Language::Other),
            _ if begins_code(info) => Info { code: info, ..unnamed },
            _ => unnamed,
        }
    }
}

/// White space, and what has no width.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// Characters without width that get into copied text.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

/// The code behind a language's word, if it is any: not a version, attributes or a file's name.
fn code_behind(behind: &str) -> &str {
    let code = behind.trim_start_matches(is_blank);
    let spaced = behind.len() > code.len();
    let key = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next().unwrap_or("");
    let is_attribute = code[key.len()..].starts_with('=')
        && !code[key.len()..].starts_with("==")
        && (ATTRIBUTES.contains(&key.to_ascii_lowercase().as_str()) || key.contains('-'));
    if spaced && !is_attribute && begins_code(code) { code } else { "" }
}

/// Whether a line of code stands here, whole or the first of several.
fn begins_code(text: &str) -> bool {
    let module = Module::of(text);
    let is_comment = text.starts_with('#') && text.len() > 1;
    is_comment || module.broken_at.is_none() && (module.has_effect() || text.starts_with("@"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_has_many_names() {
        for info in [
            "python",
            "Python",
            "PYTHON",
            "py",
            "py3",
            "python3",
            "python 3",
            "python3.11",
            "python-3.12",
            "Python 3.10.2",
            "pypy3",
            "pypy3.9",
            "ipython3",
            "{python}",
            "{.python}",
            "{.python .numberLines}",
            "{python, echo=FALSE}",
            "python{1,3}",
            "python:main.py",
            "python:solution.py",
            "py:main",
            "solution.py",
            "src/main.py",
            "python title=a",
            "python title=\"a.py\" linenums=1",
            "python filename=main.py",
            "filename=main.py",
            "language-python",
            "{code-cell} python",
            " python ",
            "python\u{3000}",
            "\u{200b}python",
            "python:disable-run",
            "python/main.py",
            "python,",
            "Python (3.8)",
            "python # main.py".trim_end_matches(" # main.py"),
            "python_3",
        ] {
            assert_eq!(Info::of(info), Info { language: Language::Python, is_known: true, code: "" }, "{info:?}");
        }
    }

    #[test]
    fn code_may_begin_on_the_line_of_the_fence() {
        for (info, code) in [
            ("python print(1)", "print(1)"),
            ("python import sys", "import sys"),
            ("python def f():", "def f():"),
            ("python n = int(input())", "n = int(input())"),
            ("python # a program", "# a program"),
            ("import sys", "import sys"),
        ] {
            assert_eq!(Info::of(info).code, code, "{info:?}");
        }
    }

    #[test]
    fn other_words_are_told_apart() {
        for (info, language) in [
            ("", Language::Unnamed),
            ("text", Language::Unnamed),
            ("plaintext", Language::Unnamed),
            ("solution", Language::Unnamed),
            ("This works.", Language::Unnamed),
            ("markdown", Language::Markdown),
            ("cpp", Language::Other),
            ("C++", Language::Other),
            ("c++17", Language::Unnamed),
            ("bash", Language::Other),
            ("output", Language::Other),
            ("pycon", Language::Other),
            ("json", Language::Other),
            ("pyret", Language::Unnamed),
        ] {
            assert_eq!(Info::of(info).language, language, "{info:?}");
        }
    }
}
