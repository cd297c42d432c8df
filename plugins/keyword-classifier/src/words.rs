//! The words of a text: runs of letters, digits and underscores in lower case. A word is whole or it is not there:
//! "dp" is no word of "handpicked", nor "tree" of "street" or "tree_count".

/// A text cut into words.
pub(crate) struct Words {
    words: Vec<String>,
    /// Whether only spaces or hyphens stand between this word and the one before it, so that both may belong to one
    /// phrase: "union-find" is "union find", "a union. Find" is not.
    joined: Vec<bool>,
}

impl Words {
    pub(crate) fn of(text: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        let mut joined = Vec::new();
        let mut inside = false;
        let mut gap_joins = true;
        for c in text.chars() {
            if c.is_alphanumeric() || c == '_' {
                if !inside {
                    words.push(String::new());
                    joined.push(gap_joins);
                    inside = true;
                }
                if let Some(word) = words.last_mut() {
                    word.extend(c.to_lowercase());
                }
            } else {
                let first_of_gap = std::mem::replace(&mut inside, false);
                gap_joins = (first_of_gap || gap_joins) && (c.is_whitespace() || matches!(c, '-' | '‐' | '–'));
            }
        }
        Self { words, joined }
    }

    /// Whether the text holds this phrase, its last word in singular or plural.
    pub(crate) fn contain(&self, phrase: &str) -> bool {
        (0..self.words.len()).any(|start| self.phrase_end(start, phrase).is_some())
    }

    /// Whether the text is this phrase, as it is written.
    pub(crate) fn is(&self, phrase: &str) -> bool {
        self.words.iter().map(String::as_str).eq(phrase.split(' ')) && self.joined.iter().skip(1).all(|&joined| joined)
    }

    /// Where the phrase that begins at `start` ends.
    fn phrase_end(&self, start: usize, phrase: &str) -> Option<usize> {
        let mut at = start;
        let mut parts = phrase.split(' ').peekable();
        while let Some(part) = parts.next() {
            let word = self.words.get(at)?;
            let last = parts.peek().is_none();
            let same = word == part || (last && has_plural(phrase) && is_plural(word, part));
            if !same || (at > start && !self.joined[at]) {
                return None;
            }
            at += 1;
        }
        Some(at)
    }
}

/// Abbreviations have no plural: "dps" is damage per second, not several dynamic programs.
fn has_plural(phrase: &str) -> bool {
    phrase.len() >= 4
}

/// Whether `word` is the regular plural of `singular` ("trees", "hashes", "probabilities").
fn is_plural(word: &str, singular: &str) -> bool {
    match word.strip_prefix(singular) {
        Some(ending) => ending == "s" || ending == "es",
        None => singular.strip_suffix('y').is_some_and(|stem| word.strip_prefix(stem) == Some("ies")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_run_over_spaces_line_ends_and_hyphens_only() {
        for text in ["union find", "Union-Find", "the union\n  find structure", "union - find"] {
            assert!(Words::of(text).contain("union find"), "{text}");
        }
        for text in ["union. Find", "union of find", "unionfind", "union_find", "find union", "union", "union, - find"]
        {
            assert!(!Words::of(text).contain("union find"), "{text}");
        }
    }

    #[test]
    fn plurals_are_regular_and_of_the_last_word() {
        for (text, phrase) in [
            ("shortest paths", "shortest path"),
            ("hashes", "hash"),
            ("probabilities", "probability"),
            ("disjoint sets", "disjoint set"),
        ] {
            assert!(Words::of(text).contain(phrase), "{text}");
        }
        for (text, phrase) in [("dps", "dp"), ("treeses", "tree"), ("shortests path", "shortest path")] {
            assert!(!Words::of(text).contain(phrase), "{text}");
        }
    }

    #[test]
    fn a_tag_is_compared_whole() {
        assert!(Words::of("Number Theory").is("number theory"));
        assert!(!Words::of("chinese remainder theorem, math").is("math"));
        assert!(!Words::of("graph matchings").is("graphs"));
    }
}
