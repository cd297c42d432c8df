//! One Parquet file: its header checked at once, its rows decoded a few at a time, so that memory stays flat however
//! large the file is.

mod footer;
mod page_header;
mod pages;

use std::io::{BufReader, Seek, SeekFrom};
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader};
use ::parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use ::parquet::basic::{Compression, ConvertedType, LogicalType, Type as PhysicalType};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, FileReader, Length};
use ::parquet::schema::types::{SchemaDescriptor, Type};
use arrow_array::RecordBatch;
use bytes::Bytes;
use hilora_plugin_sdk::loader::{LoadError, MalformedFile, SourceFile};

use crate::columns::{self, ColumnSpec};
use crate::rows::{Batches, Rows};
use crate::watched::{Failure, Watched};

use pages::CheckedFile;

/// What every Parquet file begins and ends with.
const MAGIC: &[u8] = b"PAR1";

/// About how many bytes are decoded at once.
const BYTES_DECODED_AT_ONCE: u64 = 4 << 20;

/// The most rows that are decoded at once, however small they are.
const ROWS_DECODED_AT_ONCE_MAX: u64 = 256;

/// Whether a file that begins with these bytes claims to be Parquet.
pub fn is_parquet(beginning: &[u8]) -> bool {
    beginning.starts_with(MAGIC)
}

/// The file as the Parquet reader sees it.
#[derive(Clone)]
struct Source {
    file: SourceFile,
    /// The Parquet reader passes errors on as text only.
    failure: Failure,
}

impl Source {
    fn note(&self, error: std::io::Error) -> ParquetError {
        self.failure.note(&error);
        ParquetError::External(Box::new(error))
    }

    /// What a failed step means: the host could not read, or the file is not what it should be.
    fn error(&self, row: Option<u64>, detail: String) -> LoadError {
        let file = self.file.name().to_owned();
        match self.failure.take() {
            Some(words) => LoadError::Unreadable(format!("{file}: {words}")),
            None => LoadError::Malformed(MalformedFile { file, row, detail }),
        }
    }

    /// The header. Texts are read as bytes, so that one that is not UTF-8 costs its row and not the file.
    fn metadata(&self) -> Result<ArrowReaderMetadata, ParquetError> {
        // The types are taken from Parquet itself: which of several Arrow types the writer had in memory (large,
        // dictionary or view strings) changes nothing for the reader.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        footer::check(self)?;
        let written = ArrowReaderMetadata::load(self, options.clone())?;
        let as_bytes = texts_as_bytes(written.metadata().file_metadata().schema_descr().root_schema())?;
        ArrowReaderMetadata::load(
            self,
            options.with_parquet_schema(Arc::new(SchemaDescriptor::new(Arc::new(as_bytes)))),
        )
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

impl ChunkReader for Source {
    type T = BufReader<Watched>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut file = self.file.clone();
        file.seek(SeekFrom::Start(start)).map_err(|error| self.note(error))?;
        Ok(BufReader::new(Watched::new(file, self.failure.clone())))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.file.read_at(start, length).map_err(|error| self.note(error))?;
        if bytes.len() < length {
            let end = self.file.size();
            return Err(ParquetError::EOF(format!("expected {length} bytes at {start}, but the file ends at {end}")));
        }
        Ok(bytes.into())
    }
}

/// The same type with every text as bytes.
fn texts_as_bytes(written: &Type) -> Result<Type, ParquetError> {
    let info = written.get_basic_info();
    let id = info.has_id().then(|| info.id());
    match written {
        Type::PrimitiveType { physical_type: PhysicalType::BYTE_ARRAY, .. } if is_text(written) => {
            Type::primitive_type_builder(info.name(), PhysicalType::BYTE_ARRAY)
                .with_repetition(info.repetition())
                .with_id(id)
                .build()
        }
        Type::PrimitiveType { .. } => Ok(written.clone()),
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(|field| texts_as_bytes(field).map(Arc::new)).collect::<Result<_, _>>()?;
            let mut builder = Type::group_type_builder(info.name())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_fields(fields)
                .with_id(id);
            // The root alone has no repetition.
            if info.has_repetition() {
                builder = builder.with_repetition(info.repetition());
            }
            builder.build()
        }
    }
}

fn is_text(written: &Type) -> bool {
    let info = written.get_basic_info();
    matches!(info.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum | LogicalType::Json))
        || matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON)
}

/// Whether a decimal in it has as many bytes as each value says: the decoder panics at one that says too many.
fn holds_decimal_in_bytes(column: &Type) -> bool {
    let info = column.get_basic_info();
    match column {
        Type::PrimitiveType { physical_type, .. } => {
            *physical_type == PhysicalType::BYTE_ARRAY
                && (matches!(info.logical_type_ref(), Some(LogicalType::Decimal(_)))
                    || info.converted_type() == ConvertedType::DECIMAL)
        }
        Type::GroupType { fields, .. } => fields.iter().any(|field| holds_decimal_in_bytes(field)),
    }
}

