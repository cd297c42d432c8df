//! The columns of CodeContests that the loader reads, and the types they must have. The other columns are never
//! decoded.

use arrow_schema::{DataType, Schema};
use hilora_plugin_sdk::loader::ColumnMismatch;

/// The type that a column must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Integer,
    TextList,
    Tests,
    Solutions,
    Duration,
}

/// A column that the loader reads.
pub(crate) struct ColumnSpec {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// Without an optional column its value counts as missing in every row.
    pub(crate) required: bool,
}

const fn required(name: &'static str, shape: Shape) -> ColumnSpec {
    ColumnSpec { name, shape, required: true }
}

const fn optional(name: &'static str, shape: Shape) -> ColumnSpec {
    ColumnSpec { name, shape, required: false }
}

/// Every column that is read.
pub(crate) const COLUMNS: [ColumnSpec; 15] = [
    required("name", Shape::Text),
    required("description", Shape::Text),
    required("public_tests", Shape::Tests),
    required("private_tests", Shape::Tests),
    required("generated_tests", Shape::Tests),
    required("solutions", Shape::Solutions),
    optional("source", Shape::Integer),
    optional("difficulty", Shape::Integer),
    optional("cf_index", Shape::Text),
    optional("cf_rating", Shape::Integer),
    optional("cf_tags", Shape::TextList),
    optional("time_limit", Shape::Duration),
    optional("memory_limit_bytes", Shape::Integer),
    optional("input_file", Shape::Text),
    optional("output_file", Shape::Text),
];

impl Shape {
    /// The type in words.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::TextList => "list<string>",
            Self::Tests => "struct<input: list<string>, output: list<string>>",
            Self::Solutions => "struct<language: list<integer>, solution: list<string>>",
            Self::Duration => "struct<seconds: integer or string, nanos: integer>",
        }
    }

    fn admits(self, found: &DataType) -> bool {
        match self {
            Self::Text => is_text(found),
            Self::Integer => found.is_integer(),
            Self::TextList => is_list(found, is_text),
            Self::Tests => has_list(found, "input", is_text) && has_list(found, "output", is_text),
            Self::Solutions => {
                has_list(found, "language", DataType::is_integer) && has_list(found, "solution", is_text)
            }
            Self::Duration => {
                let whole = |found: &DataType| found.is_integer() || is_text(found);
                field(found, "seconds").is_some_and(whole) && field(found, "nanos").is_none_or(whole)
            }
        }
    }
}

fn is_text(found: &DataType) -> bool {
    *found == DataType::Utf8
}

fn is_list(found: &DataType, item: impl Fn(&DataType) -> bool) -> bool {
    matches!(found, DataType::List(field) if item(field.data_type()))
}

fn field<'a>(found: &'a DataType, name: &str) -> Option<&'a DataType> {
    let DataType::Struct(fields) = found else { return None };
    fields.find(name).map(|(_, field)| field.data_type())
}

fn has_list(found: &DataType, name: &str, item: impl Fn(&DataType) -> bool) -> bool {
    field(found, name).is_some_and(|list| is_list(list, item))
}

/// Checks a file's columns and gives the positions of those that are read.
pub(crate) fn projection(file: &str, schema: &Schema) -> Result<Vec<usize>, ColumnMismatch> {
    let mut positions = Vec::new();
    for column in &COLUMNS {
        let mismatch = |found: Option<String>| ColumnMismatch {
            file: file.to_owned(),
            column: column.name.to_owned(),
            expected: column.shape.expected().to_owned(),
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

/// A type as the loader's own expectations are written.
fn in_words(found: &DataType) -> String {
    match found {
        DataType::Utf8 => "string".to_owned(),
        DataType::List(item) => format!("list<{}>", in_words(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), in_words(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}
