//! A model's own chat template: the Jinja text that comes with its tokenizer, and what it makes of messages.
//!
//! It is read as transformers reads it: `chat_template.jinja` beside the tokenizer, or else the key `chat_template` of
//! `tokenizer_config.json`, a text or a list of named texts of which `default` is taken. Blocks are trimmed, `tojson`,
//! `raise_exception` and `strftime_now` are there (the date is fixed, so that the same messages give the same text), and
//! the special tokens are known by their names. A rendering that takes too many steps, too much memory or too long is an
//! error (`confined`). Tools and documents are not handed in.

mod confined;
mod environment;
mod layout;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::confined::ConfiningAllocator;
use self::confined::{ConfinementError, confined};
use super::ModelError;
use hilora_contract::dataset::Message;

/// Which template lays out what a model reads and learns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChatTemplateSource {
    /// The formatter's own layout.
    #[default]
    Formatter,
    /// The base model's template, over the messages that the formatter composes.
    Model,
}

/// A model's chat template, ready to render.
pub struct ChatTemplate {
    path: PathBuf,
    environment: Arc<Environment<'static>>,
    special_tokens: Arc<BTreeMap<&'static str, String>>,
}

/// Real templates have some tens of kilobytes.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;

/// The names by which templates know special tokens.
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

#[derive(Deserialize)]
#[serde(untagged)]
enum TemplateText {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// A special token is its spelling, or an object that holds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenText {
    Plain(String),
    Object { content: String },
}

impl ChatTemplate {
    /// Loads the template of the model in `folder`.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let config = folder.join("tokenizer_config.json");
        let text = std::fs::read_to_string(&config).map_err(|error| ModelError::reading(&config, error))?;
        let beside = folder.join("chat_template.jinja");
        match std::fs::read_to_string(&beside) {
            Ok(template) => Self::parse(&beside, &text, Some(template)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::parse(&config, &text, None),
            Err(error) => Err(ModelError::reading(&beside, error)),
        }
    }

    /// Reads a `tokenizer_config.json`, and the template in it where none is given beside it. `path` is for messages.
    pub fn parse(path: &Path, config: &str, template: Option<String>) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::config(path, message);
        let mut fields: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(config).map_err(|error| wrong(error.to_string()))?;
        let mut special_tokens = BTreeMap::new();
        for name in SPECIAL_TOKENS {
            match fields.remove(name).filter(|value| !value.is_null()).map(serde_json::from_value) {
                None => {}
                Some(Ok(TokenText::Plain(token) | TokenText::Object { content: token })) => {
                    special_tokens.insert(name, token);
                }
                Some(Err(_)) => return Err(wrong(format!("{name}: expected a token's spelling"))),
            }
        }
        let template = match (template, fields.remove("chat_template").map(serde_json::from_value)) {
            (Some(template), _) | (None, Some(Ok(TemplateText::One(template)))) => template,
            (None, Some(Ok(TemplateText::Named(named)))) => {
                let names: Vec<&str> = named.iter().map(|template| template.name.as_str()).collect();
                let names = names.join("`, `");
                named
                    .into_iter()
                    .find(|template| template.name == "default")
                    .map(|template| template.template)
                    .ok_or_else(|| {
                        wrong(format!("chat_template: expected a template named `default`, got `{names}`"))
                    })?
            }
            (None, Some(Err(_))) => {
                return Err(wrong("chat_template: expected a text or a list of named texts".to_owned()));
            }
            (None, None) => return Err(wrong("the model has no chat template: `chat_template` is missing".to_owned())),
        };
        let unreadable = |why: String| Self::failure(path, format!("the chat template cannot be read: {why}"));
        if template.len() > TEMPLATE_BYTES_MAX {
            let got = template.len();
            return Err(unreadable(format!("expected at most {TEMPLATE_BYTES_MAX} bytes, got {got}")));
        }
        // What is constant in a template is computed while it is read.
        let environment = confined(|| environment::environment(template).map_err(|error| error.to_string()))
            .map_err(|error| ended(path, error, "the chat template cannot be read"))?
            .map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), environment: Arc::new(environment), special_tokens: Arc::new(special_tokens) })
    }

    /// The text of these messages; with `add_generation_prompt` up to where the assistant's next turn begins.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ModelError> {
        let (environment, special_tokens) = (Arc::clone(&self.environment), Arc::clone(&self.special_tokens));
        let messages = messages.to_vec();
        confined(move || environment::render(&environment, &messages, add_generation_prompt, &special_tokens))
            .map_err(|error| ended(&self.path, error, "a rendering was ended"))?
            .map_err(|message| self.error(message))
    }

    /// The spelling of the token that ends a sequence, where the tokenizer's configuration names one.
    pub fn eos_token(&self) -> Option<&str> {
        self.special_tokens.get("eos_token").map(String::as_str)
    }

    fn error(&self, message: impl Into<String>) -> ModelError {
        Self::failure(&self.path, message.into())
    }

    fn failure(path: &Path, message: String) -> ModelError {
        ModelError::ChatTemplate { path: path.to_owned(), message }
    }
}

