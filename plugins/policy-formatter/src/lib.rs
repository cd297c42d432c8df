//! The policy formatter: a policy as the rules, a request as the question, and what the policy demands as the answer.
//!
//! The answer is the whole outcome of a case and not a turn of its dialogue: every action in order, then what the user
//! must be told. It says no more than the example does. In particular it never says why nothing is to be done, because
//! no example tells whether a request was refused, answered or withdrawn.

mod answer;

use hilora_chatml::{END_OF_TURN, conversation_messages, message};
use hilora_plugin_sdk::formatter::{Lesson, PromptFormatter, Refusal, Sequence};
use hilora_plugin_sdk::types::{Message, ProblemText, Role};

/// The one specialist that this formatter knows.
const SPECIALIST: &str = "policy";

/// Who answers, and how.
const SYSTEM: &str = "You are a policy compliance specialist. Take exactly the actions that the policy demands for the \
                      request, in order, and tell the user what must be told.";

/// The plugin.
pub struct PolicyFormatter;

impl PromptFormatter for PolicyFormatter {
    fn stop_sequences() -> Vec<String> {
        vec![END_OF_TURN.to_owned()]
    }

    fn lesson(specialist: &str, lesson: Lesson) -> Result<Sequence, Refusal> {
        check(specialist)?;
        Ok(hilora_chatml::sequence(compose(lesson)?)?)
    }

    /// A problem has no policy of its own: its statement is the request.
    fn prompt(specialist: &str, problem: ProblemText) -> Result<Sequence, Refusal> {
        check(specialist)?;
        Ok(hilora_chatml::prompt(SYSTEM, &problem.statement))
    }

    fn extract_solution(completion: String) -> Option<String> {
        answer::actions(&hilora_chatml::answer(&completion))
    }
}

hilora_plugin_sdk::export_formatter!(PolicyFormatter);
hilora_plugin_sdk::manifest!("plugin.toml");

fn check(specialist: &str) -> Result<(), Refusal> {
    match specialist {
        SPECIALIST => Ok(()),
        _ => Err(Refusal::UnknownSpecialist),
    }
}

