//! A row of columns as the text of a JSON object, for loaders that take whatever columns a file has.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type};
use arrow_array::{Array, StructArray, downcast_temporal_array};
use arrow_schema::DataType;

use super::{Cell, Row};

/// Whether values of this type can be written as JSON. A column of another type (durations, unions) is not read.
pub(crate) fn is_writable(column: &DataType) -> bool {
    match column {
        DataType::Null | DataType::Boolean | DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => true,
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..) => {
            true
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => !matches!(**values, DataType::Dictionary(..)) && is_writable(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_writable(item.data_type())
        }
        DataType::Map(entries, _) => is_writable(entries.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_writable(field.data_type())),
        other => other.is_integer(),
    }
}

impl Row<'_> {
    /// Writes the row as a JSON object. A null is not written. A text that is not UTF-8 is written as Python's
    /// `surrogateescape` has it: whoever reads it finds half of a surrogate pair.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let before = out.len();
        for (field, column) in self.batch.schema_ref().fields().iter().zip(self.batch.columns()) {
            if let Some(cell) = Cell::new(column, self.index) {
                write_field(out, before, field.name(), cell);
            }
        }
        out.push(b'}');
    }
}

fn write_field(out: &mut Vec<u8>, before: usize, name: &str, cell: Cell<'_>) {
    if out.len() > before {
        out.push(b',');
    }
    write_text(out, name.as_bytes());
    out.push(b':');
    write_cell(out, cell);
}

fn write_cell(out: &mut Vec<u8>, cell: Cell<'_>) {
    let Cell { array, index } = cell;
    if let DataType::Dictionary(..) = array.data_type() {
        let dictionary = array.as_any_dictionary();
        let key = super::integer_at(dictionary.keys(), index).and_then(|key| usize::try_from(key).ok());
        return match key.and_then(|key| Cell::new(dictionary.values(), key)) {
            Some(value) => write_cell(out, value),
            None => out.extend_from_slice(b"null"),
        };
    }
    if let Some(bytes) = cell.bytes() {
        return write_text(out, bytes);
    }
    match array.data_type() {
        DataType::Boolean => out.extend_from_slice(cell.boolean().unwrap_or_default().to_string().as_bytes()),
        DataType::Float16 => {
            let number = array.as_primitive::<Float16Type>().value(index).to_f32();
            write_number(out, number.is_finite().then(|| number.to_string()));
        }
        DataType::Float32 => {
            let number = array.as_primitive::<arrow_array::types::Float32Type>().value(index);
            write_number(out, number.is_finite().then(|| number.to_string()));
        }
        DataType::Float64 => {
            let number = array.as_primitive::<arrow_array::types::Float64Type>().value(index);
            write_number(out, number.is_finite().then(|| number.to_string()));
        }
        DataType::UInt64 => {
            let number = array.as_primitive::<arrow_array::types::UInt64Type>().value(index);
            write_number(out, Some(number.to_string()));
        }
        DataType::Decimal32(..) => {
            write_number(out, Some(array.as_primitive::<Decimal32Type>().value_as_string(index)))
        }
        DataType::Decimal64(..) => {
            write_number(out, Some(array.as_primitive::<Decimal64Type>().value_as_string(index)))
        }
        DataType::Decimal128(..) => {
            write_number(out, Some(array.as_primitive::<Decimal128Type>().value_as_string(index)))
        }
        DataType::Decimal256(..) => {
            write_number(out, Some(array.as_primitive::<Decimal256Type>().value_as_string(index)))
        }
        time if time.is_temporal() => match time_in_words(array, index) {
            Some(words) => write_text(out, words.as_bytes()),
            None => out.extend_from_slice(b"null"),
        },
        DataType::Struct(_) => write_struct(out, array.as_struct(), index),
        DataType::Map(..) => write_map(out, array, index),
        DataType::List(_) | DataType::LargeList(_) => write_items(out, cell.items()),
        DataType::FixedSizeList(..) => {
            let list = array.as_fixed_size_list();
            let start = list.value_offset_at(index);
            let items = (start..start + list.value_length() as usize).map(|item| Cell::new(list.values(), item));
            write_items(out, items);
        }
        _ => write_number(out, cell.integer().map(|number| number.to_string())),
    }
}

/// A date, a time of day or both, as ISO 8601 writes them; `None` beyond the calendar.
fn time_in_words(array: &dyn Array, index: usize) -> Option<String> {
    let zone = if matches!(array.data_type(), DataType::Timestamp(_, Some(_))) { "Z" } else { "" };
    downcast_temporal_array!(
        array => match array.data_type() {
            DataType::Date32 | DataType::Date64 => array.value_as_date(index).map(|date| format!("{date:?}")),
            DataType::Time32(_) | DataType::Time64(_) => array.value_as_time(index).map(|time| format!("{time:?}")),
            _ => array.value_as_datetime(index).map(|time| format!("{time:?}{zone}")),
        },
        _ => None
    )
}

fn write_number(out: &mut Vec<u8>, number: Option<String>) {
    out.extend_from_slice(number.as_deref().unwrap_or("null").as_bytes());
}

fn write_items<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = Option<Cell<'a>>>) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match item {
            Some(item) => write_cell(out, item),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
}

fn write_struct(out: &mut Vec<u8>, fields: &StructArray, index: usize) {
    out.push(b'{');
    let before = out.len();
    for (name, column) in fields.column_names().into_iter().zip(fields.columns()) {
        if let Some(cell) = Cell::new(column, index) {
            write_field(out, before, name, cell);
        }
    }
    out.push(b'}');
}

/// A map is an object if its keys are texts, as JSON's are; else the list of its entries.
fn write_map(out: &mut Vec<u8>, array: &dyn Array, index: usize) {
    let map = array.as_map();
    let offsets = map.value_offsets();
    let entries = offsets[index] as usize..offsets[index + 1] as usize;
    out.push(b'{');
    let before = out.len();
    for entry in entries {
        let Some(key) = Cell::new(map.keys(), entry) else { continue };
        let name: Cow<'_, [u8]> = match key.bytes() {
            Some(bytes) => bytes.into(),
            None => {
                let mut text = Vec::new();
                write_cell(&mut text, key);
                text.into()
            }
        };
        if out.len() > before {
            out.push(b',');
        }
        write_text(out, &name);
        out.push(b':');
        match Cell::new(map.values(), entry) {
            Some(value) => write_cell(out, value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

/// Writes a text in quotation marks.
fn write_text(out: &mut Vec<u8>, mut bytes: &[u8]) {
    out.push(b'"');
    loop {
        let (text, rest) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let (text, rest) = bytes.split_at(error.valid_up_to());
                (std::str::from_utf8(text).unwrap_or_default(), rest.split_first())
            }
        };
        let quoted = serde_json::Value::from(text).to_string();
        out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        let Some((wrong, rest)) = rest else { break };
        out.extend_from_slice(format!("\\udc{wrong:02x}").as_bytes());
        bytes = rest;
    }
    out.push(b'"');
}
