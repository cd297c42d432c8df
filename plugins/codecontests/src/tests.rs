//! The loader over Parquet files that these tests write themselves, traps included.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float32Array, Int64Array, LargeStringArray, RecordBatch,
    StringArray, StringViewArray, StructArray,
};
use arrow_schema::{DataType, Field, Fields};
use hilora_dataset_formats::columns::Shape;
use hilora_plugin_sdk::types::{Problem, SkippedRow, language};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::*;

/// One row as a test states it.
#[derive(Clone)]
struct TestRow {
    name: &'static str,
    description: &'static str,
    public: Vec<(&'static str, &'static str)>,
    private: Vec<(&'static str, &'static str)>,
    generated: Vec<(&'static str, &'static str)>,
    /// An output without an input, to make the lists unequal.
    lone_output: bool,
    solutions: Vec<(i64, &'static str)>,
    incorrect_solutions: Vec<(i64, &'static str)>,
    source: i64,
    difficulty: i64,
    cf_contest_id: i64,
    cf_index: &'static str,
    cf_points: f32,
    cf_rating: i64,
    cf_tags: Vec<&'static str>,
    untranslated_description: &'static str,
    time_limit: Option<(i64, i64)>,
    memory_limit_bytes: i64,
    input_file: &'static str,
    output_file: &'static str,
}

fn row(name: &'static str) -> TestRow {
    TestRow {
        name,
        description: "Add two numbers.",
        public: vec![("1 2\n", "3\n")],
        private: vec![],
        generated: vec![],
        lone_output: false,
        solutions: vec![(3, "print(sum(map(int, input().split())))")],
        incorrect_solutions: vec![],
        source: 2,
        difficulty: 0,
        cf_contest_id: 0,
        cf_index: "",
        cf_points: 0.0,
        cf_rating: 0,
        cf_tags: vec![],
        untranslated_description: "",
        time_limit: None,
        memory_limit_bytes: 0,
        input_file: "",
        output_file: "",
    }
}

fn text_lists(lists: impl Iterator<Item = Vec<&'static str>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in lists {
        builder.append_value(list.into_iter().map(Some));
    }
    Arc::new(builder.finish())
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: impl Iterator<Item = &'static str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn structs(fields: [(&str, ArrayRef); 2]) -> ArrayRef {
    Arc::new(StructArray::from(
        fields.map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array)).to_vec(),
    ))
}

fn tests_column(rows: &[TestRow], of: impl Fn(&TestRow) -> (Vec<&'static str>, Vec<&'static str>)) -> ArrayRef {
    let (inputs, outputs): (Vec<_>, Vec<_>) = rows.iter().map(of).unzip();
    structs([("input", text_lists(inputs.into_iter())), ("output", text_lists(outputs.into_iter()))])
}

fn solutions_column(rows: &[TestRow], of: impl Fn(&TestRow) -> &Vec<(i64, &'static str)>) -> ArrayRef {
    let mut languages = ListBuilder::new(Int64Builder::new());
    for row in rows {
        languages.append_value(of(row).iter().map(|(language, _)| Some(*language)));
    }
    let programs = rows.iter().map(|row| of(row).iter().map(|(_, program)| *program).collect());
    structs([("language", Arc::new(languages.finish())), ("solution", text_lists(programs))])
}

fn time_limit_column(rows: &[TestRow]) -> ArrayRef {
    let seconds = integers(rows.iter().map(|row| row.time_limit.unwrap_or_default().0));
    let mut nanos = Int32Builder::new();
    rows.iter().for_each(|row| nanos.append_value(row.time_limit.unwrap_or_default().1 as i32));
    let fields =
        Fields::from(vec![Field::new("seconds", DataType::Int64, true), Field::new("nanos", DataType::Int32, true)]);
    let valid = rows.iter().map(|row| row.time_limit.is_some()).collect::<Vec<_>>().into();
    Arc::new(StructArray::new(fields, vec![seconds, Arc::new(nanos.finish())], Some(valid)))
}

/// Every column of the dataset's own layout.
fn columns(rows: &[TestRow]) -> Vec<(&'static str, ArrayRef)> {
    let public = tests_column(rows, |row| {
        let (inputs, mut outputs): (Vec<_>, Vec<_>) = row.public.iter().copied().unzip();
        outputs.extend(row.lone_output.then_some("lone"));
        (inputs, outputs)
    });
    vec![
        ("name", texts(rows.iter().map(|row| row.name))),
        ("description", texts(rows.iter().map(|row| row.description))),
        ("public_tests", public),
        ("private_tests", tests_column(rows, |row| row.private.iter().copied().unzip())),
        ("generated_tests", tests_column(rows, |row| row.generated.iter().copied().unzip())),
        ("source", integers(rows.iter().map(|row| row.source))),
        ("difficulty", integers(rows.iter().map(|row| row.difficulty))),
        ("solutions", solutions_column(rows, |row| &row.solutions)),
        ("incorrect_solutions", solutions_column(rows, |row| &row.incorrect_solutions)),
        ("cf_contest_id", integers(rows.iter().map(|row| row.cf_contest_id))),
        ("cf_index", texts(rows.iter().map(|row| row.cf_index))),
        ("cf_points", Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.cf_points)))),
        ("cf_rating", integers(rows.iter().map(|row| row.cf_rating))),
        ("cf_tags", text_lists(rows.iter().map(|row| row.cf_tags.clone()))),
        (
            "is_description_translated",
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.cf_points > 0.0)))),
        ),
        ("untranslated_description", texts(rows.iter().map(|row| row.untranslated_description))),
        ("time_limit", time_limit_column(rows)),
        ("memory_limit_bytes", integers(rows.iter().map(|row| row.memory_limit_bytes))),
        ("input_file", texts(rows.iter().map(|row| row.input_file))),
        ("output_file", texts(rows.iter().map(|row| row.output_file))),
    ]
}

