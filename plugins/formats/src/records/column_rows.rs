//! The rows of a Parquet or an Arrow file, with whatever columns it has, as JSON objects.

use hilora_plugin_sdk::loader::LoadError;

use super::byte_lines::KEPT_BYTES;
use super::record::{Position, ROW_BYTES_MAX, Record, Records};
use crate::rows::Rows;
use crate::skip::Skip;

/// A file of columns that is being read.
pub(super) struct ColumnRows {
    rows: Rows,
    index: u64,
    total: Option<u64>,
    object: Vec<u8>,
}

impl ColumnRows {
    pub(super) fn new(rows: Rows, total: Option<u64>) -> Self {
        Self { rows, index: 0, total, object: Vec::new() }
    }
}

impl Records for ColumnRows {
    fn next(&mut self, _: u64) -> Result<Option<(Position, Record<'_>)>, LoadError> {
        let Some(row) = self.rows.next_row()? else { return Ok(None) };
        self.object.clear();
        self.object.shrink_to(KEPT_BYTES);
        row.write_json(&mut self.object);
        let position = Position::Row(self.index);
        self.index += 1;
        Ok(Some(match self.object.len() > ROW_BYTES_MAX {
            true => {
                let detail = format!("the row has {} bytes, expected at most {ROW_BYTES_MAX}", self.object.len());
                (position, Record::Skipped(Skip::new("row-too-long", detail)))
            }
            false => (position, Record::Text(&self.object)),
        }))
    }

    fn rows_total(&self) -> Option<u64> {
        self.total
    }
}
