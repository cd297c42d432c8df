//! A measurement: a base and its adapter on the same problems with the same seeds, beside controls, the time to decode a
//! token, and breakdowns. Everything is handed in as a value; it reads no config, no run folder and prints nothing.
//!
//! The order is base, adapter, shuffled answers, nearest copy, benchmarks, decode time. What the sample record knows is not measured again,
//! so a measurement that was ended at any moment goes on where it stopped and makes the same record.

use std::collections::BTreeMap;

use super::benchmark_record::{BenchmarkRecord, CleanScore, Contamination, PromptRecord};
use super::breakdown::Breakdown;
use super::comparison::Comparison;
use super::config::EvaluationConfig;
use super::endpoint_config::Side;
use super::error::EvaluatorError;
use super::evaluation::Evaluation;
use super::evaluator::{Candidate, Evaluator};
use super::generator::{Generator, TimedGenerator};
use super::latency::{Latency, PROMPTS, ROOM_TOKENS, TOKENS_PER_PROMPT};
use super::nearest_copy::NearestCopy;
use super::record::{Controls, EvaluationRecord, STATISTICS};
use super::sample_record::SampleRecord;
use super::sampling::prompts;
use super::watch::{Subject, Watch};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{EvaluationProblem, Example};
use hilora_contract::fault::Blame;
use hilora_judge::UNDECIDED_MAX;

/// A model that is measured.
#[derive(Clone, Copy)]
pub struct MeasuredModel<'a> {
    /// Completes prompts.
    pub generator: &'a dyn Generator,
    /// The same generator, if its decoding can be timed token by token.
    pub timed: Option<&'a dyn TimedGenerator>,
    /// The hash of everything but prompts, settings and program that decides a completion: the base's and the adapter's
    /// files, how they are loaded and where they compute.
    pub content: ContentHash,
}

/// Everything that makes a measurement.
pub struct Measurement<'a> {
    /// The adapter's name.
    pub adapter_name: &'a str,
    /// What made the measurement, by name, for the record.
    pub made_from: BTreeMap<String, String>,
    /// The seed of every draw.
    pub seed: u64,
    /// Formatter, judge and how answers are drawn.
    pub evaluator: Evaluator<'a>,
    /// The held-out problems.
    pub problems: &'a [EvaluationProblem],
    /// The base without an adapter.
    pub base: MeasuredModel<'a>,
    /// The base with the adapter.
    pub adapter: MeasuredModel<'a>,
    /// The base with an adapter that was trained on shuffled answers, if that control is wanted.
    pub shuffled_answers: Option<MeasuredModel<'a>>,
    /// Published benchmarks that base and adapter are measured on, too.
    pub benchmarks: Vec<BenchmarkMeasurement<'a>>,
    /// The training examples, if copying the nearest one's solution is wanted as a control.
    pub nearest_copy: Option<&'a [Example]>,
}

/// A benchmark that is measured beside the held-out problems.
pub struct BenchmarkMeasurement<'a> {
    /// Its name.
    pub name: &'static str,
    /// What made it, by name, for its section.
    pub made_from: BTreeMap<String, String>,
    /// What is asked.
    pub prompt: PromptRecord,
    /// Rows that are not asked, by reason.
    pub skipped_problems: BTreeMap<String, u64>,
    /// What is known of its problems in the training data.
    pub contamination: Contamination,
    /// Its prompts' formatter, the judge and how its answers are drawn.
    pub evaluator: Evaluator<'a>,
    /// Its problems.
    pub problems: &'a [EvaluationProblem],
    /// The base without an adapter.
    pub base: MeasuredModel<'a>,
    /// The base with the adapter.
    pub adapter: MeasuredModel<'a>,
}

/// How a measurement ended.
#[derive(Debug, Clone, PartialEq)]
pub enum MeasurementOutcome {
    /// It is whole.
    Measured {
        /// What was found.
        record: Box<EvaluationRecord>,
        /// The decode times, which differ from run to run.
        latency: Latency,
    },
    /// The watch ended it early; the sample record has what was finished.
    Interrupted,
}

