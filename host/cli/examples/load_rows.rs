//! Reads every row of a dataset through a loader component and counts: what `cargo xtask bench prepare` holds against the
//! same loader compiled natively. Arguments: the component, then the files. Prints one JSON object.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use hilora_contract::plugin::{LoadedRow, LoaderOptions};
use hilora_wasm::{HostOptions, PluginHost};

/// The host's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows asked for at once, as `prepare` does.
const ROWS_PER_BATCH: u32 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let component = arguments.next().ok_or("expected a component and files")?;
    let files: Vec<PathBuf> = arguments.collect();
    // Compiling the component is done once and kept, so it is not part of the time.
    let loader = PluginHost::new(&HostOptions::default())?.loader(&component)?;
    let started = Instant::now();
    let mut reader = loader.open(&files, &LoaderOptions::new())?;
    let (mut rows, mut skipped) = (0_u64, 0_u64);
    loop {
        let batch = reader.next_batch(ROWS_PER_BATCH)?;
        if batch.is_empty() {
            break;
        }
        rows += batch.len() as u64;
        skipped += batch.iter().filter(|row| matches!(row, LoadedRow::Skipped(_))).count() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), r#"{{"rows": {rows}, "skipped": {skipped}, "seconds": {seconds}}}"#)?;
    Ok(())
}
