//! One Parquet file: its header checked at once, its rows decoded a few at a time, so that memory stays flat however
//! large the file is.

use std::io::{BufReader, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use bytes::Bytes;
use hilora_plugin_sdk::loader::{LoadError, MalformedFile, SourceFile};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

/// How many rows are decoded at once. A row of CodeContests can hold megabytes of tests.
const ROWS_DECODED_AT_ONCE: usize = 16;

/// The file as the Parquet reader sees it.
#[derive(Clone)]
struct Source {
    file: SourceFile,
    /// The host's last words on a failed read: the Parquet reader passes errors on as text only.
    failure: Arc<Mutex<Option<String>>>,
}

impl Source {
    fn note(&self, error: std::io::Error) -> ParquetError {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        ParquetError::External(Box::new(error))
    }

    /// What a failed step means: the host could not read, or the file is not what it should be.
    fn error(&self, row: Option<u64>, detail: String) -> LoadError {
        let file = self.file.name().to_owned();
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(words) => LoadError::Unreadable(format!("{file}: {words}")),
            None => LoadError::Malformed(MalformedFile { file, row, detail }),
        }
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

impl ChunkReader for Source {
    type T = BufReader<SourceFile>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut file = self.file.clone();
        file.seek(SeekFrom::Start(start)).map_err(|error| self.note(error))?;
        Ok(BufReader::new(file))
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

/// A file whose header has been checked.
pub(crate) struct ParquetFile {
    source: Source,
    metadata: ArrowReaderMetadata,
    projection: ProjectionMask,
}

impl ParquetFile {
    /// Reads the header and checks columns and compression.
    pub(crate) fn open(file: SourceFile) -> Result<Self, LoadError> {
        let source = Source { file, failure: Arc::default() };
        // The types are taken from Parquet itself: which of several Arrow types the writer had in memory (large,
        // dictionary or view strings) changes nothing for the reader.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&source, options)
            .map_err(|error| source.error(None, format!("this is not a whole Parquet file: {error}")))?;
        let positions = crate::columns::projection(source.file.name(), metadata.schema()).map_err(LoadError::Column)?;
        let projection = ProjectionMask::roots(metadata.parquet_schema(), positions);
        if let Some(detail) = unreadable_compression(metadata.metadata(), &projection) {
            return Err(source.error(None, detail));
        }
        Ok(Self { source, metadata, projection })
    }

    /// How many rows the header promises.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Begins to decode.
    pub(crate) fn into_rows(self) -> Result<ParquetRows, LoadError> {
        let Self { source, metadata, projection } = self;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source.clone(), metadata)
            .with_projection(projection)
            .with_batch_size(ROWS_DECODED_AT_ONCE)
            .build()
            .map_err(|error| source.error(Some(0), error.to_string()))?;
        Ok(ParquetRows { source, reader, batch: None, next_in_batch: 0, rows_read: 0 })
    }
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
        "the column `{column}` is compressed with {codec}, expected snappy, gzip, lz4 or none; rewrite the file with one \
         of these"
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
    )
}

/// Some decoded rows and which of them is meant.
pub(crate) struct Row<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) index: usize,
}

/// A file that is being decoded.
pub(crate) struct ParquetRows {
    source: Source,
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    next_in_batch: usize,
    rows_read: u64,
}

impl ParquetRows {
    /// The next row; `None` at the end.
    pub(crate) fn next_row(&mut self) -> Result<Option<Row<'_>>, LoadError> {
        while self.batch.as_ref().is_none_or(|batch| self.next_in_batch >= batch.num_rows()) {
            let Some(decoded) = self.reader.next() else { return Ok(None) };
            let decoded = decoded.map_err(|error| {
                let detail = format!("the rows that begin here cannot be decoded: {error}");
                self.source.error(Some(self.rows_read), detail)
            })?;
            self.rows_read += decoded.num_rows() as u64;
            self.batch = Some(decoded);
            self.next_in_batch = 0;
        }
        let index = self.next_in_batch;
        self.next_in_batch += 1;
        Ok(self.batch.as_ref().map(|batch| Row { batch, index }))
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::{BrotliLevel, GzipLevel, ZstdLevel};

    use super::*;

    #[test]
    fn knows_which_codecs_are_built_in() {
        for codec in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::LZ4,
            Compression::LZ4_RAW,
        ] {
            assert!(can_decompress(codec), "{codec}");
        }
        let missing = [Compression::ZSTD(ZstdLevel::default()), Compression::BROTLI(BrotliLevel::default())];
        assert!(missing.into_iter().all(|codec| !can_decompress(codec)));
    }
}
