//! Verification of a record: every figure in it is computed again from its samples. What was edited, or measured by a
//! program that counted otherwise, is refused by the name of its first figure that differs. A record by older statistics is
//! held to what it tells but its intervals, and all its figures are computed by today's.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::benchmark_record::BenchmarkRecord;
use super::breakdown::Breakdown;
use super::comparison::Comparison;
use super::completions_record::CompletionsRecord;
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome, SampleOutcome};
use super::failures::WITHOUT_ANSWER;
use super::json_file::{json_of, read_json};
use super::nearest_copy::NearestCopy;
use super::record::{Controls, EvaluationRecord, STATISTICS};
use hilora_judge::Verdict;

/// How far two computations of a figure may be apart by rounding, of its own size.
const ROUNDING: f64 = 1e-9;

impl EvaluationRecord {
    /// Reads `evaluation.json`. All its figures are computed again from its samples, and a file that tells other ones is
    /// refused.
    pub fn read(path: &Path) -> Result<Self, EvaluatorError> {
        read_json::<Self>(path)?.recomputed(path)
    }

    /// The same of the file's bytes, which somebody has read and hashed.
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, EvaluatorError> {
        json_of::<Self>(path, bytes)?.recomputed(path)
    }

    /// The same record with its figures computed from its samples; an error if it told others. The path is for the error.
    fn recomputed(self, path: &Path) -> Result<Self, EvaluatorError> {
        let refused = |difference| not_following(path, difference);
        check_statistics(path, self.statistics)?;
        check_samples(&self).map_err(refused)?;
        let k = self.config.every_k();
        let again = |evaluation: &Evaluation| Evaluation::of_outcomes(evaluation.outcomes.clone(), &k);
        let comparison = Comparison::of(again(&self.comparison.base)?, again(&self.comparison.adapter)?)?;
        let breakdowns = Breakdown::computed_again(&self.breakdowns, &comparison);
        let benchmarks = self.benchmarks.iter().map(BenchmarkRecord::recomputed).collect::<Result<_, _>>()?;
        let controls = Controls {
            shuffled_answers: self.controls.shuffled_answers.as_ref().map(again).transpose()?,
            nearest_copy: self
                .controls
                .nearest_copy
                .as_ref()
                .map(|copy| NearestCopy::of_neighbours(copy.neighbours.clone())),
        };
        let follows = Self { statistics: STATISTICS, comparison, breakdowns, controls, benchmarks, ..self.clone() };
        match difference(&follows, &self, self.statistics) {
            Some(difference) => Err(refused(difference)),
            None => Ok(follows),
        }
    }
}

impl CompletionsRecord {
    /// Reads a record of completions; as with a run's, all its figures are computed again from its samples.
    pub fn read(path: &Path) -> Result<Self, EvaluatorError> {
        let record: Self = read_json(path)?;
        check_statistics(path, record.statistics)?;
        let k: Vec<u32> = record.evaluation.pass_at.keys().copied().collect();
        for outcome in &record.evaluation.outcomes {
            let place = format!("evaluation.outcomes of `{}`", outcome.id);
            check_causes(&place, outcome).map_err(|difference| not_following(path, difference))?;
        }
        let evaluation = Evaluation::of_uneven_outcomes(record.evaluation.outcomes.clone(), &k)?;
        let follows = Self { statistics: STATISTICS, evaluation, ..record.clone() };
        match difference(&follows, &record, record.statistics) {
            Some(difference) => Err(not_following(path, difference)),
            None => Ok(follows),
        }
    }
}

/// A figure that does not follow: where it stands, what is expected there and what came.
type Difference = (String, String, String);

fn not_following(path: &Path, (figure, expected, got): Difference) -> EvaluatorError {
    EvaluatorError::Figure { path: path.to_owned(), figure, from: "its samples", expected, got }
}

/// A record by the statistics of a later program cannot be computed again.
fn check_statistics(path: &Path, statistics: u32) -> Result<(), EvaluatorError> {
    if statistics <= STATISTICS {
        return Ok(());
    }
    Err(EvaluatorError::Figure {
        path: path.to_owned(),
        figure: "statistics".to_owned(),
        from: "this program's version",
        expected: format!("at most {STATISTICS}"),
        got: statistics.to_string(),
    })
}

