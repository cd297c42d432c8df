//! A tokenizer: text to token ids and back, by Hugging Face's own library.
//!
//! Text that a person or a dataset wrote is *content*: it can never become a control token, whatever it spells. Only
//! text that the prompt format wrote is *control*.
//!
//! A file may hold a truncation and a padding: transformers writes its last call's into it and never reads them back.
//! They are not obeyed here either, so every text keeps all of its tokens and gets no others.

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
        let parse = |bytes: &[u8]| {
            guarded(&path, "not a tokenizer", || {
                let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes)?;
                tokenizer.with_truncation(None)?.with_padding(None);
                Ok(tokenizer)
            })
        };
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

    /// The id of a control token by its exact spelling: one that is recognised wherever the prompt format writes it. A
    /// piece of the vocabulary that happens to be spelled so is none.
    pub fn control_token(&self, token: &str) -> Option<u32> {
        self.control.get_added_vocabulary().get_vocab().get(token).copied()
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

    /// A tokenizer of single words, with what its file says beside them.
    fn words(more: &serde_json::Value) -> Result<Tokenizer, Box<dyn std::error::Error>> {
        let mut file = serde_json::json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"?": 0, "a": 1, "b": 2}, "unk_token": "?"},
        });
        let (fields, more) = (file.as_object_mut().ok_or("an object")?, more.as_object().ok_or("an object")?);
        fields.extend(more.clone());
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string())?;
        Ok(Tokenizer::load(folder.path())?)
    }

    /// transformers 5.13 gives the same: `AutoTokenizer.from_pretrained(folder)("a b a b")["input_ids"]`.
    #[test]
    fn a_truncation_and_a_padding_in_the_file_are_not_obeyed() -> Result<(), Box<dyn std::error::Error>> {
        let padding = |strategy: serde_json::Value| {
            serde_json::json!({
                "strategy": strategy, "direction": "Left", "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0,
                "pad_token": "?",
            })
        };
        let truncation =
            serde_json::json!({"direction": "Left", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
        for more in [
            serde_json::json!({"truncation": null, "padding": null}),
            serde_json::json!({"truncation": truncation, "padding": null}),
            serde_json::json!({"truncation": null, "padding": padding("BatchLongest".into())}),
            serde_json::json!({"truncation": truncation, "padding": padding(serde_json::json!({"Fixed": 9}))}),
        ] {
            let tokenizer = words(&more)?;
            assert_eq!(tokenizer.encode_content("a b a b")?, [1, 2, 1, 2], "{more}");
            assert_eq!(tokenizer.encode_control("a b a b")?, [1, 2, 1, 2], "{more}");
        }
        Ok(())
    }

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
