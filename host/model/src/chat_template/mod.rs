//! A model's own chat template: the Jinja text that comes with its tokenizer, and what it makes of messages.
//!
//! It is read as transformers reads it: `chat_template.jinja` beside the tokenizer, or else the key `chat_template` of
//! `tokenizer_config.json`, a text or a list of named texts of which `default` is taken. Blocks are trimmed, `tojson`,
//! `raise_exception` and `strftime_now` are there (the date is fixed, so that the same messages give the same text), and
//! the special tokens are known by their names, of which `special_tokens_map.json` has the last word as long as
//! `tokenizer_config.json` lists no `added_tokens_decoder`. `{% generation %}` blocks are read. A rendering that takes too
//! many steps, too much memory or too long is an error (`confined`). Documents are not handed in.

mod confined;
mod environment;
mod generation_blocks;
mod layout;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::confined::ConfiningAllocator;
use self::confined::{ConfinementError, confined};
use super::{ModelError, end_tokens};
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
    knows: Knowledge,
    /// The spellings of the tokens at which the model ends a text, of which the tokenizer's own is only one: Gemma ends a
    /// turn with another.
    end_tokens: Vec<String>,
}

/// What a template asks for beside roles and texts. What it does not ask for, it would leave out without a word.
#[derive(Clone, Copy)]
struct Knowledge {
    /// A thought beside the text.
    reasoning: bool,
    /// The calls of a message.
    calls: bool,
    /// The definitions of tools.
    tools: bool,
}

/// What a template lays out: messages, and of each tool that the assistant can call the text of a JSON object.
#[derive(Debug, Clone, Copy)]
pub struct Dialogue<'a> {
    /// The messages, in order.
    pub messages: &'a [Message],
    /// The tools; may be empty.
    pub tools: &'a [String],
}

impl<'a> Dialogue<'a> {
    /// Messages alone.
    pub fn without_tools(messages: &'a [Message]) -> Self {
        Self { messages, tools: &[] }
    }
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
        let template = read_if_there(&beside)?;
        let path = if template.is_some() { &beside } else { &config };
        let map = folder.join("special_tokens_map.json");
        let named = read_if_there(&map)?;
        let template = Self::read(path, &text, named.as_deref().map(|text| (map.as_path(), text)), template)?;
        Ok(Self { end_tokens: end_spellings(folder)?, ..template })
    }

    /// Reads a `tokenizer_config.json`, and the template in it where none is given beside it. `path` is for messages.
    pub fn parse(path: &Path, config: &str, template: Option<String>) -> Result<Self, ModelError> {
        Self::read(path, config, None, template)
    }

    /// The same with a `special_tokens_map.json`, its path and its text.
    fn read(
        path: &Path,
        config: &str,
        named: Option<(&Path, &str)>,
        template: Option<String>,
    ) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::config(path, message);
        let mut fields = fields(path, config)?;
        let mut special_tokens = BTreeMap::new();
        name_special_tokens(path, &fields, &mut special_tokens)?;
        // As in transformers: who lists the added tokens in the one file has said everything there.
        if let Some((path, text)) = named.filter(|_| !fields.contains_key("added_tokens_decoder")) {
            name_special_tokens(path, &self::fields(path, text)?, &mut special_tokens)?;
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
        let names = ["reasoning", ".thinking", "'thinking'", "\"thinking\""];
        let knows = Knowledge {
            reasoning: names.iter().any(|name| template.contains(name)),
            calls: template.contains("tool_calls"),
            tools: template.contains("tools"),
        };
        // What is constant in a template is computed while it is read.
        let environment = confined(|| environment::environment(template).map_err(|error| error.to_string()))
            .map_err(|error| ended(path, error, "the chat template cannot be read"))?
            .map_err(unreadable)?;
        let (environment, special_tokens) = (Arc::new(environment), Arc::new(special_tokens));
        Ok(Self { path: path.to_owned(), environment, special_tokens, knows, end_tokens: Vec::new() })
    }

    /// The text of a dialogue; with `add_generation_prompt` up to where the assistant's next turn begins.
    pub fn render(&self, dialogue: Dialogue<'_>, add_generation_prompt: bool) -> Result<String, ModelError> {
        self.render_marked(dialogue, add_generation_prompt, ("", ""))
    }

    /// The same with marks where a generation block begins and ends.
    fn render_marked(
        &self,
        Dialogue { messages, tools }: Dialogue<'_>,
        add_generation_prompt: bool,
        (begin, end): (&str, &str),
    ) -> Result<String, ModelError> {
        let (environment, special_tokens) = (Arc::clone(&self.environment), Arc::clone(&self.special_tokens));
        let (messages, tools) = (messages.to_vec(), tools.to_vec());
        let (begin, end) = (begin.to_owned(), end.to_owned());
        confined(move || {
            let dialogue = Dialogue { messages: &messages, tools: &tools };
            environment::render(&environment, dialogue, add_generation_prompt, &special_tokens, (&begin, &end))
        })
        .map_err(|error| ended(&self.path, error, "a rendering was ended"))?
        .map_err(|message| self.error(message))
    }

    /// The spellings of the tokens that end a text, as the tokenizer's configuration and the model's name them.
    pub fn end_tokens(&self) -> impl Iterator<Item = &str> {
        self.special_tokens.get("eos_token").into_iter().chain(&self.end_tokens).map(String::as_str)
    }

    fn error(&self, message: impl Into<String>) -> ModelError {
        Self::failure(&self.path, message.into())
    }

    fn failure(path: &Path, message: String) -> ModelError {
        ModelError::ChatTemplate { path: path.to_owned(), message }
    }
}

