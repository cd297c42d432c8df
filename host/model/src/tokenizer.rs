//! A tokenizer: text to token ids and back, by Hugging Face's own library.
//!
//! Text that a person or a dataset wrote is *content*: it can never become a control token, whatever it spells. Only
//! text that the prompt format wrote is *control*.

use std::path::{Path, PathBuf};

use super::ModelError;
use hilora_contract::dataset::{Segment, SegmentKind};

/// A tokenizer.json, loaded twice: with and without its special tokens' spellings.
pub struct Tokenizer {
    path: PathBuf,
    control: tokenizers::Tokenizer,
    content: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Loads `tokenizer.json` from a model's folder.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|e| ModelError::reading(&path, e))?;
        let parse = |bytes: &[u8]| guarded(&path, "not a tokenizer", || tokenizers::Tokenizer::from_bytes(bytes));
        let control = parse(&bytes)?;
        let mut content = parse(&bytes)?;
        content.set_encode_special_tokens(true);
        Ok(Self { path, control, content })
    }

    /// The ids of text that the prompt format wrote: spellings of special tokens become those tokens.
    pub fn encode_control(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.encode(&self.control, text)
    }

    /// The ids of text that anybody else wrote: spellings of special tokens stay plain text.
    pub fn encode_content(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.encode(&self.content, text)
    }

    /// The ids of a sequence's segments, and for each whether it is a target of the loss.
    pub fn encode_segments(&self, segments: &[Segment]) -> Result<(Vec<u32>, Vec<bool>), ModelError> {
        let (mut tokens, mut trained) = (Vec::new(), Vec::new());
        for segment in segments {
            let encoded = match segment.kind {
                SegmentKind::Control => self.encode_control(&segment.text)?,
                SegmentKind::Content => self.encode_content(&segment.text)?,
            };
            trained.extend(std::iter::repeat_n(segment.trained, encoded.len()));
            tokens.extend(encoded);
        }
        Ok((tokens, trained))
    }

    fn encode(&self, tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = guarded(&self.path, "cannot encode", || tokenizer.encode_fast(text, false))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids; special tokens are left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        guarded(&self.path, "cannot decode", || self.control.decode(tokens, true))
    }

    /// The id of a token by its exact spelling.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.control.token_to_id(token)
    }
}

/// What the library answers. It panics on some files that are not what they should be, which becomes an error like the
/// others, in its words.
fn guarded<T>(path: &Path, what: &str, call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, ModelError> {
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    let wrong = |why: String| ModelError::Tokenizer { path: path.to_owned(), message: format!("{what}: {why}") };
    match answer {
        Ok(answer) => answer.map_err(|error| wrong(error.to_string())),
        Err(panicked) => {
            let words = panicked.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(wrong(format!("the library gave up on it: {words}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_library_panics_on_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        // A download that was cut in the middle of the decoder.
        std::fs::write(folder.path().join("tokenizer.json"), r#"{"version":"1.0","decoder":{"type":"ByteLevel","#)?;
        let error = Tokenizer::load(folder.path()).err().ok_or("it was accepted")?;
        assert!(error.to_string().contains("not a tokenizer: the library gave up on it: "), "{error}");
        Ok(())
    }
}
