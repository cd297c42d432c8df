//! The reader over Arrow files that these tests write themselves, damage included.

use arrow_array::builder::{Int32Builder, LargeListBuilder, ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray, Int64Array,
    LargeStringArray, NullArray, StringArray, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampSecondArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

use super::*;
use crate::cell::Cell;
use crate::columns::Shape;

const COLUMNS: [ColumnSpec; 4] = [
    ColumnSpec::required("name", Shape::Text),
    ColumnSpec::optional("rating", Shape::Integer),
    ColumnSpec::optional("tags", Shape::List(&Shape::Text)),
    ColumnSpec::optional("comment", Shape::Text),
];

fn names(names: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(names.to_vec()))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("the columns are of one length")
}

/// Two batches of two rows with a column that nobody reads.
fn batches() -> Vec<RecordBatch> {
    let rows = |first: &str, rating: i64| {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.append_value([Some("dp"), None]);
        tags.append_null();
        batch(vec![
            ("unread", Arc::new(BooleanArray::from(vec![true, false]))),
            ("name", names(&[Some(first), None])),
            ("rating", Arc::new(Int64Array::from(vec![Some(rating), None]))),
            ("tags", Arc::new(tags.finish())),
        ])
    };
    vec![rows("Züge", 1500), rows("Trees", 900)]
}

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).expect("a schema");
    batches.iter().for_each(|batch| writer.write(batch).expect("memory can be written"));
    writer.into_inner().expect("memory can be written")
}

fn ipc_file(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).expect("a schema");
    batches.iter().for_each(|batch| writer.write(batch).expect("memory can be written"));
    writer.into_inner().expect("memory can be written")
}

fn compressed(codec: CompressionType) -> IpcWriteOptions {
    IpcWriteOptions::default().try_with_compression(Some(codec)).expect("the codec is built in")
}

/// Every row's cells in words.
fn read(bytes: Vec<u8>) -> Result<Vec<String>, LoadError> {
    let file = ArrowFile::open(SourceFile::from_bytes("a.arrow", bytes), &COLUMNS)?;
    let promised = file.rows();
    let mut rows = file.into_rows();
    let mut found = Vec::new();
    while let Some(row) = rows.next_row()? {
        let text = |cell: Cell<'_>| cell.text().map_or("not UTF-8".to_owned(), |text| text.unwrap_or("?").to_owned());
        let name = row.cell("name").map_or("null".to_owned(), text);
        let tags = row.cell("tags").map(|list| list.items().map(|tag| tag.map(text)).collect::<Vec<_>>());
        found.push(format!("{name} {:?} {tags:?}", row.integer("rating")));
    }
    assert_eq!(promised, Some(found.len() as u64));
    Ok(found)
}

fn malformed(bytes: Vec<u8>) -> MalformedFile {
    match read(bytes) {
        Err(LoadError::Malformed(malformed)) => malformed,
        other => panic!("expected a malformed file, got {other:?}"),
    }
}

#[test]
fn both_formats_and_every_compression_are_the_same_rows() {
    let expected = [
        r#"Züge Some(1500) Some([Some("dp"), None])"#,
        "null None None",
        r#"Trees Some(900) Some([Some("dp"), None])"#,
        "null None None",
    ];
    for options in
        [IpcWriteOptions::default(), compressed(CompressionType::LZ4_FRAME), compressed(CompressionType::ZSTD)]
    {
        assert_eq!(read(stream(&batches(), options.clone())).expect("the stream is whole"), expected);
        assert_eq!(read(ipc_file(&batches(), options)).expect("the file is whole"), expected);
    }
}