fn parquet(columns: Vec<(&'static str, ArrayRef)>, compression: Compression, rows_per_group: usize) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("the columns are of one length");
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(rows_per_group))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("the schema is plain");
    writer.write(&batch).expect("memory can be written");
    writer.close().expect("memory can be written");
    bytes
}

fn file(rows: &[TestRow]) -> SourceFile {
    SourceFile::from_bytes("a.parquet", parquet(columns(rows), Compression::SNAPPY, 1024))
}

fn read_all(files: Vec<SourceFile>, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
    let mut reader = CodeContests::open(files, "{}")?;
    let mut rows = Vec::new();
    loop {
        let batch = reader.next_batch(rows_max)?;
        assert!(batch.len() <= rows_max as usize, "a batch of {} rows, at most {rows_max} asked", batch.len());
        if batch.is_empty() {
            break;
        }
        rows.extend(batch);
    }
    assert_eq!(reader.rows_total(), Some(rows.len() as u64));
    Ok(rows)
}

fn sorted(rows: Vec<LoadedRow>) -> (Vec<Problem>, Vec<SkippedRow>) {
    let (mut problems, mut skipped) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            LoadedRow::Problem(problem) => problems.push(problem),
            LoadedRow::Skipped(row) => skipped.push(row),
            other => panic!("CodeContests has problems only, got {other:?}"),
        }
    }
    (problems, skipped)
}

