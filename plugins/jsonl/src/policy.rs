//! Policy examples: an instruction, the policy's text, and the actions and outputs that follow from both.

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::{LoadError, SourceFile};
use hilora_plugin_sdk::types::{Action, PolicyExample};

use crate::field::{Field, object_text, texts, with_embedded};
use crate::mapping::Labels;
use crate::options::{Options, refusal, refused};

/// The tag that every policy example has, so that it is filed under its domain.
const POLICY_TAG: &str = "policy";

/// The largest policy file, in bytes: its text stands in every example.
const POLICY_BYTES_MAX: u64 = 1 << 20;

/// Where the policy's text is.
enum PolicyText {
    Field(Field),
    Constant(String),
}

/// `kind: policy`.
pub(crate) struct Policy {
    instruction: Field,
    policy: PolicyText,
    actions: Field,
    outputs: Field,
}

impl Policy {
    /// Takes the file with the policy's text, if there is one, out of the files that are read as rows.
    pub(crate) fn from_options(options: &mut Options<'_>, files: &mut Vec<SourceFile>) -> Result<Self, LoadError> {
        Ok(Self {
            instruction: options.field("instruction", "instruction")?,
            policy: policy_text(options.get("policy"), files)?,
            actions: options.field("actions", "actions")?,
            outputs: options.field("outputs", "outputs")?,
        })
    }

    pub(crate) fn read(&self, mut labels: Labels, row: &Fields<'_>) -> Result<PolicyExample, Skip> {
        let instruction = self.instruction.required_text(row, "empty-instruction")?;
        let policy = match &self.policy {
            PolicyText::Field(field) => field.required_text(row, "empty-policy")?.into_owned(),
            PolicyText::Constant(text) => text.clone(),
        };
        if !labels.tags.iter().any(|tag| tag == POLICY_TAG) {
            labels.tags.push(POLICY_TAG.to_owned());
        }
        let outputs = match self.outputs.value(row)? {
            Some(list) => with_embedded(list, &self.outputs.path, |list| texts(list, &self.outputs.path))?,
            None => Vec::new(),
        };
        Ok(PolicyExample {
            id: labels.id,
            instruction: instruction.into_owned(),
            policy,
            actions: self.actions(row)?,
            outputs,
            tags: labels.tags,
            difficulty: labels.difficulty,
        })
    }

    /// The actions. That there are none must be said by an empty list: a missing field is a wrong mapping.
    fn actions(&self, row: &Fields<'_>) -> Result<Vec<Action>, Skip> {
        let field = &self.actions.path;
        with_embedded(self.actions.required(row, "a list of actions")?, field, |list| {
            let items = list.items(field)?.into_iter().enumerate();
            items.map(|(index, item)| action(item, &format!("{field}[{index}]"))).collect()
        })
    }
}

/// One action: its name and, under `kwargs` or `arguments`, its arguments as an object or as JSON text.
fn action(item: Json<'_>, place: &str) -> Result<Action, Skip> {
    let fields = item.fields(place)?;
    let name_field = format!("{place}.name");
    let name = fields.get("name").ok_or_else(|| Skip::missing_field(&name_field, "a string"))?.text(&name_field)?;
    if name.trim().is_empty() {
        return Err(Skip::missing_field(&name_field, "a tool's name"));
    }
    let key = if fields.get("kwargs").is_some() { "kwargs" } else { "arguments" };
    let field = format!("{place}.{key}");
    let arguments = match fields.get(key) {
        None => "{}".to_owned(),
        Some(value) => object_text(value, &field)?,
    };
    Ok(Action { name: name.into_owned(), arguments })
}

/// The option `policy`: `{"field": …}` or `{"file": …}`; by default the field `policy`.
fn policy_text(option: Option<Json<'_>>, files: &mut Vec<SourceFile>) -> Result<PolicyText, LoadError> {
    let Some(option) = option else {
        return Ok(PolicyText::Field(Field { path: "policy".to_owned(), given: false }));
    };
    let expected = "`policy`: expected {\"field\": …} or {\"file\": …}";
    let fields = option.fields("policy").map_err(|_| refusal(format!("{expected}, got {}", option.kind())))?;
    let names: Vec<&str> = fields.names().collect();
    let value = |key: &str| fields.required_text(key).map_err(refused);
    match names[..] {
        ["field"] => Ok(PolicyText::Field(Field { path: value("field")?.into_owned(), given: true })),
        ["file"] => policy_file(&value("file")?, files).map(PolicyText::Constant),
        _ => Err(refusal(format!("{expected}, got the keys {}", names.join(", ")))),
    }
}

/// Takes the file of this name out of `files` and reads it.
fn policy_file(name: &str, files: &mut Vec<SourceFile>) -> Result<String, LoadError> {
    let Some(at) = files.iter().position(|file| file.name() == name) else {
        let names: Vec<String> = files.iter().map(|file| format!("`{}`", file.name())).collect();
        return Err(refusal(format!("`policy.file`: expected one of {}, got `{name}`", names.join(", "))));
    };
    let file = files.remove(at);
    if file.size() > POLICY_BYTES_MAX {
        let size = file.size();
        return Err(refusal(format!(
            "`policy.file`: expected at most {POLICY_BYTES_MAX} bytes in `{name}`, got {size}"
        )));
    }
    let bytes = file
        .read_at(0, POLICY_BYTES_MAX as usize)
        .map_err(|error| LoadError::Unreadable(format!("{name}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| refusal(format!("`policy.file`: `{name}` is not UTF-8 text")))?;
    match text.trim() {
        "" => Err(refusal(format!("`policy.file`: `{name}` is empty"))),
        text => Ok(text.to_owned()),
    }
}