impl Measurement<'_> {
    /// Measures, unless the watch ends it early.
    pub fn run(&self, samples: &mut SampleRecord, watch: &Watch<'_>) -> Result<MeasurementOutcome, EvaluatorError> {
        let measured = self.measure(samples, watch)?;
        let Some((record, latency)) = measured else { return Ok(MeasurementOutcome::Interrupted) };
        // Each model's answers may have had a handful.
        let unanswered = record.unanswered();
        let undecided = record.undecided_programs();
        let undecided_ids = || undecided.iter().map(|(id, _)| *id).chain(unanswered.iter().copied());
        let id = undecided_ids().next().filter(|_| undecided.len() + unanswered.len() > UNDECIDED_MAX);
        if let Some(id) = id {
            let (id, detail) = (id.to_owned(), "the warnings say how".to_owned());
            return Err(EvaluatorError::NotJudged {
                programs: undecided_ids().count(),
                id,
                detail,
                failed: Blame::Machine,
            });
        }
        samples.keep_used()?;
        Ok(MeasurementOutcome::Measured { record: Box::new(record), latency })
    }

    fn measure(
        &self,
        samples: &mut SampleRecord,
        watch: &Watch<'_>,
    ) -> Result<Option<(EvaluationRecord, Latency)>, EvaluatorError> {
        let models = [(Subject::Base, &self.base), (Subject::Adapter, &self.adapter)];
        let compared = compare(&self.evaluator, self.problems, models, samples, watch)?;
        let Some(comparison) = compared else { return Ok(None) };
        let mut controls = Controls::default();
        if let Some(shuffled) = &self.shuffled_answers {
            let (subject, problems) = (Subject::ShuffledAnswers, self.problems);
            let evaluation = evaluate(&self.evaluator, problems, subject, shuffled, samples, watch)?;
            let Some(evaluation) = evaluation else { return Ok(None) };
            controls.shuffled_answers = Some(evaluation);
        }
        if let Some(examples) = self.nearest_copy {
            let copy = NearestCopy::measure(self.problems, examples, self.evaluator.judge, samples, watch)?;
            let Some(copy) = copy else { return Ok(None) };
            controls.nearest_copy = Some(copy);
        }
        let mut benchmarks = Vec::with_capacity(self.benchmarks.len());
        for benchmark in &self.benchmarks {
            let Some(section) = benchmark.measure(samples, watch)? else { return Ok(None) };
            benchmarks.push(section);
        }
        let Some(latency) = self.latency(watch)? else { return Ok(None) };
        let record = EvaluationRecord {
            statistics: STATISTICS,
            adapter_name: self.adapter_name.to_owned(),
            made_from: self.made_from.clone(),
            seed: self.seed,
            // Each benchmark's section says how its own answers were drawn.
            config: EvaluationConfig { benchmarks: Vec::new(), ..self.evaluator.config.clone() },
            breakdowns: Breakdown::all(&comparison, self.problems, controls.nearest_copy.as_ref()),
            comparison,
            controls,
            benchmarks,
        };
        Ok(Some((record, latency)))
    }

    /// Times decoding after the first prompts that leave room for it. Where it cannot be timed, that is what is told.
    fn latency(&self, watch: &Watch<'_>) -> Result<Option<Latency>, EvaluatorError> {
        let (Some(base), Some(adapter)) = (self.base.timed, self.adapter.timed) else {
            return Ok(Some(Latency::NOT_MEASURED));
        };
        let mut timed = Vec::new();
        for problem in self.problems {
            if timed.len() == PROMPTS {
                break;
            }
            let text = std::slice::from_ref(&problem.text);
            for prompt in prompts(self.evaluator.formatter, self.evaluator.specialist, text)? {
                timed.extend(base.prompt_tokens(&prompt.segments, ROOM_TOKENS)?);
            }
        }
        let (mut base, mut adapter) = (base.decoder()?, adapter.decoder()?);
        Latency::measure(&mut *base, &mut *adapter, &timed, TOKENS_PER_PROMPT, watch)
    }
}

impl BenchmarkMeasurement<'_> {
    fn measure(
        &self,
        samples: &mut SampleRecord,
        watch: &Watch<'_>,
    ) -> Result<Option<BenchmarkRecord>, EvaluatorError> {
        let subject = |side| Subject::Benchmark { name: self.name, side };
        let models = [(subject(Side::Base), &self.base), (subject(Side::Adapter), &self.adapter)];
        let compared = compare(&self.evaluator, self.problems, models, samples, watch)?;
        let Some(comparison) = compared else { return Ok(None) };
        let config = self.evaluator.config;
        Ok(Some(BenchmarkRecord {
            name: self.name.to_owned(),
            made_from: self.made_from.clone(),
            prompt: self.prompt.clone(),
            config: config.clone(),
            skipped_problems: self.skipped_problems.clone(),
            contamination: self.contamination.clone(),
            without_contaminated: CleanScore::of(&comparison, &self.contamination, &config.every_k())?,
            breakdowns: Breakdown::all(&comparison, self.problems, None),
            comparison,
        }))
    }
}

