//! A cell: one value of a column, whatever Arrow type the file has for it. A cell of another type than asked for, like a
//! null, has no value; the check of the columns has refused such a file before.

mod json;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use crate::skip::Skip;

pub(crate) use json::is_writable;

/// A text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUtf8 {
    /// The first byte that belongs to no character.
    pub at: usize,
}

impl InvalidUtf8 {
    /// The row's fate: it is skipped (`invalid-utf8`).
    pub fn skip(self, field: &str) -> Skip {
        Skip::new("invalid-utf8", format!("`{field}` is not UTF-8 from byte {} on", self.at))
    }
}

/// One row of a decoded batch.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    batch: &'a RecordBatch,
    index: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new(batch: &'a RecordBatch, index: usize) -> Self {
        Self { batch, index }
    }

    /// The row's value in a column; `None` where the column is missing or the value is null.
    pub fn cell(&self, column: &str) -> Option<Cell<'a>> {
        Cell::new(self.batch.column_by_name(column)?, self.index)
    }

    /// The row's text in a column.
    pub fn text(&self, column: &str) -> Result<Option<&'a str>, InvalidUtf8> {
        self.cell(column).map_or(Ok(None), Cell::text)
    }

    /// The row's integer in a column.
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.cell(column)?.integer()
    }
}

/// One value that is not null.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    array: &'a ArrayRef,
    index: usize,
}

impl<'a> Cell<'a> {
    fn new(array: &'a ArrayRef, index: usize) -> Option<Self> {
        // An array without a type has no bitmap of nulls: all its values are null.
        let valid = index < array.len() && array.is_valid(index) && *array.data_type() != DataType::Null;
        valid.then_some(Self { array, index })
    }

    /// The text.
    pub fn text(self) -> Result<Option<&'a str>, InvalidUtf8> {
        let Some(bytes) = self.bytes() else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(InvalidUtf8 { at: error.valid_up_to() }),
        }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        let Self { array, index } = self;
        match array.data_type() {
            DataType::Utf8 => Some(array.as_string::<i32>().value(index).as_bytes()),
            DataType::LargeUtf8 => Some(array.as_string::<i64>().value(index).as_bytes()),
            DataType::Utf8View => Some(array.as_string_view().value(index).as_bytes()),
            DataType::Binary => Some(array.as_binary::<i32>().value(index)),
            DataType::LargeBinary => Some(array.as_binary::<i64>().value(index)),
            DataType::BinaryView => Some(array.as_binary_view().value(index)),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let key = integer_at(dictionary.keys(), index)?;
                Cell::new(dictionary.values(), usize::try_from(key).ok()?)?.bytes()
            }
            _ => None,
        }
    }

    /// The integer; one that does not fit counts as the largest.
    pub fn integer(self) -> Option<i64> {
        integer_at(self.array.as_ref(), self.index)
    }

    /// The number.
    pub fn number(self) -> Option<f64> {
        let Self { array, index } = self;
        match array.data_type() {
            DataType::Float32 => Some(array.as_primitive::<Float32Type>().value(index).into()),
            DataType::Float64 => Some(array.as_primitive::<Float64Type>().value(index)),
            _ => self.integer().map(|integer| integer as f64),
        }
    }

    /// True or false.
    pub fn boolean(self) -> Option<bool> {
        self.array.as_boolean_opt().map(|array| array.value(self.index))
    }

    /// A field of a struct.
    pub fn field(self, name: &str) -> Option<Cell<'a>> {
        Cell::new(self.array.as_struct_opt()?.column_by_name(name)?, self.index)
    }

    /// The items of a list, `None` for each null; no items where this is no list.
    pub fn items(self) -> impl ExactSizeIterator<Item = Option<Cell<'a>>> {
        let Self { array, index } = self;
        let (values, items) = if let Some(list) = array.as_list_opt::<i32>() {
            (list.values(), list.value_offsets()[index] as usize..list.value_offsets()[index + 1] as usize)
        } else if let Some(list) = array.as_list_opt::<i64>() {
            (list.values(), list.value_offsets()[index] as usize..list.value_offsets()[index + 1] as usize)
        } else {
            (array, 0..0)
        };
        items.map(move |item| Cell::new(values, item))
    }
}

/// The integer at `index` of an array of any integer type.
fn integer_at(array: &dyn Array, index: usize) -> Option<i64> {
    match array.data_type() {
        DataType::Int8 => Some(array.as_primitive::<Int8Type>().value(index).into()),
        DataType::Int16 => Some(array.as_primitive::<Int16Type>().value(index).into()),
        DataType::Int32 => Some(array.as_primitive::<Int32Type>().value(index).into()),
        DataType::Int64 => Some(array.as_primitive::<Int64Type>().value(index)),
        DataType::UInt8 => Some(array.as_primitive::<UInt8Type>().value(index).into()),
        DataType::UInt16 => Some(array.as_primitive::<UInt16Type>().value(index).into()),
        DataType::UInt32 => Some(array.as_primitive::<UInt32Type>().value(index).into()),
        DataType::UInt64 => Some(array.as_primitive::<UInt64Type>().value(index).try_into().unwrap_or(i64::MAX)),
        _ => None,
    }
}
