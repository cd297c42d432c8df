//! A normal form: a text without the differences that say nothing, so that its hash finds the same text again.

/// A statement without differences of case and white space.
pub(super) fn normalized_statement(statement: &str) -> String {
    let mut normalized = String::with_capacity(statement.len());
    for word in statement.split_whitespace() {
        if !normalized.is_empty() {
            normalized.push(' ');
        }
        if word.is_ascii() {
            normalized.extend(word.chars().map(|c| c.to_ascii_lowercase()));
        } else {
            normalized.push_str(&word.to_lowercase());
        }
    }
    normalized
}

/// A program without blank lines, whole-line comments and white space at line ends. It serves as a key only: a
/// comment sign at the start of a line inside a string is taken for a comment.
pub(super) fn normalized_code(code: &str) -> String {
    let lines = code.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_case_and_comments_make_no_difference() {
        assert_eq!(normalized_statement(" Add\n two\tNumbers. É "), "add two numbers. é");
        assert_eq!(normalized_code("# by me\nx = 1  \r\n\n  # so\nif x:\n    y()\n"), "x = 1\nif x:\n    y()");
        assert_ne!(normalized_code("if x:\n    y()"), normalized_code("if x:\ny()"));
    }
}
