//! Stop strings: texts that end a completion where they come up in its text, in one token, in many, or in parts of them.
//!
//! Text is decoded token by token over a short window, since a token's text may depend on the one before it and a
//! character may take several tokens. It is held back while it ends in a character that is not whole.

use hilora_model::{ModelError, Tokenizer};

/// Tokens whose text is held back at most because it does not end in a whole character; one has at most 4 bytes.
const HELD_TOKENS_MAX: usize = 16;

/// Turns tokens into text.
pub trait TokenText: Sync {
    /// The text of tokens.
    fn text(&self, tokens: &[u32]) -> Result<String, ModelError>;
}

impl TokenText for Tokenizer {
    fn text(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.decode(tokens)
    }
}

/// The text of a completion so far, and whether a stop string is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopMatcher {
    text: String,
    /// The window's first token: text is decoded from here.
    window: usize,
    /// How much of the window's text is in `text`, in bytes.
    told: usize,
    /// The first token whose text is not all in `text` yet.
    unread: usize,
}

/// A stop string that came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopMatch {
    pub(crate) stop: String,
    /// What comes before it.
    pub(crate) text: String,
}

impl StopMatcher {
    /// Looks at the text that the last of a completion's tokens has made. Where several stop strings begin, the first
    /// counts, and at one place the first of the list.
    pub(crate) fn advance(
        &mut self,
        tokens: &[u32],
        stop_strings: &[String],
        decoder: &dyn TokenText,
    ) -> Result<Option<StopMatch>, ModelError> {
        let now = decoder.text(&tokens[self.window..])?;
        // What stands before a character that is not whole is told; that itself is waited for.
        let whole = now.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        let is_given_up = tokens.len() - self.unread >= HELD_TOKENS_MAX;
        let end = if is_given_up { now.len() } else { whole };
        // A decoder may take back what it said of the tokens before.
        let Some(new) = now.get(self.told..end).filter(|new| !new.is_empty()) else { return Ok(None) };
        let longest = stop_strings.iter().map(String::len).max().unwrap_or(0);
        let mut from = (self.text.len() + 1).saturating_sub(longest);
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        self.text.push_str(new);
        if end < now.len() {
            self.told = end;
        } else if whole < now.len() {
            // The next token begins anew: what it would make of the bytes before was given up.
            (self.window, self.told, self.unread) = (tokens.len(), 0, tokens.len());
        } else {
            let told = decoder.text(&tokens[self.unread..])?.len();
            (self.window, self.told, self.unread) = (self.unread, told, tokens.len());
        }
        let found = stop_strings.iter().filter_map(|stop| Some((from + self.text[from..].find(stop.as_str())?, stop)));
        Ok(found
            .min_by_key(|(at, _)| *at)
            .map(|(at, stop)| StopMatch { stop: stop.clone(), text: self.text[..at].to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoder of bytes: a token is a byte, and what is no UTF-8 becomes the replacement character.
    struct Bytes;

    impl TokenText for Bytes {
        fn text(&self, tokens: &[u32]) -> Result<String, ModelError> {
            let bytes: Vec<u8> = tokens.iter().map(|token| *token as u8).collect();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
    }

    /// A decoder of bytes, of which a token has one or two.
    struct Pairs;

    impl TokenText for Pairs {
        fn text(&self, tokens: &[u32]) -> Result<String, ModelError> {
            let bytes = tokens.iter().flat_map(|token| [(token >> 8) as u8, *token as u8]).filter(|byte| *byte != 0);
            Ok(String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned())
        }
    }

    /// A decoder of words that writes a space before each but the first, as sentencepiece does.
    struct Words;

    impl TokenText for Words {
        fn text(&self, tokens: &[u32]) -> Result<String, ModelError> {
            let words: Vec<&str> = tokens.iter().map(|token| ["one", "two", "three"][*token as usize]).collect();
            Ok(words.join(" "))
        }
    }

    /// How many tokens it took, and what was found.
    fn until(
        decoder: &dyn TokenText,
        tokens: &[u32],
        stops: &[&str],
    ) -> Result<Option<(usize, StopMatch)>, ModelError> {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut matcher = StopMatcher::default();
        for count in 1..=tokens.len() {
            if let Some(found) = matcher.advance(&tokens[..count], &stops, decoder)? {
                return Ok(Some((count, found)));
            }
        }
        Ok(None)
    }

    fn found(count: usize, stop: &str, text: &str) -> Option<(usize, StopMatch)> {
        Some((count, StopMatch { stop: stop.to_owned(), text: text.to_owned() }))
    }

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    #[test]
    fn a_stop_string_is_found_across_tokens_as_soon_as_it_is_whole() -> Result<(), ModelError> {
        assert_eq!(until(&Bytes, &bytes("x = 1\n\nprint"), &["\n\n"])?, found(7, "\n\n", "x = 1"));
        assert_eq!(until(&Bytes, &bytes("aab"), &["ab"])?, found(3, "ab", "a"));
        assert_eq!(until(&Bytes, &bytes("stop"), &["stops"])?, None);
        Ok(())
    }

    #[test]
    fn the_first_in_the_text_counts() -> Result<(), ModelError> {
        // Both are whole with the last byte.
        assert_eq!(until(&Bytes, &bytes("a END"), &["END", " END"])?, found(5, " END", "a"));
        assert_eq!(until(&Words, &[1, 2], &["hree", "two"])?, found(1, "two", ""));
        Ok(())
    }

    #[test]
    fn spaces_between_words_are_part_of_the_text() -> Result<(), ModelError> {
        assert_eq!(until(&Words, &[0, 1, 2, 0], &["two three"])?, found(3, "two three", "one "));
        Ok(())
    }

    #[test]
    fn a_character_of_several_tokens_is_waited_for() -> Result<(), ModelError> {
        assert_eq!(until(&Bytes, &bytes("naïve → x"), &["→"])?, found(10, "→", "naïve "));
        // What is no character at all does not hide what follows it.
        let garbage: Vec<u32> = std::iter::repeat_n(0xff, 40).chain(bytes("END")).collect();
        assert_eq!(until(&Bytes, &garbage, &["END"])?.map(|(count, _)| count), Some(43));
        // Nor does a character in which it was given up.
        let garbage: Vec<u32> = std::iter::repeat_n(0xff, 15).chain(bytes("éEND")).collect();
        assert_eq!(until(&Bytes, &garbage, &["END"])?.map(|(count, _)| count), Some(20));
        // What comes before the first byte of a character is found at once.
        assert_eq!(until(&Pairs, &[0x61, 0x0a_e2, 0x86_92], &["\n"])?, found(2, "\n", "a"));
        assert_eq!(until(&Pairs, &[0x61, 0x0a_e2, 0x86_92], &["→"])?, found(3, "→", "a\n"));
        Ok(())
    }
}
