//! Reads every row of the files with the loader compiled natively and counts: what `cargo xtask bench prepare` holds the
//! component against. Arguments: the files. Prints one JSON object.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use codecontests::CodeContests;
use hilora_plugin_sdk::loader::{DatasetLoader, DatasetReader, LoadError, LoadedRow, SourceFile};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows asked for at once, as the host does.
const ROWS_PER_BATCH: u32 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let paths = std::env::args_os().skip(1);
    let files = paths.map(|path| SourceFile::open(Path::new(&path))).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let (rows, skipped) = count(files).map_err(|error| format!("{error:?}"))?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), r#"{{"rows": {rows}, "skipped": {skipped}, "seconds": {seconds}}}"#)?;
    Ok(())
}

fn count(files: Vec<SourceFile>) -> Result<(usize, usize), LoadError> {
    let mut reader = CodeContests::open(files, "{}")?;
    let (mut rows, mut skipped) = (0, 0);
    loop {
        let batch = reader.next_batch(ROWS_PER_BATCH)?;
        if batch.is_empty() {
            return Ok((rows, skipped));
        }
        rows += batch.len();
        skipped += batch.iter().filter(|row| matches!(row, LoadedRow::Skipped(_))).count();
    }
}
