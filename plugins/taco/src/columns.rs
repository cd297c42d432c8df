//! The seventeen columns of TACO. All are strings or null.

use hilora_dataset_formats::columns::{ColumnSpec, Shape};

/// Every column, in the dataset's order.
pub(crate) const COLUMNS: [ColumnSpec; 17] = [
    ColumnSpec::required("question", Shape::Text),
    ColumnSpec::optional("solutions", Shape::Text),
    ColumnSpec::optional("starter_code", Shape::Text),
    ColumnSpec::required("input_output", Shape::Text),
    ColumnSpec::optional("difficulty", Shape::Text),
    ColumnSpec::optional("raw_tags", Shape::Text),
    ColumnSpec::optional("name", Shape::Text),
    ColumnSpec::optional("source", Shape::Text),
    ColumnSpec::optional("tags", Shape::Text),
    ColumnSpec::optional("skill_types", Shape::Text),
    ColumnSpec::optional("url", Shape::Text),
    ColumnSpec::optional("Expected Auxiliary Space", Shape::Text),
    ColumnSpec::optional("time_limit", Shape::Text),
    ColumnSpec::optional("date", Shape::Text),
    ColumnSpec::optional("picture_num", Shape::Text),
    ColumnSpec::optional("memory_limit", Shape::Text),
    ColumnSpec::optional("Expected Time Complexity", Shape::Text),
];
