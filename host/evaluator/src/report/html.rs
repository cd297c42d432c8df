//! The page: the gate, every figure with its interval, verdicts, timings, the training's curves, some problems with both
//! answers, and what made it all.
//!
//! Answers are text that a model wrote; the template escapes all of it, and the page carries no script.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::closing_table::{fraction, percent, points};
use super::contents::Report;
use super::examples::examples;
use super::training_curves::TrainingCurves;
use super::verdict_bars::verdict_bars;
use crate::benchmark_record::BenchmarkRecord;
use crate::breakdown::Breakdown;
use crate::comparison::Comparison;
use crate::evaluation::Evaluation;
use crate::gate::GateDecision;
use crate::interval::Estimate;
use hilora_pages::chart::{Bar, BarPair, LineChart, Series, bar_pairs, line_chart};
use hilora_pages::page::{card, page};

/// What links call the sections of benchmarks, of which each is in a record once.
const BENCHMARK_IDS: [&str; 10] = [
    "benchmark-1",
    "benchmark-2",
    "benchmark-3",
    "benchmark-4",
    "benchmark-5",
    "benchmark-6",
    "benchmark-7",
    "benchmark-8",
    "benchmark-9",
    "benchmark-10",
];

/// Groups beyond this make a table instead of bars.
const BARS_MAX: usize = 12;

pub(super) fn render(report: &Report<'_>) -> String {
    let record = report.record;
    let comparison = &record.comparison;
    let training = report.training.filter(|curves| !curves.is_empty());
    let breakdowns: Vec<&Breakdown> = record.breakdowns.iter().filter(|breakdown| breakdown.groups.len() > 1).collect();
    let mut sections: Vec<(&str, String, Markup)> = Vec::new();
    if let Some(gate) = report.decision {
        sections.push(("gate", "Gate".to_owned(), gate_table(gate)));
    }
    sections.push(("pass-at-k", "pass@k".to_owned(), pass_section(comparison)));
    for (index, breakdown) in breakdowns.into_iter().enumerate() {
        let id = ["by-1", "by-2", "by-3", "by-4"].get(index).copied().unwrap_or("by-more");
        sections.push((id, format!("By {}", breakdown.by), breakdown_section(breakdown, comparison)));
    }
    for (index, benchmark) in record.benchmarks.iter().enumerate() {
        let id = BENCHMARK_IDS.get(index).copied().unwrap_or("benchmark-more");
        sections.push((id, benchmark.name.clone(), benchmark_section(benchmark)));
    }
    sections.push(("verdicts", "Verdicts".to_owned(), verdict_table(comparison)));
    sections.push(("latency", "Latency".to_owned(), latency_table(report)));
    sections.push(("controls", "Controls".to_owned(), controls(report)));
    if let Some(curves) = training {
        sections.push(("training", "Training".to_owned(), training_section(curves)));
    }
    sections.push(("examples", "Examples".to_owned(), examples(report)));
    sections.push(("provenance", "Provenance".to_owned(), provenance(report)));
    let body = html! {
        header { (head(report)) }
        (cards(report))
        nav aria-label="sections" { @for (id, title, _) in &sections { a href=(format!("#{id}")) { (title) } } }
        @for (id, title, content) in &sections { section id=(id) { h2 { (title) } (content) } }
    };
    page(&format!("{} against its base", record.adapter_name), &body)
}

fn head(report: &Report<'_>) -> Markup {
    let comparison = &report.record.comparison;
    html! {
        h1 { (report.record.adapter_name) " against its base" }
        p.soft {
            (comparison.base.problems) " held-out problems, " (comparison.base.samples_per_problem)
            " answers each at temperature " (report.record.config.temperature) ", seed " (report.record.seed)
        }
        @if let Some(gate) = report.decision {
            p { span class=(if gate.passed { "badge good" } else { "badge bad" }) { (gate.summary()) } }
        }
    }
}

fn cards(report: &Report<'_>) -> Markup {
    let comparison = &report.record.comparison;
    let improvement = &comparison.improvement_points;
    html! {
        div.cards {
            @for (name, evaluation) in [("pass@1, base", &comparison.base), ("pass@1, adapter", &comparison.adapter)] {
                @let estimate = evaluation.pass_at_1();
                (card(name, &format!("{:.3}", estimate.value), &interval(&estimate)))
            }
            (card(
                "improvement", &format!("{:+.1}", improvement.value),
                &format!("points [{:.1}, {:.1}], paired", improvement.low, improvement.high),
            ))
            (card(
                "do not run", &percent(comparison.adapter.error_rate.value),
                &format!("base {}", percent(comparison.base.error_rate.value)),
            ))
            @if report.latency.is_measured() {
                (card(
                    "decode time", &format!("{:+.1} %", 100.0 * report.latency.increase),
                    &format!("{:.0} µs a token, base {:.0} µs", report.latency.adapter_us, report.latency.base_us),
                ))
            } @else {
                (card("decode time", "–", "not measured"))
            }
        }
    }
}

