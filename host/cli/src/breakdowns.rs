//! The breakdowns of a run: the result told apart by domain, and by what of a held-out problem the training set had.
//!
//! "Seen" is a property of the run's own split, read from its files: a family is seen where a training problem has
//! the same title but for its number, a problem's numbers where each stands in a training statement of its family.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::job::Job;
use super::train::read_examples;
use hilora_contract::dataset::EvaluationProblem;
use hilora_evaluator::{Breakdown, Comparison, family_of_title};
use hilora_prepare::{Fate, PrepareManifest, Side};

/// Every breakdown of a comparison.
pub(super) fn breakdowns(job: &Job, comparison: &Comparison, problems: &[EvaluationProblem]) -> Result<Vec<Breakdown>> {
    let seed = job.config.seed;
    let manifest = std::fs::read(job.path("manifest.json")).context("cannot read manifest.json")?;
    let manifest: PrepareManifest = serde_json::from_slice(&manifest).context("manifest.json")?;
    let examples = read_examples(&job.data_file("train"))?;
    // The training file holds the accepted problems' solutions in the manifest's order.
    let mut rows = examples.iter();
    let mut numbers_of_family: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &manifest.fates {
        if let (Fate::Accepted { side: Side::Train, solutions, .. }, Some(id)) = (&row.fate, &row.id) {
            let learned = numbers_of_family.entry(family_of_title(id)).or_default();
            learned.extend(rows.by_ref().take(*solutions).flat_map(|example| numbers(&example.problem)));
        }
    }
    let statements: BTreeMap<&str, &str> =
        problems.iter().map(|problem| (problem.text.id.as_str(), problem.text.statement.as_str())).collect();
    let seen = |yes: bool| if yes { "seen in training" } else { "not seen in training" }.to_owned();
    Ok(vec![
        Breakdown::by_domain(comparison, seed),
        Breakdown::of("family", comparison, seed, |outcome| {
            seen(numbers_of_family.contains_key(family_of_title(&outcome.title)))
        }),
        Breakdown::of("numbers", comparison, seed, |outcome| {
            let learned = numbers_of_family.get(family_of_title(&outcome.title));
            let statement = statements.get(outcome.id.as_str()).copied().unwrap_or_default();
            seen(numbers(statement).all(|number| learned.is_some_and(|learned| learned.contains(number))))
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
