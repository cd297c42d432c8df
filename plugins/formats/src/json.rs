//! JSON that is taken apart one level at a time and otherwise stays the text that it is.
//!
//! A number of any length keeps its digits, a value that nobody asks for is never built, and no depth of nesting can
//! overflow the stack, because no step descends by more than one level. Objects and lists have a limit on how many
//! members they may have, so that a text cannot grow in memory to many times its own size.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::identifier;
use crate::skip::Skip;

/// The most fields that an object may have.
const FIELDS_MAX: usize = 4096;
/// The most items that a list may have.
const ITEMS_MAX: usize = 1_000_000;

/// One JSON value, as its text.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a> {
    text: &'a str,
}

impl<'a> Json<'a> {
    /// Checks that `text` is one JSON value and nothing more. The error tells the parser's words and the column.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => Ok(Self { text: value.get() }),
            Err(error) => Err(syntax_error(&error)),
        }
    }

    /// Like [`Json::parse`] for text that stands in a field of a row; the skip is `malformed-json`.
    pub fn parse_field(field: &str, text: &'a str) -> Result<Self, Skip> {
        Self::parse(text).map_err(|why| Skip::new("malformed-json", format!("`{field}` is not JSON: {why}")))
    }

    /// The value's text, as it was written.
    pub fn as_written(self) -> &'a str {
        self.text
    }

    /// The type in words, for messages.
    pub fn kind(self) -> &'static str {
        match self.text.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// Whether it is null.
    pub fn is_null(self) -> bool {
        self.text.starts_with('n')
    }

    /// Whether it is a list.
    pub fn is_list(self) -> bool {
        self.text.starts_with('[')
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.text.starts_with('{')
    }

    /// Whether it is a string.
    pub fn is_text(self) -> bool {
        self.text.starts_with('"')
    }

    /// Whether it is a number.
    pub fn is_number(self) -> bool {
        self.text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
    }

    /// The string; a skip that names `field` where it is none, or where it holds half of a surrogate pair.
    pub fn text(self, field: &str) -> Result<Cow<'a, str>, Skip> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

        if !self.is_text() {
            return Err(Skip::wrong_type(field, "a string", self.kind()));
        }
        match serde_json::from_str::<Text<'a>>(self.text) {
            Ok(Text(text)) => Ok(text),
            Err(error) => Err(Skip::new("malformed-json", format!("`{field}`: {}", syntax_error(&error)))),
        }
    }

    /// The string, or a number as it is written.
    pub fn text_or_number(self, field: &str) -> Result<Cow<'a, str>, Skip> {
        match self.is_number() {
            true => Ok(Cow::Borrowed(self.text)),
            false if self.is_text() => self.text(field),
            false => Err(Skip::wrong_type(field, "a string or a number", self.kind())),
        }
    }

    /// The identifier that a string or a number is; a skip where it is blank, or longer than any name.
    pub fn identifier(self, field: &str) -> Result<String, Skip> {
        let id = self.text_or_number(field)?;
        match id.trim() {
            "" => Err(Skip::missing_field(field, "an identifier")),
            id => identifier::check(field, id).map(|()| id.to_owned()),
        }
    }

    /// The list's items; a skip that names `field` where it is no list or too long a one (`too-many-items`).
    pub fn items(self, field: &str) -> Result<Vec<Json<'a>>, Skip> {
        if !self.is_list() {
            return Err(Skip::wrong_type(field, "a list", self.kind()));
        }
        let Items(items) = serde_json::from_str(self.text)
            .map_err(|_| Skip::new("too-many-items", format!("`{field}` has more than {ITEMS_MAX} items")))?;
        Ok(items)
    }

    /// The object's fields; a skip that names `field` where it is no object or too large a one (`too-many-items`).
    pub fn fields(self, field: &str) -> Result<Fields<'a>, Skip> {
        if !self.is_object() {
            return Err(Skip::wrong_type(field, "an object", self.kind()));
        }
        serde_json::from_str(self.text).map_err(|error| match error.to_string().starts_with(TOO_MANY_FIELDS) {
            true => Skip::new("too-many-items", format!("`{field}` has more than {FIELDS_MAX} fields")),
            false => Skip::new("malformed-json", format!("`{field}`: {}", syntax_error(&error))),
        })
    }

    /// The value without any space between its parts; strings and numbers keep every character.
    pub fn compact(self) -> String {
        let mut compact = String::with_capacity(self.text.len());
        let mut kept = 0;
        let (mut inside, mut escaped) = (false, false);
        for (at, byte) in self.text.bytes().enumerate() {
            if inside {
                inside = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else if byte == b'"' {
                inside = true;
            } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                compact.push_str(&self.text[kept..at]);
                kept = at + 1;
            }
        }
        compact.push_str(&self.text[kept..]);
        compact
    }
}

