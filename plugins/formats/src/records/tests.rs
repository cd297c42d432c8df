//! The reader over lines and archives that these tests write themselves, damaged ones included.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hilora_plugin_sdk::loader::MalformedFile;
use hilora_plugin_sdk::types::{Conversation, Message, Role, SkippedRow};

use super::*;

/// Takes `id` and `text`.
struct Texts;

impl RowLoader for Texts {
    fn id(&self, row: &Fields<'_>, _: Place<'_>) -> Result<String, Skip> {
        row.required_id("id")
    }

    fn load(&self, id: String, row: &Fields<'_>) -> Result<LoadedRow, Skip> {
        let content = row.required_text("text")?.into_owned();
        let messages = vec![Message::new(Role::Assistant, content)];
        Ok(LoadedRow::Conversation(Conversation { id, messages, tools: vec![], tags: vec![], difficulty: None }))
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fn read_all(files: Vec<Vec<u8>>, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
    let files = files.into_iter().map(|bytes| SourceFile::from_bytes("a.jsonl", bytes)).collect();
    let mut reader = RecordReader::new(files, Texts)?;
    let mut rows = Vec::new();
    loop {
        let batch = reader.next_batch(rows_max)?;
        assert!(batch.len() <= rows_max as usize);
        if batch.is_empty() {
            return Ok(rows);
        }
        rows.extend(batch);
    }
}

/// Each row as its id, or as reason and detail.
fn fates(bytes: &[u8]) -> Vec<String> {
    let fate = |row| match row {
        LoadedRow::Conversation(conversation) => conversation.id,
        LoadedRow::Skipped(SkippedRow { id, reason, detail }) => {
            format!("{}{reason}: {detail}", id.map(|id| format!("{id} ")).unwrap_or_default())
        }
        other => panic!("{other:?}"),
    };
    read_all(vec![bytes.to_vec()], 2).expect("the file is whole").into_iter().map(fate).collect()
}

const LINES: &[u8] = b"{\"id\": 1, \"text\": \"a\"}\r\n\n  \n{\"id\": \"two\", \"text\": \"b\"}";

#[test]
fn plain_and_compressed_lines_are_the_same_rows() {
    assert_eq!(fates(LINES), ["1", "two"]);
    assert_eq!(fates(&gzip(LINES)), ["1", "two"]);
    let twice = [gzip(b"{\"id\": 1, \"text\": \"a\"}\n"), gzip(b"{\"id\": 2, \"text\": \"b\"}\n")].concat();
    assert_eq!(fates(&twice), ["1", "2"], "an archive may have several members");
    let list = [gzip(b""), gzip(b"["), gzip(b"{\"id\": 1, \"text\": \"a\"}]")].concat();
    assert_eq!(fates(&list), ["1"], "and short ones");
    assert_eq!(read_all(vec![LINES.to_vec(), vec![], gzip(LINES)], 1).expect("all are whole").len(), 4);
}

#[test]
fn a_bad_line_costs_that_row_only() {
    let mut bytes = b"{\"id\": 1, \"text\": \"a\"}\n".to_vec();
    bytes.extend_from_slice(b"{\"id\": 2, \"text\n[1]\n{\"id\": 4, \"text\": \"\xff\"}\n{\"id\": 5}\n");
    bytes.extend_from_slice(b"{\"id\": 6, \"text\": 7}\n{\"text\": \"a\"}\n{\"id\": 8, \"text\": \"a\"} x\n");
    bytes.extend_from_slice(b"{\"id\": 9, \"text\": \"a\"}\n");
    assert_eq!(
        fates(&bytes),
        [
            "1",
            "malformed-json: a.jsonl line 2: not JSON: EOF while parsing a string at column 15",
            "malformed-json: a.jsonl line 3: expected a JSON object, got a list",
            "invalid-utf8: a.jsonl line 4: column 20: expected UTF-8 text",
            "5 missing-field: a.jsonl line 5: `text`: expected a string, got nothing",
            "6 wrong-type: a.jsonl line 6: `text`: expected a string, got a number",
            "missing-field: a.jsonl line 7: `id`: expected a string or a number, got nothing",
            "malformed-json: a.jsonl line 8: not JSON: trailing characters at column 24",
            "9",
        ]
    );
}

#[test]
fn a_line_of_100_mb_costs_that_row_only() {
    let mut bytes = b"{\"id\": 1, \"text\": \"a\"}\n{\"id\": 2, \"text\": \"".to_vec();
    bytes.resize(100_000_000, b'a');
    bytes.extend_from_slice(b"\"}\n{\"id\": 3, \"text\": \"a\"}\n");
    assert_eq!(
        fates(&bytes),
        ["1", "line-too-long: a.jsonl line 2: the line has 99999979 bytes, expected at most 67108864", "3"]
    );
}

#[test]
fn a_small_archive_of_a_very_long_line_is_a_row_that_is_skipped() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let piece = vec![b'a'; 1 << 20];
    (0..300).for_each(|_| encoder.write_all(&piece).expect("memory can be written"));
    let bytes = encoder.finish().expect("memory can be written");
    assert!(bytes.len() < 1 << 20);
    let fates = fates(&bytes);
    assert!(fates.len() == 1 && fates[0].starts_with("line-too-long: "), "{fates:?}");
}

#[test]
fn a_damaged_archive_is_an_error_that_names_file_and_row() {
    let many: String = (0..5000).map(|id| format!("{{\"id\": {id}, \"text\": \"{}\"}}\n", id * 7919 % 10007)).collect();
    let whole = gzip(many.as_bytes());
    for cut in [3, 9, 10, 11, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        match read_all(vec![whole[..cut].to_vec()], 64) {
            Err(LoadError::Malformed(MalformedFile { file, row: Some(_), detail })) => {
                assert!(file == "a.jsonl" && detail.contains("the gzip is damaged"), "{cut}: {detail}");
            }
            other => panic!("{cut}: {other:?}"),
        }
    }
    let mut errors = 0;
    for flip in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[flip] ^= 0x10;
        errors += u32::from(read_all(vec![flipped], 64).is_err());
    }
    assert!(errors as usize > whole.len() / 97 / 2, "the checksum finds what the decoder lets pass: {errors}");
}