fn interval(estimate: &Estimate) -> String {
    format!("[{:.2}, {:.2}]", estimate.low, estimate.high)
}

fn pass_section(comparison: &Comparison) -> Markup {
    let rows: Vec<(u32, Estimate, Estimate)> = comparison
        .base
        .pass_at
        .iter()
        .filter_map(|(k, base)| Some((*k, *base, *comparison.adapter.pass_at.get(k)?)))
        .collect();
    let named = rows.iter().map(|(k, base, adapter)| (format!("pass@{k}"), *base, *adapter));
    html! {
        (bars("pass@k of the base and the adapter, with intervals", named.collect()))
        p.soft { "Bars are means over problems, whiskers 95 % intervals (over problems)." }
        div.scroll { table {
            tr { @for head in ["k", "base", "adapter", "difference"] { th scope="col" { (head) } } }
            @for (k, base, adapter) in &rows {
                tr {
                    td { (k) }
                    td { (fraction(base)) }
                    td { (fraction(adapter)) }
                    td { @if *k == 1 { (points(&comparison.improvement_points)) } }
                }
            }
        } }
        p {
            "Better on " (comparison.problems_better) " problems, worse on " (comparison.problems_worse)
            ", equal on " (comparison.problems_equal) "."
        }
    }
}

fn benchmark_section(benchmark: &BenchmarkRecord) -> Markup {
    let BenchmarkRecord { comparison, config, prompt, contamination, without_contaminated, .. } = benchmark;
    let at = |pass: &BTreeMap<u32, Estimate>, k: &u32| pass.get(k).map(fraction).unwrap_or_default();
    html! {
        p.soft {
            (comparison.base.problems) " problems, " (config.samples_per_problem) " answers each at temperature "
            (config.temperature) "; the gate does not read it."
        }
        (pass_section(comparison))
        @if let Some(clean) = without_contaminated {
            h3 { "Without the problems that stand in the training data: " (clean.problems) " problems" }
            div.scroll { table {
                tr { @for head in ["k", "base", "adapter", "difference"] { th scope="col" { (head) } } }
                @for k in clean.base.keys() {
                    tr {
                        td { (k) }
                        td { (at(&clean.base, k)) }
                        td { (at(&clean.adapter, k)) }
                        td { @if *k == 1 { (points(&clean.improvement_points)) } }
                    }
                }
            } }
        }
        p { "Training data: " (contamination.words()) "." }
        @for breakdown in benchmark.breakdowns.iter().filter(|breakdown| breakdown.groups.len() > 1) {
            h3 { "By " (breakdown.by) }
            (breakdown_section(breakdown, comparison))
        }
        (verdict_table(comparison))
        div.scroll { table { tbody {
            tr { th scope="row" { "prompt" } td { (prompt.kind) ": " (prompt.name) } }
            tr { th scope="row" { "prompts, hash" } td { code { (prompt.hash) } } }
            tr { th scope="row" { "what is judged" } td { (prompt.extraction) } }
            @for (name, value) in &benchmark.made_from {
                tr { th scope="row" { (name) } td { code { (value) } } }
            }
            @for (reason, rows) in &benchmark.skipped_problems {
                tr { th scope="row" { "rows not asked: " (reason) } td { (rows) } }
            }
        } } }
    }
}

/// One pair of bars a row.
fn bars(label: &str, rows: Vec<(String, Estimate, Estimate)>) -> Markup {
    let bar = |estimate: Estimate| Bar { value: estimate.value, low: estimate.low, high: estimate.high };
    let pair = |(name, base, adapter)| BarPair { name, first: bar(base), second: bar(adapter) };
    bar_pairs(label, ["base", "adapter"], &rows.into_iter().map(pair).collect::<Vec<_>>())
}

fn gate_table(gate: &GateDecision) -> Markup {
    html! {
        div.scroll { table {
            tr { th scope="col" { "rule" } th.number scope="col" { "measured" } th scope="col" { "result" } }
            @for rule in &gate.rules {
                tr {
                    td { (rule.demand()) }
                    td.number { (rule.measured_text()) }
                    td class=(if rule.passed { "good" } else { "bad" }) { (if rule.passed { "passed" } else { "failed" }) }
                }
            }
        } }
    }
}

fn controls(report: &Report<'_>) -> Markup {
    let controls = &report.record.controls;
    let adapter = report.record.comparison.adapter.pass_at_1();
    html! {
        div.scroll { table {
            tr { th scope="col" { "answers come from" } th scope="col" { "pass@1" } }
            tr { td { "the adapter" } td { (fraction(&adapter)) } }
            @if let Some(shuffled) = &controls.shuffled_answers {
                tr { td { "an adapter trained on shuffled answers" } td { (fraction(&shuffled.pass_at_1())) } }
            }
            @if let Some(copied) = &controls.nearest_copy {
                tr { td { "copying the most similar training problem's answer" } td { (fraction(&copied.score)) } }
            }
            tr { td { "the base" } td { (fraction(&report.record.comparison.base.pass_at_1())) } }
        } }
    }
}

