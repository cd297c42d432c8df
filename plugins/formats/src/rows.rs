//! The rows of a file of columns, one after the other over its decoded batches.

use arrow_array::RecordBatch;
use hilora_plugin_sdk::loader::LoadError;

use crate::cell::Row;

/// Decodes a file batch by batch; `None` at the end.
pub(crate) trait Batches {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, LoadError>;
}

/// A file that is being decoded.
pub struct Rows {
    batches: Box<dyn Batches>,
    batch: Option<RecordBatch>,
    next_in_batch: usize,
}

impl Rows {
    pub(crate) fn new(batches: impl Batches + 'static) -> Self {
        Self { batches: Box::new(batches), batch: None, next_in_batch: 0 }
    }

    /// The next row; `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, LoadError> {
        while self.batch.as_ref().is_none_or(|batch| self.next_in_batch >= batch.num_rows()) {
            // The old batch goes before the next is read, so that memory holds one.
            self.batch = None;
            self.next_in_batch = 0;
            match self.batches.next_batch()? {
                Some(decoded) => self.batch = Some(decoded),
                None => return Ok(None),
            }
        }
        let index = self.next_in_batch;
        self.next_in_batch += 1;
        Ok(self.batch.as_ref().map(|batch| Row::new(batch, index)))
    }
}
