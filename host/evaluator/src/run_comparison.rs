//! A comparison of two runs: their adapters, or their bases, on the problems that both were measured on. In a run's place
//! there may be the completions of any model. What differs in what made the two is told beside the figures, because it may
//! be what makes the difference.
//!
//! Problems of which an answer was not judged are left out and counted. Runs that drew different numbers of answers to a
//! problem are refused: their scores are not drawn alike.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::breakdown::{Breakdown, GroupScore};
use super::compared_record::{ComparedRecord, ComparedSide};
use super::comparison::Comparison;
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome, SampleOutcome};
use super::interval::Estimate;
use super::report::{fraction, p_value, points};

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedRun {
    /// What the user calls it.
    pub name: String,
    /// Its adapter's name, or that of what completions answer.
    pub adapter_name: String,
    /// The problems that it was measured on.
    pub problems: u64,
    /// pass@k by k over the compared problems.
    pub pass_at: BTreeMap<u32, Estimate>,
    /// The fraction of answers that are errors, over the compared problems.
    pub error_rate: Estimate,
}

/// Something that differs in what made the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingDifference {
    /// What.
    pub name: String,
    /// The first run's.
    pub left: String,
    /// The second's.
    pub right: String,
}

/// Two runs, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunComparison {
    /// Which model of each.
    pub side: ComparedSide,
    /// The first run.
    pub left: ComparedRun,
    /// The second run.
    pub right: ComparedRun,
    /// The problems that are compared.
    pub problems: u64,
    /// Problems of both of which an answer was not judged.
    pub not_judged: u64,
    /// The second's pass@1 above the first's, in points.
    pub difference_points: Estimate,
    /// How likely a difference at least as great would be if neither were better.
    pub p_value: f64,
    /// Problems of which the second got more answers right.
    pub problems_better: u64,
    /// Problems of which it got fewer right.
    pub problems_worse: u64,
    /// The comparison by domain; empty if there is one.
    pub domains: Vec<GroupScore>,
    /// What differs in what made them.
    pub differences: Vec<SettingDifference>,
}

impl RunComparison {
    /// Compares two runs by the names that the user has for them.
    pub fn of(
        left: (&str, &ComparedRecord),
        right: (&str, &ComparedRecord),
        side: ComparedSide,
    ) -> Result<Self, EvaluatorError> {
        let (left_name, left) = left;
        let (right_name, right) = right;
        let (left_evaluation, right_evaluation) =
            (left.evaluation(left_name, side)?, right.evaluation(right_name, side)?);
        let of_right: HashMap<&str, &ProblemOutcome> =
            right_evaluation.outcomes.iter().map(|outcome| (outcome.id.as_str(), outcome)).collect();
        let pairs = left_evaluation.outcomes.iter();
        let pairs = pairs.filter_map(|outcome| Some((outcome, *of_right.get(outcome.id.as_str())?)));
        let (judged, not_judged): (Vec<_>, Vec<_>) =
            pairs.partition(|(left, right)| is_judged(left) && is_judged(right));
        if judged.is_empty() {
            return Err(EvaluatorError::NothingInCommon {
                left: left_name.to_owned(),
                right: right_name.to_owned(),
                not_judged: not_judged.len(),
            });
        }
        let shared_k = left_evaluation.pass_at.keys().filter(|k| right_evaluation.pass_at.contains_key(k));
        let shared_k: Vec<u32> = shared_k.copied().collect();
        let over_common = |outcomes: Vec<&ProblemOutcome>| {
            Evaluation::of_outcomes(outcomes.into_iter().cloned().collect(), &shared_k)
        };
        let (of_left, of_right): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
        let comparison = Comparison::of(over_common(of_left)?, over_common(of_right)?)?;
        let run = |name: &str, record: &ComparedRecord, whole: &Evaluation, common: &Evaluation| ComparedRun {
            name: name.to_owned(),
            adapter_name: record.title().to_owned(),
            problems: whole.problems,
            pass_at: common.pass_at.clone(),
            error_rate: common.error_rate,
        };
        Ok(Self {
            side,
            left: run(left_name, left, left_evaluation, &comparison.base),
            right: run(right_name, right, right_evaluation, &comparison.adapter),
            problems: comparison.base.problems,
            not_judged: not_judged.len() as u64,
            difference_points: comparison.improvement_points,
            p_value: comparison.p_value,
            problems_better: comparison.problems_better,
            problems_worse: comparison.problems_worse,
            domains: domains(&comparison),
            differences: differences((left, left_evaluation), (right, right_evaluation)),
        })
    }
}

