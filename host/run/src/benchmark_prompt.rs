//! The words that a benchmark's problems are asked with, where those who publish it, or most who measure on it, ask chat
//! models in fixed ones. They are messages; the run's formatter, or the base's own template, lays them out and ends turns.

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Message, ProblemText, Role};
use hilora_contract::plugin::{FormatterLesson, PluginError, PluginIdentity, PromptFormatter, Sequence};
use hilora_evaluator::PromptRecord;

/// How a loader ends a statement with the code that an answer is to begin with.
const STARTER_CODE: &str = "\n\nStarter code:\n```python\n";
/// How a loader ends a statement whose function only a test names.
const FIRST_TEST: &str = "\n\nIt must pass this test:\n```python\n";
/// What closes either.
const FENCE: &str = "\n```\n";

/// What LiveCodeBench says to chat models (its generic prompt, `lcb_runner/prompts/code_generation.py`).
const LIVECODEBENCH_SYSTEM: &str = "You are an expert Python programmer. You will be given a question (problem \
    specification) and will generate a correct Python program that matches the specification and passes all tests.";
const LIVECODEBENCH_STARTER: &str = "You will use the following starter code to write the solution to the problem and \
    enclose your code within delimiters.";
const LIVECODEBENCH_STDIN: &str = "Read the inputs from stdin solve the problem and write the answer to stdout (do not \
    directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python \
    program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.";

/// What EvalPlus says to chat models (`instruction_prefix` of `evalplus/codegen.py`).
const EVALPLUS: &str =
    "Please provide a self-contained Python script that solves the following problem in a markdown code block:";

/// What the model cards of reasoning models ask for mathematics with, and so do most who measure them.
const STEP_BY_STEP: &str = "Please reason step by step, and put your final answer within \\boxed{}.";

/// Fixed words for a benchmark's problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfficialPrompt {
    /// LiveCodeBench's for code generation.
    LiveCodeBench,
    /// EvalPlus', of HumanEval and MBPP.
    EvalPlus,
    /// Without examples, for a final answer in a box. Nobody has published these words with a benchmark.
    StepByStep,
}

impl OfficialPrompt {
    /// What a chat model is told.
    fn messages(self, problem: &ProblemText) -> Vec<Message> {
        let statement = problem.statement.as_str();
        let ended = |mark| {
            let (before, code) = statement.rsplit_once(mark)?;
            Some((before, code.strip_suffix(FENCE)?))
        };
        match self {
            Self::LiveCodeBench => {
                let (question, format) = match ended(STARTER_CODE) {
                    Some((question, code)) => (question, format!("{LIVECODEBENCH_STARTER}\n```python\n{code}\n```")),
                    None => (statement, format!("{LIVECODEBENCH_STDIN}\n```python\n# YOUR CODE HERE\n```")),
                };
                let question = format!(
                    "### Question:\n{question}\n\n### Format: {format}\n\n### Answer: (use the provided format with \
                     backticks)\n\n"
                );
                vec![Message::new(Role::System, LIVECODEBENCH_SYSTEM), Message::new(Role::User, question)]
            }
            Self::EvalPlus => {
                // Its files show an MBPP problem as a docstring with the first test.
                let asked = match ended(FIRST_TEST) {
                    Some((text, test)) => format!("\"\"\"\n{}\n{}\n\"\"\"", text.trim(), test.trim()),
                    None => statement.trim().to_owned(),
                };
                vec![Message::new(Role::User, format!("{EVALPLUS}\n```python\n{asked}\n```"))]
            }
            Self::StepByStep => vec![Message::new(Role::User, format!("{statement}\n{STEP_BY_STEP}"))],
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::LiveCodeBench | Self::EvalPlus => "official",
            Self::StepByStep => "customary",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::LiveCodeBench => "LiveCodeBench's generic prompt for chat models",
            Self::EvalPlus => "EvalPlus' prompt for chat models, without a beginning of the answer",
            Self::StepByStep => "without examples: step by step, the final answer in \\boxed{}",
        }
    }

    fn extraction(self) -> &'static str {
        match self {
            Self::LiveCodeBench => "LiveCodeBench's: what stands between the last two lines with a fence",
            Self::EvalPlus => "the run's formatter's, in the place of EvalPlus' own",
            Self::StepByStep => FINAL_ANSWER,
        }
    }
}

const FINAL_ANSWER: &str = "the final answer in the text";

/// A formatter that asks in a benchmark's words, and for the rest is the run's.
pub(crate) struct OfficialFormatter {
    formatter: Box<dyn PromptFormatter>,
    prompt: OfficialPrompt,
}

impl OfficialFormatter {
    /// Puts the words before the run's formatter.
    pub(crate) fn new(formatter: Box<dyn PromptFormatter>, prompt: OfficialPrompt) -> Self {
        Self { formatter, prompt }
    }
}

impl PromptFormatter for OfficialFormatter {
    fn identity(&self) -> &PluginIdentity {
        self.formatter.identity()
    }

    fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
        self.formatter.stop_sequences()
    }

    fn format_lessons(&self, specialist: &str, lessons: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
        self.formatter.format_lessons(specialist, lessons)
    }

    fn format_messages(&self, specialist: &str, prompts: &[Vec<Message>]) -> Result<Vec<Sequence>, PluginError> {
        self.formatter.format_messages(specialist, prompts)
    }

    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
        let messages: Vec<Vec<Message>> = problems.iter().map(|problem| self.prompt.messages(problem)).collect();
        self.formatter.format_messages(specialist, &messages)
    }

    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError> {
        match self.prompt {
            OfficialPrompt::LiveCodeBench => Ok(between_last_fences(completion)),
            OfficialPrompt::EvalPlus | OfficialPrompt::StepByStep => self.formatter.extract_solution(completion),
        }
    }
}

/// What stands between the last two lines that have a fence; `None` if there are not two, or nothing stands there.
fn between_last_fences(completion: &str) -> Option<String> {
    let lines: Vec<&str> = completion.split('\n').collect();
    let mut fences = (0..lines.len()).rev().filter(|line| lines[*line].contains("```"));
    let (end, start) = (fences.next()?, fences.next()?);
    let code = lines[start + 1..end].join("\n");
    (!code.trim().is_empty()).then_some(code)
}

/// What the record says of the prompts of a benchmark.
pub(crate) fn prompt_record(
    official: Option<OfficialPrompt>,
    answers_in_words: bool,
    prompts: &[Sequence],
) -> PromptRecord {
    let hashed = |prompt: &Sequence| {
        let text: String = prompt.segments.iter().map(|segment| segment.text.as_str()).collect();
        let messages = serde_json::to_vec(&prompt.messages).expect("plain structs with text keys always serialize");
        ContentHash::of_parts([&messages[..], text.as_bytes()])
    };
    let hashes: Vec<ContentHash> = prompts.iter().map(hashed).collect();
    let hash = ContentHash::of_parts(hashes.iter().map(ContentHash::as_bytes));
    let (kind, name, extraction) = match official {
        Some(prompt) => (prompt.kind(), prompt.name(), prompt.extraction()),
        None if answers_in_words => ("formatter", "the run's formatter's", FINAL_ANSWER),
        None => ("formatter", "the run's formatter's", "the run's formatter's"),
    };
    PromptRecord { kind: kind.to_owned(), name: name.to_owned(), extraction: extraction.to_owned(), hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(prompt: OfficialPrompt, statement: &str) -> Vec<(String, String)> {
        let text = ProblemText {
            id: "p".to_owned(),
            title: "A title".to_owned(),
            statement: statement.to_owned(),
            tags: Vec::new(),
            difficulty: None,
        };
        let message = |message: Message| (message.role.to_string(), message.content);
        prompt.messages(&text).into_iter().map(message).collect()
    }

    #[test]
    fn livecodebench_asks_with_starter_code_or_for_a_whole_program() {
        let with_code =
            asked(OfficialPrompt::LiveCodeBench, "Add.\n\nStarter code:\n```python\nclass S:\n    def f(self):\n```\n");
        assert_eq!(with_code[0].0, "system");
        assert_eq!(
            with_code[1].1,
            "### Question:\nAdd.\n\n### Format: You will use the following starter code to write the solution to the problem \
             and enclose your code within delimiters.\n```python\nclass S:\n    def f(self):\n```\n\n### Answer: (use the \
             provided format with backticks)\n\n"
        );
        let whole = &asked(OfficialPrompt::LiveCodeBench, "Read and add.")[1].1;
        assert!(
            whole.starts_with("### Question:\nRead and add.\n\n### Format: Read the inputs from stdin solve"),
            "{whole}"
        );
        assert!(whole.contains("output to STDOUT.\n```python\n# YOUR CODE HERE\n```\n\n### Answer:"), "{whole}");
    }

    #[test]
    fn evalplus_shows_code_as_it_stands_and_words_as_a_docstring() {
        let code = "def f(x):\n    \"\"\"Double.\"\"\"\n";
        let words = "Write a function to double.\n\nIt must pass this test:\n```python\nassert f(2) == 4\n```\n";
        for (statement, shown) in [
            (code, "def f(x):\n    \"\"\"Double.\"\"\""),
            (words, "\"\"\"\nWrite a function to double.\nassert f(2) == 4\n\"\"\""),
        ] {
            let expected = vec![("user".to_owned(), format!("{EVALPLUS}\n```python\n{shown}\n```"))];
            assert_eq!(asked(OfficialPrompt::EvalPlus, statement), expected);
        }
        let boxed = asked(OfficialPrompt::StepByStep, "What is 1 + 1?");
        assert_eq!(boxed, [("user".to_owned(), format!("What is 1 + 1?\n{STEP_BY_STEP}"))]);
    }

    #[test]
    fn livecodebench_takes_the_last_fenced_block() {
        for (completion, code) in [
            ("```python\na\n```\nor\n```\nb\nc\n```\nDone.", Some("b\nc")),
            ("```python\na\n```", Some("a")),
            ("```python\na", None),
            ("no fence", None),
            ("```\n\n```", None),
        ] {
            assert_eq!(between_last_fences(completion).as_deref(), code, "{completion:?}");
        }
    }
}
