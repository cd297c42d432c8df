//! One Arrow file: the IPC stream that `datasets` writes as `.arrow`, or the IPC file format around the same stream.
//!
//! A stream is a schema and then messages, each a header and a body; a record batch is decoded as it was written. Of the
//! IPC file format the footer alone says what the schema is and where the batches stand: what lies between them is the
//! writer's own (Polars leaves a schema there that is no message). Every length and offset is held against the file and
//! its body before the decoder sees it, because the decoder takes them at their word.

mod buffers;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::{Endianness, MessageHeader, MetadataVersion, root_as_footer, root_as_message};
use arrow_schema::{DataType, Schema, SchemaRef};
use hilora_plugin_sdk::loader::{LoadError, MalformedFile, SourceFile};

use crate::columns::{self, ColumnSpec};
use crate::rows::{Batches, Rows};

/// What the IPC file format begins and ends with.
const FILE_MAGIC: &[u8] = b"ARROW1";

/// What the IPC file format ends with: the footer's length and the magic.
const FILE_TAIL_BYTES: u64 = 10;

/// What stands before a message's length; writers before 2019 left it out.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// The largest header of a message.
const HEADER_BYTES_MAX: u64 = 64 << 20;

/// The largest body of a message, and the most that one body may decompress to.
const BODY_BYTES_MAX: u64 = 512 << 20;

/// How much of a body is asked of the host at once.
const BYTES_PER_READ: usize = 1 << 20;

/// Whether a file that begins with these bytes claims to be Arrow in one of its two formats.
pub fn is_arrow(beginning: &[u8]) -> bool {
    beginning.starts_with(FILE_MAGIC) || beginning.starts_with(&CONTINUATION)
}

/// Why a file cannot be read on.
enum Damage {
    /// The host could not read; its own words.
    Unreadable(String),
    /// The file is not what it should be.
    Malformed(String),
}

impl Damage {
    fn into_error(self, file: &SourceFile, row: Option<u64>) -> LoadError {
        let file = file.name().to_owned();
        match self {
            Self::Unreadable(words) => LoadError::Unreadable(format!("{file}: {words}")),
            Self::Malformed(detail) => LoadError::Malformed(MalformedFile { file, row, detail }),
        }
    }
}

impl From<std::io::Error> for Damage {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<arrow_schema::ArrowError> for Damage {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Malformed(error.to_string())
    }
}

fn malformed(detail: impl Into<String>) -> Damage {
    Damage::Malformed(detail.into())
}

/// A message whose header was read and whose body was not.
struct Message {
    header: Vec<u8>,
    body_start: u64,
    body_length: u64,
}

