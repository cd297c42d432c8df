//! A facet: something in which held-out problems differ, told by the data itself. A result can be broken down by it.
//!
//! Facets are the domain, the dataset's own difficulty, tags and attributes, and the similarity to the nearest training
//! problem if that was measured. Nothing is read out of a title or a statement. A facet with many values (an address, a
//! date) tells nothing apart and is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::nearest_copy::NearestCopy;
use hilora_contract::dataset::EvaluationProblem;

/// The facets that are no attributes.
const NAMES: [&str; 4] = ["domain", "difficulty", "tag", "similarity"];

/// A facet with more groups than this is left out.
const GROUPS_MAX: usize = 16;

/// A facet with fewer problems a group than this, on average, is left out.
const PROBLEMS_PER_GROUP_MIN: usize = 2;

/// What a problem without a value is grouped under.
const UNTOLD: &str = "not told";

/// The lower ends of the bands of similarity.
const SIMILARITY_BANDS: [(f64, &str); 4] =
    [(0.75, "0.75 to 1.00"), (0.5, "0.50 to 0.75"), (0.25, "0.25 to 0.50"), (0.0, "0.00 to 0.25")];

/// A facet: each group's problems by id, in the problems' order. A problem with several values is in several groups.
#[derive(Debug, PartialEq)]
pub(crate) struct Facet {
    pub(crate) name: String,
    pub(crate) groups: BTreeMap<String, Vec<String>>,
}

impl Facet {
    /// Every facet that tells these problems apart, in the order of reports.
    pub(crate) fn all(problems: &[EvaluationProblem], nearest: Option<&NearestCopy>) -> Vec<Self> {
        let mut facets = vec![
            Self::of("domain", problems, |problem| vec![problem.domain.to_string()]),
            Self::of("difficulty", problems, |problem| problem.text.difficulty.iter().cloned().collect()),
            Self::of("tag", problems, |problem| problem.text.tags.clone()),
        ];
        let names: BTreeSet<&str> =
            problems.iter().flat_map(|problem| &problem.attributes).map(|attribute| attribute.name.as_str()).collect();
        facets.extend(names.into_iter().map(|name| {
            // A dataset may call an attribute what the host calls something else.
            let shown = if NAMES.contains(&name) { format!("attribute {name}") } else { name.to_owned() };
            Self::of(&shown, problems, |problem| {
                let values = problem.attributes.iter().filter(|attribute| attribute.name == name);
                values.map(|attribute| attribute.value.clone()).collect()
            })
        }));
        if let Some(nearest) = nearest {
            let bands: BTreeMap<&str, &str> =
                nearest.neighbours.iter().map(|near| (near.id.as_str(), band(near.similarity))).collect();
            facets.push(Self::of("similarity", problems, |problem| {
                bands.get(problem.text.id.as_str()).map(|band| (*band).to_owned()).into_iter().collect()
            }));
        }
        facets.retain(|facet| facet.tells_apart(problems.len()));
        facets
    }

    fn of(name: &str, problems: &[EvaluationProblem], values: impl Fn(&EvaluationProblem) -> Vec<String>) -> Self {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for problem in problems {
            let mut values: BTreeSet<String> = values(problem).into_iter().filter(|value| !value.is_empty()).collect();
            if values.is_empty() {
                values.insert(UNTOLD.to_owned());
            }
            for value in values {
                groups.entry(value).or_default().push(problem.text.id.clone());
            }
        }
        Self { name: name.to_owned(), groups }
    }

    fn tells_apart(&self, problems: usize) -> bool {
        let groups = self.groups.len();
        (2..=GROUPS_MAX).contains(&groups) && groups * PROBLEMS_PER_GROUP_MIN <= problems
    }
}

fn band(similarity: f64) -> &'static str {
    SIMILARITY_BANDS.iter().find(|(low, _)| similarity >= *low).map_or(UNTOLD, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::doubling_problem;
    use crate::interval::Estimate;
    use crate::nearest_copy::Neighbour;
    use hilora_contract::dataset::{Attribute, Domain};
    use hilora_judge::Verdict;

    fn problem(id: &str, difficulty: Option<&str>, tags: &[&str], attributes: &[(&str, &str)]) -> EvaluationProblem {
        let mut problem = doubling_problem(id);
        problem.text.difficulty = difficulty.map(str::to_owned);
        problem.text.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let attribute =
            |(name, value): &(&str, &str)| Attribute { name: (*name).to_owned(), value: (*value).to_owned() };
        problem.attributes = attributes.iter().map(attribute).collect();
        problem
    }

    fn shown(facets: &[Facet]) -> Vec<String> {
        let group = |(value, ids): (&String, &Vec<String>)| format!("{value}: {}", ids.join(" "));
        let groups = |facet: &Facet| facet.groups.iter().map(group).collect::<Vec<_>>().join(", ");
        facets.iter().map(|facet| format!("{} | {}", facet.name, groups(facet))).collect()
    }

    #[test]
    fn facets_are_what_the_data_says_and_no_more() {
        let mut problems = [
            problem("sum 1", Some("easy"), &["math"], &[("source", "contest"), ("url", "u1")]),
            problem("sum 2", Some("hard"), &["math", "strings"], &[("source", "book"), ("url", "u2")]),
            problem("sort 13", None, &[], &[("source", "book"), ("url", "u3")]),
            problem("sort 14", Some("easy"), &["strings"], &[("source", "contest"), ("url", "u4")]),
        ];
        assert_eq!(
            shown(&Facet::all(&problems, None)),
            [
                // Three groups of four problems say too little: `difficulty` and `tag` are left out with `url`.
                "source | book: sum 2 sort 13, contest: sum 1 sort 14",
            ]
        );
        problems[3].domain = Domain("math".to_owned());
        let six =
            [&problems[..], &[problem("a", Some("hard"), &["math"], &[]), problem("b", Some("hard"), &["math"], &[])]]
                .concat();
        assert_eq!(
            shown(&Facet::all(&six, None)),
            [
                "domain | math: sort 14, python: sum 1 sum 2 sort 13 a b",
                "difficulty | easy: sum 1 sort 14, hard: sum 2 a b, not told: sort 13",
                "tag | math: sum 1 sum 2 a b, not told: sort 13, strings: sum 2 sort 14",
                "source | book: sum 2 sort 13, contest: sum 1 sort 14, not told: a b",
            ]
        );
    }

    #[test]
    fn an_attribute_is_told_from_what_the_host_calls_by_the_same_name() {
        let problems = [("a", "one"), ("b", "one"), ("c", "two"), ("d", "two")]
            .map(|(id, value)| problem(id, None, &[], &[("domain", value)]));
        assert_eq!(shown(&Facet::all(&problems, None)), ["attribute domain | one: a b, two: c d"]);
    }

    #[test]
    fn similarity_is_what_was_measured() {
        let problems: Vec<_> = ["a", "b", "c", "d"].map(doubling_problem).into();
        let neighbour = |(id, similarity): (&str, f64)| Neighbour {
            id: id.to_owned(),
            example: 0,
            similarity,
            verdict: Verdict::WrongAnswer,
        };
        let neighbours = [("a", 0.1), ("b", 0.75), ("c", 1.0), ("d", 0.2499)].map(neighbour).to_vec();
        let score = Estimate { value: 0.0, low: 0.0, high: 1.0 };
        let nearest = NearestCopy { problems: 4, correct: 0, score, neighbours };
        assert_eq!(
            shown(&Facet::all(&problems, Some(&nearest))),
            ["similarity | 0.00 to 0.25: a d, 0.75 to 1.00: b c"]
        );
    }
}