fn breakdown_section(breakdown: &Breakdown, comparison: &Comparison) -> Markup {
    html! {
        p.soft { "pass@1 of the groups that the data tells of."
            @if breakdown.overlaps(comparison) { " A problem counts in each of its groups." } }
        @if breakdown.groups.len() <= BARS_MAX {
            @let named = |name: &str, problems| format!("{name} ({problems})");
            @let label = format!("pass@1 of the base and the adapter by {}", breakdown.by);
            @let rows = breakdown.groups.iter().map(|row| (named(&row.group, row.problems), row.base, row.adapter));
            (bars(&label, rows.collect()))
        }
        div.scroll { table {
            tr { th scope="col" { (breakdown.by) } th.number scope="col" { "problems" } th scope="col" { "base" }
                th scope="col" { "adapter" } th scope="col" { "difference" } }
            @for row in &breakdown.groups {
                tr {
                    td { (row.group) }
                    td.number { (row.problems) }
                    td { (fraction(&row.base)) }
                    td { (fraction(&row.adapter)) }
                    td { (points(&row.improvement_points)) }
                }
            }
        } }
    }
}

fn verdict_table(comparison: &Comparison) -> Markup {
    html! {
        (verdict_bars(comparison))
        p.soft { "Shares of all answers; those that do not run are counted by their cause." }
        div.scroll { table {
            tr { th scope="col" { "verdict" } th.number scope="col" { "base" } th.number scope="col" { "adapter" } }
            (count_rows(comparison, |evaluation| &evaluation.verdicts))
        } }
        @if !(comparison.base.errors.is_empty() && comparison.adapter.errors.is_empty()) {
            p.soft { "Answers that do not run, by cause:" }
            div.scroll { table {
                tr { th scope="col" { "cause" } th.number scope="col" { "base" } th.number scope="col" { "adapter" } }
                (count_rows(comparison, |evaluation| &evaluation.errors))
            } }
        }
    }
}

fn count_rows(comparison: &Comparison, counts: impl Fn(&Evaluation) -> &BTreeMap<String, u64>) -> Markup {
    let (base, adapter) = (counts(&comparison.base), counts(&comparison.adapter));
    let words: BTreeSet<&String> = base.keys().chain(adapter.keys()).collect();
    html! {
        @for word in words {
            tr {
                td { (word) }
                td.number { (base.get(word).unwrap_or(&0)) }
                td.number { (adapter.get(word).unwrap_or(&0)) }
            }
        }
    }
}

fn latency_table(report: &Report<'_>) -> Markup {
    let latency = report.latency;
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "decode time a token" } th.number scope="col" { "base" }
                th.number scope="col" { "adapter" } th.number scope="col" { "difference" } } }
            tbody { tr {
                th scope="row" { "median over " (latency.tokens) " tokens" }
                td.number { (format!("{:.0} µs", latency.base_us)) }
                td.number { (format!("{:.0} µs", latency.adapter_us)) }
                td.number { (format!("{:+.1} %", 100.0 * latency.increase)) }
            } }
        } }
    }
}

fn training_section(curves: &TrainingCurves) -> Markup {
    let series =
        |name, colour, points: &Vec<(f64, f64)>, is_marked| Series { name, colour, points: points.clone(), is_marked };
    let loss = [
        series("training loss", "var(--adapter)", &curves.loss, false),
        series("validation loss", "var(--good)", &curves.validation_loss, true),
    ];
    let rate = [series("learning rate", "var(--adapter)", &curves.learning_rate, false)];
    let pass = [series("validation pass@1", "var(--good)", &curves.validation_pass_at_1, true)];
    let chart = |label, series: &[Series], decimals, is_scientific| {
        line_chart(&LineChart { label, series, decimals, is_scientific })
    };
    // Without a finite value there is no chart.
    let charts = [
        (
            "Loss, mean cross-entropy of a target token in nats",
            chart("training and validation loss by step", &loss, 3, false),
        ),
        ("Learning rate", chart("learning rate by step", &rate, 1, true)),
        ("Validation pass@1", chart("validation pass@1 by step", &pass, 3, false)),
    ];
    html! {
        @for (title, chart) in charts.iter().filter(|(_, chart)| !chart.0.is_empty()) { h3 { (title) } (chart) }
    }
}

fn provenance(report: &Report<'_>) -> Markup {
    let record = report.record;
    let config = &record.config;
    html! {
        p.soft { "Hashes of what decided the measurement. The same inputs give the same record, byte for byte." }
        div.scroll { table { tbody {
            @for (name, value) in &record.made_from {
                tr { th scope="row" { (name) } td { code { (value) } } }
            }
            tr { th scope="row" { "seed" } td { (record.seed) } }
            tr {
                th scope="row" { "answers" }
                td {
                    (config.samples_per_problem) " a problem, temperature " (config.temperature) ", top-p " (config.top_p)
                    @for (name, value) in config.filters() { ", " (name) " " (value) }
                    ", at most " (config.max_new_tokens) " tokens"
                    @for stop in &config.stop { ", ended at " code { (format!("{stop:?}")) } }
                }
            }
        } } }
    }
}