/// A file whose header has been checked.
pub struct ParquetFile {
    source: Source,
    metadata: ArrowReaderMetadata,
    projection: ProjectionMask,
    left_out: Vec<String>,
}

impl ParquetFile {
    /// Reads the header and checks columns and compression.
    pub fn open(file: SourceFile, columns: &[ColumnSpec]) -> Result<Self, LoadError> {
        let choose = |name: &str, metadata: &ArrowReaderMetadata| {
            columns::projection(name, metadata.schema(), columns).map_err(LoadError::Column)
        };
        Self::open_with(file, choose)
    }

    /// Reads the header, for a reader of whatever columns there are.
    pub(crate) fn open_whole(file: SourceFile) -> Result<Self, LoadError> {
        let choose = |_: &str, metadata: &ArrowReaderMetadata| {
            let written = metadata.parquet_schema().root_schema().get_fields();
            let mut positions = columns::writable(metadata.schema());
            positions.retain(|position| written.get(*position).is_some_and(|column| !holds_decimal_in_bytes(column)));
            Ok(positions)
        };
        Self::open_with(file, choose)
    }

    fn open_with(
        file: SourceFile,
        choose: impl FnOnce(&str, &ArrowReaderMetadata) -> Result<Vec<usize>, LoadError>,
    ) -> Result<Self, LoadError> {
        let source = Source { file, failure: Failure::default() };
        let metadata = source
            .metadata()
            .map_err(|error| source.error(None, format!("this is not a whole Parquet file: {error}")))?;
        let positions = choose(source.file.name(), &metadata)?;
        let left_out = columns::others(metadata.schema(), &positions);
        let projection = ProjectionMask::roots(metadata.parquet_schema(), positions);
        let detail = misplaced_column(metadata.metadata(), source.file.size())
            .or_else(|| unreadable_compression(metadata.metadata(), &projection));
        if let Some(detail) = detail {
            return Err(source.error(None, detail));
        }
        Ok(Self { source, metadata, projection, left_out })
    }

    /// The columns that are not read, each with its type in words.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// How many rows the header promises.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Begins to decode.
    pub fn into_rows(self) -> Result<Rows, LoadError> {
        let rows_promised = self.rows();
        let batch_size = rows_decoded_at_once(self.metadata.metadata(), &self.projection);
        let Self { source, metadata, projection, .. } = self;
        let checked = CheckedFile { source: Arc::new(source.clone()), metadata: metadata.metadata().clone() };
        let checked: Arc<dyn FileReader> = Arc::new(checked);
        let reader = parquet_to_arrow_field_levels(metadata.parquet_schema(), projection, None)
            .and_then(|levels| ParquetRecordBatchReader::try_new_with_row_groups(&levels, &checked, batch_size, None));
        let reader = reader.map_err(|error| source.error(Some(0), error.to_string()))?;
        Ok(Rows::new(ParquetBatches { source, reader, rows_read: 0, rows_promised }))
    }
}

/// How many rows of the file's average size are about [`BYTES_DECODED_AT_ONCE`].
fn rows_decoded_at_once(metadata: &ParquetMetaData, projection: &ProjectionMask) -> usize {
    let row_bytes = |group: &::parquet::file::metadata::RowGroupMetaData| {
        let leaves = group.columns().iter().enumerate().filter(|(leaf, _)| projection.leaf_included(*leaf));
        let bytes = leaves
            .fold(0_u64, |sum, (_, chunk)| sum.saturating_add(u64::try_from(chunk.uncompressed_size()).unwrap_or(0)));
        bytes / u64::try_from(group.num_rows()).unwrap_or(0).max(1)
    };
    let largest = metadata.row_groups().iter().map(row_bytes).max().unwrap_or(0);
    (BYTES_DECODED_AT_ONCE / largest.max(1)).clamp(1, ROWS_DECODED_AT_ONCE_MAX) as usize
}

/// Which column claims to lie outside of the file, if any.
fn misplaced_column(metadata: &ParquetMetaData, size: u64) -> Option<String> {
    let mut chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let chunk = chunks.find(|chunk| {
        let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let end = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
        end.and_then(|(start, length)| start.checked_add(length)).is_none_or(|end| end > size)
    })?;
    let column = chunk.column_path().parts().first().map_or("?", String::as_str);
    Some(format!("the column `{column}` claims to lie outside of the file's {size} bytes"))
}

/// What is wrong with the compression of a column that is to be read, if anything.
fn unreadable_compression(metadata: &ParquetMetaData, projection: &ProjectionMask) -> Option<String> {
    let groups = metadata.row_groups().iter();
    let mut chunks = groups.flat_map(|group| group.columns().iter().enumerate());
    let (_, chunk) =
        chunks.find(|(leaf, chunk)| projection.leaf_included(*leaf) && !can_decompress(chunk.compression()))?;
    let codec = chunk.compression().to_string();
    let codec = codec.split('(').next().unwrap_or_default().to_lowercase();
    let column = chunk.column_path().parts().first().map_or("?", String::as_str);
    Some(format!(
        "the column `{column}` is compressed with {codec}, expected snappy, gzip, lz4, zstd or none; rewrite the file \
         with one of these"
    ))
}