fn read_one(columns: Vec<(&'static str, ArrayRef)>) -> (Vec<Problem>, Vec<SkippedRow>) {
    let file = SourceFile::from_bytes("a.parquet", parquet(columns, Compression::SNAPPY, 10));
    sorted(read_all(vec![file], 8).expect("the file is whole"))
}

fn one_problem(row: TestRow) -> Problem {
    let (mut problems, skipped) = read_one(columns(&[row]));
    assert_eq!(skipped, []);
    problems.remove(0)
}

fn one_skip(row: TestRow) -> (String, String) {
    let (problems, mut skipped) = read_one(columns(&[row]));
    assert_eq!(problems, []);
    let skipped = skipped.remove(0);
    assert_eq!(skipped.id.as_deref(), Some("4_A. Sum"));
    (skipped.reason, skipped.detail)
}

#[test]
fn reads_a_full_row() {
    let problem = one_problem(TestRow {
        private: vec![("5 5\n", "10\n")],
        generated: vec![("7 7\n", "14\n")],
        solutions: vec![(2, "int main() {}"), (3, "print(1)"), (1, "print 1"), (3, "print(2)")],
        incorrect_solutions: vec![(3, "print(3)"), (2, "int main() { return 1; }")],
        cf_contest_id: 4,
        cf_index: "A",
        cf_points: 500.0,
        cf_rating: 900,
        cf_tags: vec!["math", ""],
        untranslated_description: "Сложите два числа.",
        time_limit: Some((2, 500_000_000)),
        memory_limit_bytes: 256_000_000,
        ..row("4_A. Sum")
    });
    assert_eq!((problem.text.id.as_str(), problem.text.title.as_str()), ("4_A. Sum", "Sum"));
    assert_eq!(problem.text.statement, "Add two numbers.");
    assert_eq!(problem.text.difficulty.as_deref(), Some("A"));
    assert_eq!(problem.text.tags, ["math"]);
    assert_eq!(problem.source, "codeforces");
    let tests: Vec<(&str, &str)> = problem.tests.iter().map(|t| (t.input.as_str(), t.expected.as_str())).collect();
    assert_eq!(tests, [("1 2\n", "3\n"), ("5 5\n", "10\n"), ("7 7\n", "14\n")]);
    let solutions: Vec<&str> = problem.solutions.iter().map(|solution| solution.code.as_str()).collect();
    assert_eq!(solutions, ["print(1)", "print(2)"]);
    assert!(problem.solutions.iter().all(|solution| solution.language == language::PYTHON3));
    assert_eq!((problem.time_limit_ms, problem.memory_limit_bytes), (Some(2500), Some(256_000_000)));
    assert_eq!(problem.entry_point, None);
    let incorrect: Vec<&str> = problem.incorrect_solutions.iter().map(|solution| solution.code.as_str()).collect();
    assert_eq!(incorrect, ["print(3)"]);
    let attributes: Vec<(&str, &str)> =
        problem.attributes.iter().map(|a| (a.name.as_str(), a.value.as_str())).collect();
    let expected = [("cf-contest-id", "4"), ("cf-index", "A"), ("cf-points", "500"), ("cf-rating", "900")];
    assert_eq!(attributes[..4], expected);
    assert_eq!(attributes[4..], [("is-description-translated", "true")]);
}

#[test]
fn the_untranslated_description_stands_in_for_an_empty_one() {
    let problem = one_problem(TestRow { description: " ", untranslated_description: "Сложите.", ..row("sum") });
    assert_eq!(problem.text.statement, "Сложите.");
}

#[test]
fn text_that_is_not_utf8_costs_its_row_only() {
    let rows = [row("a"), row("b"), row("c")];
    for column in ["name", "description", "cf_index"] {
        let mut columns = columns(&rows);
        columns.retain(|(name, _)| *name != column);
        columns.push((column, Arc::new(BinaryArray::from_vec(vec![b"a", b"b\xFF", b"c"]))));
        let (problems, skipped) = read_one(columns);
        assert_eq!((problems.len(), skipped.len()), (2, 1), "{column}");
        assert_eq!(skipped[0].reason, "invalid-utf8");
        assert_eq!(skipped[0].detail, format!("`{column}` is not UTF-8 from byte 1 on"));
    }
}

#[test]
fn the_writers_choice_of_string_type_changes_nothing() {
    let expected = read_one(columns(&[row("a"), row("b")]));
    let strings: [ArrayRef; 3] = [
        Arc::new(LargeStringArray::from(vec!["a", "b"])),
        Arc::new(StringViewArray::from(vec!["a", "b"])),
        Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b"])),
    ];
    for strings in strings {
        let mut columns = columns(&[row("a"), row("b")]);
        columns[0].1 = strings;
        assert_eq!(read_one(columns), expected);
    }
}

#[test]
fn zeros_and_empty_strings_are_missing_values() {
    let problem = one_problem(TestRow { time_limit: Some((0, 0)), source: 0, ..row("sum") });
    assert_eq!((problem.time_limit_ms, problem.memory_limit_bytes), (None, None));
    assert_eq!((problem.text.difficulty, problem.text.tags.len(), problem.source.as_str()), (None, 0, ""));
    assert_eq!(one_problem(row("sum")).time_limit_ms, None, "a null time limit");
    assert_eq!(one_problem(row("")).text.id, "row-0");
}

#[test]
fn names_why_a_row_is_skipped() {
    let base = || row("4_A. Sum");
    for (row, reason, detail) in [
        (
            TestRow { solutions: vec![(1, "print 1"), (1, "print 2"), (2, "int")], ..base() },
            "no-python3-solution",
            "found 2 in Python 2, 1 in C++",
        ),
        (TestRow { solutions: vec![(3, " \n")], ..base() }, "no-python3-solution", "found no solution"),
        (TestRow { public: vec![], ..base() }, "no-tests", "public, private and generated tests are empty"),
        (TestRow { lone_output: true, ..base() }, "unequal-test-lists", "`public_tests` has 1 inputs and 2 outputs"),
        (TestRow { description: " \n", ..base() }, "empty-description", "the description is empty"),
        (
            TestRow { input_file: "input.txt", ..base() },
            "file-input-output",
            "`input_file` is `input.txt`, expected standard streams",
        ),
        (
            TestRow { time_limit: Some((-1, 0)), ..base() },
            "malformed-time-limit",
            "the time limit -1 s 0 ns is negative",
        ),
    ] {
        assert_eq!(one_skip(row), (reason.to_owned(), detail.to_owned()));
    }
    assert_eq!(one_problem(TestRow { input_file: "stdin", ..base() }).tests.len(), 1);
}

#[test]
fn what_a_row_holds_is_cut_before_it_is_shown() {
    let long: &'static str = "ä".repeat(3000).leak();
    let cut = "ä".repeat(40);
    let (reason, detail) = one_skip(TestRow { output_file: long, ..row("4_A. Sum") });
    assert_eq!(reason, "file-input-output");
    assert_eq!(detail, format!("`output_file` is `{cut}`, expected standard streams"));

    let mut limited = columns(&[row("4_A. Sum")]);
    limited.retain(|(name, _)| *name != "time_limit");
    limited
        .push(("time_limit", structs([("seconds", texts([long].into_iter())), ("nanos", integers([1].into_iter()))])));
    let (_, skipped) = read_one(limited);
    assert_eq!(skipped[0].detail, format!("`time_limit.seconds` is `{cut}`, expected an integer"));

    let languages = (10..99).map(|language| (language, "program")).collect();
    let (reason, detail) = one_skip(TestRow { solutions: languages, ..row("4_A. Sum") });
    assert_eq!(reason, "no-python3-solution");
    assert!(detail.ends_with("1 in language 17, and 81 in others"), "{detail}");
}

#[test]
fn a_name_that_is_too_long_to_be_an_identifier_costs_its_row() {
    let (longest, longer): (&'static str, &'static str) = ("n".repeat(1024).leak(), "n".repeat(1025).leak());
    let (problems, skipped) = read_one(columns(&[row(longest), row(longer), row("sum")]));
    let ids: Vec<&str> = problems.iter().map(|problem| problem.text.id.as_str()).collect();
    assert_eq!(ids, [longest, "sum"]);
    assert_eq!((skipped.len(), skipped[0].id.as_deref(), skipped[0].reason.as_str()), (1, None, "wrong-type"));
    assert_eq!(skipped[0].detail, "`name`: expected an identifier of at most 1024 bytes, got 1025 bytes");
}

#[test]
fn reads_every_codec_row_group_and_batch_size_alike() {
    let rows: Vec<TestRow> =
        (0..50).map(|i| if i % 7 == 3 { TestRow { public: vec![], ..row("x") } } else { row("y") }).collect();
    let expected = read_all(vec![file(&rows)], 1000).expect("the file is whole");
    let skipped = |row: &LoadedRow| matches!(row, LoadedRow::Skipped(_));
    assert_eq!((expected.len(), expected.iter().filter(|row| skipped(row)).count()), (50, 7));
    assert!(skipped(&expected[10]));
    let gzip = Compression::GZIP(GzipLevel::default());
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, gzip, Compression::LZ4_RAW, Compression::LZ4, zstd]
    {
        for (rows_per_group, rows_max) in [(7, 3), (50, 16), (16, 1)] {
            let bytes = parquet(columns(&rows), compression, rows_per_group);
            let found = read_all(vec![SourceFile::from_bytes("a.parquet", bytes)], rows_max);
            assert_eq!(found.as_ref(), Ok(&expected), "{compression}, {rows_per_group} rows per group");
        }
    }
}

