//! An evaluation set: problems that the model is measured on, from which no training problem may be taken.

use std::collections::BTreeMap;

use super::account::skipped_words;
use super::config::EvaluationSetConfig;
use super::entry::Fingerprint;
use super::error::{PrepareError, SHOWN_MAX};
use super::fingerprint::Words;
use super::inputs::{PrepareInputs, SetInputs};
use super::load::{ROWS_PER_BATCH, RowReader, SourceLimits};
use super::manifest::DecontaminatedSet;
use super::words_file::WordsFile;
use hilora_contract::plugin::{DatasetLoader, LoadedRow};

/// A problem of an evaluation set as it is compared.
pub(super) struct Measured {
    pub(super) id: String,
    pub(super) text: Fingerprint,
}

impl Measured {
    /// Its words are added to the file.
    pub(super) fn new(id: String, statement: &str, file: &mut WordsFile) -> Self {
        let words = Words::of_text(statement);
        Self { id, text: Fingerprint { bands: words.shingles().bands(), words: file.add(&words) } }
    }
}

/// An evaluation set: its name, its problems, and what the report says of it.
pub(super) struct EvaluationSet {
    pub(super) report: DecontaminatedSet,
    pub(super) problems: Vec<Measured>,
}

/// Refuses a loader that reads another format.
pub(super) fn check_source(loader: &dyn DatasetLoader, wanted: &str) -> Result<(), PrepareError> {
    let served = loader.describe()?.source;
    if served == wanted {
        return Ok(());
    }
    let loader = loader.identity().clone();
    Err(PrepareError::SourceMismatch { loader, served, wanted: wanted.to_owned() })
}

/// Reads the problems that the model will be measured on elsewhere; `None` once it was asked to stop.
pub(super) fn evaluation_sets(
    inputs: &PrepareInputs<'_>,
    words: &mut WordsFile,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Vec<EvaluationSet>>, PrepareError> {
    let mut sets = Vec::new();
    let config = inputs.config;
    for (set, inputs) in config.decontaminate.iter().zip(inputs.sets) {
        let limits = SourceLimits::of(config, &set.files);
        let Some(set) = evaluation_set(set, inputs, limits, words, stop)? else { return Ok(None) };
        sets.push(set);
    }
    Ok(Some(sets))
}

fn evaluation_set(
    set: &EvaluationSetConfig,
    SetInputs { files, loader }: &SetInputs,
    limits: SourceLimits,
    words: &mut WordsFile,
    stop: &dyn Fn() -> bool,
) -> Result<Option<EvaluationSet>, PrepareError> {
    let loader = &**loader;
    check_source(loader, &set.source)?;
    let mut report = DecontaminatedSet::named(&set.name);
    report.files = files.clone();
    let mut reader = RowReader::open(loader, &set.files, &set.options, ROWS_PER_BATCH, limits)?;
    let mut problems = Vec::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut first = Vec::new();
    loop {
        if stop() {
            return Ok(None);
        }
        let rows = reader.next_batch()?;
        if rows.is_empty() {
            break;
        }
        for (number, row) in rows {
            match row {
                LoadedRow::Problem(problem) => {
                    problems.push(Measured::new(problem.text.id, &problem.text.statement, words));
                }
                LoadedRow::Conversation(conversation) => {
                    let said: Vec<String> = conversation.messages.into_iter().map(|message| message.content).collect();
                    problems.push(Measured::new(conversation.id, &said.join("\n\n"), words));
                }
                LoadedRow::Policy(example) => problems.push(Measured::new(example.id, &example.instruction, words)),
                LoadedRow::Skipped(row) => {
                    if first.len() < SHOWN_MAX {
                        first.push(skipped_words(number, row.id.as_deref(), &row.reason, &row.detail));
                    }
                    *skipped.entry(row.reason).or_default() += 1;
                }
            }
        }
        words.flush()?;
    }
    if problems.is_empty() {
        let reasons: Vec<String> = skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let skipped = if reasons.is_empty() { "none skipped".to_owned() } else { reasons.join(", ") };
        let (set, rows) = (set.name.clone(), reader.rows_read());
        return Err(PrepareError::EmptyEvaluationSet { set, rows, skipped, first });
    }
    Ok(Some(EvaluationSet { report, problems }))
}