/// The spellings of the end tokens that `config.json` and `generation_config.json` name, as far as `tokenizer.json` adds
/// them.
fn end_spellings(folder: &Path) -> Result<Vec<String>, ModelError> {
    #[derive(Deserialize)]
    struct TokenizerFile {
        #[serde(default)]
        added_tokens: Vec<AddedTokenForm>,
    }
    #[derive(Deserialize)]
    struct AddedTokenForm {
        id: u32,
        content: String,
    }
    let (config, tokenizer) = (folder.join("config.json"), folder.join("tokenizer.json"));
    let mut ids = end_tokens::of_generation_config(folder)?;
    if let Some(text) = read_if_there(&config)? {
        let value = serde_json::from_str(&text).map_err(|error| ModelError::config(&config, error.to_string()))?;
        ids.extend(end_tokens::of_config(&config, &value)?);
    }
    let Some(text) = read_if_there(&tokenizer)? else { return Ok(Vec::new()) };
    let file: TokenizerFile =
        serde_json::from_str(&text).map_err(|error| ModelError::config(&tokenizer, error.to_string()))?;
    let ends = file.added_tokens.into_iter().filter(|token| ids.contains(&token.id));
    Ok(ends.map(|token| token.content).collect())
}

/// A file's text; `None` where there is no such file.
fn read_if_there(path: &Path) -> Result<Option<String>, ModelError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ModelError::reading(path, error)),
    }
}

/// The fields of a JSON object.
fn fields(path: &Path, text: &str) -> Result<BTreeMap<String, serde_json::Value>, ModelError> {
    serde_json::from_str(text).map_err(|error| ModelError::config(path, error.to_string()))
}

