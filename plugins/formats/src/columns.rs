//! Columns that a loader reads and the types they must have. The other columns of a file are never decoded.
//!
//! Which of several types a writer chose for the same thing (large, dictionary or view strings, large lists, integers of
//! any width) makes no difference.

use std::fmt;

use arrow_schema::{DataType, Field, Fields, Schema};
use hilora_plugin_sdk::loader::{Column, ColumnMismatch};

use crate::cell::is_writable;
use crate::skip::shown;

/// The type that a column must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Text in UTF-8.
    Text,
    /// An integer of any width.
    Integer,
    /// An integer, or its digits as text.
    IntegerOrText,
    /// An integer or a floating-point number.
    Number,
    /// True or false.
    Boolean,
    /// A list of values of one type.
    List(&'static Shape),
    /// Named fields. A field that is not required may be missing.
    Struct(&'static [ColumnSpec]),
}

/// A column that a loader reads, or a field of a struct in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name in the file.
    pub name: &'static str,
    /// The type it must have.
    pub shape: Shape,
    /// Without an optional column its value counts as missing in every row.
    pub required: bool,
}

impl ColumnSpec {
    /// A column that every file must have.
    pub const fn required(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: true }
    }

    /// A column that a file may lack.
    pub const fn optional(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: false }
    }

    /// The column as a loader's description states it.
    pub fn describe(&self) -> Column {
        Column { name: self.name.to_owned(), expected: self.shape.to_string(), required: self.required }
    }
}

/// The type in words.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("string"),
            Self::Integer => f.write_str("integer"),
            Self::IntegerOrText => f.write_str("integer or string"),
            Self::Number => f.write_str("number"),
            Self::Boolean => f.write_str("boolean"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Struct(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|field| format!("{}: {}", field.name, field.shape)).collect();
                write!(f, "struct<{}>", fields.join(", "))
            }
        }
    }
}

impl Shape {
    fn admits(self, found: &DataType) -> bool {
        match self {
            Self::Text => is_text(found),
            Self::Integer => found.is_integer(),
            Self::IntegerOrText => found.is_integer() || is_text(found),
            Self::Number => found.is_integer() || matches!(found, DataType::Float32 | DataType::Float64),
            Self::Boolean => *found == DataType::Boolean,
            Self::List(item) => match found {
                DataType::List(field) | DataType::LargeList(field) => item.admits_inside(field.data_type()),
                _ => false,
            },
            Self::Struct(specs) => match found {
                DataType::Struct(fields) => specs.iter().all(|spec| match fields.find(spec.name) {
                    Some((_, field)) => spec.shape.admits_inside(field.data_type()),
                    None => !spec.required,
                }),
                _ => false,
            },
        }
    }

    /// Inside a list or struct, what never has a value may be written without a type.
    fn admits_inside(self, found: &DataType) -> bool {
        *found == DataType::Null || self.admits(found)
    }
}

/// Whether values of this type are texts. Bytes are: whether they are UTF-8 is seen value by value.
fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => !matches!(**values, DataType::Dictionary(..)) && is_text(values),
        _ => false,
    }
}

/// Checks a file's columns and gives the positions of those that are read.
pub fn projection(file: &str, schema: &Schema, columns: &[ColumnSpec]) -> Result<Vec<usize>, ColumnMismatch> {
    let mut positions = Vec::new();
    for column in columns {
        let mismatch = |found: Option<String>| ColumnMismatch {
            file: file.to_owned(),
            column: column.name.to_owned(),
            expected: column.shape.to_string(),
            found,
        };
        match schema.fields().find(column.name) {
            None if column.required => return Err(mismatch(None)),
            None => {}
            // A column without a single value may be written without a type.
            Some((_, found)) if !column.required && *found.data_type() == DataType::Null => {}
            Some((position, found)) if column.shape.admits(found.data_type()) => positions.push(position),
            Some((_, found)) => return Err(mismatch(Some(in_words(found.data_type())))),
        }
    }
    Ok(positions)
}

/// The positions of all columns that can be written as JSON.
pub(crate) fn writable(schema: &Schema) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    fields.filter(|(_, field)| is_writable(field.data_type())).map(|(position, _)| position).collect()
}

/// The columns at other positions than these, each with its type in words.
pub(crate) fn others(schema: &Schema, positions: &[usize]) -> Vec<String> {
    let others = schema.fields().iter().enumerate().filter(|(position, _)| !positions.contains(position));
    others.map(|(_, field)| format!("`{}` ({})", shown(field.name()), in_words(field.data_type()))).collect()
}

/// A type as the loaders' own expectations are written.
fn in_words(found: &DataType) -> String {
    match found {
        text if is_text(text) => "string".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => format!("list<{}>", in_words(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), in_words(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

/// The same schema with every text as bytes, so that text that is not UTF-8 costs its row and not the file.
pub(crate) fn texts_as_bytes(schema: &Schema) -> Schema {
    Schema::new(fields_as_bytes(schema.fields()))
}

fn fields_as_bytes(fields: &Fields) -> Fields {
    fields.iter().map(|field| field_as_bytes(field)).collect()
}

fn field_as_bytes(field: &Field) -> Field {
    field.clone().with_data_type(as_bytes(field.data_type()))
}

fn as_bytes(text: &DataType) -> DataType {
    match text {
        DataType::Utf8 => DataType::Binary,
        DataType::LargeUtf8 => DataType::LargeBinary,
        DataType::Utf8View => DataType::BinaryView,
        DataType::Dictionary(keys, values) => DataType::Dictionary(keys.clone(), Box::new(as_bytes(values))),
        DataType::List(item) => DataType::List(field_as_bytes(item).into()),
        DataType::LargeList(item) => DataType::LargeList(field_as_bytes(item).into()),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(field_as_bytes(item).into(), *length),
        DataType::Map(entries, sorted) => DataType::Map(field_as_bytes(entries).into(), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields_as_bytes(fields)),
        other => other.clone(),
    }
}
