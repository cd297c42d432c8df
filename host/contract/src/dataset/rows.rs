//! Which of these nouns are rows of files of JSON lines, and what messages call them.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::{ConversationLesson, EvaluationProblem, Example, Lesson, PolicyLesson, ProblemTests};
use crate::artifact::{JsonRow, WrongRow, read_strictly};

impl JsonRow for Example {
    const EXPECTED: &'static str = "a solved problem";
    const HINT: Option<&'static str> =
        Some("a solved problem has the keys problem, reasoning, solution, domain and difficulty, and no others");
}

impl JsonRow for Lesson {
    const EXPECTED: &'static str = "a lesson";
    const HINT: Option<&'static str> = Some(
        "beside domain and difficulty a lesson has the keys problem, reasoning and solution; or messages; or \
         instruction, policy, actions and outputs",
    );

    /// Finds out the kind as deserializing does, so that an error names the field of that kind.
    fn read(text: &str) -> Result<Self, WrongRow> {
        match serde_json::from_str(text) {
            Ok(Kind { messages: true, .. }) => {
                read_strictly::<ConversationLesson>(text, "a conversation", false).map(Self::Conversation)
            }
            Ok(Kind { instruction: true, .. }) => {
                read_strictly::<PolicyLesson>(text, "a case under a policy", false).map(Self::Policy)
            }
            _ => read_strictly::<Example>(text, Example::EXPECTED, false).map(Self::Solved),
        }
    }
}

/// What tells the kind of a lesson.
#[derive(Deserialize)]
struct Kind {
    #[serde(default, deserialize_with = "is_there")]
    messages: bool,
    #[serde(default, deserialize_with = "is_there")]
    instruction: bool,
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl JsonRow for EvaluationProblem {
    const EXPECTED: &'static str = "a problem with its tests";
    const HINT: Option<&'static str> =
        Some("`hilora-host prepare` writes such rows to `data/<specialist>_tests.jsonl`");
}

impl JsonRow for ProblemTests {
    const EXPECTED: &'static str = "the tests of a problem";
    const HINT: Option<&'static str> = Some("`hilora-host prepare` writes data and tests together");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesson_is_told_by_the_fields_of_its_kind() {
        for (row, told) in [
            (r#"{"problem":"p"}"#, ("", "the key `solution` of a solved problem")),
            (r#"{"messages":[{"role":"user"}],"domain":"d","difficulty":null}"#, ("messages[0]", "the key `content`")),
            (r#"{"instruction":"i","policy":3}"#, ("policy", "a string")),
            (r#"{"problem":"p","solution":"s","domain":"d","score":1}"#, ("", "one of `problem`, `reasoning`")),
        ] {
            let wrong = <Lesson as JsonRow>::read(row).expect_err(row);
            assert!(wrong.field == told.0 && wrong.expected.starts_with(told.1), "{row}: {wrong:?}");
        }
    }

    #[test]
    fn an_unknown_key_deep_in_a_problem_is_refused() {
        let row = r#"{"text":{"id":"a","title":"","statement":"s","tags":[],"difficulty":null},"domain":"d",
            "tests":[{"input":"","output":"","note":"x"}],"time_limit_ms":null,"memory_limit_bytes":null}"#;
        let wrong = <EvaluationProblem as JsonRow>::read(row).expect_err("nobody reads `note`");
        assert_eq!((wrong.field.as_str(), wrong.got.as_str()), ("tests[0]", "the key `note`"));
        assert!(<EvaluationProblem as JsonRow>::read(&row.replace(r#","note":"x""#, "")).is_ok());
    }
}
