//! The page: every figure with its interval, bars, verdicts, the gate, and some problems with both answers.
//!
//! Answers are text that a model wrote; the template escapes all of it, and the page carries no script.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::closing_table::{fraction, percent, points};
use super::contents::Report;
use crate::breakdown::Breakdown;
use crate::comparison::Comparison;
use crate::evaluation::{Evaluation, ProblemOutcome, SampleOutcome, verdict_word};
use crate::gate::GateDecision;
use crate::interval::Estimate;
use hilora_contract::dataset::EvaluationProblem;
use hilora_judge::Verdict;
use hilora_pages::page::{card, page};

/// How many problems of each kind (gained, lost, unsolved) are shown.
const SHOWN_OF_A_KIND: usize = 3;

/// Groups beyond this make a table instead of bars.
const BARS_MAX: usize = 12;

pub(super) fn render(report: &Report<'_>) -> String {
    let record = report.record;
    let comparison = &record.comparison;
    let body = html! {
        (head(report))
        (cards(report))
        h2 { "pass@k" }
        (pass_bars(comparison))
        p.soft { "Bars are means over problems, whiskers 95 % intervals (over problems)." }
        @if let Some(gate) = report.decision { h2 { "Gate" } (gate_table(gate)) }
        h2 { "Controls" }
        (controls(report))
        @for breakdown in record.breakdowns.iter().filter(|breakdown| breakdown.groups.len() > 1) {
            h2 { "pass@1 by " (breakdown.by) }
            (breakdown_section(breakdown))
            @if breakdown.overlaps(comparison) { p.soft { "A problem counts in each of its groups." } }
        }
        h2 { "Verdicts" }
        (verdict_table(comparison))
        h2 { "Some problems, with the first answer of each" }
        (shown_problems(report))
        h2 { "What made this" }
        (origin_table(report))
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
            (card("pass@1, base", &format!("{:.3}", comparison.base.pass_at_1().value), &interval(&comparison.base.pass_at_1())))
            (card("pass@1, adapter", &format!("{:.3}", comparison.adapter.pass_at_1().value), &interval(&comparison.adapter.pass_at_1())))
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

fn pass_bars(comparison: &Comparison) -> Markup {
    let rows = comparison
        .base
        .pass_at
        .iter()
        .filter_map(|(k, base)| Some((format!("pass@{k}"), *base, *comparison.adapter.pass_at.get(k)?)));
    bars(&rows.collect::<Vec<_>>())
}

/// Two bars a row on an axis from 0 to 1, with whiskers and a legend.
fn bars(rows: &[(String, Estimate, Estimate)]) -> Markup {
    const LEFT: f64 = 180.0;
    const WIDTH: f64 = 640.0;
    const ROW: f64 = 58.0;
    const TOP: f64 = 34.0;
    let x = |value: f64| LEFT + WIDTH * value.clamp(0.0, 1.0);
    let bottom = TOP + ROW * rows.len() as f64;
    let bar = |y: f64, estimate: &Estimate, colour: &str| {
        let middle = y + 9.0;
        html! {
            rect x=(LEFT) y=(y) width=(format!("{:.1}", x(estimate.value) - LEFT)) height="18" rx="2" fill=(colour) {}
            line x1=(format!("{:.1}", x(estimate.low))) x2=(format!("{:.1}", x(estimate.high))) y1=(middle) y2=(middle)
                stroke="var(--ink)" stroke-width="1.5" {}
            text x=(format!("{:.1}", x(estimate.high.max(estimate.value)) + 8.0)) y=(middle + 4.5) { (format!("{:.3}", estimate.value)) }
        }
    };
    html! {
        svg viewBox=(format!("0 0 900 {}", bottom + 30.0)) role="img" aria-label="bars of the base and the adapter" {
            rect x=(LEFT) y="6" width="12" height="12" rx="2" fill="var(--base)" {}
            text x=(LEFT + 18.0) y="16.5" { "base" }
            rect x=(LEFT + 70.0) y="6" width="12" height="12" rx="2" fill="var(--adapter)" {}
            text x=(LEFT + 88.0) y="16.5" { "adapter" }
            @for tick in 0..=4 {
                @let at = x(f64::from(tick) / 4.0);
                line x1=(at) x2=(at) y1=(TOP) y2=(bottom) stroke="var(--line)" {}
                text.tick x=(at) y=(bottom + 18.0) text-anchor="middle" { (f64::from(tick) / 4.0) }
            }
            @for (index, (name, base, adapter)) in rows.iter().enumerate() {
                @let y = TOP + ROW * index as f64 + 9.0;
                text x=(LEFT - 12.0) y=(y + 24.0) text-anchor="end" { (name) }
                (bar(y, base, "var(--base)"))
                (bar(y + 20.0, adapter, "var(--adapter)"))
            }
        }
    }
}

fn gate_table(gate: &GateDecision) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "rule" } th.number { "measured" } th { "" } }
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
            tr { th { "answers come from" } th { "pass@1" } }
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