/// Base and adapter on the same problems; `None` if the watch ended it early.
fn compare(
    evaluator: &Evaluator<'_>,
    problems: &[EvaluationProblem],
    [base, adapter]: [(Subject, &MeasuredModel<'_>); 2],
    samples: &mut SampleRecord,
    watch: &Watch<'_>,
) -> Result<Option<Comparison>, EvaluatorError> {
    let Some(base) = evaluate(evaluator, problems, base.0, base.1, samples, watch)? else { return Ok(None) };
    let adapter = evaluate(evaluator, problems, adapter.0, adapter.1, samples, watch)?;
    adapter.map(|adapter| Comparison::of(base, adapter)).transpose()
}

fn evaluate(
    evaluator: &Evaluator<'_>,
    problems: &[EvaluationProblem],
    subject: Subject,
    model: &MeasuredModel<'_>,
    samples: &mut SampleRecord,
    watch: &Watch<'_>,
) -> Result<Option<Evaluation>, EvaluatorError> {
    let candidate = Candidate { subject, generator: model.generator, content: model.content };
    evaluator.evaluate(&candidate, problems, samples, watch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EvaluationConfig;
    use crate::fakes::{FakeFormatter, FakeGenerator, counting_judge, doubling_problem, fake_judge};
    use hilora_contract::dataset::Domain;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn ended_anywhere_it_repeats_nothing_and_makes_the_same_record() -> Result<(), EvaluatorError> {
        let runs = Arc::new(AtomicU64::new(0));
        let (judge, formatter) = (counting_judge(&runs), FakeFormatter::new());
        let config = EvaluationConfig { samples_per_problem: 2, k: vec![2], ..EvaluationConfig::default() };
        let problems: Vec<_> = ["a", "b", "c", "d"].map(doubling_problem).into();
        let example = Example {
            problem: "print twice the number, in the way of b".to_owned(),
            reasoning: None,
            solution: "double".to_owned(),
            domain: Domain("python".to_owned()),
            difficulty: None,
        };
        let examples = [example];
        let drawn = Cell::new(0_u64);
        let generator = |right: u64| {
            let drawn = &drawn;
            FakeGenerator(move |_: &str, stream: u64| {
                drawn.set(drawn.get() + 1);
                if stream % 8 < right { "CODE:double".to_owned() } else { format!("CODE:wrong{stream}") }
            })
        };
        let (base, adapter, shuffled) = (generator(2), generator(6), generator(1));
        fn model<'a>(generator: &'a dyn TimedGenerator, name: &[u8]) -> MeasuredModel<'a> {
            MeasuredModel { generator, timed: Some(generator), content: ContentHash::of(name) }
        }
        // Its problems have the names of held-out ones, and are asked in other words.
        let published: Vec<_> = ["a", "b"]
            .map(|id| {
                let mut problem = doubling_problem(id);
                problem.text.statement.push_str(", once more");
                problem
            })
            .into();
        let contamination = Contamination {
            rows: Some(1),
            problems: [("b".to_owned(), "row 0 has it".to_owned())].into(),
            ..Contamination::default()
        };
        let evaluator = Evaluator { formatter: &formatter, judge: &judge, specialist: "python", config: &config };
        let benchmark = BenchmarkMeasurement {
            name: "humaneval",
            made_from: BTreeMap::new(),
            prompt: PromptRecord {
                kind: "official".to_owned(),
                name: "its own".to_owned(),
                extraction: "CODE:".to_owned(),
                hash: ContentHash::of(b"prompts"),
            },
            skipped_problems: BTreeMap::new(),
            contamination,
            evaluator,
            problems: &published,
            base: model(&base, b"base"),
            adapter: model(&adapter, b"adapter"),
        };
        let measurement = Measurement {
            benchmarks: vec![benchmark],
            adapter_name: "python-lora",
            made_from: BTreeMap::new(),
            seed: 3,
            evaluator,
            problems: &problems,
            base: model(&base, b"base"),
            adapter: model(&adapter, b"adapter"),
            shuffled_answers: Some(model(&shuffled, b"shuffled")),
            nearest_copy: Some(&examples),
        };
        // A record of its own: the verdict on a program that several models write is found once in any of them.
        let uninterrupted = tempfile::tempdir().expect("a temporary folder");
        let mut samples = SampleRecord::open(uninterrupted.path(), ContentHash::of(b"program"))?;
        let MeasurementOutcome::Measured { record: whole, .. } = measurement.run(&mut samples, &Watch::SILENT)? else {
            panic!("a silent watch ends nothing early");
        };
        let (drawn_whole, runs_whole) = (drawn.replace(0), runs.swap(0, Ordering::Relaxed));
        // Three models on four problems, two of them on two more.
        assert_eq!(drawn_whole, 3 * 8 + 2 * 4);
        let section = &whole.benchmarks[0];
        assert_eq!((section.name.as_str(), section.comparison.base.problems), ("humaneval", 2));
        assert_eq!(section.without_contaminated.as_ref().map(|clean| clean.problems), Some(1));

        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut interruptions = 0;
        loop {
            // It is stopped at its fifth question whether to go on, until only the timing is left.
            let asked = AtomicU64::new(0);
            let should_stop = || asked.fetch_add(1, Ordering::Relaxed) > 3;
            let mut samples = SampleRecord::open(folder.path(), ContentHash::of(b"program"))?;
            let patient = interruptions > 60;
            let watch = if patient { Watch::SILENT } else { Watch { should_stop: &should_stop, ..Watch::SILENT } };
            match measurement.run(&mut samples, &watch)? {
                MeasurementOutcome::Interrupted => interruptions += 1,
                MeasurementOutcome::Measured { record, latency } => {
                    assert_eq!(record, whole);
                    assert_eq!((latency.base_us, latency.increase), (1.0, 0.0));
                    break;
                }
            }
        }
        assert!(interruptions > 8, "{interruptions}");
        assert_eq!((drawn.get(), runs.load(Ordering::Relaxed)), (drawn_whole, runs_whole));
        Ok(())
    }

    #[test]
    fn a_handful_that_was_not_judged_is_counted_over_all_models() -> Result<(), EvaluatorError> {
        let (judge, formatter) = (fake_judge(), FakeFormatter::new());
        let config = EvaluationConfig { samples_per_problem: 2, k: vec![2], ..EvaluationConfig::default() };
        let problems: Vec<_> = (0..UNDECIDED_MAX + 1).map(|problem| doubling_problem(&problem.to_string())).collect();
        let crashing = |prompt: &str, from: usize, to: usize| {
            let problem = prompt.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
            let crashes = problem.is_some_and(|problem| (from..to).contains(&problem));
            if crashes { "CODE:crash".to_owned() } else { "CODE:double".to_owned() }
        };
        let measured = |of_base: usize, of_adapter: usize| {
            let base = FakeGenerator(|prompt: &str, _| crashing(prompt, 0, of_base));
            let adapter =
                FakeGenerator(|prompt: &str, _| crashing(prompt, UNDECIDED_MAX + 1 - of_adapter, problems.len()));
            let measurement = Measurement {
                benchmarks: Vec::new(),
                adapter_name: "python-lora",
                made_from: BTreeMap::new(),
                seed: 3,
                evaluator: Evaluator { formatter: &formatter, judge: &judge, specialist: "python", config: &config },
                problems: &problems,
                base: MeasuredModel { generator: &base, timed: Some(&base), content: ContentHash::of(b"base") },
                adapter: MeasuredModel {
                    generator: &adapter,
                    timed: Some(&adapter),
                    content: ContentHash::of(b"adapter"),
                },
                shuffled_answers: None,
                nearest_copy: None,
            };
            measurement.run(&mut SampleRecord::forgetful(), &Watch::SILENT)
        };
        // The same program twice, from one model and from two, is one.
        let MeasurementOutcome::Measured { record, .. } = measured(3, 2)? else { panic!("nobody ends it early") };
        assert_eq!((record.undecided(), record.undecided_programs().len()), (10, 5));
        assert!(matches!(measured(3, 3), Err(EvaluatorError::NotJudged { programs: 6, .. })));
        Ok(())
    }
}