/// Why confined work has no result: that no thread can be made is the machine's fault, everything else the template's.
fn ended(path: &Path, error: ConfinementError, what: &str) -> ModelError {
    match error {
        ConfinementError::Thread(error) => ModelError::reading(path, error),
        ConfinementError::Memory | ConfinementError::Time | ConfinementError::Panic => {
            ChatTemplate::failure(path, format!("{what}: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::artifact::ContentHash;

    type Conversations = BTreeMap<String, Vec<Message>>;
    /// For each template and conversation the hashes without and with the generation prompt; `None` is a refusal.
    type Renderings = BTreeMap<String, BTreeMap<String, [Option<ContentHash>; 2]>>;

    fn data(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/chat_templates").join(name);
        std::fs::read_to_string(path).expect("the test's data stands")
    }

    /// `tests/oracle/chat_templates.py` made the hashes with Jinja2.
    #[test]
    fn our_template_renders_as_jinja2_does() -> Result<(), ModelError> {
        let config = data("features.tokenizer_config.json");
        let template = ChatTemplate::parse(Path::new("features"), &config, Some(data("features.jinja")))?;
        let conversations: Conversations = serde_json::from_str(&data("conversations.json")).expect("conversations");
        let renderings: Renderings = serde_json::from_str(&data("renderings.json")).expect("hashes");
        for (case, expected) in &renderings["features"] {
            for (add_generation_prompt, expected) in [false, true].into_iter().zip(expected) {
                let text = template.render(&conversations[case], add_generation_prompt);
                let hash = text.as_ref().ok().map(|text| ContentHash::of(text.as_bytes()));
                assert_eq!(hash, *expected, "{case}, {add_generation_prompt}: {text:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_template_is_one_text_or_the_default_of_several() -> Result<(), ModelError> {
        let parse = |config: &str| ChatTemplate::parse(Path::new("c.json"), config, None);
        let named = r#"{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}"#;
        assert_eq!(parse(named)?.render(&[], false)?, "d");
        assert_eq!(parse(r#"{"chat_template":"{{ eos_token }}","eos_token":"E"}"#)?.render(&[], false)?, "E");
        for (config, expected) in [
            ("{", "EOF"),
            ("{}", "the model has no chat template"),
            (r#"{"chat_template":7}"#, "expected a text or a list"),
            (r#"{"chat_template":[{"name":"rag","template":"t"}]}"#, "expected a template named `default`, got `rag`"),
            (r#"{"chat_template":"{% if %}"}"#, "the chat template cannot be read"),
            (r#"{"chat_template":"","eos_token":[1]}"#, "eos_token: expected a token's spelling"),
        ] {
            let message = parse(config).err().expect("it is refused").to_string();
            assert!(message.starts_with("c.json: ") && message.contains(expected), "{config}: {message}");
        }
        Ok(())
    }
}
