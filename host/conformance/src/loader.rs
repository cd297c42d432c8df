//! What a loader is asked. Only its cases bring files of its format; all other files it may refuse.

use std::path::{Path, PathBuf};

use hilora_contract::plugin::{DatasetLoader, LoadedRow, LoaderOptions, PluginError};

use super::inputs::{damaged, hostile_bytes};
use super::{Case, CaseError, Check, Meter, Report, answered, folder, write};

/// How many rows are asked for at a time.
const BATCHES: [u32; 3] = [1, 7, 1_000];
/// At how many places a file of a case is damaged, in two ways each.
const DAMAGED_PLACES: usize = 12;
/// A loader that yields so many rows of a hostile file goes on for ever.
const ROWS_MAX: usize = 2_000_000;
/// An option that no loader has.
const NO_OPTION: &str = "an option that no loader has";

pub(crate) fn examine(
    loader: &dyn DatasetLoader,
    cases: &[Case],
    meter: &dyn Meter,
    report: &mut Report,
) -> Result<(), CaseError> {
    let mut described = Check::new("it describes itself");
    described.ask("describe", loader.describe().map(drop).map_err(|error| error.to_string()));
    report.add(described);

    let folder = folder()?;
    let none = LoaderOptions::new();
    let mut options = Check::new("unknown options are refused");
    let unknown: LoaderOptions = [(NO_OPTION.to_owned(), true.into())].into_iter().collect();
    options.ask(
        NO_OPTION,
        match answered(loader.open(&[], &unknown)) {
            Ok(Some(_)) => Err("they were taken".to_owned()),
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        },
    );
    report.add(options);

    let mut files = Check::new("hostile files are read, skipped or refused");
    for (name, bytes) in hostile_bytes() {
        for extension in ["jsonl", "csv"] {
            let path = folder.path().join(format!("hostile.{extension}"));
            write(&path, &bytes)?;
            files.ask(name, answered(read(loader, &[path], &none, 1_000)).map(drop));
        }
    }
    report.add(files);

    let mut batches = Check::new("the rows do not depend on how many are asked for");
    let mut torn = Check::new("damaged files are read, skipped or refused");
    let mut costs = Vec::new();
    for case in cases {
        let question = case.loader()?;
        meter.take();
        let one_at_a_time = answered(read(loader, &question.files, &question.options, BATCHES[0]));
        let used = meter.take();
        if let Ok(Some(rows)) = &one_at_a_time {
            // A reader has one instance for all rows: what it used is shared among them.
            let records = rows.len().max(1) as u64;
            let shared = super::Usage { fuel: used.fuel / records, cpu_time_us: used.cpu_time_us / records, ..used };
            costs.extend(std::iter::repeat_n(shared, rows.len()));
        }
        for rows_max in &BATCHES[1..] {
            let rows = answered(read(loader, &question.files, &question.options, *rows_max));
            let alike = rows == one_at_a_time;
            batches.ask(&case.place, if alike { Ok(()) } else { Err(format!("other rows by {rows_max} than by 1")) });
        }
        for file in &question.files {
            let bytes = std::fs::read(file).map_err(|error| CaseError::Unreadable { path: file.clone(), error })?;
            let name = file.file_name().unwrap_or(Path::new("damaged").as_os_str());
            let path = folder.path().join(name);
            for bytes in damaged(&bytes, DAMAGED_PLACES) {
                write(&path, &bytes)?;
                let rows = answered(read(loader, std::slice::from_ref(&path), &question.options, 1_000));
                torn.ask(&case.place, rows.map(drop));
            }
        }
    }
    for check in [batches, torn] {
        report.add(if cases.is_empty() { Check::skipped(check.name, "there are no cases with files") } else { check });
    }
    report.measured(&costs);
    Ok(())
}

fn read(
    loader: &dyn DatasetLoader,
    files: &[PathBuf],
    options: &LoaderOptions,
    rows_max: u32,
) -> Result<Vec<LoadedRow>, PluginError> {
    let mut reader = loader.open(files, options)?;
    let mut rows = Vec::new();
    while rows.len() < ROWS_MAX {
        let batch = reader.next_batch(rows_max)?;
        if batch.is_empty() {
            break;
        }
        rows.extend(batch);
    }
    Ok(rows)
}