impl Message {
    fn parse(&self) -> Result<arrow_ipc::Message<'_>, Damage> {
        root_as_message(&self.header).map_err(|error| malformed(format!("a message's header is damaged: {error}")))
    }

    /// Reads the body of the batch that the header states.
    fn body(&self, file: &SourceFile, batch: &arrow_ipc::RecordBatch<'_>) -> Result<Buffer, Damage> {
        buffers::check_lengths(batch, self.body_length)?;
        let mut body = Vec::with_capacity(self.body_length as usize);
        while (body.len() as u64) < self.body_length {
            let left = self.body_length - body.len() as u64;
            let piece = file.read_at(self.body_start + body.len() as u64, left.min(BYTES_PER_READ as u64) as usize)?;
            if piece.is_empty() {
                return Err(malformed("the file ends inside a record batch"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.into())
    }
}

/// The messages of a file, one after the other.
#[derive(Clone)]
struct Messages {
    file: SourceFile,
    order: Order,
    end: u64,
}

/// Where the next message stands.
#[derive(Clone)]
enum Order {
    /// Where the last one ends.
    Stream { position: u64 },
    /// Where the footer says: the dictionaries, then the batches.
    Footer { offsets: VecDeque<u64> },
}

impl Messages {
    /// The file's schema, and its messages after that.
    fn of(file: &SourceFile) -> Result<(Schema, Self), Damage> {
        let file = file.clone();
        if file.read_at(0, FILE_MAGIC.len())? == FILE_MAGIC {
            return Self::by_footer(file);
        }
        let end = file.size();
        let mut messages = Self { file, order: Order::Stream { position: 0 }, end };
        let Some(message) = messages.next()? else { return Err(malformed("the file is empty")) };
        let message = message.parse()?;
        let schema = message.header_as_schema().ok_or_else(|| malformed("the first message is no schema"))?;
        Ok((schema_of(schema)?, messages))
    }

    /// The file ends with its footer, the footer's length and the magic once more.
    fn by_footer(file: SourceFile) -> Result<(Schema, Self), Damage> {
        let size = file.size();
        let tail = file.read_at(size.saturating_sub(FILE_TAIL_BYTES), FILE_TAIL_BYTES as usize)?;
        let length = tail.first_chunk::<4>().filter(|_| tail.len() == 10 && tail[4..] == *FILE_MAGIC);
        let length = length.and_then(|length| u64::try_from(i32::from_le_bytes(*length)).ok());
        let length = length.filter(|length| *length <= HEADER_BYTES_MAX);
        let end = length.and_then(|length| (size - FILE_TAIL_BYTES).checked_sub(length)).filter(|end| *end >= 8);
        let (Some(end), Some(length)) = (end, length) else {
            return Err(malformed("this is not a whole Arrow file: its footer is missing"));
        };
        let footer = file.read_at(end, length as usize)?;
        let footer = root_as_footer(&footer).map_err(|error| malformed(format!("the footer is damaged: {error}")))?;
        let schema = footer.schema().ok_or_else(|| malformed("the footer has no schema"))?;
        let mut offsets = VecDeque::new();
        let mut total = 0_u64;
        for block in footer.dictionaries().into_iter().flatten().chain(footer.recordBatches().into_iter().flatten()) {
            let (offset, header, body) = (block.offset(), block.metaDataLength(), block.bodyLength());
            let lengths = u64::try_from(header).ok().zip(u64::try_from(body).ok());
            let length = lengths.and_then(|(header, body)| header.checked_add(body));
            let place = u64::try_from(offset).ok().zip(length).filter(|(offset, length)| {
                *length > 0 && offset.checked_add(*length).is_some_and(|block_end| block_end <= end)
            });
            let Some((offset, length)) = place else {
                return Err(malformed(format!(
                    "the footer claims a message of {header} and {body} bytes at {offset} of {end} bytes"
                )));
            };
            // Many blocks over the same bytes would be more rows than the file can hold.
            total = total.saturating_add(length);
            if total > end {
                return Err(malformed(format!("the footer claims messages of more than {end} bytes in all")));
            }
            offsets.push_back(offset);
        }
        Ok((schema_of(schema)?, Self { file, order: Order::Footer { offsets }, end }))
    }

    /// The next message; `None` at the end.
    fn next(&mut self) -> Result<Option<Message>, Damage> {
        let position = match &mut self.order {
            Order::Footer { offsets } => match offsets.pop_front() {
                None => return Ok(None),
                Some(offset) => offset,
            },
            // A stream ends with its mark or, where nothing told the writer to stop, with the file.
            Order::Stream { position } if *position >= self.end => return Ok(None),
            Order::Stream { position } => *position,
        };
        let message = self.message_at(position)?;
        if let Order::Stream { position } = &mut self.order {
            *position = message.as_ref().map_or(self.end, |message| message.body_start + message.body_length);
        }
        Ok(message)
    }

    /// The message at a place in the file; `None` where a mark of the end stands there.
    fn message_at(&self, position: u64) -> Result<Option<Message>, Damage> {
        let prefix = self.file.read_at(position, 8)?;
        let (prefix_length, length) = match (prefix.first_chunk::<4>(), prefix.last_chunk::<4>()) {
            (Some(&CONTINUATION), Some(length)) if prefix.len() == 8 => (8, *length),
            (Some(length), _) if *length != CONTINUATION => (4, *length),
            _ => return Err(malformed("the file ends inside a message")),
        };
        let header_length = u64::from(u32::from_le_bytes(length));
        if header_length == 0 {
            return Ok(None);
        }
        let header_start = position + prefix_length;
        let room = self.end.saturating_sub(header_start).min(HEADER_BYTES_MAX);
        if header_length > room {
            return Err(malformed(format!(
                "a message at {position} claims a header of {header_length} bytes of {room}"
            )));
        }
        let header = self.file.read_at(header_start, header_length as usize)?;
        let body_start = header_start + header_length;
        let mut message = Message { header, body_start, body_length: 0 };
        let claimed = message.parse()?.bodyLength();
        let room = self.end.saturating_sub(body_start);
        let Some(body_length) = u64::try_from(claimed).ok().filter(|length| *length <= room) else {
            return Err(malformed(format!("a record batch claims {claimed} bytes where the file has {room}")));
        };
        if body_length > BODY_BYTES_MAX {
            return Err(malformed(format!(
                "a record batch has {body_length} bytes, expected at most {BODY_BYTES_MAX}; rewrite the file with smaller \
                 batches"
            )));
        }
        message.body_length = body_length;
        Ok(Some(message))
    }

    /// How many rows all batches hold; `None` where a header cannot be read.
    fn rows(mut self) -> Option<u64> {
        let mut rows = 0_u64;
        while let Some(message) = self.next().ok()? {
            let message = message.parse().ok()?;
            if let Some(batch) = message.header_as_record_batch() {
                rows = rows.checked_add(u64::try_from(batch.length()).ok()?)?;
            }
        }
        Some(rows)
    }
}

fn schema_of(schema: arrow_ipc::Schema<'_>) -> Result<Schema, Damage> {
    if schema.endianness() != Endianness::Little {
        return Err(malformed("the file is big-endian, expected little-endian"));
    }
    Ok(try_fb_to_schema(schema)?)
}

/// A file whose schema has been checked.
pub struct ArrowFile {
    messages: Messages,
    schema: SchemaRef,
    projection: Vec<usize>,
    left_out: Vec<String>,
}

impl ArrowFile {
    /// Reads the schema and checks the columns.
    pub fn open(file: SourceFile, columns: &[ColumnSpec]) -> Result<Self, LoadError> {
        Self::open_with(file, |name, schema| columns::projection(name, schema, columns).map_err(LoadError::Column))
    }

    /// Reads the schema, for a reader of whatever columns there are.
    pub(crate) fn open_whole(file: SourceFile) -> Result<Self, LoadError> {
        Self::open_with(file, |_, schema| Ok(columns::writable(schema)))
    }

    fn open_with(
        file: SourceFile,
        choose: impl FnOnce(&str, &Schema) -> Result<Vec<usize>, LoadError>,
    ) -> Result<Self, LoadError> {
        let (schema, messages) = Messages::of(&file).map_err(|damage| damage.into_error(&file, None))?;
        let projection = choose(file.name(), &schema)?;
        let left_out = columns::others(&schema, &projection);
        Ok(Self { messages, schema: Arc::new(columns::texts_as_bytes(&schema)), projection, left_out })
    }

    /// The columns that are not read, each with its type in words.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// How many rows the headers of the batches promise; `None` where one of them cannot be read.
    pub fn rows(&self) -> Option<u64> {
        self.messages.clone().rows()
    }

    /// Begins to decode.
    pub fn into_rows(self) -> Rows {
        let Self { messages, schema, projection, .. } = self;
        Rows::new(ArrowBatches { messages, schema, projection, dictionaries: HashMap::new(), rows_read: 0 })
    }
}

/// A file that is being decoded.
struct ArrowBatches {
    messages: Messages,
    schema: SchemaRef,
    projection: Vec<usize>,
    dictionaries: HashMap<i64, ArrayRef>,
    rows_read: u64,
}

impl ArrowBatches {
    fn decode_next(&mut self) -> Result<Option<RecordBatch>, Damage> {
        while let Some(message) = self.messages.next()? {
            let parsed = message.parse()?;
            let version = parsed.version();
            match parsed.header_type() {
                MessageHeader::RecordBatch => {
                    let batch = parsed.header_as_record_batch().ok_or_else(|| malformed("a record batch is empty"))?;
                    let body = message.body(&self.messages.file, &batch)?;
                    let columns = self.schema.fields().iter().map(|field| field.data_type());
                    buffers::check_contents(&batch, version, &body, columns)?;
                    return self.decode(batch, &body, &version).map(Some);
                }
                MessageHeader::DictionaryBatch => {
                    let batch = parsed.header_as_dictionary_batch();
                    let values = batch.and_then(|batch| Some((batch, batch.data()?)));
                    let (batch, values) = values.ok_or_else(|| malformed("a dictionary has no values"))?;
                    let body = message.body(&self.messages.file, &values)?;
                    buffers::check_contents(&values, version, &body, self.dictionary_type(batch.id()).into_iter())?;
                    read_dictionary(&body, batch, &self.schema, &mut self.dictionaries, &version)?;
                }
                other => return Err(malformed(format!("expected a record batch, found {other:?}"))),
            }
        }
        Ok(None)
    }

    /// The type of a dictionary's values.
    fn dictionary_type(&self, id: i64) -> Option<&DataType> {
        #[expect(deprecated, reason = "the decoder itself still finds dictionaries by this number")]
        let field = self.schema.fields_with_dict_id(id).into_iter().next()?;
        match field.data_type() {
            DataType::Dictionary(_, values) => Some(&**values),
            _ => None,
        }
    }

    fn decode(
        &self,
        batch: arrow_ipc::RecordBatch<'_>,
        body: &Buffer,
        version: &MetadataVersion,
    ) -> Result<RecordBatch, Damage> {
        let decoder = RecordBatchDecoder::try_new(body, batch, self.schema.clone(), &self.dictionaries, version)?;
        Ok(decoder.with_projection(Some(&self.projection)).read_record_batch()?)
    }
}

impl Batches for ArrowBatches {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, LoadError> {
        match self.decode_next() {
            Ok(batch) => {
                self.rows_read += batch.as_ref().map_or(0, RecordBatch::num_rows) as u64;
                Ok(batch)
            }
            Err(Damage::Malformed(detail)) => {
                let detail = format!("the rows that begin here cannot be decoded: {detail}");
                Err(malformed(detail).into_error(&self.messages.file, Some(self.rows_read)))
            }
            Err(unreadable) => Err(unreadable.into_error(&self.messages.file, None)),
        }
    }
}

#[cfg(test)]
mod tests;
