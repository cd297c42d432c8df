//! Pages of a column, each held against what it says of itself before it is decoded, because the decoder takes levels,
//! dictionaries and encodings at their word and panics where they lie.

use std::sync::Arc;

use ::parquet::basic::Encoding;
use ::parquet::bloom_filter::Sbbf;
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use ::parquet::file::reader::{ChunkReader, FileReader, RowGroupReader};
use ::parquet::file::serialized_reader::SerializedPageReader;
use ::parquet::record::reader::RowIter;
use ::parquet::schema::types::Type;

use super::page_header::PageSource;

/// A file whose pages are checked.
pub(super) struct CheckedFile<R> {
    pub(super) source: Arc<R>,
    pub(super) metadata: Arc<ParquetMetaData>,
}

/// A row group of it.
struct CheckedRowGroup<'a, R> {
    source: &'a Arc<R>,
    metadata: &'a RowGroupMetaData,
}

impl<R: ChunkReader + Clone + 'static> FileReader for CheckedFile<R> {
    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    fn num_row_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    fn get_row_group(&self, index: usize) -> Result<Box<dyn RowGroupReader + '_>> {
        Ok(Box::new(CheckedRowGroup { source: &self.source, metadata: self.metadata.row_group(index) }))
    }

    fn get_row_iter(&self, _: Option<Type>) -> Result<RowIter<'_>> {
        Err(damaged("rows are read by columns"))
    }
}

impl<R: ChunkReader + Clone + 'static> RowGroupReader for CheckedRowGroup<'_, R> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.metadata
    }

    fn num_columns(&self) -> usize {
        self.metadata.num_columns()
    }

    fn get_column_page_reader(&self, leaf: usize) -> Result<Box<dyn PageReader>> {
        let chunk = self.metadata.column(leaf);
        let descriptor = chunk.column_descr();
        let levels = [width_of(descriptor.max_rep_level()), width_of(descriptor.max_def_level())];
        let rows = usize::try_from(self.metadata.num_rows()).unwrap_or(0);
        let source = PageSource { source: self.source.as_ref().clone(), codec: chunk.compression() };
        let pages = SerializedPageReader::new(Arc::new(source), chunk, rows, None)?;
        Ok(Box::new(CheckedPages { pages, levels, has_dictionary: false }))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, _: Option<Type>) -> Result<RowIter<'_>> {
        Err(damaged("rows are read by columns"))
    }
}

/// How many bits a level takes.
fn width_of(level_max: i16) -> u32 {
    16 - level_max.leading_zeros()
}

struct CheckedPages<R: ChunkReader> {
    pages: SerializedPageReader<PageSource<R>>,
    /// How many bits a repetition and a definition level take.
    levels: [u32; 2],
    has_dictionary: bool,
}

impl<R: ChunkReader> CheckedPages<R> {
    fn check(&mut self, page: &Page) -> Result<()> {
        match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                self.has_dictionary = true;
                match *num_values == 0 && !buf.is_empty() {
                    true => Err(damaged("a dictionary without values has data")),
                    false => Ok(()),
                }
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                self.check_encoding(*encoding)?;
                let mut rest = &buf[..];
                for (width, encoding) in self.levels.into_iter().zip([rep_level_encoding, def_level_encoding]) {
                    if width > 0 {
                        let length = levels_length(rest, width, *num_values, *encoding)?;
                        rest = &rest[length..];
                    }
                }
                Ok(())
            }
            Page::DataPageV2 { buf, num_values, encoding, rep_levels_byte_len, def_levels_byte_len, .. } => {
                self.check_encoding(*encoding)?;
                let mut rest = &buf[..];
                for (width, length) in self.levels.into_iter().zip([*rep_levels_byte_len, *def_levels_byte_len]) {
                    let levels = rest.get(..length as usize).ok_or_else(too_short)?;
                    rest = &rest[length as usize..];
                    if width > 0 {
                        check_runs(levels, width, *num_values)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn check_encoding(&self, encoding: Encoding) -> Result<()> {
        match encoding {
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY if !self.has_dictionary => {
                Err(damaged("a page refers to a dictionary that is not there"))
            }
            Encoding::BYTE_STREAM_SPLIT => {
                Err(damaged("a page has the encoding BYTE_STREAM_SPLIT; rewrite the file without it"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: ChunkReader + 'static> PageReader for CheckedPages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl<R: ChunkReader + 'static> Iterator for CheckedPages<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn damaged(detail: &str) -> ParquetError {
    ParquetError::General(detail.to_owned())
}

fn too_short() -> ParquetError {
    damaged("a page is shorter than its levels")
}

/// Checks the levels at the beginning of a page of the first version and gives their length in bytes.
fn levels_length(page: &[u8], width: u32, count: u32, encoding: Encoding) -> Result<usize> {
    if encoding == Encoding::RLE {
        let length = page.first_chunk::<4>().ok_or_else(too_short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let runs = page[4..].get(..length).ok_or_else(too_short)?;
        check_runs(runs, width, count)?;
        return Ok(4 + length);
    }
    let length = (u64::from(count) * u64::from(width)).div_ceil(8) as usize;
    page.get(..length).map(<[u8]>::len).ok_or_else(too_short)
}

/// Checks that runs of repeated or packed values hold `count` values of `width` bits.
fn check_runs(mut runs: &[u8], width: u32, count: u32) -> Result<()> {
    let mut left = u64::from(count);
    while left > 0 {
        let header = take_varint(&mut runs).ok_or_else(too_short)?;
        let (values, bits) = match header & 1 {
            1 => ((header >> 1).saturating_mul(8), (header >> 1).saturating_mul(8).min(left) * u64::from(width)),
            _ => (header >> 1, u64::from(width.div_ceil(8)) * 8),
        };
        if values == 0 || bits.div_ceil(8) > runs.len() as u64 {
            return Err(too_short());
        }
        // Only the last run may end before its group of eight values does.
        let stored = if header & 1 == 1 { (header >> 1).saturating_mul(u64::from(width)) } else { bits.div_ceil(8) };
        runs = &runs[usize::try_from(stored).unwrap_or(usize::MAX).min(runs.len())..];
        left = left.saturating_sub(values);
    }
    Ok(())
}

/// A number of seven bits a byte, the lowest first.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_must_hold_the_values_that_the_page_counts() {
        // Five times 1, then one packed group of eight.
        let runs = [5 << 1, 1, 1 << 1 | 1, 0b1010_1010];
        assert!(check_runs(&runs, 1, 13).is_ok());
        assert!(check_runs(&runs, 1, 6).is_ok());
        assert!(check_runs(&runs, 1, 14).is_err());
        assert!(check_runs(&runs[..3], 1, 6).is_err(), "the packed group is missing");
        assert!(check_runs(&[0], 1, 1).is_err(), "a run of nothing never ends");
        assert!(check_runs(&[0xFF; 8], 1, 1).is_err(), "a number of more than 32 bits");
        // Two groups of eight values of two bits are four bytes.
        let packed = [2 << 1 | 1, 0, 0, 0];
        assert!(check_runs(&packed, 2, 12).is_ok(), "the last group may be cut where its values end");
        assert!(check_runs(&packed, 2, 13).is_err());
    }

    #[test]
    fn a_level_takes_as_many_bits_as_its_maximum() {
        assert_eq!([0, 1, 2, 3, 4].map(width_of), [0, 1, 2, 2, 3]);
    }
}
