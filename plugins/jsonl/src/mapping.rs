//! What every kind of row may have: an identifier, tags, a difficulty.

use hilora_dataset_formats::json::Fields;
use hilora_dataset_formats::records::{Place, stem};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::{LoadError, SourceFile};

use crate::field::{Field, texts};
use crate::options::{Options, refusal, refused};

/// Tags: from a field, or the same for all rows.
enum Tags {
    Field(Field),
    Constant(Vec<String>),
}

/// Where a row's name and labels are read from.
pub(crate) struct About {
    id: Option<Field>,
    tags: Tags,
    difficulty: Field,
}

/// What a row is called and filed under.
pub(crate) struct Labels {
    pub(crate) id: String,
    pub(crate) tags: Vec<String>,
    pub(crate) difficulty: Option<String>,
}

impl About {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        let id = options.field("id", "")?;
        let tags = match options.get("tags") {
            Some(list) if list.is_list() => Tags::Constant(texts(list, "tags").map_err(refused)?),
            _ => Tags::Field(options.field("tags", "tags")?),
        };
        Ok(Self { id: id.given.then_some(id), tags, difficulty: options.field("difficulty", "difficulty")? })
    }

    /// Refuses files whose rows would have the same identifiers, because these name rows by file and line.
    pub(crate) fn check_names(&self, files: &[SourceFile]) -> Result<(), LoadError> {
        if self.id.is_some() {
            return Ok(());
        }
        let mut stems: Vec<&str> = files.iter().map(|file| stem(file.name())).collect();
        stems.sort_unstable();
        match stems.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(refusal(format!(
                "two files are named `{}`, so that their rows would have the same identifiers; name the field that \
                 tells rows apart with `id`",
                pair[0]
            ))),
        }
    }

    /// The identifier: the field's, else the file's name without its ending and the line.
    pub(crate) fn id(&self, row: &Fields<'_>, place: Place<'_>) -> Result<String, Skip> {
        let Some(field) = &self.id else {
            return Ok(format!("{}-{}", stem(place.file), place.position.number()));
        };
        field.required(row, "a string or a number")?.identifier(&field.path)
    }

    /// The tags: a list of strings, or one string that is one tag.
    pub(crate) fn tags(&self, row: &Fields<'_>) -> Result<Vec<String>, Skip> {
        let field = match &self.tags {
            Tags::Constant(tags) => return Ok(tags.clone()),
            Tags::Field(field) => field,
        };
        let mut tags = match field.value(row)? {
            None => Vec::new(),
            Some(tag) if tag.is_text() => vec![tag.text(&field.path)?.into_owned()],
            Some(list) => texts(list, &field.path)?,
        };
        tags.retain(|tag| !tag.trim().is_empty());
        Ok(tags)
    }

    pub(crate) fn difficulty(&self, row: &Fields<'_>) -> Result<Option<String>, Skip> {
        let Some(value) = self.difficulty.value(row)? else { return Ok(None) };
        let word = value.text_or_number(&self.difficulty.path)?;
        Ok((!word.trim().is_empty()).then(|| word.into_owned()))
    }
}
