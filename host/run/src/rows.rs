//! The rows of a data file, read whole.

use std::path::Path;

use hilora_contract::artifact::{JsonRow, read_json_lines, read_json_lines_watched};

use super::error::RunError;
use super::observer::{RunObserver, Task};

const MEBIBYTE: u64 = 1 << 20;

/// Reads a file of one JSON object per line.
pub fn read_rows<T: JsonRow>(path: &Path) -> Result<Vec<T>, RunError> {
    Ok(read_json_lines(path)?)
}

/// The same, with its progress: training files are large.
pub(crate) fn read_rows_watched<T: JsonRow>(path: &Path, observer: &dyn RunObserver) -> Result<Vec<T>, RunError> {
    let task = observer.begin(Task::brief("read the rows", "MiB"));
    let rows = read_json_lines_watched(path, &mut |read, total| {
        if let Some(total) = total {
            task.set_total(total / MEBIBYTE);
        }
        task.set_done(read / MEBIBYTE);
    })?;
    task.finish();
    Ok(rows)
}