#[test]
fn a_file_of_another_format_is_named() {
    for (head, words) in [
        (b"PAR1\x15\x04".to_vec(), "this is not a whole Parquet file"),
        (b"ARROW1\0\0".to_vec(), "this is not a whole Arrow file"),
        (gzip(b"PAR1\x15\x04"), "this is a Parquet file inside gzip"),
        (b"PK\x03\x04".to_vec(), "this is a zip archive"),
        (b"\xff\xfe{\0".to_vec(), "this is text in UTF-16"),
    ] {
        match read_all(vec![head], 8) {
            Err(LoadError::Malformed(malformed)) => assert!(malformed.detail.contains(words), "{}", malformed.detail),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn fields_are_described_in_their_order() {
    let described: Vec<(String, String, bool)> = describe(&[("id", "string", true), ("text", "number", false)])
        .into_iter()
        .map(|column| (column.name, column.expected, column.required))
        .collect();
    assert_eq!(
        described,
        [("id".to_owned(), "string".to_owned(), true), ("text".to_owned(), "number".to_owned(), false)]
    );
}

#[test]
fn an_empty_file_has_no_rows() {
    for bytes in [&b""[..], b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"] {
        assert_eq!(fates(bytes), [""; 0]);
        assert_eq!(fates(&gzip(bytes)), [""; 0]);
    }
    assert_eq!(read_all(vec![], 8), Ok(vec![]));
}

#[test]
fn a_batch_ends_where_its_rows_are_large() {
    let line = format!("{{\"id\": 1, \"text\": \"{}\"}}\n", "x".repeat(3 << 20));
    let file = SourceFile::from_bytes("a.jsonl", line.repeat(7).into_bytes());
    let mut reader = RecordReader::new(vec![file], Texts).expect("memory is readable");
    let mut sizes = Vec::new();
    loop {
        match reader.next_batch(64).expect("the file is whole").len() {
            0 => break,
            rows => sizes.push(rows),
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
}

#[test]
fn bytes_that_are_flipped_or_cut_never_panic() {
    for at in 0..LINES.len() {
        for bit in 0..8 {
            let mut bytes = LINES.to_vec();
            bytes[at] ^= 1 << bit;
            assert!(read_all(vec![bytes], 2).is_ok());
        }
        assert!(read_all(vec![LINES[..at].to_vec()], 2).is_ok());
    }
}
