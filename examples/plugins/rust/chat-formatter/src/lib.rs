//! A formatter: a problem as ChatML turns, and the program of an answer out of its last block of code.

use hilora_plugin_sdk::formatter::{Lesson, PromptFormatter, Refusal, Segment, Sequence, last_code_block};
use hilora_plugin_sdk::types::{Message, Role};

/// The token that ends a turn. It must be a special token of the base model.
const END: &str = "<|im_end|>";
/// What every conversation begins with.
const INSTRUCTIONS: &str = "Solve the problem with a program in Python.";

/// The plugin.
pub struct ChatFormatter;

impl PromptFormatter for ChatFormatter {
    fn stop_sequences() -> Vec<String> {
        vec![END.to_owned()]
    }

    // Fill in here: what the model reads and learns. A prompt is the untrained beginning of the lesson, by itself.
    fn lesson(_specialist: &str, lesson: Lesson) -> Result<Sequence, Refusal> {
        let Lesson::Solved(example) = lesson else { return Err("expected a solved problem".into()) };
        let reasoning = example.reasoning.map(|reasoning| format!("{reasoning}\n\n")).unwrap_or_default();
        let answer = format!("{reasoning}```python\n{}\n```", example.solution.trim_end());
        let statement = example.problem.statement;
        Ok(Sequence {
            // What somebody else wrote is `content`: a special token's text in it stays ordinary text.
            segments: vec![
                Segment::control(format!("<|im_start|>system\n{INSTRUCTIONS}{END}\n<|im_start|>user\n")),
                Segment::content(&statement),
                Segment::control(format!("{END}\n<|im_start|>assistant\n")),
                Segment::content(&answer).trained(),
                Segment::control(END).trained(),
            ],
            messages: vec![
                Message::new(Role::System, INSTRUCTIONS),
                Message::new(Role::User, statement),
                Message::new(Role::Assistant, answer),
            ],
        })
    }

    // Fill in here: the program in what a model answered.
    fn extract_solution(completion: String) -> Option<String> {
        last_code_block(&completion).map(str::to_owned)
    }
}

hilora_plugin_sdk::export_formatter!(ChatFormatter);
hilora_plugin_sdk::manifest!("plugin.toml");

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::harness;

    use super::*;

    #[test]
    fn answers_the_golden_cases() {
        harness::golden::formatter::<ChatFormatter>("golden.jsonl");
    }
}