/// The parser's words. The text is always one line or part of one, so only the column is a place; it counts bytes.
fn syntax_error(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    match error.line() {
        0 => words.to_owned(),
        1 => format!("{words} at column {}", error.column()),
        line => format!("{words} at line {line}, column {}", error.column()),
    }
}

/// What the error of an object with too many fields begins with.
const TOO_MANY_FIELDS: &str = "too many fields";

/// The fields of one JSON object. A field that is null counts as missing; of two with one name the last counts.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    fields: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Fields<'a> {
    /// The field of this name; `None` where it is missing or null.
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        let (_, text) = self.fields.iter().rev().find(|(key, _)| key == name)?;
        Some(Json { text }).filter(|value| !value.is_null())
    }

    /// The names of all fields, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }

    /// The field at a path: the name itself, else the names between its dots one below the other. A skip names the
    /// path down to the value that is no object.
    pub fn at(&self, path: &str) -> Result<Option<Json<'a>>, Skip> {
        self.at_below("", path)
    }

    /// Like [`Fields::at`] for fields that stand at `place` in a row, which skips name as well.
    pub fn at_below(&self, place: &str, path: &str) -> Result<Option<Json<'a>>, Skip> {
        let mut below;
        let (mut fields, mut rest) = (self, path);
        loop {
            if let Some(value) = fields.get(rest) {
                return Ok(Some(value));
            }
            let Some((first, names)) = rest.split_once('.') else { return Ok(None) };
            let Some(value) = fields.get(first) else { return Ok(None) };
            let walked = &path[..path.len() - names.len() - 1];
            below = match place {
                "" => value.fields(walked)?,
                _ => value.fields(&format!("{place}.{walked}"))?,
            };
            (fields, rest) = (&below, names);
        }
    }

    /// The string in a field; `None` where it is missing or null.
    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Skip> {
        self.get(name).map(|value| value.text(name)).transpose()
    }

    /// The string in a field that must be there.
    pub fn required_text(&self, name: &str) -> Result<Cow<'a, str>, Skip> {
        self.text(name)?.ok_or_else(|| Skip::missing_field(name, "a string"))
    }

    /// The string or number in a field that must be there, as an identifier.
    pub fn required_id(&self, name: &str) -> Result<String, Skip> {
        self.get(name).ok_or_else(|| Skip::missing_field(name, "a string or a number"))?.identifier(name)
    }

    /// A document that a field holds: JSON text in a string, or the value itself. `None` where the field is missing or
    /// null, where its text is blank, and where its text is `null`.
    pub fn document(&self, name: &str) -> Result<Option<Cow<'a, str>>, Skip> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = if value.is_text() { value.text(name)? } else { Cow::Borrowed(value.text) };
        Ok(Some(text).filter(|text| !is_missing(text)))
    }
}

/// Whether a text that should hold JSON holds nothing: it is blank, or the text `null`.
pub fn is_missing(document: &str) -> bool {
    matches!(document.trim(), "" | "null")
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    if fields.len() == FIELDS_MAX {
                        return Err(A::Error::custom(TOO_MANY_FIELDS));
                    }
                    fields.push((name, value.get()));
                }
                Ok(Fields { fields })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A field's name.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A list's items.
