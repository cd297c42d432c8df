//! A batch for the host: as many rows as it asked for, or fewer where they are large, so that memory stays flat.

use hilora_plugin_sdk::loader::{LoadError, LoadedRow};

use crate::json_lines::text_bytes;

/// A batch ends with the row that brings its text to this many bytes.
const TEXT_BYTES: usize = 8 << 20;

/// Takes rows from `next` until it has none, `rows_max` are there, or the batch is large.
pub fn fill(
    rows_max: u32,
    mut next: impl FnMut() -> Result<Option<LoadedRow>, LoadError>,
) -> Result<Vec<LoadedRow>, LoadError> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    while rows.len() < rows_max as usize && bytes < TEXT_BYTES {
        let Some(row) = next()? else { break };
        bytes += text_bytes(&row);
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::types::SkippedRow;

    use super::*;

    fn row(bytes: usize) -> LoadedRow {
        LoadedRow::Skipped(SkippedRow { id: None, reason: "large".to_owned(), detail: "x".repeat(bytes) })
    }

    #[test]
    fn a_batch_ends_with_rows_max_with_8_mib_or_with_the_rows() {
        let rows_of = |bytes: usize, rows: usize| {
            let mut left = rows;
            let next = || {
                let more = left > 0;
                left = left.saturating_sub(1);
                Ok(more.then(|| row(bytes)))
            };
            fill(10, next).expect("no row fails").len()
        };
        assert_eq!(rows_of(1, 20), 10);
        assert_eq!(rows_of(1, 7), 7);
        assert_eq!(rows_of(3 << 20, 20), 3);
        assert_eq!(rows_of(100 << 20, 20), 1, "the largest row is still handed over");
        assert_eq!(rows_of(1, 0), 0);
    }
}