/// Takes the special tokens that these fields name; one that is named as `null` is none.
fn name_special_tokens(
    path: &Path,
    fields: &BTreeMap<String, serde_json::Value>,
    special_tokens: &mut BTreeMap<&'static str, String>,
) -> Result<(), ModelError> {
    for name in SPECIAL_TOKENS {
        let Some(value) = fields.get(name) else { continue };
        if value.is_null() {
            special_tokens.remove(name);
            continue;
        }
        match TokenText::deserialize(value) {
            Ok(TokenText::Plain(token) | TokenText::Object { content: token }) => special_tokens.insert(name, token),
            Err(_) => return Err(ModelError::config(path, format!("{name}: expected a token's spelling"))),
        };
    }
    Ok(())
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

    #[derive(Deserialize)]
    struct Conversation {
        messages: Vec<Message>,
        #[serde(default)]
        tools: Vec<String>,
    }
    type Conversations = BTreeMap<String, Conversation>;
    /// For each template and conversation the hashes without and with the generation prompt; `None` is a refusal.
    type Renderings = BTreeMap<String, BTreeMap<String, [Option<ContentHash>; 2]>>;

    fn data(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/chat_templates").join(name);
        std::fs::read_to_string(path).expect("the test's data stands")
    }

    /// `tests/oracle/chat_templates.py` made the hashes with Jinja2.
    #[test]
    fn our_templates_render_as_jinja2_does() -> Result<(), ModelError> {
        let config = data("features.tokenizer_config.json");
        let conversations: Conversations = serde_json::from_str(&data("conversations.json")).expect("conversations");
        let renderings: Renderings = serde_json::from_str(&data("renderings.json")).expect("hashes");
        for name in ["features", "tools"] {
            let template = ChatTemplate::parse(Path::new(name), &config, Some(data(&format!("{name}.jinja"))))?;
            for (case, expected) in &renderings[name] {
                for (add_generation_prompt, expected) in [false, true].into_iter().zip(expected) {
                    let Conversation { messages, tools } = &conversations[case];
                    let text = template.render(Dialogue { messages, tools }, add_generation_prompt);
                    let hash = text.as_ref().ok().map(|text| ContentHash::of(text.as_bytes()));
                    assert_eq!(hash, *expected, "{name}, {case}, {add_generation_prompt}: {text:?}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_template_is_one_text_or_the_default_of_several() -> Result<(), ModelError> {
        let parse = |config: &str| ChatTemplate::parse(Path::new("c.json"), config, None);
        let named = r#"{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}"#;
        assert_eq!(parse(named)?.render(Dialogue::without_tools(&[]), false)?, "d");
        assert_eq!(
            parse(r#"{"chat_template":"{{ eos_token }}","eos_token":"E"}"#)?
                .render(Dialogue::without_tools(&[]), false)?,
            "E"
        );
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

    /// transformers 5.13 gives the same: `AutoTokenizer.from_pretrained(folder).apply_chat_template(…, tokenize=False)`.
    #[test]
    fn the_map_of_special_tokens_counts_where_the_configuration_lists_no_added_tokens() -> Result<(), ModelError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
        let shown = || ChatTemplate::load(folder.path())?.render(Dialogue::without_tools(&[]), false);
        write("chat_template.jinja", "{{ bos_token }}|{{ eos_token }}|{{ bos_token is defined }}");
        for (config, map, expected) in [
            (r#"{"eos_token":"E"}"#, r#"{"bos_token":"B"}"#, "B|E|true"),
            (r#"{"bos_token":"A","eos_token":"E"}"#, r#"{"bos_token":{"content":"B","lstrip":false}}"#, "B|E|true"),
            (
                r#"{"bos_token":"A","eos_token":"E"}"#,
                r#"{"bos_token":null,"additional_special_tokens":[]}"#,
                "|E|false",
            ),
            (r#"{"eos_token":"E","added_tokens_decoder":{}}"#, r#"{"bos_token":"B","eos_token":"F"}"#, "|E|false"),
        ] {
            write("tokenizer_config.json", config);
            write("special_tokens_map.json", map);
            assert_eq!(shown()?.to_lowercase(), expected.to_lowercase(), "{config} {map}");
        }
        write("special_tokens_map.json", r#"{"eos_token":7}"#);
        write("tokenizer_config.json", "{}");
        let refused = shown().expect_err("7 spells no token").to_string();
        assert!(refused.ends_with("special_tokens_map.json: eos_token: expected a token's spelling"), "{refused}");
        Ok(())
    }

    /// As Gemma 2 and Phi 3: the tokenizer's `eos_token` is not what ends a turn.
    #[test]
    fn a_turn_ends_with_any_of_the_models_end_tokens() -> Result<(), ModelError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
        write("chat_template.jinja", "{% for m in messages %}<{{ m.role }}>{{ m.content }}<turn|>\n{% endfor %}");
        write("tokenizer_config.json", r#"{"eos_token":"<eos>"}"#);
        let turn_end = || ChatTemplate::load(folder.path())?.turn_end(&["<|im_end|>".to_owned()]);
        let refused = turn_end().expect_err("nothing says that it ends a turn").to_string();
        assert!(refused.contains("expected an answer to end with one of `<eos>`, `<|im_end|>`"), "{refused}");
        write("tokenizer.json", r#"{"added_tokens":[{"id":1,"content":"<eos>"},{"id":106,"content":"<turn|>"}]}"#);
        for (config, generation) in [(r#"{"eos_token_id":[1,106]}"#, "{}"), ("{}", r#"{"eos_token_id":106}"#)] {
            write("config.json", config);
            write("generation_config.json", generation);
            assert_eq!(turn_end()?, "<turn|>", "{config} {generation}");
        }
        Ok(())
    }
}
