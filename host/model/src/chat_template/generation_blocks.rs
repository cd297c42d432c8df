//! Generation blocks: `{% generation %} … {% endgeneration %}`, by which a template says itself which text is the
//! assistant's. transformers adds the tag to Jinja, and `return_assistant_tokens_mask` is made of it.
//!
//! The engine knows no such tag, so both are rewritten into tags that it knows: a scope of its own, as the block has in
//! Jinja2, and an expression that writes a mark. The marks are taken out of what was rendered.

use std::ops::Range;

/// The variables that hold the marks.
pub(super) const BEGIN: &str = "hilora_generation_begin";
pub(super) const END: &str = "hilora_generation_end";

/// The template with its generation blocks rewritten. White space control stays where it was: the first and the last tag
/// that stand in the place of one are statements, too.
pub(super) fn rewritten(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(begin) = rest.find('{') {
        text.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let length = if rest.starts_with("{#") {
            length_through(rest, "#}")
        } else if rest.starts_with("{{") {
            expression_length(rest, "}}")
        } else if rest.starts_with("{%") {
            let length = expression_length(rest, "%}");
            let tag = Tag::of(&rest[..length]);
            match tag.name {
                "raw" => {
                    let (inside, after) = rest.split_at(length);
                    text.push_str(inside);
                    rest = after;
                    raw_length(rest)
                }
                "generation" | "endgeneration" => {
                    let (before, after) = (tag.before, tag.after);
                    text.push_str(&if tag.name == "generation" {
                        format!("{{%{before} with {BEGIN}_ = 1 %}}{{{{ {BEGIN} }}}}{{% set {BEGIN}_ = 1 {after}%}}")
                    } else {
                        format!("{{%{before} set {END}_ = 1 %}}{{{{ {END} }}}}{{% endwith {after}%}}")
                    });
                    rest = &rest[length..];
                    continue;
                }
                _ => length,
            }
        } else {
            1
        };
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    text.push_str(rest);
    text
}

/// Takes the marks out of a rendering: its text, and the ranges of it between them.
pub(super) fn unmarked(rendered: &str, begin: &str, end: &str) -> (String, Vec<Range<usize>>) {
    let (mut text, mut ranges, mut open) = (String::with_capacity(rendered.len()), Vec::new(), Vec::new());
    let mut rest = rendered;
    while let Some(next) = [begin, end].into_iter().filter_map(|mark| rest.find(mark)).min() {
        text.push_str(&rest[..next]);
        rest = &rest[next..];
        if let Some(after) = rest.strip_prefix(begin) {
            open.push(text.len());
            rest = after;
        } else {
            rest = &rest[end.len()..];
            let range = open.pop().unwrap_or(text.len())..text.len();
            if !range.is_empty() {
                ranges.push(range);
            }
        }
    }
    text.push_str(rest);
    (text, ranges)
}

/// A statement: `{%- name … -%}`.
struct Tag<'a> {
    name: &'a str,
    /// `-`, `+` or nothing at its beginning.
    before: &'a str,
    /// The same at its end.
    after: &'a str,
}

impl<'a> Tag<'a> {
    fn of(tag: &'a str) -> Self {
        let inside = tag.strip_prefix("{%").unwrap_or(tag);
        let inside = inside.strip_suffix("%}").unwrap_or(inside);
        let sign = |is_one: bool, at: usize| if is_one { &inside[at..at + 1] } else { "" };
        let before = sign(inside.starts_with(['-', '+']), 0);
        let after = sign(inside.len() > before.len() && inside.ends_with(['-', '+']), inside.len().saturating_sub(1));
        let words = inside[before.len()..inside.len() - after.len()].trim();
        let end = words.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(words.len());
        // A tag with more in it is not one of ours.
        let is_alone = end == words.len() && tag.ends_with("%}");
        Self { name: if is_alone { words } else { "" }, before, after }
    }
}

/// The length of `{{ … }}` or `{% … %}`: brackets and texts within it may hold its end.
fn expression_length(text: &str, end: &str) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    let mut characters = text.char_indices().skip(2);
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), _) => {
                if c == open {
                    quote = None;
                }
            }
            (None, _) if depth == 0 && text[at..].starts_with(end) => return at + end.len(),
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    text.len()
}

/// How much of the text is before `{% endraw %}`.
fn raw_length(text: &str) -> usize {
    let mut at = 0;
    while let Some(found) = text[at..].find("{%") {
        at += found;
        let tag = &text[at..at + length_through(&text[at..], "%}")];
        if Tag::of(tag).name == "endraw" {
            return at;
        }
        at += 2;
    }
    text.len()
}

/// The length of a text up to the end of the first such part of it, or all of it.
fn length_through(text: &str, part: &str) -> usize {
    text.find(part).map_or(text.len(), |at| at + part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tags_are_rewritten() {
        for same in [
            "{{ '{% generation %}' }}",
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{%- endraw -%}",
            "{% set x = '%}{% generation %}' %}",
            "{{ {'a': {'b': '}}{% generation %}'}} }}",
            "{% generation",
            "{% generation x %}",
            "a { b } {c",
            "ü{% if x %}é{% endif %}",
        ] {
            assert_eq!(rewritten(same), same);
        }
        let begin = "{%- with hilora_generation_begin_ = 1 %}{{ hilora_generation_begin }}{% set hilora_generation_begin_ = 1 -%}";
        let end = "{% set hilora_generation_end_ = 1 %}{{ hilora_generation_end }}{% endwith +%}";
        assert_eq!(rewritten("a{%-generation -%}b{% endgeneration +%}c"), format!("a{begin}b{end}c"));
        let raw = "{% raw %}{% endraw %}";
        assert_eq!(rewritten(&format!("{raw}{{%-generation -%}}")), format!("{raw}{begin}"));
    }

    #[test]
    fn marks_become_ranges() {
        let (text, ranges) = unmarked("a<b><>c<>d<e>f", "<", ">");
        assert_eq!((text.as_str(), ranges), ("abcdef", vec![1..2, 4..5]));
    }
}
