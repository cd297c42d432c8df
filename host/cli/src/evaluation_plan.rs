//! `hilora-host evaluate --plan`: what a measurement would draw, how long that may take, and the smallest difference that it
//! can show, told before a base is downloaded or loaded. Nothing is drawn and nothing is written.
//!
//! How far problems differ from each other and how alike several answers to one are is known only once something is
//! measured. Without a record of the run the most cautious case is told, and the other end beside it.

use hilora_contract::dataset::EvaluationProblem;
use hilora_evaluator::{EvaluationRecord, Latency, MeasuredSpread, Power};
use hilora_run::{DataFile, Measured, MeasuredBenchmark, Run, RunObserver, read_rows};
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Result};

/// The difference that is planned for where none is wished.
const WISH_POINTS: f64 = 5.0;

/// A plan. Differences are in points of pass@1, with 80 % power at 5 % (two-sided).
#[derive(Debug, Serialize)]
struct EvaluationPlan {
    /// The held-out problems.
    problems: u64,
    /// Answers to each, of each model.
    samples_per_problem: u32,
    /// The models that are measured.
    models: Vec<&'static str>,
    /// All answers of all models.
    answers: u64,
    /// The most tokens that they have.
    tokens_max: u64,
    /// How long drawing them takes at most, in seconds, one answer after another; none if no decode time was measured.
    seconds_max: Option<f64>,
    /// The smallest difference.
    smallest_points: Bounds<Option<f64>>,
    /// The wished difference.
    wish_points: f64,
    /// The problems that it asks for.
    problems_needed: Bounds<u64>,
    /// What base and adapter are asked beside the held-out problems.
    benchmarks: Vec<PlannedBenchmark>,
}

/// A benchmark in a plan.
#[derive(Debug, Serialize)]
struct PlannedBenchmark {
    name: &'static str,
    problems: u64,
    /// Answers to each, of each of the two models.
    samples_per_problem: u32,
    /// All answers of both.
    answers: u64,
    /// The most tokens that they have.
    tokens_max: u64,
    /// How long drawing them takes at most, in seconds; none if no decode time was measured.
    seconds_max: Option<f64>,
}

impl PlannedBenchmark {
    fn of(benchmark: &MeasuredBenchmark, latency: &Option<Latency>) -> Self {
        let (problems, samples) = (benchmark.problems.problems.len() as u64, benchmark.evaluation.samples_per_problem);
        let of_one = problems * u64::from(samples);
        let tokens_of_one = of_one * benchmark.evaluation.max_new_tokens as u64;
        let seconds = |latency: &Latency| tokens_of_one as f64 * (latency.base_us + latency.adapter_us) / 1e6;
        Self {
            name: benchmark.benchmark.name,
            problems,
            samples_per_problem: samples,
            answers: 2 * of_one,
            tokens_max: 2 * tokens_of_one,
            seconds_max: latency.as_ref().filter(|latency| latency.is_measured()).map(seconds),
        }
    }

    fn line(&self) -> String {
        let Self { name, problems, samples_per_problem, answers, tokens_max, seconds_max } = self;
        let time = seconds_max.map(|seconds| format!(", at most {}", minutes(seconds))).unwrap_or_default();
        format!(
            "and {name}: {problems} problems, {samples_per_problem} answers each of base, adapter: {answers} answers, at most \
             {tokens_max} tokens{time}"
        )
    }
}

/// A figure that depends on what is not known yet.
#[derive(Debug, Serialize)]
struct Bounds<T> {
    /// If all answers to a problem are alike and the two models are right independently.
    most_cautious: T,
    /// If answers to one problem are as different as those to several.
    least: T,
    /// If differences vary as in the run's last measurement.
    as_measured: Option<T>,
}

/// Makes the plan of a run's measurement and tells it.
pub(super) fn show_plan(
    run: &Run,
    wish: Option<f64>,
    observer: &dyn RunObserver,
    console: &Console,
) -> Result<ExitStatus> {
    let problems: Vec<EvaluationProblem> = read_rows(&run.prepared(DataFile::Tests)?)?;
    let record_file = Measured::record_file(run);
    let record = record_file.is_file().then(|| EvaluationRecord::read(&record_file)).transpose()?;
    let latency_file = Measured::latency_file(run);
    let latency = latency_file.is_file().then(|| Latency::read(&latency_file)).transpose()?;
    let spread = record.as_ref().filter(|record| {
        // The spread of other numbers of answers is another.
        record.config.samples_per_problem == run.config.evaluation.samples_per_problem
    });
    let spread = spread.and_then(|record| MeasuredSpread::of(&record.comparison));
    let sizes = Sizes {
        problems: problems.len() as u64,
        samples_per_problem: run.config.evaluation.samples_per_problem,
        max_new_tokens: run.config.evaluation.max_new_tokens as u64,
        has_control: run.config.controls.shuffled_answers,
    };
    let mut plan = EvaluationPlan::of(&sizes, latency.as_ref(), spread, wish.unwrap_or(WISH_POINTS));
    plan.benchmarks =
        run.benchmarks(observer)?.iter().map(|benchmark| PlannedBenchmark::of(benchmark, &latency)).collect();
    console.result(&plan, &plan.text())?;
    Ok(ExitStatus::Done)
}

