//! The twenty columns of CodeContests and the types they must have.

use hilora_dataset_formats::columns::{ColumnSpec, Shape};

/// Parallel lists.
const TESTS: Shape = Shape::Struct(&[
    ColumnSpec::required("input", Shape::List(&Shape::Text)),
    ColumnSpec::required("output", Shape::List(&Shape::Text)),
]);

/// Parallel lists.
const SOLUTIONS: Shape = Shape::Struct(&[
    ColumnSpec::required("language", Shape::List(&Shape::Integer)),
    ColumnSpec::required("solution", Shape::List(&Shape::Text)),
]);

/// Some exports write the seconds as text.
const DURATION: Shape = Shape::Struct(&[
    ColumnSpec::required("seconds", Shape::IntegerOrText),
    ColumnSpec::optional("nanos", Shape::IntegerOrText),
]);

/// Every column, in the dataset's order.
pub(crate) const COLUMNS: [ColumnSpec; 20] = [
    ColumnSpec::required("name", Shape::Text),
    ColumnSpec::required("description", Shape::Text),
    ColumnSpec::required("public_tests", TESTS),
    ColumnSpec::required("private_tests", TESTS),
    ColumnSpec::required("generated_tests", TESTS),
    ColumnSpec::optional("source", Shape::Integer),
    ColumnSpec::optional("difficulty", Shape::Integer),
    ColumnSpec::required("solutions", SOLUTIONS),
    ColumnSpec::optional("incorrect_solutions", SOLUTIONS),
    ColumnSpec::optional("cf_contest_id", Shape::Integer),
    ColumnSpec::optional("cf_index", Shape::Text),
    ColumnSpec::optional("cf_points", Shape::Number),
    ColumnSpec::optional("cf_rating", Shape::Integer),
    ColumnSpec::optional("cf_tags", Shape::List(&Shape::Text)),
    ColumnSpec::optional("is_description_translated", Shape::Boolean),
    ColumnSpec::optional("untranslated_description", Shape::Text),
    ColumnSpec::optional("time_limit", DURATION),
    ColumnSpec::optional("memory_limit_bytes", Shape::Integer),
    ColumnSpec::optional("input_file", Shape::Text),
    ColumnSpec::optional("output_file", Shape::Text),
];
