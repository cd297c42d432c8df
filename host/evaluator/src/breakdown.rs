//! A breakdown: a comparison told apart by groups of problems, such as domains. Small groups have wide intervals; a
//! breakdown explains a result. Of many groups some differ by chance, so their p values are adjusted together, over all
//! groups of all breakdowns.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::comparison::{Comparison, Pair, improvement_points, p_value};
use super::facet::Facet;
use super::interval::Estimate;
use super::nearest_copy::NearestCopy;
use super::paired_test::holm;
use hilora_contract::dataset::EvaluationProblem;

/// The scores of each group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breakdown {
    /// What the groups are: `domain`, `difficulty`, `tag`, an attribute's name, or the `similarity` to the nearest
    /// training problem.
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
    /// Which problems.
    #[serde(default)]
    pub ids: Vec<String>,
    /// The base's pass@1.
    pub base: Estimate,
    /// The adapter's pass@1.
    pub adapter: Estimate,
    /// The paired difference, in points.
    pub improvement_points: Estimate,
    /// How likely a difference at least as great would be if neither were better (`paired_test`).
    #[serde(default)]
    pub p_value: f64,
    /// The same, adjusted by Holm's method over all groups of the record.
    #[serde(default)]
    pub p_holm: f64,
}

impl Breakdown {
    /// A breakdown for each facet that tells the problems apart.
    pub fn all(comparison: &Comparison, problems: &[EvaluationProblem], nearest: Option<&NearestCopy>) -> Vec<Self> {
        let facets = Facet::all(problems, nearest).into_iter();
        Self::adjusted(facets.map(|facet| Self::of(facet.name, facet.groups, comparison)).collect())
    }

    /// The same breakdowns with the p values of all their groups adjusted together.
    pub(crate) fn adjusted(mut breakdowns: Vec<Self>) -> Vec<Self> {
        let p_values: Vec<f64> = breakdowns.iter().flat_map(|one| &one.groups).map(|group| group.p_value).collect();
        let groups = breakdowns.iter_mut().flat_map(|one| &mut one.groups);
        groups.zip(holm(&p_values)).for_each(|(group, p_holm)| group.p_holm = p_holm);
        breakdowns
    }

    /// The scores of groups of problems, each given by its ids. An id that was not measured counts nowhere. The p values
    /// are those of each group alone until they are `adjusted`.
    pub fn of(by: String, groups: impl IntoIterator<Item = (String, Vec<String>)>, comparison: &Comparison) -> Self {
        let pairs = comparison.base.outcomes.iter().zip(&comparison.adapter.outcomes);
        let pairs: HashMap<&str, Pair<'_>> = pairs.map(|pair| (pair.0.id.as_str(), pair)).collect();
        let groups = groups.into_iter().map(|(group, ids)| {
            let members: Vec<Pair<'_>> = ids.iter().filter_map(|id| pairs.get(id.as_str()).copied()).collect();
            score(group, ids, &members)
        });
        Self { by, groups: groups.collect() }
    }

    /// The same groups with their scores computed again.
    pub(crate) fn computed_again(breakdowns: &[Self], comparison: &Comparison) -> Vec<Self> {
        let again = |breakdown: &Self| {
            let groups: Vec<_> = breakdown.groups.iter().map(|row| (row.group.clone(), row.ids.clone())).collect();
            Self::of(breakdown.by.clone(), groups, comparison)
        };
        Self::adjusted(breakdowns.iter().map(again).collect())
    }

    /// Whether a problem is in several groups.
    pub(crate) fn overlaps(&self, comparison: &Comparison) -> bool {
        self.groups.iter().map(|group| group.problems).sum::<u64>() > comparison.base.problems
    }
}

fn score(group: String, ids: Vec<String>, pairs: &[Pair<'_>]) -> GroupScore {
    let pass_at_1 = |pick: fn(&Pair<'_>) -> f64| {
        let scores: Vec<f64> = pairs.iter().map(pick).collect();
        Estimate::of_scores(scores.iter().sum::<f64>() / scores.len().max(1) as f64, &scores)
    };
    let p_value = p_value(pairs);
    GroupScore {
        group,
        problems: pairs.len() as u64,
        ids,
        base: pass_at_1(|(base, _)| base.score()),
        adapter: pass_at_1(|(_, adapter)| adapter.score()),
        improvement_points: improvement_points(pairs),
        p_value,
        p_holm: p_value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EvaluatorError;
    use crate::evaluation::Evaluation;
    use crate::fakes::outcome;

    #[test]
    fn groups_add_up() -> Result<(), EvaluatorError> {
        let evaluation = |right: [usize; 3]| {
            let outcomes = ["a", "b", "c"].iter().zip(right).map(|(id, c)| outcome(id, c, 2));
            Evaluation::of_outcomes(outcomes.collect(), &[1])
        };
        let comparison = Comparison::of(evaluation([0, 1, 0])?, evaluation([2, 1, 2])?)?;
        let groups = [("easy", &["c"][..]), ("hard", &["a", "b", "not measured"])]
            .map(|(group, ids)| (group.to_owned(), ids.iter().map(|id| (*id).to_owned()).collect()));
        let breakdown = Breakdown::of("difficulty".to_owned(), groups, &comparison);
        let rows: Vec<_> = breakdown
            .groups
            .iter()
            .map(|row| (row.group.as_str(), row.problems, row.base.value, row.improvement_points.value))
            .collect();
        assert_eq!(rows, [("easy", 1, 0.0, 100.0), ("hard", 2, 0.25, 50.0)]);
        assert!(!breakdown.overlaps(&comparison));
        Ok(())
    }
}