#[test]
fn the_writers_choice_of_types_changes_nothing() {
    let strings: [ArrayRef; 4] = [
        Arc::new(LargeStringArray::from(vec!["a", "b", "a"])),
        Arc::new(StringViewArray::from(vec!["a", "b", "a"])),
        Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b", "a"])),
        Arc::new(BinaryArray::from_vec(vec![b"a", b"b", b"a"])),
    ];
    for strings in strings {
        let mut tags = LargeListBuilder::new(StringBuilder::new());
        (0..3).for_each(|_| tags.append_value([Some("x")]));
        let mut ratings = Int32Builder::new();
        ratings.append_slice(&[1, 2, 3]);
        let batch = batch(vec![
            ("name", strings),
            ("rating", Arc::new(ratings.finish())),
            ("tags", Arc::new(tags.finish())),
            ("comment", Arc::new(NullArray::new(3))),
        ]);
        let tags = r#"Some([Some("x")])"#;
        let expected = [format!("a Some(1) {tags}"), format!("b Some(2) {tags}"), format!("a Some(3) {tags}")];
        let options = IpcWriteOptions::default();
        assert_eq!(read(stream(std::slice::from_ref(&batch), options.clone())).expect("the stream is whole"), expected);
        assert_eq!(read(ipc_file(&[batch], options)).expect("the file is whole"), expected);
    }
}

#[test]
fn of_a_file_the_footer_says_where_the_schema_and_the_batches_are() {
    let mut bytes = ipc_file(&batches(), IpcWriteOptions::default());
    let expected = read(bytes.clone()).expect("the file is whole");
    // Polars writes a schema after the magic that is no message. Whatever stands there is the writer's own.
    let first = bytes.windows(4).position(|at| *at == CONTINUATION).expect("the schema is a message");
    let length = bytes[first + 4..].first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize);
    bytes[first..first + 8 + length.expect("the message has a length")].fill(0xA5);
    assert_eq!(read(bytes).expect("the footer is whole"), expected);
}

#[test]
fn text_that_is_not_utf8_is_seen_where_it_is_read() {
    let mut bytes = stream(&batches(), IpcWriteOptions::default());
    let at = bytes.windows(5).position(|text| text == "Trees".as_bytes()).expect("the name is there");
    bytes[at] = 0xFF;
    let rows = read(bytes).expect("the stream is whole");
    assert!(rows[2].starts_with("not UTF-8"), "{rows:?}");
    assert!(rows[0].starts_with("Züge"));
}

#[test]
fn a_stream_may_end_without_its_mark_and_a_file_of_no_rows_has_none() {
    let bytes = stream(&batches(), IpcWriteOptions::default());
    assert_eq!(read(bytes[..bytes.len() - 8].to_vec()).expect("the stream is whole").len(), 4);
    let empty = RecordBatch::new_empty(batches()[0].schema());
    assert_eq!(read(stream(&[empty], IpcWriteOptions::default())), Ok(vec![]));
}

#[test]
fn columns_that_are_missing_or_of_another_type_are_named() {
    let open = |batch: RecordBatch| {
        let bytes = stream(&[batch], IpcWriteOptions::default());
        match ArrowFile::open(SourceFile::from_bytes("a.arrow", bytes), &COLUMNS) {
            Err(LoadError::Column(error)) => (error.column, error.expected, error.found),
            _ => panic!("expected a column error"),
        }
    };
    let rating: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let (name, expected) = ("name".to_owned(), "string".to_owned());
    assert_eq!(open(batch(vec![("rating", rating.clone())])), (name.clone(), expected.clone(), None));
    assert_eq!(open(batch(vec![("name", rating)])), (name, expected, Some("int64".to_owned())));
}

