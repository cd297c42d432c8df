//! Examples: problems that the adapter gained, lost or did not solve, with the answers of both side by side.
//!
//! Which are shown is decided by the record alone: of each kind those with the greatest difference in right answers come
//! first, and among equals those that stand first in the record. Everything in them was written by a model, a dataset or a
//! program, and is text to the template.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::contents::Report;
use crate::evaluation::{ProblemOutcome, SampleOutcome, verdict_word};
use crate::failed_test::FailedTest;
use hilora_contract::dataset::EvaluationProblem;
use hilora_judge::{Excerpt, Verdict};

/// How many problems of each kind are shown.
const SHOWN_OF_A_KIND: usize = 6;
/// The most characters of a statement or an answer that are shown.
const TEXT_CHARACTERS_MAX: usize = 6_000;
/// The most characters of a test's input.
const INPUT_CHARACTERS_MAX: usize = 600;

/// A kind of examples.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gained,
    Lost,
    Unsolved,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Gained, Self::Lost, Self::Unsolved];

    fn title(self) -> &'static str {
        match self {
            Self::Gained => "Gained: solved more often with the adapter",
            Self::Lost => "Lost: solved less often with the adapter",
            Self::Unsolved => "Solved by neither",
        }
    }

    fn holds(self, base: &ProblemOutcome, adapter: &ProblemOutcome) -> bool {
        match self {
            Self::Gained => adapter.correct() > base.correct(),
            Self::Lost => adapter.correct() < base.correct(),
            Self::Unsolved => base.correct() == 0 && adapter.correct() == 0,
        }
    }

    /// The answer of one side that shows it: where the sides differ, a right one of the better and a wrong one of the other.
    fn answer(self, outcome: &ProblemOutcome, is_adapter: bool) -> Option<&SampleOutcome> {
        let wants_right = match self {
            Self::Gained => is_adapter,
            Self::Lost => !is_adapter,
            Self::Unsolved => false,
        };
        let is_right = |sample: &&SampleOutcome| (sample.verdict == Some(Verdict::Accepted)) == wants_right;
        outcome.samples.iter().find(is_right).or(outcome.samples.first())
    }
}

pub(super) fn examples(report: &Report<'_>) -> Markup {
    let comparison = &report.record.comparison;
    let pairs: Vec<(&ProblemOutcome, &ProblemOutcome)> =
        comparison.base.outcomes.iter().zip(&comparison.adapter.outcomes).collect();
    html! {
        p.soft {
            "Of each kind at most " (SHOWN_OF_A_KIND) ", those with the greatest difference in right answers first, and \
            among equals as the record has them. Where one side is better, a right answer of it stands beside a wrong \
            one of the other. Bytes that are no plain text are escaped; " mark { "marked" } " is the first difference."
        }
        @for kind in Kind::ALL {
            @let shown = chosen(&pairs, kind);
            h3 { (kind.title()) " " span.soft { "(" (shown.len()) ")" } }
            @if shown.is_empty() { p.soft { "None." } }
            @for (base, adapter) in shown.into_iter().take(SHOWN_OF_A_KIND) {
                (example(report.problems, kind, base, adapter))
            }
        }
    }
}

/// The problems of a kind in the order in which they are shown.
fn chosen<'a>(
    pairs: &[(&'a ProblemOutcome, &'a ProblemOutcome)],
    kind: Kind,
) -> Vec<(&'a ProblemOutcome, &'a ProblemOutcome)> {
    let mut chosen: Vec<_> = pairs.iter().copied().filter(|(base, adapter)| kind.holds(base, adapter)).collect();
    // A stable sort leaves equals in the record's order.
    chosen.sort_by_key(|(base, adapter)| Reverse(base.correct().abs_diff(adapter.correct())));
    chosen
}

fn example(problems: &[EvaluationProblem], kind: Kind, base: &ProblemOutcome, adapter: &ProblemOutcome) -> Markup {
    let name = if base.title.is_empty() { &base.id } else { &base.title };
    let solved = |outcome: &ProblemOutcome| format!("{} of {} right", outcome.correct(), outcome.samples.len());
    let problem = problems.iter().find(|problem| problem.text.id == base.id);
    html! {
        details.example {
            summary {
                (name) " "
                span.soft { "base " (solved(base)) ", adapter " (solved(adapter)) ", " (base.domain.0) }
            }
            @if let Some(problem) = problem { pre { (beginning(&problem.text.statement, TEXT_CHARACTERS_MAX)) } }
            div.answers {
                (answer("base", problem, kind.answer(base, false)))
                (answer("adapter", problem, kind.answer(adapter, true)))
            }
        }
    }
}