fn is_judged(outcome: &ProblemOutcome) -> bool {
    !outcome.samples.iter().any(SampleOutcome::is_not_judged)
}

fn domains(comparison: &Comparison) -> Vec<GroupScore> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for outcome in &comparison.base.outcomes {
        groups.entry(outcome.domain.to_string()).or_default().push(outcome.id.clone());
    }
    if groups.len() < 2 {
        return Vec::new();
    }
    let breakdown = Breakdown::of("domain".to_owned(), groups, comparison);
    Breakdown::adjusted(vec![breakdown]).remove(0).groups
}

/// What differs in what made two records: files, plugins, sampling, seed and problems.
fn differences(
    (left, left_evaluation): (&ComparedRecord, &Evaluation),
    (right, right_evaluation): (&ComparedRecord, &Evaluation),
) -> Vec<SettingDifference> {
    let (told_left, told_right) = (left.settings(), right.settings());
    let names: BTreeSet<&String> = told_left.keys().chain(told_right.keys()).collect();
    let of =
        |told: &BTreeMap<String, String>, name: &String| told.get(name).cloned().unwrap_or_else(|| "none".to_owned());
    let mut all: Vec<SettingDifference> = names
        .into_iter()
        .map(|name| SettingDifference { name: name.clone(), left: of(&told_left, name), right: of(&told_right, name) })
        .filter(|difference| difference.left != difference.right)
        .collect();
    let ids = |evaluation: &Evaluation| -> HashSet<String> {
        evaluation.outcomes.iter().map(|outcome| outcome.id.clone()).collect()
    };
    let (of_left, of_right) = (ids(left_evaluation), ids(right_evaluation));
    let alone =
        |one: &HashSet<String>, other: &HashSet<String>| format!("{} of its own", one.difference(other).count());
    if of_left != of_right {
        let name = "problems".to_owned();
        all.push(SettingDifference { name, left: alone(&of_left, &of_right), right: alone(&of_right, &of_left) });
    }
    all
}

/// Longer values are shown by their beginning: hashes tell apart by it.
const SHOWN_CHARACTERS: usize = 24;

