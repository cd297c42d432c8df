//! What a record batch says of itself, held against its body before it is decoded: the decoder takes lengths, offsets and
//! widths at their word and panics where they lie.

use std::collections::VecDeque;

use arrow_ipc::{CompressionType, MetadataVersion, RecordBatch};
use arrow_schema::{DataType, UnionMode};

use super::{BODY_BYTES_MAX, Damage, malformed};

/// The most values that one array may hold: 16 bytes each are then still addressable in a component.
const VALUES_MAX: i64 = 1 << 27;

/// lz4 never makes more of a byte than this many.
const LZ4_RATIO_MAX: u64 = 255;

/// zstd never makes more of a byte than this many: a block has at least 4 bytes and becomes at most 128 KiB.
const ZSTD_RATIO_MAX: u64 = 1 << 15;

/// Checks that every array has a possible length and every buffer lies within the body.
pub(super) fn check_lengths(batch: &RecordBatch<'_>, body_length: u64) -> Result<(), Damage> {
    let mut lengths = batch.nodes().into_iter().flatten().map(|node| (node.length(), node.null_count()));
    let wrong = lengths.find(|&(length, nulls)| !(0..=VALUES_MAX).contains(&length) || !(0..=length).contains(&nulls));
    if let Some((length, nulls)) = wrong {
        return Err(malformed(format!("an array claims {length} values, {nulls} of them null")));
    }
    if !(0..=VALUES_MAX).contains(&batch.length()) {
        return Err(malformed(format!("a record batch claims {} rows", batch.length())));
    }
    let mut total = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let within = u64::try_from(buffer.offset()).ok().zip(u64::try_from(buffer.length()).ok());
        let within =
            within.filter(|(offset, length)| offset.checked_add(*length).is_some_and(|end| end <= body_length));
        let Some((_, length)) = within else {
            let (offset, length) = (buffer.offset(), buffer.length());
            return Err(malformed(format!(
                "a buffer claims {length} bytes at {offset} of a body of {body_length} bytes"
            )));
        };
        total = total.saturating_add(length);
    }
    if total > body_length {
        return Err(malformed(format!("the buffers claim {total} bytes of a body of {body_length} bytes")));
    }
    Ok(())
}

/// Checks that every buffer holds whole values and does not decompress to more than it can. The lengths were checked.
pub(super) fn check_contents<'a>(
    batch: &RecordBatch<'_>,
    version: MetadataVersion,
    body: &[u8],
    columns: impl Iterator<Item = &'a DataType>,
) -> Result<(), Damage> {
    let mut widths =
        Widths { widths: Vec::new(), variadic: batch.variadicBufferCounts().into_iter().flatten().collect() };
    columns.for_each(|column| widths.add(column, version));
    let codec = batch.compression().map(|compression| compression.codec());
    let mut total = 0_u64;
    let mut widths = widths.widths.into_iter();
    for buffer in batch.buffers().into_iter().flatten() {
        let width = widths.next().unwrap_or(1);
        let length = match codec {
            Some(codec) if buffer.length() > 0 => {
                let (start, length) = (buffer.offset() as usize, buffer.length() as usize);
                decompressed_length(codec, body.get(start..start + length).unwrap_or_default())?
            }
            _ => buffer.length() as u64,
        };
        if length % width != 0 {
            return Err(malformed(format!("a buffer of {length} bytes holds values of {width} bytes")));
        }
        total += length;
        if total > BODY_BYTES_MAX {
            return Err(malformed(format!(
                "a record batch decompresses to more than {BODY_BYTES_MAX} bytes; rewrite the file with smaller batches"
            )));
        }
    }
    Ok(())
}