fn can_decompress(codec: Compression) -> bool {
    matches!(
        codec,
        Compression::UNCOMPRESSED
            | Compression::SNAPPY
            | Compression::GZIP(_)
            | Compression::LZ4
            | Compression::LZ4_RAW
            | Compression::ZSTD(_)
    )
}

/// A file that is being decoded.
struct ParquetBatches {
    source: Source,
    reader: ParquetRecordBatchReader,
    rows_read: u64,
    rows_promised: u64,
}

impl Batches for ParquetBatches {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, LoadError> {
        let Some(decoded) = self.reader.next() else {
            if self.rows_read == self.rows_promised {
                return Ok(None);
            }
            let detail = format!("expected {} rows, but the data ends here", self.rows_promised);
            return Err(self.source.error(Some(self.rows_read), detail));
        };
        let decoded = decoded.map_err(|error| {
            let detail = format!("the rows that begin here cannot be decoded: {error}");
            self.source.error(Some(self.rows_read), detail)
        })?;
        self.rows_read += decoded.num_rows() as u64;
        Ok(Some(decoded))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use ::parquet::arrow::ArrowWriter;
    use ::parquet::basic::{BrotliLevel, GzipLevel, ZstdLevel};
    use arrow_array::StringArray;

    use crate::columns::Shape;

    use super::*;

    const COLUMNS: [ColumnSpec; 1] = [ColumnSpec::required("name", Shape::Text)];

    fn parquet_file() -> Vec<u8> {
        let names: arrow_array::ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let batch = RecordBatch::try_from_iter([("name", names)]).expect("one column");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("the schema is plain");
        writer.write(&batch).expect("memory can be written");
        writer.into_inner().expect("memory can be written")
    }

    /// How many rows are read of a file of which the host gives so many answers before its disk fails.
    fn read_with_answers(bytes: &[u8], answers: u64) -> Result<usize, LoadError> {
        let (file, left) = (SourceFile::from_bytes("a.parquet", bytes.to_vec()), AtomicU64::new(answers));
        let failing = SourceFile::from_reads("a.parquet", bytes.len() as u64, move |offset, length| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .map_err(|_| "Input/output error (os error 5)".to_owned())?;
            file.read_at(offset, length as usize).map_err(|error| error.to_string())
        });
        let mut rows = ParquetFile::open(failing, &COLUMNS)?.into_rows()?;
        let mut read = 0;
        while rows.next_row()?.is_some() {
            read += 1;
        }
        Ok(read)
    }

    #[test]
    fn what_the_host_cannot_read_is_no_damage_wherever_it_is_read() {
        let bytes = parquet_file();
        let mut failures = 0;
        for answers in 0.. {
            match read_with_answers(&bytes, answers) {
                Ok(rows) => {
                    assert_eq!(rows, 2);
                    break;
                }
                Err(error) => {
                    let words = "a.parquet: Input/output error (os error 5)".to_owned();
                    assert_eq!(error, LoadError::Unreadable(words), "after {answers} answers");
                    failures += 1;
                }
            }
        }
        assert!(failures > 3, "the footer and every page are read, that is more than {failures} reads");
    }

    #[test]
    fn dates_and_decimals_are_read_but_decimals_in_bytes_of_any_length() {
        let dates: arrow_array::ArrayRef = Arc::new(arrow_array::Date32Array::from(vec![19_782]));
        let decimals = arrow_array::Decimal128Array::from(vec![-5]).with_precision_and_scale(30, 2).expect("it fits");
        let batch =
            RecordBatch::try_from_iter([("date", dates), ("decimal", Arc::new(decimals))]).expect("two columns");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("the schema is plain");
        writer.write(&batch).expect("memory can be written");
        let bytes = writer.into_inner().expect("memory can be written");
        let found = crate::records::beginning(&SourceFile::from_bytes("a", bytes), 9).expect("the file is whole");
        assert_eq!(found.format, "Parquet");
        assert_eq!(found.rows, [r#"{"date":"2024-02-29","decimal":-0.05}"#]);

        let decimal = Type::primitive_type_builder("x", PhysicalType::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::decimal(2, 30)))
            .with_precision(30)
            .with_scale(2)
            .build();
        assert!(holds_decimal_in_bytes(&decimal.expect("the type is whole")));
    }

    #[test]
    fn knows_which_codecs_are_built_in() {
        for codec in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::LZ4,
            Compression::LZ4_RAW,
            Compression::ZSTD(ZstdLevel::default()),
        ] {
            assert!(can_decompress(codec), "{codec}");
        }
        assert!(!can_decompress(Compression::BROTLI(BrotliLevel::default())));
    }
}
