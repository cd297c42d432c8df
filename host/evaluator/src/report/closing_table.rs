//! The closing table: what a run ends with on the terminal, in 78 columns.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::contents::Report;
use crate::benchmark_record::BenchmarkRecord;
use crate::breakdown::{Breakdown, GroupScore};
use crate::comparison::Comparison;
use crate::evaluation::Evaluation;
use crate::interval::Estimate;
use crate::latency::Latency;

/// Groups with a smaller adjusted p value are marked.
const MARKED_BELOW: f64 = 0.05;

pub(super) fn render(report: &Report<'_>) -> String {
    let comparison = &report.record.comparison;
    let mut lines = vec![
        format!(
            "{} against its base: {} problems, {} answers each, 95 % intervals",
            report.record.adapter_name, comparison.base.problems, comparison.base.samples_per_problem
        ),
        String::new(),
        row("", "base", "adapter", "difference"),
    ];
    lines.extend(pass_rows(comparison));
    lines.extend(repeated_rows(comparison));
    lines.push(row(
        "answers that do not run",
        &percent(comparison.base.error_rate.value),
        &percent(comparison.adapter.error_rate.value),
        "",
    ));
    lines.extend(apart_rows(comparison));
    lines.push(latency_row(report.latency));
    lines.push(String::new());
    lines.push(format!(
        "better on {} problems, worse on {}, equal on {}: {}",
        comparison.problems_better,
        comparison.problems_worse,
        comparison.problems_equal,
        p_value(comparison.p_value)
    ));
    lines.extend(control_lines(report));
    lines.extend(breakdown_lines(&report.record.breakdowns, comparison));
    lines.extend(report.record.benchmarks.iter().flat_map(benchmark_lines));
    if let Some(gate) = report.decision {
        lines.push(String::new());
        lines.push(gate.to_string());
    }
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

fn row(name: &str, base: &str, adapter: &str, difference: &str) -> String {
    format!("{name:<24} {base:<19} {adapter:<19} {difference}")
}

fn pass_rows(comparison: &Comparison) -> Vec<String> {
    let difference = |k: u32| if k == 1 { points(&comparison.improvement_points) } else { String::new() };
    let at = |evaluation: &Evaluation, k: &u32| evaluation.pass_at.get(k).map(fraction).unwrap_or_default();
    comparison
        .base
        .pass_at
        .keys()
        .map(|k| row(&format!("pass@{k}"), &at(&comparison.base, k), &at(&comparison.adapter, k), &difference(*k)))
        .collect()
}

/// What is asked of all answers to a problem together: whether every one of k is right, and what most of them say.
fn repeated_rows(comparison: &Comparison) -> Vec<String> {
    let (base, adapter) = (&comparison.base, &comparison.adapter);
    let most = base.pass_all.last_key_value().zip(adapter.pass_all.last_key_value());
    let all = most
        .map(|((k, base), (_, adapter))| row(&format!("pass^{k}, all right"), &fraction(base), &fraction(adapter), ""));
    let votes = base.majority.zip(adapter.majority);
    let votes = votes.map(|(base, adapter)| row("majority's answer", &fraction(&base), &fraction(&adapter), ""));
    all.into_iter().chain(votes).collect()
}

/// Answers that count as not right though nobody has shown that they are wrong, where there are any.
fn apart_rows(comparison: &Comparison) -> Vec<String> {
    let (base, adapter) = (&comparison.base, &comparison.adapter);
    [
        ("  not judged, answers", base.not_judged, adapter.not_judged),
        ("  module lacks, answers", base.unsupported, adapter.unsupported),
    ]
    .into_iter()
    .filter(|(_, base, adapter)| base + adapter > 0)
    .map(|(name, base, adapter)| row(name, &base.to_string(), &adapter.to_string(), ""))
    .collect()
}

fn latency_row(latency: &Latency) -> String {
    if !latency.is_measured() {
        return row("decode time a token", "not measured", "not measured", "");
    }
    let us = |value: f64| format!("{value:.0} µs");
    let difference = format!("{:+.1} %", 100.0 * latency.increase);
    row("decode time a token", &us(latency.base_us), &us(latency.adapter_us), &difference)
}

fn control_lines(report: &Report<'_>) -> Vec<String> {
    let controls = &report.record.controls;
    let shuffled = controls.shuffled_answers.as_ref().map(|evaluation| evaluation.pass_at_1());
    let copied = controls.nearest_copy.as_ref().map(|copy| copy.score);
    let line = |name: &str, value: Option<Estimate>| value.map(|value| format!("{name:<44} {}", fraction(&value)));
    [
        line("control: trained on shuffled answers, pass@1", shuffled),
        line("control: copying the nearest answer, pass@1", copied),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn breakdown_lines(breakdowns: &[Breakdown], comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    for breakdown in breakdowns.iter().filter(|breakdown| breakdown.groups.len() > 1) {
        lines.push(String::new());
        lines.push(row(&format!("pass@1 by {}", breakdown.by), "base", "adapter", "difference"));
        lines.extend(breakdown.groups.iter().map(group_row));
        if breakdown.groups.iter().any(is_marked) {
            lines.push(format!("  * p below {MARKED_BELOW}, adjusted over all groups (Holm)"));
        }
        if breakdown.overlaps(comparison) {
            lines.push("  a problem counts in each of its groups".to_owned());
        }
    }
    lines
}

/// A benchmark's part of the table, which no gate decides by.
fn benchmark_lines(benchmark: &BenchmarkRecord) -> Vec<String> {
    let BenchmarkRecord { name, comparison, without_contaminated, contamination, prompt, .. } = benchmark;
    let (problems, samples) = (comparison.base.problems, comparison.base.samples_per_problem);
    let mut lines =
        vec![String::new(), row(&format!("{name} ({problems} × {samples})"), "base", "adapter", "difference")];
    lines.extend(pass_rows(comparison).into_iter().chain(repeated_rows(comparison)));
    lines.extend(apart_rows(comparison));
    if let Some(clean) = without_contaminated {
        let at_1 = |pass: &BTreeMap<u32, Estimate>| pass.get(&1).map(fraction).unwrap_or_default();
        let name = format!("  {} not in the training", clean.problems);
        lines.push(row(&name, &at_1(&clean.base), &at_1(&clean.adapter), &points(&clean.improvement_points)));
    }
    lines.push(format!(
        "  better on {}, worse on {}, equal on {}: {}; prompt: {}",
        comparison.problems_better,
        comparison.problems_worse,
        comparison.problems_equal,
        p_value(comparison.p_value),
        prompt.kind
    ));
    lines.push(match contamination.rows {
        Some(rows) => {
            format!("  {} of its problems share too much with the {rows} training rows", contamination.problems.len())
        }
        None => format!("  training data {}", contamination.check),
    });
    lines.extend(breakdown_lines(&benchmark.breakdowns, comparison));
    lines
}

fn group_row(group: &GroupScore) -> String {
    let name = format!("  {} ({})", group.group, group.problems);
    let mark = if is_marked(group) { " *" } else { "" };
    let difference = points(&group.improvement_points) + mark;
    row(&name, &fraction(&group.base), &fraction(&group.adapter), &difference)
}

fn is_marked(group: &GroupScore) -> bool {
    group.p_holm < MARKED_BELOW
}

/// `p = 0.031`.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// `0.655 [0.58, 0.72]`.
pub(crate) fn fraction(estimate: &Estimate) -> String {
    format!("{:.3} [{:.2}, {:.2}]", estimate.value, estimate.low, estimate.high)
}

/// `+49.3 points [41.0, 57.2]`.
pub(crate) fn points(estimate: &Estimate) -> String {
    format!("{:+.1} points [{:.1}, {:.1}]", estimate.value, estimate.low, estimate.high)
}

/// `1.2 %`.
pub(super) fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

#[cfg(test)]
mod tests {
    use crate::fakes::{doubling_problem, outcome};
    use crate::{
        Breakdown, Comparison, Controls, Evaluation, EvaluationConfig, EvaluationRecord, EvaluatorError, FailedTest,
        GateConfig, GateMeasurements, Latency, ProblemOutcome, Report, STATISTICS, SampleOutcome, TrainingCurves,
    };
    use hilora_contract::dataset::{Attribute, Domain, EvaluationProblem, TestCase};
    use hilora_judge::{Mismatch, Verdict};

    const TITLES: [&str; 5] = ["sum 1", "sum 2", "sort 1", "sort <b>2</b>", "sort 3"];

    fn evaluation(right: [usize; 5]) -> Result<Evaluation, EvaluatorError> {
        Evaluation::of_outcomes(TITLES.iter().zip(right).map(|(title, c)| outcome(title, c, 4)).collect(), &[1, 4])
    }

    /// The problems, of which the dataset tells a family.
    fn problems() -> Vec<EvaluationProblem> {
        let family = |title: &str| if title.starts_with("sum") { "sum" } else { "sort" };
        TITLES
            .map(|title| {
                let family = Attribute { name: "family".to_owned(), value: family(title).to_owned() };
                EvaluationProblem { attributes: vec![family], ..doubling_problem(title) }
            })
            .to_vec()
    }

    #[test]
    fn shows_every_figure_with_its_interval() -> Result<(), EvaluatorError> {
        let comparison = Comparison::of(evaluation([0, 1, 0, 4, 0])?, evaluation([4, 3, 2, 3, 0])?)?;
        let latency = Latency { base_us: 412.4, adapter_us: 498.6, increase: 0.209, tokens: 600 };
        let gate = GateConfig::default().decide(&GateMeasurements::of(&comparison, &latency));
        let record = EvaluationRecord {
            benchmarks: Vec::new(),
            statistics: STATISTICS,
            adapter_name: "python-lora".to_owned(),
            made_from: [("base model".to_owned(), "ab12".to_owned())].into(),
            seed: 5,
            config: EvaluationConfig::default(),
            breakdowns: Breakdown::all(&comparison, &problems(), None),
            comparison,
            controls: Controls { shuffled_answers: Some(evaluation([0, 0, 1, 0, 0])?), nearest_copy: None },
        };
        let report =
            Report { record: &record, latency: &latency, decision: Some(&gate), problems: &[], training: None };
        let text = report.to_string();
        let golden = include_str!("../../../../tests/ui/closing_table.txt");
        if std::env::var_os("HILORA_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/ui/closing_table.txt");
            std::fs::write(path, &text).expect("the golden file can be written");
        } else {
            assert_eq!(text, golden, "HILORA_BLESS=1 writes the new text");
        }
        let page = report.html();
        assert!(page.contains("sort &lt;b&gt;2&lt;/b&gt;") && !page.contains("<b>2</b>") && !page.contains("<script"));
        Ok(())
    }

    /// What a model, a program or a dataset may write to reach whoever opens the page.
    const HOSTILE: &str = "</pre></script><img src=x onerror=alert(1)><script>alert(2)</script>\"'>\u{202e}\u{1b}[2J&";

    #[test]
    fn nothing_that_was_written_elsewhere_is_more_than_text_on_the_page() -> Result<(), EvaluatorError> {
        let hostile = |verdict| {
            let mismatch = Some(Mismatch::at((HOSTILE.as_bytes(), 3), (HOSTILE.as_bytes(), 9)));
            let sample = SampleOutcome {
                completion: HOSTILE.to_owned(),
                tokens: 1,
                cut: true,
                verdict: Some(verdict),
                error: Some(HOSTILE.to_owned()),
                program: None,
                failed_test: Some(FailedTest { test: 1, detail: HOSTILE.to_owned(), mismatch }),
                log_probability: None,
            };
            let (id, domain) = (HOSTILE.to_owned(), Domain(HOSTILE.to_owned()));
            let other = ProblemOutcome { id: "q".to_owned(), ..outcome("q", 0, 1) };
            let outcomes = vec![ProblemOutcome { id, title: String::new(), domain, samples: vec![sample] }, other];
            Evaluation::of_outcomes(outcomes, &[1])
        };
        let comparison = Comparison::of(hostile(Verdict::WrongAnswer)?, hostile(Verdict::Accepted)?)?;
        let mut problem = doubling_problem(HOSTILE);
        problem.tests = [TestCase { input: HOSTILE.to_owned(), output: HOSTILE.to_owned() }].into();
        problem.domain = Domain(HOSTILE.to_owned());
        let problems = [problem, doubling_problem("q")];
        let record = EvaluationRecord {
            benchmarks: Vec::new(),
            statistics: STATISTICS,
            adapter_name: HOSTILE.to_owned(),
            made_from: [(HOSTILE.to_owned(), HOSTILE.to_owned())].into(),
            seed: 5,
            config: EvaluationConfig::default(),
            breakdowns: Breakdown::all(&comparison, &problems, None),
            comparison,
            controls: Controls::default(),
        };
        let latency = Latency { base_us: 1.0, adapter_us: 1.0, increase: 0.0, tokens: 1 };
        let gate = GateConfig::default().decide(&GateMeasurements::of(&record.comparison, &latency));
        let training = TrainingCurves { loss: vec![(1.0, 2.0), (2.0, f64::NAN)], ..TrainingCurves::default() };
        let page = Report {
            record: &record,
            latency: &latency,
            decision: Some(&gate),
            problems: &problems,
            training: Some(&training),
        }
        .html();
        for markup in ["<script", "<img", "\u{202e}", "\u{1b}", "NaN"] {
            assert!(!page.contains(markup), "{markup:?} in {page}");
        }
        // An answer, an input and both outputs are there, as text.
        assert!(page.matches("&lt;img src=x onerror=alert(1)&gt;").count() >= 8, "{page}");
        assert!(page.contains("\\u{202e}\\x1b[2J&amp;") && page.contains("Gained"), "{page}");
        Ok(())
    }
}
