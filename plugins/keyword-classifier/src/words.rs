//! The words of a text: runs of letters, digits and underscores in lower case. A word is whole or it is not there:
//! "dp" is no word of "handpicked", nor "tree" of "street" or "tree_count".

/// A text cut into words.
pub(crate) struct Words {
    /// The words without what stands between them.
    letters: String,
    words: Vec<Word>,
}

struct Word {
    /// Where it ends in `letters`; it begins where the one before it ends.
    end: usize,
    /// Whether only spaces or hyphens stand between this word and the one before it, so that both may belong to one
    /// phrase: "union-find" is "union find", "a union. Find" is not.
    joined: bool,
}

impl Words {
    pub(crate) fn of(text: &str) -> Self {
        let mut letters = String::with_capacity(text.len());
        let mut words: Vec<Word> = Vec::with_capacity(text.len() / 4);
        let mut inside = false;
        let mut gap_joins = true;
        for c in text.chars() {
            if c.is_ascii_alphanumeric() || c == '_' {
                letters.push(c.to_ascii_lowercase());
            } else if !c.is_ascii() && c.is_alphanumeric() {
                letters.extend(c.to_lowercase());
            } else {
                let first_of_gap = std::mem::replace(&mut inside, false);
                gap_joins = (first_of_gap || gap_joins) && (c.is_whitespace() || matches!(c, '-' | '‐' | '–'));
                continue;
            }
            if !std::mem::replace(&mut inside, true) {
                words.push(Word { end: 0, joined: gap_joins });
            }
            if let Some(word) = words.last_mut() {
                word.end = letters.len();
            }
        }
        Self { letters, words }
    }

    fn word(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.words[before].end);
        &self.letters[start..self.words[index].end]
    }

    /// Whether the text is this phrase, as it is written.
    pub(crate) fn is(&self, phrase: &str) -> bool {
        (0..self.words.len()).map(|index| self.word(index)).eq(phrase.split(' '))
            && self.words.iter().skip(1).all(|word| word.joined)
    }

    /// Whether these words, joined, begin at `start`.
    fn stand_at(&self, start: usize, words: &[String]) -> bool {
        start + words.len() <= self.words.len()
            && words
                .iter()
                .zip(start..)
                .all(|(word, at)| self.word(at) == word && (at == start || self.words[at].joined))
    }
}

/// Phrases that are looked for, all in one pass over a text.
pub(crate) struct Phrases {
    /// The forms that begin with each byte.
    by_first_byte: Vec<Vec<Form>>,
}

/// A phrase with its last word in singular or plural.
struct Form {
    phrase: usize,
    words: Vec<String>,
}

impl Phrases {
    pub(crate) fn of<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Self {
        let mut by_first_byte: Vec<Vec<Form>> = (0..256).map(|_| Vec::new()).collect();
        for (phrase, text) in phrases.into_iter().enumerate() {
            for form in forms(text) {
                if let Some(&first) = form.as_bytes().first() {
                    let words = form.split(' ').map(str::to_owned).collect();
                    by_first_byte[usize::from(first)].push(Form { phrase, words });
                }
            }
        }
        Self { by_first_byte }
    }

    /// Calls `found` with the number of each phrase that stands in the text, as often as it does.
    pub(crate) fn find(&self, text: &Words, mut found: impl FnMut(usize)) {
        let mut start = 0;
        for (index, word) in text.words.iter().enumerate() {
            let first = text.letters.as_bytes()[start];
            start = word.end;
            for form in &self.by_first_byte[usize::from(first)] {
                if text.stand_at(index, &form.words) {
                    found(form.phrase);
                }
            }
        }
    }
}

/// A phrase and its regular plurals ("trees", "hashes", "probabilities"). Abbreviations have none: "dps" is damage per
/// second, not several dynamic programs.
fn forms(phrase: &str) -> Vec<String> {
    let mut forms = vec![phrase.to_owned()];
    if phrase.len() >= 4 {
        forms.extend([format!("{phrase}s"), format!("{phrase}es")]);
        forms.extend(phrase.strip_suffix('y').map(|stem| format!("{stem}ies")));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(text: &str, phrase: &str) -> bool {
        let mut found = false;
        Phrases::of([phrase]).find(&Words::of(text), |_| found = true);
        found
    }

    #[test]
    fn phrases_run_over_spaces_line_ends_and_hyphens_only() {
        for text in ["union find", "Union-Find", "the union\n  find structure", "union - find"] {
            assert!(contains(text, "union find"), "{text}");
        }
        for text in ["union. Find", "union of find", "unionfind", "union_find", "find union", "union", "union, - find"]
        {
            assert!(!contains(text, "union find"), "{text}");
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
            assert!(contains(text, phrase), "{text}");
        }
        for (text, phrase) in [("dps", "dp"), ("treeses", "tree"), ("shortests path", "shortest path")] {
            assert!(!contains(text, phrase), "{text}");
        }
    }

    #[test]
    fn a_tag_is_compared_whole() {
        assert!(Words::of("Number Theory").is("number theory"));
        assert!(!Words::of("chinese remainder theorem, math").is("math"));
        assert!(!Words::of("graph matchings").is("graphs"));
    }
}
