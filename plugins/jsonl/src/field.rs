//! A field of a row: how it is found, and what its value may be.

use std::borrow::Cow;

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::{Skip, shown};

use crate::options::nearest;

/// How many fields of a row a message names.
const FIELDS_SHOWN_MAX: usize = 8;

/// A field of a row, by its name or by the names down to it with dots between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) path: String,
    /// Whether the options name it. A field that they name must be in every row.
    pub(crate) given: bool,
}

impl Field {
    /// The value; `None` where the row has none and need not have one.
    pub(crate) fn value<'a>(&self, row: &Fields<'a>) -> Result<Option<Json<'a>>, Skip> {
        match row.at(&self.path)? {
            None if self.given => Err(self.missing(row, "a value")),
            value => Ok(value),
        }
    }

    /// The value, which must be there.
    pub(crate) fn required<'a>(&self, row: &Fields<'a>, expected: &str) -> Result<Json<'a>, Skip> {
        row.at(&self.path)?.ok_or_else(|| self.missing(row, expected))
    }

    /// The row lacks the field. What it has in its place is said, too.
    fn missing(&self, row: &Fields<'_>, expected: &str) -> Skip {
        let names: Vec<&str> = row.names().collect();
        let some = names.iter().take(FIELDS_SHOWN_MAX).map(|name| format!("`{}`", shown(name)));
        let mut some: Vec<String> = some.collect();
        if names.len() > FIELDS_SHOWN_MAX {
            some.push(format!("{} more", names.len() - FIELDS_SHOWN_MAX));
        }
        let mut skip = Skip::missing_field(&self.path, expected);
        if !some.is_empty() {
            skip.detail.push_str(&format!("; the row has {}", some.join(", ")));
        }
        if let Some(near) = nearest(&self.path, &names) {
            skip.detail.push_str(&format!("; perhaps `{}` is meant", shown(near)));
        }
        skip
    }

    /// The value in an object that stands at `place` in a row, with its own place.
    pub(crate) fn required_below<'a>(
        &self,
        object: &Fields<'a>,
        place: &str,
        missing: impl FnOnce(&str) -> Skip,
    ) -> Result<(Json<'a>, String), Skip> {
        let field = format!("{place}.{}", self.path);
        match object.at_below(place, &self.path)? {
            Some(value) => Ok((value, field)),
            None => Err(missing(&field)),
        }
    }

    /// The text, which must be there and not blank; `reason` is the skip's where it is blank.
    pub(crate) fn required_text<'a>(&self, row: &Fields<'a>, reason: &'static str) -> Result<Cow<'a, str>, Skip> {
        let text = self.required(row, "a string")?.text(&self.path)?;
        match text.trim().is_empty() {
            true => Err(Skip::new(reason, format!("`{}` is empty", self.path))),
            false => Ok(text),
        }
    }
}

/// A text out of one field or several that are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) fields: Vec<Field>,
    pub(crate) separator: String,
}

impl Joined {
    /// Whether this name of a row belongs to one of the fields.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.path == name || field.path.split('.').next() == Some(name))
    }

    /// The one field, if there are no others.
    pub(crate) fn single(&self) -> Option<&Field> {
        if let [field] = &self.fields[..] { Some(field) } else { None }
    }

    /// The text, which must not be blank. Of several fields the first must be there; others that are missing or blank are
    /// left out.
    pub(crate) fn required_text(&self, row: &Fields<'_>, reason: &'static str) -> Result<String, Skip> {
        if let Some(field) = self.single() {
            return Ok(field.required_text(row, reason)?.into_owned());
        }
        let mut parts = Vec::new();
        for (index, field) in self.fields.iter().enumerate() {
            let value = if index == 0 { Some(field.required(row, "a string")?) } else { row.at(&field.path)? };
            let text = value.map(|value| value.text_or_number(&field.path)).transpose()?.unwrap_or_default();
            if !text.trim().is_empty() {
                parts.push(text);
            }
        }
        match parts.is_empty() {
            true => {
                let names: Vec<String> = self.fields.iter().map(|field| format!("`{}`", field.path)).collect();
                Err(Skip::new(reason, format!("{} are empty", names.join(", "))))
            }
            false => Ok(parts.join(&self.separator)),
        }
    }
}

/// A list of strings; a number in it is its digits.
pub(crate) fn texts(list: Json<'_>, field: &str) -> Result<Vec<String>, Skip> {
    let text =
        |(index, item): (usize, Json<'_>)| item.text_or_number(&format!("{field}[{index}]")).map(Cow::into_owned);
    list.items(field)?.into_iter().enumerate().map(text).collect()
}

/// A value, or the one that its text holds as JSON: some files keep lists and objects as text.
pub(crate) fn with_embedded<T>(
    value: Json<'_>,
    field: &str,
    read: impl FnOnce(Json<'_>) -> Result<T, Skip>,
) -> Result<T, Skip> {
    match value.is_text() {
        true => read(Json::parse_field(field, &value.text(field)?)?),
        false => read(value),
    }
}

/// The compact text of an object, or of one that stands in a string as JSON.
pub(crate) fn object_text(value: Json<'_>, field: &str) -> Result<String, Skip> {
    with_embedded(value, field, |value| match value.is_object() {
        true => Ok(value.compact()),
        false => Err(Skip::wrong_type(field, "an object", value.kind())),
    })
}
