//! The record of an evaluation of given completions: what was measured, of what, and what became of each answer. It is an
//! `Evaluation` by itself: there is no base beside it, and no gate decides by it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::benchmark_record::Contamination;
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome};
use super::given_answers::GivenAccount;
use super::interval::Estimate;
use super::json_file::{GIVEN_COMPLETIONS, JsonFile, write_json};

/// Names that are listed before the rest is only counted.
const NAMES_SHOWN_MAX: usize = 5;

/// An evaluation of given completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletionsRecord {
    /// `STATISTICS` of the program that computed the figures.
    #[serde(default)]
    pub statistics: u32,
    /// The benchmark's name, or that of the file of problems.
    pub benchmark: String,
    /// What made the measurement, by name: hashes of the completions and problems, plugins, the code's version, what is known
    /// of the prompt and of the training data.
    pub made_from: BTreeMap<String, String>,
    /// Rows of the problems' files that are no problem, by reason.
    pub skipped_problems: BTreeMap<String, u64>,
    /// What became of the completions.
    pub completions: GivenAccount,
    /// What is known of the problems in the data that the model learned from.
    #[serde(default)]
    pub contamination: Contamination,
    /// The rates.
    pub evaluation: Evaluation,
    /// The rates without the problems that this data shares too much with; none if there are no such problems, or no
    /// others.
    #[serde(default)]
    pub without_contaminated: Option<CleanRates>,
}

/// The rates over the problems that are not in the training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanRates {
    /// How many problems.
    pub problems: u64,
    /// pass@k by k.
    pub pass_at: BTreeMap<u32, Estimate>,
}

impl CleanRates {
    /// The rates of an evaluation without the problems that are contaminated.
    pub fn of(evaluation: &Evaluation, contamination: &Contamination) -> Result<Option<Self>, EvaluatorError> {
        let is_clean = |outcome: &&ProblemOutcome| !contamination.problems.contains_key(&outcome.id);
        let clean: Vec<ProblemOutcome> = evaluation.outcomes.iter().filter(is_clean).cloned().collect();
        if clean.is_empty() || clean.len() == evaluation.outcomes.len() {
            return Ok(None);
        }
        let every_k: Vec<u32> = evaluation.pass_at.keys().copied().collect();
        let Evaluation { problems, pass_at, .. } = Evaluation::of_uneven_outcomes(clean, &every_k)?;
        Ok(Some(Self { problems, pass_at }))
    }
}

impl CompletionsRecord {
    /// Writes the record atomically.
    pub fn write(&self, path: &Path) -> Result<(), EvaluatorError> {
        write_json(path, self)
    }
}

impl JsonFile for CompletionsRecord {
    const EXPECTED: &'static str = GIVEN_COMPLETIONS;
    const HINT: &'static str = "`hilora-host evaluate --completions FILE --output FILE` writes it";
}

/// The first names, and how many more there are.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let mut text = names.take(NAMES_SHOWN_MAX).collect::<Vec<_>>().join(", ");
    if count > NAMES_SHOWN_MAX {
        text.push_str(&format!(" and {} more", count - NAMES_SHOWN_MAX));
    }
    text
}

/// A number of things: `1 answer`, `2 answers`.
fn number_of(count: u64, thing: &str) -> String {
    if count == 1 { format!("{count} {thing}") } else { format!("{count} {thing}s") }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn counted(counts: &BTreeMap<String, u64>) -> String {
    let each: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    each.join(", ")
}

impl fmt::Display for CompletionsRecord {
    /// As a person reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { benchmark, completions, evaluation, .. } = self;
        let (least, most) = completions.answers_per_problem;
        let each = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        let (problems, plural) = (number_of(evaluation.problems, "problem"), if most == 1 { "" } else { "s" });
        writeln!(f, "{benchmark}: {problems}, {each} answer{plural} each, 95 % intervals\n")?;
        for (k, estimate) in &evaluation.pass_at {
            let name = format!("pass@{k}");
            writeln!(f, "{name:<24} {:.3} [{:.2}, {:.2}]", estimate.value, estimate.low, estimate.high)?;
        }
        if let Some(CleanRates { problems, pass_at }) = &self.without_contaminated {
            let which = number_of(*problems, "problem");
            writeln!(f, "of {which} that the training data does not have")?;
            for (k, estimate) in pass_at {
                let name = format!("  pass@{k}");
                writeln!(f, "{name:<24} {:.3} [{:.2}, {:.2}]", estimate.value, estimate.low, estimate.high)?;
            }
        }
        writeln!(f, "{:<24} {:.1} %\n", "answers that do not run", 100.0 * evaluation.error_rate.value)?;
        for (verdict, count) in &evaluation.verdicts {
            writeln!(f, "  {count:>6}  {verdict}")?;
        }
        let mut notes = Vec::new();
        if completions.not_judged > 0 {
            let which = number_of(completions.not_judged, "answer");
            notes.push(format!("not judged, by no fault of theirs, and counted as wrong: {which}"));
        }
        if !completions.unsupported.is_empty() {
            let which = counted(&completions.unsupported);
            notes.push(format!("need what the sandbox does not have, and count as wrong: {which}"));
        }
        if !completions.problems_without_answers.is_empty() {
            let names = &completions.problems_without_answers;
            let which = listed(names.iter().map(String::as_str));
            notes.push(format!(
                "without an answer, and in no rate: {} ({which})",
                number_of(names.len() as u64, "problem")
            ));
        }
        if !completions.of_unknown_problems.is_empty() {
            let unknown = &completions.of_unknown_problems;
            let (count, which) = (unknown.values().sum(), listed(unknown.keys().map(String::as_str)));
            let problems = number_of(unknown.len() as u64, "problem");
            notes.push(format!(
                "to {problems} that {} not here: {} ({which})",
                are(unknown.len()),
                number_of(count, "answer")
            ));
        }
        if completions.repeated > 0 {
            let which = number_of(completions.repeated, "answer");
            notes.push(format!("the same as another to its problem, word for word, and counted: {which}"));
        }
        if completions.of_other_filters > 0 {
            let which = number_of(completions.of_other_filters, "row");
            notes.push(format!("the responses of others once more for another filter, not counted: {which}"));
        }
        if !self.skipped_problems.is_empty() {
            notes.push(format!("rows that are no problem: {}", counted(&self.skipped_problems)));
        }
        notes.push(format!("layout of the completions: {}", completions.layout));
        for what in ["prompt", "training data check"] {
            notes.extend(self.made_from.get(what).map(|words| format!("{what}: {words}")));
        }
        write!(f, "\n{}", notes.join("\n"))
    }
}
