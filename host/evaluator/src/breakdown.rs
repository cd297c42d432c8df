//! A breakdown: a comparison told apart by groups of problems, such as domains or families. Small groups have wide
//! intervals; a breakdown explains a result and decides nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::comparison::improvement_points;
use super::{Comparison, Estimate, ProblemOutcome};

/// The scores of each group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breakdown {
    /// What the groups are: `domain`, `family`.
    pub by: String,
    /// Each group, by name.
    pub groups: Vec<GroupScore>,
}

/// One group's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupScore {
    /// The group's name.
    pub group: String,
    /// How many problems are in it.
    pub problems: u64,
    /// The base's pass@1.
    pub base: Estimate,
    /// The adapter's pass@1.
    pub adapter: Estimate,
    /// The paired difference, in points.
    pub improvement_points: Estimate,
}

impl Breakdown {
    /// Groups a comparison's problems by what `group_of` says of each.
    pub fn of(by: &str, comparison: &Comparison, seed: u64, group_of: impl Fn(&ProblemOutcome) -> String) -> Self {
        let mut groups: BTreeMap<String, Vec<(&ProblemOutcome, &ProblemOutcome)>> = BTreeMap::new();
        for pair in comparison.base.outcomes.iter().zip(&comparison.adapter.outcomes) {
            groups.entry(group_of(pair.0)).or_default().push(pair);
        }
        let groups = groups.into_iter().map(|(group, pairs)| score(group, &pairs, seed)).collect();
        Self { by: by.to_owned(), groups }
    }

    /// Groups by domain.
    pub fn by_domain(comparison: &Comparison, seed: u64) -> Self {
        Self::of("domain", comparison, seed, |outcome| outcome.domain.to_string())
    }
}

fn score(group: String, pairs: &[(&ProblemOutcome, &ProblemOutcome)], seed: u64) -> GroupScore {
    let mean = |pick: fn(&(&ProblemOutcome, &ProblemOutcome)) -> f64| {
        Estimate::of_mean(pairs.iter().map(pick).sum::<f64>() / pairs.len() as f64, pairs.len())
    };
    GroupScore {
        group,
        problems: pairs.len() as u64,
        base: mean(|(base, _)| base.score()),
        adapter: mean(|(_, adapter)| adapter.score()),
        improvement_points: improvement_points(pairs, seed),
    }
}

/// The family that a numbered title belongs to: the title without the number at its end.
pub fn family_of_title(title: &str) -> &str {
    title.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_whitespace() || "#-_.:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::outcome;
    use crate::{Evaluation, EvaluatorError};

    #[test]
    fn groups_add_up() -> Result<(), EvaluatorError> {
        let evaluation = |right: [usize; 3]| {
            let outcomes = ["sum 1", "sum 2", "sort #3"].iter().zip(right).map(|(title, c)| outcome(title, c, 2));
            Evaluation::of_outcomes(outcomes.collect(), &[1])
        };
        let comparison = Comparison::of(evaluation([0, 1, 0])?, evaluation([2, 1, 2])?, 3)?;
        let breakdown = Breakdown::of("family", &comparison, 3, |outcome| family_of_title(&outcome.title).to_owned());
        let rows: Vec<_> = breakdown
            .groups
            .iter()
            .map(|row| (row.group.as_str(), row.problems, row.base.value, row.improvement_points.value))
            .collect();
        assert_eq!(rows, [("sort", 1, 0.0, 100.0), ("sum", 2, 0.25, 50.0)]);
        Ok(())
    }
}
