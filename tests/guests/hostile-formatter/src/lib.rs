//! A formatter for the host's tests: it does what a problem's statement says, and most of what it can do is wrong.

use hilora_plugin_sdk::formatter::{FormatError, Lesson, Prompt, PromptFormatter, Segment, SegmentKind};
use hilora_plugin_sdk::types::{Message, ProblemText, Role};

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

    fn format_lessons(specialist: String, lessons: Vec<Lesson>) -> Result<Vec<Vec<Segment>>, FormatError> {
        if specialist == "astrology" {
            return Err(FormatError::UnknownSpecialist(specialist));
        }
        let statements = lessons.iter().map(statement).filter(|statement| *statement != "answer too little");
        Ok(statements.map(|statement| vec![segment(statement != "nothing to learn")]).collect())
    }

    fn compose_lessons(_specialist: String, lessons: Vec<Lesson>) -> Result<Vec<Vec<Message>>, FormatError> {
        let message = |role| Message { role, content: "text".to_owned() };
        let compose = |statement: &str| match statement {
            "no message" => Vec::new(),
            "user speaks last" => vec![message(Role::Assistant), message(Role::User)],
            _ => vec![message(Role::User), message(Role::Assistant)],
        };
        Ok(lessons.iter().map(|lesson| compose(statement(lesson))).collect())
    }

    fn format_prompts(_specialist: String, problems: Vec<ProblemText>) -> Result<Vec<Prompt>, FormatError> {
        let prompt = |problem: &ProblemText| match problem.statement.as_str() {
            "trained prompt" => Prompt { messages: Vec::new(), segments: vec![segment(true)] },
            "empty prompt" => Prompt { messages: Vec::new(), segments: Vec::new() },
            _ => Prompt { messages: Vec::new(), segments: vec![segment(false)] },
        };
        Ok(problems.iter().map(prompt).collect())
    }

    fn extract_solution(completion: String) -> Option<String> {
        if completion == "panic" {
            panic!("the completion asked for it");
        }
        None
    }
}

hilora_plugin_sdk::export_formatter!(HostileFormatter);
hilora_plugin_sdk::manifest!("plugin.toml");