struct Items<'a>(Vec<Json<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(value) = list.next_element::<&'de RawValue>()? {
                    if items.len() == ITEMS_MAX {
                        return Err(A::Error::custom("too many items"));
                    }
                    items.push(Json { text: value.get() });
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::parse(text).expect("it is JSON")
    }

    #[test]
    fn numbers_keep_every_digit_and_strings_every_space() {
        let digits = "9".repeat(9131);
        let text = format!(" [ {digits} , 1.50e+3, \" a \\\" b \\\\\" , {{ \"k\" : [ ] }} ] ");
        assert_eq!(json(&text).compact(), format!("[{digits},1.50e+3,\" a \\\" b \\\\\",{{\"k\":[]}}]"));
        assert_eq!(json(&text).items("x").expect("a list")[0].as_written(), digits);
    }

    #[test]
    fn a_field_that_is_null_is_missing_and_the_last_of_two_counts() {
        let fields = json(r#"{"a": null, "b": 1, "b": "two", "c.d": "own", "c": {"d": "below", "e": {"f": "x"}}}"#)
            .fields("row")
            .expect("an object");
        assert!(fields.get("a").is_none() && fields.get("z").is_none());
        assert_eq!(fields.required_text("b").expect("a string"), "two");
        let at = |path| fields.at(path).expect("a path").map(|value| value.as_written().to_owned());
        assert_eq!(at("c.d").as_deref(), Some("\"own\""), "a name with a dot goes before a path");
        assert_eq!((at("c.e.f").as_deref(), at("c.x.f"), at("q.f")), (Some("\"x\""), None, None));
        let below = fields.at("b.x").expect_err("a string has no fields");
        assert_eq!(below, Skip::new("wrong-type", "`b`: expected an object, got a string"));
        let deeper = fields.at("c.e.f.x.y").expect_err("a string has no fields");
        assert_eq!(deeper, Skip::new("wrong-type", "`c.e.f`: expected an object, got a string"));
        let inside = fields.at_below("list[3]", "c.e.f.x").expect_err("a string has no fields");
        assert_eq!(inside, Skip::new("wrong-type", "`list[3].c.e.f`: expected an object, got a string"));
    }

    #[test]
    fn messages_name_the_field_expected_and_got() {
        let fields = json(r#"{"a": [1], "s": "\ud800", "n": 12}"#).fields("row").expect("an object");
        let error = fields.text("a").expect_err("a list");
        assert_eq!(error, Skip::new("wrong-type", "`a`: expected a string, got a list"));
        let error = fields.required_text("b").expect_err("it is missing");
        assert_eq!(error, Skip::new("missing-field", "`b`: expected a string, got nothing"));
        assert_eq!(fields.text("s").expect_err("half a pair").reason, "malformed-json");
        assert_eq!(fields.required_id("n").expect("a number"), "12");
        let long = format!("\"{}\"", "i".repeat(1025));
        let detail = "`id`: expected an identifier of at most 1024 bytes, got 1025 bytes";
        assert_eq!(json(&long).identifier("id"), Err(Skip::new("wrong-type", detail)));
        assert_eq!(
            Json::parse_field("a", "[1,").expect_err("it is cut off").detail,
            "`a` is not JSON: EOF while parsing a value at column 3"
        );
    }

    #[test]
    fn a_document_is_text_or_the_value_itself() {
        let fields = json(r#"{"t": "[1]", "v": [ 1 ], "e": " ", "n": "null"}"#).fields("row").expect("an object");
        let document = |name| fields.document(name).expect("a document").map(Cow::into_owned);
        assert_eq!((document("t").as_deref(), document("v").as_deref()), (Some("[1]"), Some("[ 1 ]")));
        assert_eq!((document("e"), document("n"), document("x")), (None, None, None));
    }

    #[test]
    fn deep_nesting_and_many_members_are_harmless() {
        let deep = format!("{}{}", "[".repeat(5_000_000), "]".repeat(5_000_000));
        assert_eq!(json(&deep).items("x").expect("one item").len(), 1);
        let wide = format!("[{}0]", "0,".repeat(ITEMS_MAX));
        assert_eq!(json(&wide).items("x").expect_err("it is long").reason, "too-many-items");
        let wide = format!("{{{}\"a\":0}}", "\"a\":0,".repeat(FIELDS_MAX));
        assert_eq!(json(&wide).fields("x").expect_err("it is large").reason, "too-many-items");
    }
}
