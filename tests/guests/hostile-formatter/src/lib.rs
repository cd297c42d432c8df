//! A formatter for the host's tests: it does what a problem's statement says, and most of what it can do is wrong.

use hilora_plugin_sdk::formatter::{Example, FormatError, Prompt, PromptFormatter, Segment, SegmentKind};
use hilora_plugin_sdk::types::ProblemText;

/// The plugin.
pub struct HostileFormatter;

fn segment(trained: bool) -> Segment {
    Segment { text: "text".to_owned(), kind: SegmentKind::Content, trained }
}

impl PromptFormatter for HostileFormatter {
    fn stop_sequences() -> Vec<String> {
        vec![String::new()]
    }

    fn format_examples(specialist: String, examples: Vec<Example>) -> Result<Vec<Vec<Segment>>, FormatError> {
        if specialist == "astrology" {
            return Err(FormatError::UnknownSpecialist(specialist));
        }
        Ok(examples
            .iter()
            .filter(|example| example.problem.statement != "answer too little")
            .map(|example| vec![segment(example.problem.statement != "nothing to learn")])
            .collect())
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