fn answer(who: &str, problem: Option<&EvaluationProblem>, sample: Option<&SampleOutcome>) -> Markup {
    html! {
        @if let Some(sample) = sample {
            @let is_right = sample.verdict == Some(Verdict::Accepted);
            section.answer {
                h4 { (who) ": " span class=(if is_right { "good" } else { "bad" }) { (verdict_word(sample.verdict)) }
                    @if let Some(error) = &sample.error { " " span.soft { (error) } }
                    @if sample.cut { " " span.soft { "cut at its length" } } }
                pre { (beginning(&sample.completion, TEXT_CHARACTERS_MAX)) }
                @if let Some(failed) = &sample.failed_test { (failure(problem, failed)) }
            }
        }
    }
}

fn failure(problem: Option<&EvaluationProblem>, failed: &FailedTest) -> Markup {
    let index = usize::try_from(failed.test).unwrap_or(usize::MAX).saturating_sub(1);
    let test = problem.and_then(|problem| problem.tests.get(index));
    html! {
        p { "Fails at test " (failed.test)
            @if !failed.detail.is_empty() { ": " (failed.detail) } }
        @if let Some(test) = test.filter(|test| !test.input.is_empty()) {
            p.name { "input" }
            pre { (beginning(&test.input, INPUT_CHARACTERS_MAX)) }
        }
        @if let Some(mismatch) = &failed.mismatch {
            (excerpt("expected", &mismatch.expected))
            (excerpt("output", &mismatch.actual))
        }
    }
}

fn excerpt(name: &str, excerpt: &Excerpt) -> Markup {
    // The mark is on one character, or says that the text ends there.
    let first = excerpt.from.chars().next().filter(|c| *c != '\n');
    let rest = &excerpt.from[first.map_or(0, char::len_utf8)..];
    html! {
        p.name { (name) " " span.soft { "line " (excerpt.line) ", column " (excerpt.column) } }
        pre {
            (excerpt.before)
            mark { @if let Some(first) = first { (first) } @else { "⏎" } }
            (rest)
        }
    }
}

/// A text as a page shows it: of a long one the beginning, and how much more there is.
fn beginning(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}\n[… {} bytes more]", &text[..end], text.len() - end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::outcome;

    #[test]
    fn the_greatest_differences_come_first_and_show_a_right_answer_beside_a_wrong_one() {
        let base = [outcome("a", 2, 4), outcome("b", 0, 4), outcome("c", 3, 4), outcome("d", 0, 4), outcome("e", 1, 4)];
        let adapter =
            [outcome("a", 3, 4), outcome("b", 4, 4), outcome("c", 1, 4), outcome("d", 0, 4), outcome("e", 2, 4)];
        let pairs: Vec<_> = base.iter().zip(&adapter).collect();
        let ids = |kind| chosen(&pairs, kind).into_iter().map(|(base, _)| base.id.as_str()).collect::<Vec<_>>();
        assert_eq!(
            (ids(Kind::Gained), ids(Kind::Lost), ids(Kind::Unsolved)),
            (vec!["b", "a", "e"], vec!["c"], vec!["d"])
        );
        let shown =
            |kind: Kind, outcome, is_adapter| kind.answer(outcome, is_adapter).map(|sample| &sample.completion[..]);
        assert_eq!(shown(Kind::Gained, &base[0], false), Some("answer 2 to a"));
        assert_eq!(shown(Kind::Gained, &adapter[0], true), Some("answer 0 to a"));
        assert_eq!(shown(Kind::Lost, &adapter[2], true), Some("answer 1 to c"));
        // Where there is no such answer, the first one.
        assert_eq!(shown(Kind::Unsolved, &adapter[1], true), Some("answer 0 to b"));
    }

    #[test]
    fn a_long_text_says_how_much_is_left_out() {
        assert_eq!(beginning("éabc", 4), "éabc");
        assert_eq!(beginning("éabc", 2), "éa\n[… 2 bytes more]");
    }
}
