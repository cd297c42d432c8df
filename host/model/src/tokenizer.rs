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
        let parse = |bytes: &[u8]| {
            tokenizers::Tokenizer::from_bytes(bytes)
                .map_err(|e| ModelError::Tokenizer { path: path.clone(), message: format!("not a tokenizer: {e}") })
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
        let encoding = tokenizer
            .encode_fast(text, false)
            .map_err(|e| ModelError::Tokenizer { path: self.path.clone(), message: format!("cannot encode: {e}") })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids; special tokens are left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.control
            .decode(tokens, true)
            .map_err(|e| ModelError::Tokenizer { path: self.path.clone(), message: format!("cannot decode: {e}") })
    }

    /// The id of a token by its exact spelling.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.control.token_to_id(token)
    }
}