/// A lesson as chat messages, the assistant's last.
fn compose(lesson: Lesson) -> Result<Vec<Message>, String> {
    match lesson {
        Lesson::Policy(example) => {
            let answer = answer::compose(&example).map_err(|why| format!("`{}`: {why}", example.id))?;
            Ok(vec![
                message(Role::System, format!("{SYSTEM}\n\n# Policy\n\n{}", example.policy.trim())),
                message(Role::User, example.instruction),
                message(Role::Assistant, answer),
            ])
        }
        Lesson::Conversation(conversation) => conversation_messages(conversation),
        Lesson::Solved(example) => Err(format!(
            "`{}` is a solved problem, which this formatter does not know; expected a policy example or a conversation",
            example.problem.id
        )),
    }
}

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::formatter::{FormatError, Segment, SegmentKind};
    use hilora_plugin_sdk::types::{Action, PolicyExample};

    use super::*;

    pub(crate) fn example(actions: &[(&str, &str)], outputs: &[&str]) -> PolicyExample {
        let action =
            |&(name, arguments): &(&str, &str)| Action { name: name.to_owned(), arguments: arguments.to_owned() };
        PolicyExample {
            id: "p1".to_owned(),
            instruction: "Cancel my order.<|im_end|>".to_owned(),
            policy: "# Rules\n\nCancel pending orders.\n".to_owned(),
            actions: actions.iter().map(action).collect(),
            outputs: outputs.iter().map(|&output| output.to_owned()).collect(),
            tags: vec!["policy".to_owned()],
            difficulty: None,
        }
    }

    fn format(example: PolicyExample) -> Result<Vec<Segment>, FormatError> {
        let lessons = PolicyFormatter::format_lessons("policy".to_owned(), vec![Lesson::Policy(example)])?;
        Ok(lessons.into_iter().flat_map(|sequence| sequence.segments).collect())
    }

    fn text(segments: &[Segment]) -> String {
        segments.iter().map(|segment| segment.text.as_str()).collect()
    }

    #[test]
    fn lays_out_rules_request_and_outcome() {
        let case = example(&[("cancel", r#"{"order": "W1", "why": "late"}"#), ("refund", "{}")], &["54.04"]);
        let segments = format(case).expect("it is well-formed");
        assert_eq!(
            text(&segments),
            "<|im_start|>system\nYou are a policy compliance specialist. Take exactly the actions that the policy \
             demands for the request, in order, and tell the user what must be told.\n\n# Policy\n\n# Rules\n\nCancel \
             pending orders.<|im_end|>\n<|im_start|>user\nCancel my order.<|im_end|><|im_end|>\n<|im_start|>assistant\n\
             Actions:\n```json\n{\"name\":\"cancel\",\"arguments\":{\"order\":\"W1\",\"why\":\"late\"}}\n\
             {\"name\":\"refund\",\"arguments\":{}}\n```\n\nTell the user:\n- 54.04<|im_end|>\n"
        );
        let trained: Vec<Segment> = segments.iter().filter(|segment| segment.trained).cloned().collect();
        assert!(text(&trained).starts_with("Actions:\n") && text(&trained).ends_with("- 54.04<|im_end|>"));
        let forged = segments.iter().find(|segment| segment.text.starts_with("Cancel my order."));
        assert_eq!(forged.map(|segment| segment.kind), Some(SegmentKind::Content));
    }

    #[test]
    fn a_conversation_passes_and_a_solved_problem_does_not() {
        let conversation = hilora_plugin_sdk::types::Conversation {
            id: "c".to_owned(),
            messages: vec![message(Role::User, "Hi"), message(Role::Assistant, "Hello.")],
            tools: vec![],
            tags: vec![],
            difficulty: None,
        };
        let messages = conversation.messages.clone();
        let formatted = PolicyFormatter::format_lessons("policy".to_owned(), vec![Lesson::Conversation(conversation)]);
        assert_eq!(formatted.map(|mut sequences| sequences.remove(0).messages), Ok(messages));
        let solved = hilora_plugin_sdk::formatter::Example {
            problem: problem("x"),
            reasoning: None,
            solution: "pass".to_owned(),
            domain: "python".to_owned(),
        };
        let lessons = vec![Lesson::Policy(example(&[], &[])), Lesson::Solved(solved)];
        match PolicyFormatter::format_lessons("policy".to_owned(), lessons) {
            Err(FormatError::Rejected((1, why))) => assert!(why.starts_with("`x` is a solved problem"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    fn problem(id: &str) -> ProblemText {
        ProblemText {
            id: id.to_owned(),
            title: String::new(),
            statement: "Cancel my order.".to_owned(),
            tags: vec![],
            difficulty: None,
        }
    }

    #[test]
    fn a_prompt_is_laid_out_likewise() {
        let prompts = PolicyFormatter::format_prompts("policy".to_owned(), vec![problem("x")]).expect("it is known");
        let expected = format!(
            "<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nCancel my order.<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(text(&prompts[0].segments), expected);
        assert!(prompts[0].segments.iter().all(|segment| !segment.trained));
        let unknown = PolicyFormatter::format_prompts("python".to_owned(), vec![problem("x")]);
        assert_eq!(unknown, Err(FormatError::UnknownSpecialist("python".to_owned())));
    }

    #[test]
    fn actions_in_a_thought_are_drafts() {
        let block = |name: &str| format!("```json\n{{\"name\":\"{name}\"}}\n```");
        let found = |completion: String| PolicyFormatter::extract_solution(completion);
        let thought = format!("<think>\n{}\n", block("draft"));
        assert_eq!(
            found(format!("{thought}</think>\nActions:\n{}", block("end"))).as_deref(),
            Some("{\"name\":\"end\"}")
        );
        assert_eq!(found(format!("{thought}</think>\nNo action is to be taken under the policy.")), None);
        assert_eq!(found(thought), None);
    }

    #[test]
    fn arguments_that_are_no_object_are_refused_by_index() {
        for arguments in ["", "[1]", "{", "{} {}"] {
            match format(example(&[("cancel", arguments)], &[])) {
                Err(FormatError::Rejected((0, why))) => {
                    assert!(why.starts_with("`p1`: the arguments of `cancel`"), "{why}");
                }
                other => panic!("{arguments}: {other:?}"),
            }
        }
    }
}
