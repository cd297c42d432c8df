//! An evaluation set: problems that the model is measured on, from which no training problem may be taken.

use std::collections::BTreeMap;

use super::account::{reasons_words, skipped_words};
use super::boilerplate::Boilerplate;
use super::config::EvaluationSetConfig;
use super::error::{PrepareError, SHOWN_MAX};
use super::fingerprint::Words;
use super::inputs::{PrepareInputs, SetInputs, paths_of};
use super::load::{ROWS_PER_BATCH, RowReader, SourceLimits};
use super::manifest::DecontaminatedSet;
use super::material::Material;
use super::normal_form::{normalized_code, normalized_statement};
use super::words_file::{Fingerprint, Stretch, WordsFile};
use hilora_contract::artifact::ContentHash;
use hilora_contract::plugin::{DatasetLoader, LoadedRow};

/// A problem of an evaluation set as it is compared.
pub(super) struct Measured {
    pub(super) id: String,
    /// What it asks, as it stands.
    pub(super) text: Stretch,
    /// The same without the boilerplate of its set.
    pub(super) own: Fingerprint,
    /// The stems of what it asks, one for each word.
    pub(super) stems: Stretch,
    /// The policy that it is asked under.
    pub(super) policy: Option<ContentHash>,
    /// Programs that solve it.
    pub(super) code: Vec<Stretch>,
}

impl Measured {
    /// Its words are added to the file.
    pub(super) fn new(id: String, asked: &str, file: &mut WordsFile) -> Self {
        let words = Words::of_text(asked);
        let own = Fingerprint { bands: words.shingles().bands(), words: file.add(&words) };
        let stems = file.add(&Words::stems(asked));
        Self { id, text: own.words, own, stems, policy: None, code: Vec::new() }
    }

    /// A row that is no problem, as rows of the data set are compared.
    fn of_material(material: &Material, file: &mut WordsFile) -> Self {
        let policy = material.policy_text().map(|policy| ContentHash::of(normalized_statement(policy).as_bytes()));
        let code = material.code().iter().map(|code| file.add(&Words::of_code(&normalized_code(code)))).collect();
        Self { policy, code, ..Self::new(material.text.id.clone(), &material.asked(), file) }
    }
}

/// An evaluation set: its problems, their boilerplate, and what the report says of it.
pub(super) struct EvaluationSet {
    pub(super) report: DecontaminatedSet,
    pub(super) problems: Vec<Measured>,
    pub(super) boilerplate: Boilerplate,
    /// Whether its problems are looked for in other words, too.
    pub(super) in_other_words: bool,
}

impl EvaluationSet {
    /// Tells the set's boilerplate from what each problem asks. `others` is the boilerplate of rows that were made together
    /// with the set, if it has such; those are not taken for paraphrases of each other.
    pub(super) fn new(
        report: DecontaminatedSet,
        mut problems: Vec<Measured>,
        others: Option<&Boilerplate>,
        words: &mut WordsFile,
    ) -> Result<Self, PrepareError> {
        let texts: Vec<Stretch> = problems.iter().map(|problem| problem.text).collect();
        let mut boilerplate = Boilerplate::of(&texts, words)?;
        if let Some(others) = others {
            boilerplate = boilerplate.and(others);
        }
        let own = boilerplate.fingerprints(&texts, words)?;
        for (problem, own) in problems.iter_mut().zip(own) {
            problem.own = own.unwrap_or(problem.own);
        }
        Ok(Self { report, problems, boilerplate, in_other_words: others.is_none() })
    }
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
        let limits = SourceLimits::of(config, &paths_of(&inputs.files));
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
    report.files = files.iter().map(|file| file.input.clone()).collect();
    let mut reader = RowReader::open(loader, &paths_of(files), &set.options, ROWS_PER_BATCH, limits)?;
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
        for (row, loaded) in rows {
            match loaded {
                LoadedRow::Problem(problem) => {
                    let programs = problem.solutions.iter().map(|solution| &solution.code);
                    let code = programs.map(|code| words.add(&Words::of_code(&normalized_code(code)))).collect();
                    let text = problem.text;
                    problems.push(Measured { code, ..Measured::new(text.id, &text.statement, words) });
                }
                LoadedRow::Conversation(conversation) => {
                    problems.push(Measured::of_material(&Material::conversation(row, conversation), words));
                }
                LoadedRow::Policy(example) => {
                    problems.push(Measured::of_material(&Material::policy(row, example), words));
                }
                LoadedRow::Skipped(skip) => {
                    if first.len() < SHOWN_MAX {
                        first.push(skipped_words(row, skip.id.as_deref(), &skip.reason, &skip.detail));
                    }
                    *skipped.entry(skip.reason).or_default() += 1;
                }
            }
        }
        words.flush()?;
    }
    if problems.is_empty() {
        let reasons = skipped.iter().map(|(reason, count)| (*count, reason.as_str())).collect();
        let skipped = reasons_words(reasons).unwrap_or_else(|| "none skipped".to_owned());
        let (set, rows) = (set.name.clone(), reader.rows_read());
        return Err(PrepareError::EmptyEvaluationSet { set, rows, skipped, first });
    }
    Ok(Some(EvaluationSet::new(report, problems, None, words)?))
}