/// What a compressed buffer claims to become; its first eight bytes say it.
fn decompressed_length(codec: CompressionType, buffer: &[u8]) -> Result<u64, Damage> {
    let Some(claimed) = buffer.first_chunk::<8>() else {
        return Err(malformed("a compressed buffer is shorter than its own length field"));
    };
    let claimed = i64::from_le_bytes(*claimed);
    let compressed = buffer.len() as u64 - 8;
    let most = match codec {
        CompressionType::LZ4_FRAME => compressed.saturating_mul(LZ4_RATIO_MAX),
        // The smallest of frames are allowed for by the constant.
        _ => compressed.saturating_mul(ZSTD_RATIO_MAX).saturating_add(64).min(BODY_BYTES_MAX),
    };
    match u64::try_from(claimed) {
        Ok(claimed) if claimed <= most => Ok(claimed),
        // Minus one marks a buffer that was not worth compressing.
        Err(_) if claimed == -1 => Ok(compressed),
        _ => Err(malformed(format!("a buffer of {compressed} bytes claims to decompress to {claimed} bytes"))),
    }
}

/// The width in bytes of each buffer's values, in the order in which the decoder takes the buffers.
struct Widths {
    widths: Vec<u64>,
    /// How many data buffers each column of views has.
    variadic: VecDeque<i64>,
}

impl Widths {
    fn add(&mut self, column: &DataType, version: MetadataVersion) {
        match column {
            DataType::Null => {}
            DataType::Utf8 | DataType::Binary => self.widths.extend([1, 4, 1]),
            DataType::LargeUtf8 | DataType::LargeBinary => self.widths.extend([1, 8, 1]),
            DataType::Utf8View | DataType::BinaryView => {
                self.widths.extend([1, 16]);
                let buffers = self.variadic.pop_front().and_then(|count| u16::try_from(count).ok()).unwrap_or(0);
                self.widths.extend((0..buffers).map(|_| 1));
            }
            DataType::List(item) | DataType::Map(item, _) => {
                self.widths.extend([1, 4]);
                self.add(item.data_type(), version);
            }
            DataType::LargeList(item) => {
                self.widths.extend([1, 8]);
                self.add(item.data_type(), version);
            }
            DataType::ListView(item) | DataType::LargeListView(item) => {
                self.widths.extend([1, 1, 1]);
                self.add(item.data_type(), version);
            }
            DataType::FixedSizeList(item, _) => {
                self.widths.push(1);
                self.add(item.data_type(), version);
            }
            DataType::Struct(fields) => {
                self.widths.push(1);
                fields.iter().for_each(|field| self.add(field.data_type(), version));
            }
            DataType::Dictionary(keys, _) => self.widths.extend([1, primitive_width(keys)]),
            DataType::RunEndEncoded(ends, values) => {
                self.add(ends.data_type(), version);
                self.add(values.data_type(), version);
            }
            DataType::Union(fields, mode) => {
                // Until the fifth version of the format, unions had a bitmap of nulls.
                let buffers = 1 + usize::from(version < MetadataVersion::V5) + usize::from(*mode == UnionMode::Dense);
                self.widths.extend(std::iter::repeat_n(1, buffers));
                fields.iter().for_each(|(_, field)| self.add(field.data_type(), version));
            }
            other => self.widths.extend([1, primitive_width(other)]),
        }
    }
}

fn primitive_width(primitive: &DataType) -> u64 {
    primitive.primitive_width().unwrap_or(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_may_claim_what_its_codec_can_give() {
        let claims = |codec: CompressionType, claimed: i64, compressed: usize| {
            let buffer = [&claimed.to_le_bytes()[..], &vec![0; compressed]].concat();
            decompressed_length(codec, &buffer).ok()
        };
        assert_eq!(claims(CompressionType::ZSTD, 1 << 20, 32), Some(1 << 20));
        assert_eq!(claims(CompressionType::ZSTD, 1 << 20, 31), None);
        assert_eq!(claims(CompressionType::ZSTD, 64, 0), Some(64));
        assert_eq!(claims(CompressionType::ZSTD, 1 << 30, 1 << 20), None, "no batch is as large");
        assert_eq!(claims(CompressionType::LZ4_FRAME, 255, 1), Some(255));
        assert_eq!(claims(CompressionType::LZ4_FRAME, 256, 1), None);
        assert_eq!(claims(CompressionType::ZSTD, -1, 7), Some(7), "what was not worth compressing stays as it is");
        assert_eq!(claims(CompressionType::ZSTD, -2, 7), None);
    }
}
