//! The options as the config gives them: one JSON object, read key by key, so that a key that nobody reads is refused
//! with the list of those that are known.

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::LoadError;

use crate::field::{Field, Joined, texts};

/// What stands between fields that are joined, if no option says it.
const SEPARATOR: &str = "\n";

/// The options and the keys that were asked for so far.
pub(crate) struct Options<'a> {
    fields: Fields<'a>,
    /// What the layout of the files stands for, where the options say nothing.
    layout: Fields<'a>,
    known: Vec<&'static str>,
}

/// What is wrong with an option. The host says whose options these are.
pub(crate) fn refusal(message: impl Into<String>) -> LoadError {
    LoadError::Options(message.into())
}

/// A refusal with what would mend it.
pub(crate) fn refusal_with_hint(message: impl Into<String>, hint: &str) -> LoadError {
    LoadError::Options(format!("{}\nhint: {hint}", message.into()))
}

impl<'a> Options<'a> {
    pub(crate) fn parse(options: &'a str) -> Result<Self, LoadError> {
        let value = Json::parse(options).map_err(|why| refusal(format!("not JSON: {why}")))?;
        if !value.is_object() {
            return Err(refusal(format!("expected an object, got {}", value.kind())));
        }
        let fields = value.fields("data.options").map_err(|skip| refusal(skip.detail))?;
        Ok(Self { fields, layout: Fields::default(), known: Vec::new() })
    }

    /// Takes these options, one JSON object, where the config names none.
    pub(crate) fn with_layout(&mut self, layout: &'a str) -> Result<(), LoadError> {
        self.layout = Self::parse(layout)?.fields;
        Ok(())
    }

    /// A text that the config names.
    pub(crate) fn given_text(&self, key: &str) -> Option<String> {
        let text = self.fields.get(key)?.text(key).ok()?;
        Some(text.into_owned())
    }

    /// Whether the config names one of these keys.
    pub(crate) fn names_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.fields.get(key).is_some())
    }

    /// The value of a key, where it is given.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Json<'a>> {
        self.known.push(key);
        self.fields.get(key).or_else(|| self.layout.get(key))
    }

    /// A text, where it is given.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, LoadError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let text = value.text(key).map_err(|skip| refusal(skip.detail))?;
        Ok(Some(text.into_owned()))
    }

    /// A text that must be one of these words.
    pub(crate) fn one_of(&mut self, key: &'static str, words: &[&'static str]) -> Result<&'static str, LoadError> {
        let given = self.text(key)?;
        let known = words.iter().find(|word| given.as_deref() == Some(word));
        known.copied().ok_or_else(|| {
            let got = given.map_or_else(|| "nothing".to_owned(), |given| format!("`{given}`"));
            refusal(format!("`{key}`: expected one of {}, got {got}", words.join(", ")))
        })
    }

    /// A field's name or path; `default` where the key is not given, and then rows may be without it.
    pub(crate) fn field(&mut self, key: &'static str, default: &'static str) -> Result<Field, LoadError> {
        match self.text(key)? {
            Some(path) if path.is_empty() => Err(refusal(format!("`{key}`: expected a field's name, got nothing"))),
            Some(path) => Ok(Field { path, given: true }),
            None => Ok(Field { path: default.to_owned(), given: false }),
        }
    }

    /// The field that the options name, or those that have its common names.
    pub(crate) fn one_of_fields(
        &mut self,
        key: &'static str,
        defaults: &[&'static str],
    ) -> Result<Vec<Field>, LoadError> {
        let field = self.field(key, "")?;
        let usual = |name: &&str| Field { path: (*name).to_owned(), given: false };
        Ok(if field.given { vec![field] } else { defaults.iter().map(usual).collect() })
    }

    /// A field, or a list of fields whose texts are joined by the option `join`.
    pub(crate) fn joined(&mut self, key: &'static str, default: &'static str) -> Result<Joined, LoadError> {
        let separator = self.text("join")?.unwrap_or_else(|| SEPARATOR.to_owned());
        let fields = match self.get(key) {
            Some(list) if list.is_list() => {
                let paths = texts(list, key).map_err(refused)?;
                if paths.is_empty() || paths.iter().any(String::is_empty) {
                    return Err(refusal(format!("`{key}`: expected names of fields, got an empty one or none")));
                }
                paths.into_iter().map(|path| Field { path, given: true }).collect()
            }
            _ => vec![self.field(key, default)?],
        };
        Ok(Joined { fields, separator })
    }

    /// Refuses the keys that nobody asked for.
    pub(crate) fn refuse_unknown(mut self) -> Result<(), LoadError> {
        let unknown: Vec<String> =
            self.fields.names().filter(|name| !self.known.contains(name)).map(|name| format!("`{name}`")).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        self.known.sort_unstable();
        self.known.dedup();
        let message = format!("unknown key {}; known for this kind: {}", unknown.join(", "), self.known.join(", "));
        let names = self.fields.names().filter(|name| !self.known.contains(name));
        let meant = names.filter_map(|name| Some(format!("`{}` for `{name}`", nearest(name, &self.known)?)));
        let meant: Vec<String> = meant.collect();
        match meant.is_empty() {
            true => Err(refusal(message)),
            false => Err(refusal_with_hint(message, &format!("perhaps {}", meant.join(", ")))),
        }
    }
}

/// The word that differs least from a misspelt one, if one differs little.
pub(crate) fn nearest<'w>(misspelt: &str, words: &[&'w str]) -> Option<&'w str> {
    let near = words.iter().map(|word| (edits(misspelt, word), *word)).min()?;
    (near.0 <= misspelt.chars().count().div_ceil(3)).then_some(near.1)
}

/// How many letters must be changed, added or left out to make one word of another (Levenshtein's distance).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (at, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

/// A skip's words as those of an option.
pub(crate) fn refused(skip: Skip) -> LoadError {
    refusal(skip.detail)
}