/// Where a record by these statistics first differs from the one that follows.
fn difference<T: Serialize>(follows: &T, record: &T, statistics: u32) -> Option<Difference> {
    let json = |record: &T| serde_json::to_value(record).expect("plain structs with text keys always serialize");
    let (mut expected, mut got) = (json(follows), json(record));
    let other: &[&str] = match statistics {
        STATISTICS => &[],
        2 => &OTHER_SINCE_2,
        _ => &NEW_SINCE_1,
    };
    [&mut expected, &mut got].into_iter().for_each(|json| leave_out(json, other));
    first_difference(&expected, &got, String::new())
}

/// What statistics 2 computed otherwise.
const OTHER_SINCE_2: [&str; 3] = ["statistics", "low", "high"];
/// What older ones did not compute, or computed otherwise.
const NEW_SINCE_1: [&str; 9] =
    ["statistics", "low", "high", "pass_all", "majority", "not_judged", "unsupported", "p_value", "p_holm"];

/// Takes fields of these names out of a record.
fn leave_out(record: &mut Value, names: &[&str]) {
    match record {
        Value::Object(fields) => {
            fields.retain(|key, _| !names.contains(&key.as_str()));
            fields.values_mut().for_each(|value| leave_out(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| leave_out(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where samples contradict themselves or the config: the figure, what is expected there and what stands there.
fn check_samples(record: &EvaluationRecord) -> Result<(), Difference> {
    let drawn = record.config.samples_per_problem;
    let mut compared = vec![(String::new(), &record.comparison, drawn)];
    compared.extend(record.benchmarks.iter().map(|benchmark| {
        let place = format!("benchmarks.{}.", benchmark.name);
        (place, &benchmark.comparison, benchmark.config.samples_per_problem)
    }));
    let sides = compared.iter().flat_map(|(place, comparison, drawn)| {
        let names = ["base", "adapter"].map(|side| format!("{place}comparison.{side}"));
        names.into_iter().zip(comparison.sides()).map(|(name, evaluation)| (name, evaluation, *drawn))
    });
    let shuffled = record.controls.shuffled_answers.as_ref();
    let shuffled = shuffled.map(|evaluation| ("controls.shuffled_answers".to_owned(), evaluation, drawn));
    for (name, evaluation, drawn) in sides.chain(shuffled) {
        let drawn = drawn as usize;
        for outcome in &evaluation.outcomes {
            let place = format!("{name}.outcomes of `{}`", outcome.id);
            if outcome.samples.len() != drawn {
                return Err((place, format!("{drawn} samples"), format!("{} samples", outcome.samples.len())));
            }
            check_causes(&place, outcome)?;
        }
    }
    Ok(())
}

/// Where an answer's cause contradicts its verdict.
fn check_causes(place: &str, outcome: &ProblemOutcome) -> Result<(), Difference> {
    for (index, sample) in outcome.samples.iter().enumerate() {
        if sample.error.is_some() != is_error(sample) {
            let expected = if is_error(sample) { "a cause" } else { "no cause" };
            let got = sample.error.clone().unwrap_or_else(|| "no cause".to_owned());
            return Err((format!("{place}, sample {index}, error"), expected.to_owned(), got));
        }
    }
    Ok(())
}

/// Whether an answer with this verdict is an error; a text without a final answer is one, too.
fn is_error(sample: &SampleOutcome) -> bool {
    match sample.verdict {
        None | Some(Verdict::RuntimeError | Verdict::Unsupported | Verdict::InternalError) => true,
        Some(Verdict::WrongAnswer) => sample.error.as_deref() == Some(WITHOUT_ANSWER),
        Some(Verdict::Accepted | Verdict::TimeLimit | Verdict::MemoryLimit | Verdict::OutputLimit) => false,
    }
}

/// Where two values differ first: the place, the one and the other.
fn first_difference(expected: &Value, got: &Value, place: String) -> Option<Difference> {
    let below = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match (expected, got) {
        (Value::Object(expected_fields), Value::Object(got_fields)) => {
            let keys =
                expected_fields.keys().chain(got_fields.keys().filter(|key| !expected_fields.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let field = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or(Value::Null);
                first_difference(&field(expected_fields), &field(got_fields), below(key))
            })
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            let pairs = expected.iter().zip(got).enumerate();
            pairs
                .into_iter()
                .find_map(|(index, (expected, got))| first_difference(expected, got, below(&index.to_string())))
        }
        (Value::Number(expected_number), Value::Number(got_number)) if is_close(expected_number, got_number) => None,
        (expected, got) if expected == got => None,
        (expected, got) => Some((place, expected.to_string(), got.to_string())),
    }
}

fn is_close(expected: &serde_json::Number, got: &serde_json::Number) -> bool {
    match (expected.as_f64(), got.as_f64()) {
        (Some(left), Some(right)) => (left - right).abs() <= ROUNDING * left.abs().max(1e-3),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark_record::{CleanScore, Contamination, PromptRecord};
    use crate::config::EvaluationConfig;
    use crate::fakes::{doubling_problem, outcome};
    use crate::nearest_copy::Neighbour;
    use hilora_contract::artifact::ContentHash;
    use hilora_contract::dataset::Domain;
    use std::collections::BTreeMap;

    fn evaluation(right: [usize; 4]) -> Result<Evaluation, EvaluatorError> {
        let outcomes = ["a", "b", "c", "d"].iter().zip(right).map(|(id, correct)| outcome(id, correct, 4));
        Evaluation::of_outcomes(outcomes.collect(), &[1, 4])
    }

    fn record() -> Result<EvaluationRecord, EvaluatorError> {
        let comparison = Comparison::of(evaluation([0, 1, 2, 0])?, evaluation([4, 3, 2, 0])?)?;
        let mut problems: Vec<_> = ["a", "b", "c", "d"].map(doubling_problem).into();
        problems[0].domain = Domain("math".to_owned());
        let neighbour = |id: &str, verdict| Neighbour { id: id.to_owned(), example: 0, similarity: 0.5, verdict };
        let neighbours = vec![neighbour("a", Verdict::Accepted), neighbour("b", Verdict::WrongAnswer)];
        let contaminated = [("a".to_owned(), "row 1".to_owned())].into();
        let contamination = Contamination { rows: Some(2), problems: contaminated, ..Contamination::default() };
        Ok(EvaluationRecord {
            statistics: STATISTICS,
            adapter_name: "python-lora".to_owned(),
            made_from: BTreeMap::new(),
            seed: 9,
            config: EvaluationConfig { samples_per_problem: 4, ..EvaluationConfig::default() },
            breakdowns: Breakdown::all(&comparison, &problems, None),
            benchmarks: vec![BenchmarkRecord {
                name: "gsm8k".to_owned(),
                made_from: BTreeMap::new(),
                prompt: PromptRecord {
                    kind: "official".to_owned(),
                    name: "a".to_owned(),
                    extraction: "b".to_owned(),
                    hash: ContentHash::of(b""),
                },
                config: EvaluationConfig { samples_per_problem: 4, ..EvaluationConfig::default() },
                skipped_problems: BTreeMap::new(),
                without_contaminated: CleanScore::of(&comparison, &contamination, &[1, 4])?,
                contamination,
                breakdowns: Breakdown::all(&comparison, &problems, None),
                comparison: comparison.clone(),
            }],
            comparison,
            controls: Controls {
                shuffled_answers: Some(evaluation([0, 0, 1, 0])?),
                nearest_copy: Some(NearestCopy::of_neighbours(neighbours)),
            },
        })
    }

    /// What is said of the record after one place in its file was edited.
    fn edited(pointer: &str, value: Value) -> Result<String, EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("evaluation.json");
        let mut json = serde_json::to_value(record()?).expect("a record is JSON");
        let place = json.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        assert_ne!(*place, value, "{pointer}");
        *place = value;
        std::fs::write(&path, json.to_string()).expect("the file can be written");
        let refused = EvaluationRecord::read(&path).expect_err(pointer).to_string();
        Ok(refused.replace(&format!("{}: ", path.display()), ""))
    }

    #[test]
    fn a_record_that_nobody_edited_is_read_back() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("evaluation.json");
        let record = record()?;
        assert_eq!(record.breakdowns.len(), 1);
        record.write(&path)?;
        assert_eq!(EvaluationRecord::read(&path)?, record);
        Ok(())
    }

    #[test]
    fn every_figure_that_was_edited_is_refused_by_its_name() -> Result<(), EvaluatorError> {
        let follows = "which follows from its samples";
        for (pointer, value, expected) in [
            ("/comparison/adapter/pass_at/1/value", 0.9, format!("expected 0.5625, {follows}, got 0.9")),
            ("/comparison/adapter/pass_at/1/low", 0.5, String::new()),
            ("/comparison/adapter/pass_at/4/value", 0.9, format!("expected 0.75, {follows}, got 0.9")),
            ("/comparison/base/error_rate/value", 0.01, format!("expected 0.0, {follows}, got 0.01")),
            ("/comparison/improvement_points/value", 60.0, String::new()),
            ("/comparison/improvement_points/low", 1.0, String::new()),
            ("/breakdowns/0/groups/1/adapter/value", 0.9, String::new()),
            ("/controls/shuffled_answers/pass_at/1/value", 0.0, String::new()),
            ("/benchmarks/0/comparison/adapter/pass_at/4/value", 0.9, format!("expected 0.75, {follows}, got 0.9")),
            ("/benchmarks/0/without_contaminated/adapter/1/value", 0.9, String::new()),
            ("/benchmarks/0/breakdowns/0/groups/1/adapter/value", 0.9, String::new()),
            ("/controls/nearest_copy/score/value", 0.0, format!("expected 0.5, {follows}, got 0.0")),
        ] {
            let figure = pointer[1..].replace('/', ".");
            let refused = edited(pointer, value.into())?;
            assert!(refused.starts_with(&format!("{figure}: {expected}")), "{refused}");
        }
        for pointer in [
            "/comparison/adapter/correct",
            "/comparison/adapter/problems",
            "/comparison/adapter/samples_per_problem",
            "/comparison/adapter/cut",
            "/comparison/adapter/verdicts/accepted",
            "/comparison/problems_better",
            "/breakdowns/0/groups/0/problems",
            "/controls/nearest_copy/correct",
        ] {
            let refused = edited(pointer, 77.into())?;
            assert!(refused.contains(follows) && refused.ends_with("got 77"), "{refused}");
        }
        Ok(())
    }

    /// The fields that version 0.2 wrote, with its intervals.
    #[test]
    fn a_record_by_older_statistics_is_read_and_computed_anew() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("evaluation.json");
        // There were no benchmarks then.
        let whole = EvaluationRecord { benchmarks: Vec::new(), ..record()? };
        let mut json = serde_json::to_value(&whole).expect("a record is JSON");
        leave_out(&mut json, &NEW_SINCE_1);
        fn widen(value: &mut Value) {
            match value {
                Value::Object(fields) => {
                    fields.values_mut().for_each(widen);
                    if fields.contains_key("value") {
                        fields.extend([("low".to_owned(), 0.0.into()), ("high".to_owned(), 1.0.into())]);
                    }
                }
                Value::Array(items) => items.iter_mut().for_each(widen),
                _ => {}
            }
        }
        widen(&mut json);
        let read = |json: &Value| {
            std::fs::write(&path, json.to_string()).expect("the file can be written");
            EvaluationRecord::read(&path)
        };
        assert_eq!(read(&json)?, whole);
        json["comparison"]["adapter"]["pass_at"]["1"]["value"] = 0.9.into();
        let refused = read(&json).expect_err("a figure was edited").to_string();
        assert!(refused.contains("comparison.adapter.pass_at.1.value: expected 0.5625"), "{refused}");
        json["statistics"] = 4.into();
        let refused = read(&json).expect_err("another program's").to_string();
        let expected = "statistics: expected at most 3, which follows from this program's version, got 4";
        assert!(refused.ends_with(expected), "{refused}");
        Ok(())
    }

    #[test]
    fn samples_that_contradict_themselves_are_refused() -> Result<(), EvaluatorError> {
        let refused = edited("/comparison/adapter/outcomes/0/samples/1/verdict", "runtime-error".into())?;
        assert!(
            refused.starts_with("comparison.adapter.outcomes of `a`, sample 1, error: expected a cause"),
            "{refused}"
        );
        let refused = edited("/comparison/base/outcomes/0/samples/1/error", "KeyError".into())?;
        assert!(refused.contains("expected no cause") && refused.ends_with("got KeyError"), "{refused}");
        let refused = edited("/benchmarks/0/config/samples_per_problem", 3.into())?;
        assert!(refused.starts_with("benchmarks.gsm8k.comparison.base.outcomes"), "{refused}");
        // A text without a final answer is wrong, and an error.
        let cause = "/benchmarks/0/comparison/base/outcomes/0/samples/1/error";
        let refused = edited(cause, "no-answer".into())?;
        assert!(refused.starts_with("benchmarks.0.comparison.base.error_rate"), "{refused}");
        let refused = edited("/config/samples_per_problem", 3.into())?;
        assert!(refused.contains("expected 3 samples"), "{refused}");
        // An answer that was edited to be right moves figures that were not.
        let refused = edited("/comparison/adapter/outcomes/3/samples/0/verdict", "accepted".into())?;
        assert!(refused.contains("which follows from its samples"), "{refused}");
        Ok(())
    }
}