#[test]
fn several_files_are_one_sequence_of_rows() {
    let skipped = TestRow { public: vec![], ..row("none") };
    let empty = file(&[]);
    let files = vec![file(&[row("a"), row("b")]), empty, file(&[skipped, row("")])];
    let rows = read_all(files, 3).expect("the files are whole");
    let fate = |row: &LoadedRow| match row {
        LoadedRow::Problem(problem) => problem.text.id.clone(),
        LoadedRow::Skipped(skipped) => format!("{} {:?}", skipped.reason, skipped.id),
        other => panic!("CodeContests has problems only, got {other:?}"),
    };
    let fates: Vec<String> = rows.iter().map(fate).collect();
    assert_eq!(fates, ["a", "b", "no-tests Some(\"none\")", "row-3"]);
}

#[test]
fn seconds_may_be_text_and_a_column_of_nulls_has_no_type() {
    let seconds = |text: &'static str| {
        let mut columns = columns(&[row("4_A. Sum")]);
        columns.retain(|(name, _)| !["time_limit", "cf_tags"].contains(name));
        let limit = structs([("seconds", texts([text].into_iter())), ("nanos", integers([1].into_iter()))]);
        columns.push(("time_limit", limit));
        columns.push(("cf_tags", arrow_array::new_null_array(&DataType::Null, 1)));
        read_one(columns)
    };
    assert_eq!(seconds("2").0[0].time_limit_ms, Some(2001));
    assert_eq!(seconds("").0[0].time_limit_ms, Some(1));
    assert_eq!(seconds("two").1[0].reason, "malformed-time-limit");
}

