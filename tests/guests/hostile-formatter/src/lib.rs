//! A formatter for the host's tests: it does what a problem's statement says, and most of what it can do is wrong.

use std::sync::atomic::{AtomicU32, Ordering};

use hilora_plugin_sdk::formatter::{FormatError, Lesson, PromptFormatter, Refusal, Segment, SegmentKind, Sequence};
use hilora_plugin_sdk::types::{Message, ProblemText, Role};

/// What an instance would remember of earlier calls, if it had any.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// The plugin.
pub struct HostileFormatter;

fn segment(trained: bool) -> Segment {
    Segment { text: "text".to_owned(), kind: SegmentKind::Content, trained }
}

fn statement(lesson: &Lesson) -> &str {
    match lesson {
        Lesson::Solved(example) => &example.problem.statement,
        Lesson::Conversation(conversation) => &conversation.id,
        Lesson::Policy(example) => &example.instruction,
    }
}

impl PromptFormatter for HostileFormatter {
    fn stop_sequences() -> Vec<String> {
        vec![String::new()]
    }

    fn lesson(_: &str, _: Lesson) -> Result<Sequence, Refusal> {
        Err("this formatter answers whole batches".into())
    }

    fn format_lessons(specialist: String, lessons: Vec<Lesson>) -> Result<Vec<Sequence>, FormatError> {
        if specialist == "astrology" {
            return Err(FormatError::UnknownSpecialist(specialist));
        }
        let message = |role| Message::new(role, "text");
        let sequence = |statement: &str| Sequence {
            messages: match statement {
                "no message" => Vec::new(),
                "user speaks last" => vec![message(Role::Assistant), message(Role::User)],
                "nobody has a role" => vec![message(Role::Other("a b".to_owned())), message(Role::Assistant)],
                _ => vec![message(Role::User), message(Role::Assistant)],
            },
            segments: match statement {
                "far too much" => vec![segment(true); 10_000],
                _ => vec![segment(statement != "nothing to learn")],
            },
        };
        let statements = lessons.iter().map(statement).filter(|statement| *statement != "answer too little");
        Ok(statements.map(sequence).collect())
    }

    fn format_prompts(_specialist: String, problems: Vec<ProblemText>) -> Result<Vec<Sequence>, FormatError> {
        let prompt = |problem: &ProblemText| match problem.statement.as_str() {
            "trained prompt" => Sequence { messages: Vec::new(), segments: vec![segment(true)] },
            "far too much" => {
                let text = "x".repeat(1 << 20);
                Sequence { messages: Vec::new(), segments: vec![Segment { text, ..segment(false) }] }
            }
            "empty prompt" => Sequence { messages: Vec::new(), segments: Vec::new() },
            _ => Sequence { messages: Vec::new(), segments: vec![segment(false)] },
        };
        Ok(problems.iter().map(prompt).collect())
    }

    fn extract_solution(completion: String) -> Option<String> {
        match completion.as_str() {
            "panic" => panic!("the completion asked for it"),
            "a byte more" => Some(completion + "!"),
            "megabytes more" => Some(completion.repeat(1 << 20)),
            "the same" => Some(completion),
            "count the calls" => Some(CALLS.fetch_add(1, Ordering::Relaxed).to_string()),
            _ => None,
        }
    }
}

hilora_plugin_sdk::export_formatter!(HostileFormatter);
hilora_plugin_sdk::manifest!("plugin.toml");