#[test]
fn a_stream_that_is_cut_off_names_the_row() {
    let bytes = stream(&batches(), IpcWriteOptions::default());
    let file = SourceFile::from_bytes("a.arrow", bytes[..bytes.len() - 100].to_vec());
    let file = ArrowFile::open(file, &COLUMNS).expect("the schema is whole");
    assert_eq!(file.rows(), None);
    let mut rows = file.into_rows();
    assert!(rows.next_row().expect("the first batch is whole").is_some());
    assert!(rows.next_row().expect("the first batch is whole").is_some());
    match rows.next_row() {
        Err(LoadError::Malformed(error)) => {
            assert_eq!((error.file.as_str(), error.row), ("a.arrow", Some(2)));
            assert!(error.detail.contains("claims"), "{}", error.detail);
        }
        _ => panic!("the second batch is cut off"),
    }
    let whole = ipc_file(&batches(), IpcWriteOptions::default());
    for length in [0, 6, 8, 100, whole.len() / 2, whole.len() - 1] {
        malformed(whole[..length].to_vec());
    }
}

#[test]
fn a_flipped_bit_or_byte_is_an_error_or_changes_rows_and_is_never_a_panic() {
    let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b", "a"]));
    let views: ArrayRef = Arc::new(StringViewArray::from(vec!["short", "a string that is kept elsewhere", "x"]));
    let unusual = [batch(vec![("name", dictionary), ("comment", views)])];
    for options in
        [IpcWriteOptions::default(), compressed(CompressionType::LZ4_FRAME), compressed(CompressionType::ZSTD)]
    {
        for bytes in [stream(&batches(), options.clone()), ipc_file(&unusual, options)] {
            let flips = (0..bytes.len() * 8).map(|bit| (bit / 8, 1 << (bit % 8)));
            let fills = (0..bytes.len()).map(|at| (at, !bytes[at]));
            for (at, mask) in flips.chain(fills) {
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                let Ok(file) = ArrowFile::open(SourceFile::from_bytes("a.arrow", damaged), &COLUMNS) else { continue };
                file.rows();
                let mut rows = file.into_rows();
                while let Ok(Some(row)) = rows.next_row() {
                    let _ = (row.text("name"), row.text("comment"), row.integer("rating"));
                    let tags =
                        row.cell("tags").map(|list| list.items().flatten().filter_map(|tag| tag.text().ok()).count());
                    assert!(tags.unwrap_or(0) < 1000);
                }
            }
        }
    }
}

/// The objects of a file's rows, and what it is in words.
fn objects(bytes: Vec<u8>) -> crate::records::Beginning {
    crate::records::beginning(&SourceFile::from_bytes("a", bytes), 9).expect("the file is whole")
}

#[test]
fn dates_times_and_decimals_are_written_and_what_cannot_be_is_named() {
    let decimals = Decimal128Array::from(vec![Some(-5), None]).with_precision_and_scale(9, 2).expect("it fits");
    let zoned = TimestampMicrosecondArray::from(vec![1_500_000, i64::MIN]).with_timezone("Europe/Paris");
    let plain = batch(vec![
        ("decimal", Arc::new(decimals)),
        ("date", Arc::new(Date32Array::from(vec![Some(19_782), None]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![3_600_000_001, -1]))),
        ("moment", Arc::new(TimestampSecondArray::from(vec![0, i64::MAX]))),
        ("zoned", Arc::new(zoned)),
    ]);
    let rows = [
        r#"{"decimal":-0.05,"date":"2024-02-29","time":"01:00:00.000001","moment":"1970-01-01T00:00:00","zoned":"1970-01-01T00:00:01.500Z"}"#,
        r#"{"time":null,"moment":null,"zoned":null}"#,
    ];
    let found = objects(ipc_file(std::slice::from_ref(&plain), IpcWriteOptions::default()));
    assert_eq!((found.format.as_str(), found.rows), ("Arrow", rows.map(str::to_owned).to_vec()));

    let with_duration =
        batch(vec![("name", names(&[Some("a")])), ("took", Arc::new(DurationSecondArray::from(vec![3])))]);
    let found = objects(stream(std::slice::from_ref(&with_duration), IpcWriteOptions::default()));
    assert_eq!(found.format, "Arrow without the column `took` (duration(s))");
    assert_eq!(found.rows, [r#"{"name":"a"}"#]);
}
