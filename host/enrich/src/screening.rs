//! Screening: which answers are reasoning traces, and why the others are not.
//!
//! The rules, in the order in which they are asked:
//!
//! 1. `refused`: the endpoint refused the request or its filter ended the answer, or the answer opens with one of a
//!    few set phrases of refusal.
//! 2. `cut-off`: the answer ended at its token limit. A model must not learn to stop in the middle of a thought.
//! 3. `unbalanced-think-tags`: `<think>` and `</think>` do not pair up. What stands between a pair is the answering
//!    model's own scratch work and is taken out; what is left is the trace.
//! 4. `no-reasoning`: fewer than 80 characters are left once fenced code and white space are taken away.
//! 5. `leaks-test-data`: the trace quotes a hidden test. A test's input and output, whole and line by line, count from
//!    20 characters on (shorter ones are found by accident), runs of white space being equal; what stands in the
//!    statement or in the solution may be quoted.

use serde::{Deserialize, Serialize};

use super::record::TracedAnswer;
use hilora_contract::dataset::{Example, TestCase};
use hilora_endpoint::REFUSAL;

/// The fewest characters of prose in a trace, white space left out.
const PROSE_CHARACTERS_MIN: usize = 80;
/// The fewest characters of a quotation that is no accident.
const QUOTED_CHARACTERS_MIN: usize = 20;
/// How refusals begin, in lower case with a plain apostrophe.
const REFUSALS: [&str; 8] = [
    "i'm sorry, but i can",
    "i am sorry, but i can",
    "sorry, but i can",
    "i can't help",
    "i cannot help",
    "i can't assist",
    "i cannot assist",
    "as an ai",
];

/// Why an answer is no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// The model or its filter would not answer.
    Refused,
    /// It ended at the token limit.
    CutOff,
    /// `<think>` and `</think>` do not pair up.
    UnbalancedThinkTags,
    /// Too little is said.
    NoReasoning,
    /// It quotes a hidden test.
    LeaksTestData,
}

impl Rejection {
    /// The word by which it is counted.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::CutOff => "cut-off",
            Self::UnbalancedThinkTags => "unbalanced-think-tags",
            Self::NoReasoning => "no-reasoning",
            Self::LeaksTestData => "leaks-test-data",
        }
    }
}