fn breakdown_section(breakdown: &Breakdown) -> Markup {
    html! {
        @if breakdown.groups.len() <= BARS_MAX {
            @let named = |name: &str, problems| format!("{name} ({problems})");
            (bars(&breakdown.groups.iter().map(|row| (named(&row.group, row.problems), row.base, row.adapter)).collect::<Vec<_>>()))
        }
        div.scroll { table {
            tr { th { (breakdown.by) } th.number { "problems" } th { "base" } th { "adapter" } th { "difference" } }
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
        div.scroll { table {
            tr { th { "verdict" } th.number { "base" } th.number { "adapter" } }
            (count_rows(comparison, |evaluation| &evaluation.verdicts))
        } }
        @if !(comparison.base.errors.is_empty() && comparison.adapter.errors.is_empty()) {
            p.soft { "Answers that do not run, by cause:" }
            div.scroll { table {
                tr { th { "cause" } th.number { "base" } th.number { "adapter" } }
                (count_rows(comparison, |evaluation| &evaluation.errors))
            } }
        }
    }
}

fn count_rows(
    comparison: &Comparison,
    counts: impl Fn(&Evaluation) -> &std::collections::BTreeMap<String, u64>,
) -> Markup {
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

/// Whether a problem is of a kind, by the number of right answers of the base and of the adapter.
type Belongs = fn(u64, u64) -> bool;

fn shown_problems(report: &Report<'_>) -> Markup {
    let comparison = &report.record.comparison;
    let pairs: Vec<_> = comparison.base.outcomes.iter().zip(&comparison.adapter.outcomes).collect();
    let kinds: [(&str, Belongs); 3] = [
        ("solved more often with the adapter", |base, adapter| adapter > base),
        ("solved less often with the adapter", |base, adapter| adapter < base),
        ("solved by neither", |base, adapter| base == 0 && adapter == 0),
    ];
    html! {
        @for (kind, belongs) in kinds {
            @let shown: Vec<_> = pairs.iter().filter(|(base, adapter)| belongs(base.correct(), adapter.correct())).collect();
            @if !shown.is_empty() {
                p.soft { (kind) ": " (shown.len()) " problems" }
                @for (base, adapter) in shown.into_iter().take(SHOWN_OF_A_KIND) {
                    (problem_details(report.problems, base, adapter))
                }
            }
        }
    }
}

fn problem_details(problems: &[EvaluationProblem], base: &ProblemOutcome, adapter: &ProblemOutcome) -> Markup {
    let name = if base.title.is_empty() { &base.id } else { &base.title };
    let solved = |outcome: &ProblemOutcome| format!("{} of {} right", outcome.correct(), outcome.samples.len());
    html! {
        details {
            summary { (name) " " span.soft { "base " (solved(base)) ", adapter " (solved(adapter)) } }
            @if let Some(problem) = problems.iter().find(|problem| problem.text.id == base.id) {
                pre { (problem.text.statement) }
            }
            div.answers {
                (answer("base", base.samples.first()))
                (answer("adapter", adapter.samples.first()))
            }
        }
    }
}

fn answer(who: &str, sample: Option<&SampleOutcome>) -> Markup {
    html! {
        @if let Some(sample) = sample {
            @let colour = if sample.verdict == Some(Verdict::Accepted) { "good" } else { "bad" };
            div {
                div { (who) ": " span class=(colour) { (verdict_word(sample.verdict)) }
                    @if let Some(error) = &sample.error { span.soft { " " (error) } } }
                pre { (sample.completion) }
            }
        }
    }
}

fn origin_table(report: &Report<'_>) -> Markup {
    html! {
        div.scroll { table {
            @for (name, value) in &report.record.made_from { tr { td { (name) } td { code { (value) } } } }
        } }
    }
}