impl fmt::Display for RunComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            ComparedSide::Adapter => "adapters",
            ComparedSide::Base => "bases",
        };
        writeln!(f, "the {side} of two runs on {} common problems, 95 % intervals", self.problems)?;
        writeln!(f, "  left   {}: {}, {} problems", self.left.name, self.left.adapter_name, self.left.problems)?;
        writeln!(f, "  right  {}: {}, {} problems", self.right.name, self.right.adapter_name, self.right.problems)?;
        if self.not_judged > 0 {
            writeln!(f, "  left out: {} problems of which an answer was not judged", self.not_judged)?;
        }
        let row = |f: &mut fmt::Formatter<'_>, name: &str, left: &str, right: &str, difference: &str| {
            writeln!(f, "{}", format!("{name:<24} {left:<19} {right:<19} {difference}").trim_end())
        };
        writeln!(f)?;
        row(f, "", "left", "right", "right above left")?;
        for (k, left) in &self.left.pass_at {
            let right = self.right.pass_at.get(k).map(fraction).unwrap_or_default();
            let difference = if *k == 1 { points(&self.difference_points) } else { String::new() };
            row(f, &format!("pass@{k}"), &fraction(left), &right, &difference)?;
        }
        let errors = [&self.left, &self.right].map(|run| fraction(&run.error_rate));
        row(f, "answers that do not run", &errors[0], &errors[1], "")?;
        let equal = self.problems - self.problems_better - self.problems_worse;
        writeln!(
            f,
            "\nright is better on {} problems, worse on {}, equal on {equal}: {}",
            self.problems_better,
            self.problems_worse,
            p_value(self.p_value)
        )?;
        if !self.domains.is_empty() {
            writeln!(f)?;
            row(f, "pass@1 by domain", "left", "right", "right above left, p by Holm")?;
            for group in &self.domains {
                let difference = format!("{}, {}", points(&group.improvement_points), p_value(group.p_holm));
                let name = format!("  {} ({})", group.group, group.problems);
                row(f, &name, &fraction(&group.base), &fraction(&group.adapter), &difference)?;
            }
        }
        if self.differences.is_empty() {
            return write!(f, "\nboth were made from the same: the same models, problems, prompts and sampling");
        }
        write!(f, "\nwhat differs besides the answers:")?;
        let beginning = |text: &str| text.chars().take(SHOWN_CHARACTERS).collect::<String>();
        for SettingDifference { name, left, right } in &self.differences {
            write!(f, "\n  {name:<34} {:<24} {}", beginning(left), beginning(right))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark_record::Contamination;
    use crate::completion_file::CompletionLayout;
    use crate::completions_record::CompletionsRecord;
    use crate::config::EvaluationConfig;
    use crate::fakes::outcome;
    use crate::given_answers::GivenAccount;
    use crate::record::{Controls, EvaluationRecord, STATISTICS};
    use hilora_contract::fault::Fault;
    use hilora_judge::Verdict;

    fn record(name: &str, answers: usize, right: &[(&str, usize)]) -> Result<ComparedRecord, EvaluatorError> {
        let of = |extra: usize| {
            let outcomes = right.iter().map(|(id, right)| outcome(id, (right + extra).min(answers), answers));
            Evaluation::of_outcomes(outcomes.collect(), &[1])
        };
        Ok(ComparedRecord::Run(Box::new(EvaluationRecord {
            benchmarks: Vec::new(),
            statistics: STATISTICS,
            adapter_name: name.to_owned(),
            made_from: [("base model".to_owned(), "ab".to_owned()), ("adapter".to_owned(), name.to_owned())].into(),
            seed: 1,
            config: EvaluationConfig { samples_per_problem: answers as u32, ..EvaluationConfig::default() },
            comparison: Comparison::of(of(0)?, of(1)?)?,
            breakdowns: Vec::new(),
            controls: Controls::default(),
        })))
    }

    fn of_run(record: &mut ComparedRecord) -> &mut EvaluationRecord {
        match record {
            ComparedRecord::Run(record) => record,
            ComparedRecord::Completions(_) => panic!("it is a run"),
        }
    }

    #[test]
    fn only_common_and_judged_problems_are_compared_and_what_differs_is_told() -> Result<(), EvaluatorError> {
        let mut left = record("one", 4, &[("a", 0), ("b", 1), ("c", 2), ("x", 0)])?;
        let mut right = record("two", 4, &[("y", 0), ("c", 1), ("b", 3), ("a", 2)])?;
        of_run(&mut right).config.temperature = 0.8;
        let compared = RunComparison::of(("A", &left), ("B", &right), ComparedSide::Adapter)?;
        assert_eq!((compared.problems, compared.problems_better, compared.problems_worse), (3, 2, 1));
        // Adapters have one more right than the bases: 1, 2, 3 of 4 against 3, 4, 2.
        assert!((compared.difference_points.value - 25.0).abs() < 1e-12);
        let names: Vec<&str> = compared.differences.iter().map(|difference| difference.name.as_str()).collect();
        assert_eq!(names, ["adapter", "evaluation.temperature", "problems"]);
        let text = compared.to_string();
        assert!(text.contains("evaluation.temperature") && text.contains("1 of its own"), "{text}");
        // The same runs, the other way round.
        let turned = RunComparison::of(("B", &right), ("A", &left), ComparedSide::Adapter)?;
        assert!((turned.difference_points.value + 25.0).abs() < 1e-12 && turned.p_value == compared.p_value);
        assert!((turned.difference_points.low + compared.difference_points.high).abs() < 1e-9);

        of_run(&mut left).comparison.adapter.outcomes[0].samples[3].verdict = Some(Verdict::InternalError);
        let compared = RunComparison::of(("A", &left), ("B", &right), ComparedSide::Adapter)?;
        assert_eq!((compared.problems, compared.not_judged), (2, 1));
        let same = RunComparison::of(("A", &left), ("A", &left), ComparedSide::Base)?;
        assert!(same.to_string().ends_with("the same models, problems, prompts and sampling"));
        assert_eq!((same.p_value, same.problems_better), (1.0, 0));
        Ok(())
    }

    #[test]
    fn completions_stand_in_an_adapters_place_and_have_no_base() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("completions.json");
        let outcomes = [outcome("a", 3, 4), outcome("b", 4, 4), outcome("z", 0, 4)].into();
        let given = CompletionsRecord {
            statistics: STATISTICS,
            benchmark: "theirs".to_owned(),
            made_from: BTreeMap::new(),
            skipped_problems: BTreeMap::new(),
            completions: GivenAccount::of(CompletionLayout::Plain, 12, 0),
            contamination: Contamination::default(),
            evaluation: Evaluation::of_outcomes(outcomes, &[1])?,
            without_contaminated: None,
        };
        given.write(&path)?;
        let run = record("one", 4, &[("a", 0), ("b", 1), ("x", 0)])?;
        let theirs = ComparedRecord::read(&path)?;
        assert_eq!(theirs, ComparedRecord::Completions(Box::new(given)));
        let compared = RunComparison::of(("A", &run), ("B", &theirs), ComparedSide::Adapter)?;
        // The adapter has 1 and 2 of 4 right.
        assert_eq!((compared.problems, compared.difference_points.value), (2, 50.0));
        assert!(compared.to_string().contains("theirs, 3 problems"), "{compared}");
        let refused = RunComparison::of(("A", &run), ("B", &theirs), ComparedSide::Base).expect_err("there is none");
        assert!(refused.to_string().starts_with("B is the record of given completions: expected a run"), "{refused}");
        let edited = std::fs::read_to_string(&path).expect("it is there").replace("\"correct\": 7", "\"correct\": 9");
        std::fs::write(&path, edited).expect("it can be written");
        let refused = ComparedRecord::read(&path).expect_err("a figure was edited").to_string();
        let expected = "evaluation.correct: expected 7, which follows from its samples, got 9";
        assert!(refused.ends_with(expected), "{refused}");
        Ok(())
    }

    #[test]
    fn runs_that_cannot_be_compared_are_refused() -> Result<(), EvaluatorError> {
        let left = record("one", 4, &[("a", 0)])?;
        let compare = |right: &ComparedRecord| {
            let refused = RunComparison::of(("A", &left), ("B", right), ComparedSide::Adapter);
            refused.expect_err("they have nothing in common")
        };
        let refused = compare(&record("two", 4, &[("b", 0)])?);
        assert_eq!(refused.to_string(), "A and B have no problem in common whose answers were all judged");
        assert_eq!(refused.hints(), ["both must have been measured on the same problems, by id"]);
        let refused = compare(&record("two", 2, &[("a", 0)])?);
        assert_eq!(refused.to_string(), "the two evaluations do not match: answers a problem: expected 4, got 2");
        Ok(())
    }
}