/// The trace in an answer, or why there is none. `tests` are asked for only if every other rule is kept.
pub(super) fn screen<E>(
    answer: &TracedAnswer,
    example: &Example,
    tests: impl FnOnce() -> Result<Vec<TestCase>, E>,
) -> Result<Result<String, Rejection>, E> {
    let text = answer.text.as_deref().unwrap_or_default();
    let trace = match trace_in(text, answer.finish_reason.as_deref()) {
        Ok(trace) => trace,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let leaks = leaks(&trace, example, &tests()?);
    Ok(if leaks { Err(Rejection::LeaksTestData) } else { Ok(trace) })
}

/// What can be said without the tests.
fn trace_in(text: &str, finish_reason: Option<&str>) -> Result<String, Rejection> {
    if matches!(finish_reason, Some("content_filter" | REFUSAL)) {
        return Err(Rejection::Refused);
    }
    if finish_reason == Some("length") {
        return Err(Rejection::CutOff);
    }
    let text = without_thinking(text).ok_or(Rejection::UnbalancedThinkTags)?;
    let trace = text.trim();
    let opening = trace.chars().take(40).collect::<String>().to_lowercase().replace('’', "'");
    if REFUSALS.iter().any(|refusal| opening.starts_with(refusal)) {
        return Err(Rejection::Refused);
    }
    let prose = without_code(trace).chars().filter(|c| !c.is_whitespace()).count();
    if prose < PROSE_CHARACTERS_MIN { Err(Rejection::NoReasoning) } else { Ok(trace.to_owned()) }
}

/// The text outside `<think>` … `</think>`; `None` if the tags do not pair up.
fn without_thinking(text: &str) -> Option<String> {
    const OPEN: &str = "<think>";
    const CLOSE: &str = "</think>";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(OPEN) {
        let (thought, after) = inside.split_once(CLOSE)?;
        if before.contains(CLOSE) || thought.contains(OPEN) {
            return None;
        }
        kept.push_str(before);
        rest = after;
    }
    kept.push_str(rest);
    (!rest.contains(CLOSE)).then_some(kept)
}

/// The lines outside fenced code. A fence that never closes reaches to the end.
fn without_code(text: &str) -> String {
    let mut fence: Option<&str> = None;
    let mut prose = String::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let ticks = &trimmed[..trimmed.len() - trimmed.trim_start_matches('`').len()];
        match fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(open) if ticks.len() >= open.len() && trimmed[ticks.len()..].trim().is_empty() => fence = None,
            Some(_) => {}
            None => {
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    prose
}

/// Whether the trace quotes a test that it could not know.
fn leaks(trace: &str, example: &Example, tests: &[TestCase]) -> bool {
    let (trace, statement, solution) = (one_spaced(trace), one_spaced(&example.problem), one_spaced(&example.solution));
    let quoted = |text: &str| {
        // Whatever is longer than the trace cannot stand in it, however large the test is.
        let within = text.len() <= 16 * trace.len();
        let text = if within { one_spaced(text) } else { return false };
        text.chars().count() >= QUOTED_CHARACTERS_MIN
            && trace.contains(&text)
            && !statement.contains(&text)
            && !solution.contains(&text)
    };
    tests.iter().flat_map(|test| [&test.input, &test.output]).any(|text| quoted(text) || text.lines().any(quoted))
}

/// The words with one space between them.
fn one_spaced(text: &str) -> String {
    let mut words = text.split_whitespace();
    let mut spaced = words.next().unwrap_or_default().to_owned();
    for word in words {
        spaced.push(' ');
        spaced.push_str(word);
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::artifact::ContentHash;
    use hilora_contract::dataset::Domain;

    const REASONING: &str = "We are asked for the sum of all numbers. Addition is associative, so one pass that keeps a \
                             running total is enough, and it needs linear time.";

    fn verdict(text: &str, finish_reason: &str, statement: &str, tests: &[(&str, &str)]) -> Result<String, Rejection> {
        let answer = TracedAnswer {
            key: ContentHash::of(b"k"),
            text: Some(text.to_owned()),
            finish_reason: Some(finish_reason.to_owned()),
            prompt_tokens: 1,
            completion_tokens: 1,
        };
        let example = Example {
            problem: statement.to_owned(),
            reasoning: None,
            solution: "print(sum(map(int, input().split())))".to_owned(),
            domain: Domain("python".to_owned()),
            difficulty: None,
        };
        let tests =
            tests.iter().map(|(input, output)| TestCase { input: (*input).into(), output: (*output).into() }).collect();
        screen(&answer, &example, || Ok::<_, ()>(tests)).expect("the tests are known")
    }

    #[test]
    fn reasoning_is_a_trace_and_its_ends_are_trimmed() {
        assert_eq!(verdict(&format!("\n{REASONING}\n\n"), "stop", "Add.", &[]), Ok(REASONING.to_owned()));
        let thought = format!("<think>hm, 1 2 3</think>{REASONING}");
        assert_eq!(verdict(&thought, "stop", "Add.", &[]), Ok(REASONING.to_owned()));
    }

    #[test]
    fn what_is_no_reasoning_is_rejected_by_reason() {
        let code = format!("```python\n{}\n```\n", "x = 1\n".repeat(50));
        let open = format!("Here it is:\n````python\n{}```\n", "x = 1\n".repeat(50));
        for (text, finish, expected) in [
            ("", "stop", Rejection::NoReasoning),
            (" \n\t ", "stop", Rejection::NoReasoning),
            ("Just add them up.", "stop", Rejection::NoReasoning),
            (&code, "stop", Rejection::NoReasoning),
            (&open, "stop", Rejection::NoReasoning),
            (REASONING, "length", Rejection::CutOff),
            (REASONING, "content_filter", Rejection::Refused),
            (&format!("I’m sorry, but I can’t do this. {REASONING}"), "stop", Rejection::Refused),
            (&format!("<think>{REASONING}"), "stop", Rejection::UnbalancedThinkTags),
            (&format!("hm</think>{REASONING}"), "stop", Rejection::UnbalancedThinkTags),
            (&format!("<think><think></think>{REASONING}"), "stop", Rejection::UnbalancedThinkTags),
            (&format!("<think>{REASONING}</think>"), "stop", Rejection::NoReasoning),
        ] {
            assert_eq!(verdict(text, finish, "Add.", &[]), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_hidden_test_must_not_be_quoted() {
        let input = "7\n311 402 573 684 795 806 917\n";
        let quoting = format!("{REASONING} For 311 402  573 684\n795 806 917 it gives 4488.");
        assert_eq!(verdict(&quoting, "stop", "Add.", &[(input, "4488")]), Err(Rejection::LeaksTestData));
        assert_eq!(verdict(&quoting, "stop", "Add.", &[("1", input)]), Err(Rejection::LeaksTestData));
        // What stands in the statement is no secret, and a short text is found by accident.
        assert!(verdict(&quoting, "stop", &format!("Add. Example:\n{input}"), &[(input, "4488")]).is_ok());
        assert!(verdict(&quoting, "stop", "Add.", &[("4488", "573 684 795")]).is_ok());
        let solution = format!("{REASONING} That is print(sum(map(int, input().split()))) in Python.");
        assert!(verdict(&solution, "stop", "Add.", &[("print(sum(map(int, input().split())))", "")]).is_ok());
    }
}
