//! The breakdowns of a run: the result told apart by domain, and by what of a held-out problem the training set had.
//!
//! "Seen" is a property of the run's own split, read from its files: a family is seen where a training problem has
//! the same title but for its number, a number where it stands in a training statement.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::job::Job;
use super::train::read_examples;
use crate::dataset::EvaluationProblem;
use crate::evaluator::{Breakdown, Comparison, family_of_title};
use crate::pipeline::{Fate, PrepareManifest, Side};

/// Every breakdown of a comparison.
pub(super) fn breakdowns(job: &Job, comparison: &Comparison, problems: &[EvaluationProblem]) -> Result<Vec<Breakdown>> {
    let seed = job.config.seed;
    let manifest = std::fs::read(job.path("manifest.json")).context("cannot read manifest.json")?;
    let manifest: PrepareManifest = serde_json::from_slice(&manifest).context("manifest.json")?;
    let families: BTreeSet<&str> = manifest
        .fates
        .iter()
        .filter(|row| matches!(row.fate, Fate::Accepted { side: Side::Train, .. }))
        .filter_map(|row| row.id.as_deref())
        .map(family_of_title)
        .collect();
    let examples = read_examples(&job.data_file("train"))?;
    let learned: BTreeSet<&str> = examples.iter().flat_map(|example| numbers(&example.problem)).collect();
    let statements: BTreeMap<&str, &str> =
        problems.iter().map(|problem| (problem.text.id.as_str(), problem.text.statement.as_str())).collect();
    let seen = |yes: bool| if yes { "seen in training" } else { "not seen in training" }.to_owned();
    Ok(vec![
        Breakdown::by_domain(comparison, seed),
        Breakdown::of("family", comparison, seed, |outcome| seen(families.contains(family_of_title(&outcome.title)))),
        Breakdown::of("numbers", comparison, seed, |outcome| {
            let statement = statements.get(outcome.id.as_str()).copied().unwrap_or_default();
            seen(numbers(statement).all(|number| learned.contains(number)))
        }),
    ])
}

/// The runs of digits in a text.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_numbers_of_a_statement() {
        assert_eq!(numbers("Keep those above 13, then add 2 to x7.").collect::<Vec<_>>(), ["13", "2", "7"]);
    }
}