#[test]
fn optional_columns_may_be_missing_and_required_ones_may_not() {
    for column in &COLUMNS {
        let mut columns = columns(&[row("4_A. Sum")]);
        columns.retain(|(name, _)| *name != column.name);
        let file = SourceFile::from_bytes("a.parquet", parquet(columns, Compression::SNAPPY, 10));
        match read_all(vec![file], 8) {
            Ok(rows) => {
                assert!(!column.required && matches!(rows[..], [LoadedRow::Problem(_)]), "{} is required", column.name)
            }
            Err(LoadError::Column(error)) => {
                assert!(column.required, "{} is optional", column.name);
                assert_eq!((error.file.as_str(), error.column.as_str()), ("a.parquet", column.name));
                assert_eq!(error.found, None);
            }
            Err(other) => panic!("expected a column error, got {other:?}"),
        }
    }
}

#[test]
fn a_column_of_another_type_is_named_with_both_types() {
    for column in &COLUMNS {
        let mut columns = columns(&[row("4_A. Sum")]);
        columns.retain(|(name, _)| *name != column.name);
        let (other, in_words): (ArrayRef, &str) = match column.shape {
            Shape::Boolean => (texts(["yes"].into_iter()), "string"),
            _ => (Arc::new(BooleanArray::from(vec![true])), "boolean"),
        };
        columns.push((column.name, other));
        let file = SourceFile::from_bytes("a.parquet", parquet(columns, Compression::SNAPPY, 10));
        let Err(LoadError::Column(error)) = read_all(vec![file], 8) else { panic!("{} was accepted", column.name) };
        assert_eq!((error.column.as_str(), error.expected.as_str()), (column.name, &*column.shape.to_string()));
        assert_eq!(error.found.as_deref(), Some(in_words));
    }
    let mut swapped = columns(&[row("4_A. Sum")]);
    swapped[2].1 = solutions_column(&[row("4_A. Sum")], |row| &row.solutions);
    let file = SourceFile::from_bytes("a.parquet", parquet(swapped, Compression::SNAPPY, 10));
    let Err(LoadError::Column(error)) = read_all(vec![file], 8) else { panic!("solutions are no tests") };
    assert_eq!(error.found.as_deref(), Some("struct<language: list<int64>, solution: list<string>>"));
}

#[test]
fn a_damaged_file_is_malformed_and_never_a_panic() {
    let rows: Vec<TestRow> = (0..40).map(|_| row("4_A. Sum")).collect();
    let bytes = parquet(columns(&rows), Compression::SNAPPY, 10);
    let malformed = |bytes: Vec<u8>| match read_all(vec![SourceFile::from_bytes("b.parquet", bytes)], 8) {
        Err(LoadError::Malformed(error)) => assert_eq!(error.file, "b.parquet"),
        other => panic!("expected a malformed file, got {other:?}"),
    };
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        malformed(bytes[..length].to_vec());
    }
    malformed(b"name,description\n".repeat(10));
    // The data of the first pages is overwritten while the footer stays whole.
    let mut damaged = bytes;
    damaged[4..400].fill(0xFF);
    malformed(damaged);
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_rows_and_is_never_a_panic() {
    let rows: Vec<TestRow> = (0..20).map(|_| row("4_A. Sum")).collect();
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())] {
        let bytes = parquet(columns(&rows), compression, 10);
        for at in (0..bytes.len() * 8).step_by(61) {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            let mut reader = match CodeContests::open(vec![SourceFile::from_bytes("b.parquet", damaged)], "{}") {
                Ok(reader) => reader,
                Err(_) => continue,
            };
            while reader.next_batch(8).is_ok_and(|rows| !rows.is_empty()) {}
        }
    }
}
