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
    /// None once it has said that nothing follows: a damaged file may go on behind its own end.
    batches: Option<Box<dyn Batches>>,
    batch: Option<RecordBatch>,
    next_in_batch: usize,
}

impl Rows {
    pub(crate) fn new(batches: impl Batches + 'static) -> Self {
        Self { batches: Some(Box::new(batches)), batch: None, next_in_batch: 0 }
    }

    /// The next row; `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, LoadError> {
        while self.batch.as_ref().is_none_or(|batch| self.next_in_batch >= batch.num_rows()) {
            // The old batch goes before the next is read, so that memory holds one.
            self.batch = None;
            self.next_in_batch = 0;
            let Some(batches) = &mut self.batches else { return Ok(None) };
            match batches.next_batch()? {
                Some(decoded) => self.batch = Some(decoded),
                None => self.batches = None,
            }
        }
        let index = self.next_in_batch;
        self.next_in_batch += 1;
        Ok(self.batch.as_ref().map(|batch| Row::new(batch, index)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::Schema;

    use super::*;

    /// Says once that nothing follows, and then fails.
    struct EndsAndFails(u32);

    impl Batches for EndsAndFails {
        fn next_batch(&mut self) -> Result<Option<RecordBatch>, LoadError> {
            self.0 += 1;
            match self.0 {
                1 => Ok(Some(RecordBatch::new_empty(Arc::new(Schema::empty())))),
                2 => Ok(None),
                _ => Err(LoadError::Unreadable("behind the end".to_owned())),
            }
        }
    }

    #[test]
    fn the_end_stays_the_end() {
        let mut rows = Rows::new(EndsAndFails(0));
        for _ in 0..3 {
            assert!(matches!(rows.next_row(), Ok(None)));
        }
    }
}