/// How much is to be drawn.
struct Sizes {
    problems: u64,
    samples_per_problem: u32,
    max_new_tokens: u64,
    has_control: bool,
}

impl EvaluationPlan {
    fn of(sizes: &Sizes, latency: Option<&Latency>, spread: Option<MeasuredSpread>, wish_points: f64) -> Self {
        let Sizes { problems, samples_per_problem, max_new_tokens, has_control } = *sizes;
        let mut models = vec!["base", "adapter"];
        if has_control {
            models.push("shuffled answers");
        }
        let of_one = problems * u64::from(samples_per_problem);
        let tokens_of_one = of_one * max_new_tokens;
        // The control has an adapter, too.
        let adapters = models.len() as f64 - 1.0;
        let seconds =
            |latency: &Latency| tokens_of_one as f64 * (latency.base_us + adapters * latency.adapter_us) / 1e6;
        let power = Power::new();
        let single = power.answers_needed(wish_points);
        Self {
            problems,
            samples_per_problem,
            answers: of_one * models.len() as u64,
            tokens_max: tokens_of_one * models.len() as u64,
            seconds_max: latency.map(seconds),
            models,
            smallest_points: Bounds {
                most_cautious: power.smallest_points(problems),
                least: power.smallest_points(of_one),
                as_measured: spread.map(|spread| spread.smallest_points(problems)),
            },
            wish_points,
            problems_needed: Bounds {
                most_cautious: single,
                least: single.div_ceil(u64::from(samples_per_problem)),
                as_measured: spread.map(|spread| spread.problems_needed(wish_points)),
            },
            benchmarks: Vec::new(),
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "plan: {} problems, {} answers each of {}: {} answers, at most {} tokens",
                self.problems,
                self.samples_per_problem,
                self.models.join(", "),
                self.answers,
                self.tokens_max
            ),
            match self.seconds_max {
                Some(seconds) => format!(
                    "time: at most {} to draw them one after another, at the run's measured time a token, and then judging",
                    minutes(seconds)
                ),
                None => "time: unknown, because the run has not measured a decode time yet".to_owned(),
            },
            "the smallest difference of pass@1 that they can show (80 % power, 5 % two-sided)".to_owned(),
        ];
        let points = |points: Option<f64>| points.map_or("none".to_owned(), |points| format!("{points:.1} points"));
        lines.extend(self.smallest_points.lines(|value| points(*value)));
        lines.push(format!("problems that a difference of {} points asks for", self.wish_points));
        lines.extend(self.problems_needed.lines(u64::to_string));
        lines.extend(self.benchmarks.iter().map(PlannedBenchmark::line));
        lines.join("\n")
    }
}

impl<T> Bounds<T> {
    fn lines(&self, show: impl Fn(&T) -> String) -> Vec<String> {
        let measured =
            self.as_measured.as_ref().map(|value| (value, "if differences vary as in the run's last measurement"));
        [
            (&self.most_cautious, "if answers to a problem are all alike, and the models right independently"),
            (&self.least, "if answers to a problem are as different as those to several"),
        ]
        .into_iter()
        .chain(measured)
        .map(|(value, what)| format!("  {:>12}  {what}", show(value)))
        .collect()
    }
}

fn minutes(seconds: f64) -> String {
    let whole = seconds.ceil() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..36_000 => format!("{} min", whole.div_ceil(60)),
        _ => format!("{} h", whole.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_models_tokens_and_time() {
        let latency = Latency { base_us: 100.0, adapter_us: 200.0, increase: 1.0, tokens: 10 };
        let sizes = Sizes { problems: 20, samples_per_problem: 5, max_new_tokens: 100, has_control: true };
        let plan = EvaluationPlan::of(&sizes, Some(&latency), None, 20.0);
        assert_eq!((plan.answers, plan.tokens_max), (300, 30_000));
        // 10,000 tokens of the base and 20,000 of adapters.
        assert_eq!(plan.seconds_max, Some(5.0));
        let text = plan.text();
        assert!(text.starts_with("plan: 20 problems, 5 answers each of base, adapter, shuffled answers: 300 answers"));
        assert!(text.contains("time: at most 5 s to draw them"), "{text}");
        let Bounds { most_cautious, least, as_measured } = plan.smallest_points;
        assert!(most_cautious > least && least > Some(0.0) && as_measured.is_none(), "{text}");
        assert!(
            plan.problems_needed.most_cautious > 20 && plan.problems_needed.least < plan.problems_needed.most_cautious
        );
        let few = Sizes { problems: 4, samples_per_problem: 1, max_new_tokens: 1, has_control: false };
        let text = EvaluationPlan::of(&few, None, None, 5.0).text();
        assert!(text.contains("time: unknown") && text.contains("        none  if answers"), "{text}");
    }
}
