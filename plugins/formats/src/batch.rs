//! A batch for the host: as many rows as it asked for, or fewer where they are large, so that memory stays flat.

use hilora_plugin_sdk::loader::{LoadError, LoadedRow};
use hilora_plugin_sdk::types::{Conversation, Message, PolicyExample, Problem, ProblemText, SkippedRow};

/// A batch ends with the row that brings its text to this many bytes.
const TEXT_BYTES: usize = 8 << 20;

/// Takes rows from `next` until it has none, `rows_max` are there, or the batch is large.
pub fn fill(
    rows_max: u32,
    mut next: impl FnMut() -> Result<Option<LoadedRow>, LoadError>,
) -> Result<Vec<LoadedRow>, LoadError> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    while rows.len() < rows_max as usize && bytes < TEXT_BYTES {
        let Some(row) = next()? else { break };
        bytes += text_bytes(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// What a text costs beside its own bytes: where it lies and how long it is, on both sides of the interface.
const BYTES_PER_TEXT: usize = 32;

/// About how much memory a row's texts take, in bytes; what decides where a batch ends.
fn text_bytes(row: &LoadedRow) -> usize {
    match row {
        LoadedRow::Problem(problem) => problem_bytes(problem),
        LoadedRow::Conversation(conversation) => {
            let Conversation { id, messages, tools, tags, difficulty } = conversation;
            let said: usize = messages.iter().map(message_bytes).sum();
            said + bytes(tools) + bytes(tags) + bytes([id]) + bytes(difficulty)
        }
        LoadedRow::Policy(example) => {
            let PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty } = example;
            let actions = bytes(actions.iter().flat_map(|action| [&action.name, &action.arguments]));
            actions + bytes([id, instruction, policy]) + bytes(outputs) + bytes(tags) + bytes(difficulty)
        }
        LoadedRow::Skipped(SkippedRow { id, reason, detail }) => bytes([reason, detail]) + bytes(id),
    }
}

fn message_bytes(message: &Message) -> usize {
    let Message { role: _, name, content, reasoning, tool_calls, tool_call_id, trained: _ } = message;
    let calls = tool_calls.iter().flat_map(|call| [&call.name, &call.arguments].into_iter().chain(&call.id));
    bytes([content]) + bytes(name) + bytes(reasoning) + bytes(calls) + bytes(tool_call_id)
}

fn problem_bytes(problem: &Problem) -> usize {
    let ProblemText { id, title, statement, tags, difficulty } = &problem.text;
    let programs = problem.solutions.iter().chain(&problem.incorrect_solutions).map(|solution| &solution.code);
    let tests = problem.tests.iter().flat_map(|test| [&test.input, &test.expected]);
    let attributes = problem.attributes.iter().flat_map(|attribute| [&attribute.name, &attribute.value]);
    let text = bytes([id, title, statement]) + bytes(tags) + bytes(difficulty);
    text + bytes(programs) + bytes(&problem.test_code) + bytes(tests) + bytes(attributes)
}

fn bytes<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.len() + BYTES_PER_TEXT).sum()
}

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::types::TestCase;

    use super::*;

    fn row(bytes: usize) -> LoadedRow {
        LoadedRow::Skipped(SkippedRow { id: None, reason: "large".to_owned(), detail: "x".repeat(bytes) })
    }

    #[test]
    fn a_batch_ends_with_rows_max_with_8_mib_or_with_the_rows() {
        let rows_of = |bytes: usize, rows: usize| {
            let mut left = rows;
            let next = || {
                let more = left > 0;
                left = left.saturating_sub(1);
                Ok(more.then(|| row(bytes)))
            };
            fill(10, next).expect("no row fails").len()
        };
        assert_eq!(rows_of(1, 20), 10);
        assert_eq!(rows_of(1, 7), 7);
        assert_eq!(rows_of(3 << 20, 20), 3);
        assert_eq!(rows_of(100 << 20, 20), 1, "the largest row is still handed over");
        assert_eq!(rows_of(1, 0), 0);
    }

    #[test]
    fn every_text_of_a_row_counts_and_so_does_that_there_are_many() {
        let long = || "x".repeat(1000);
        let text =
            ProblemText { id: long(), title: long(), statement: long(), tags: vec![long()], difficulty: Some(long()) };
        let problem = Problem {
            text,
            source: String::new(),
            solutions: vec![],
            incorrect_solutions: vec![],
            tests: vec![TestCase { input: String::new(), expected: String::new() }; 1000],
            entry_point: None,
            test_code: None,
            checker: None,
            time_limit_ms: None,
            memory_limit_bytes: None,
            attributes: vec![],
        };
        assert_eq!(text_bytes(&LoadedRow::Problem(problem)), 5 * 1032 + 1000 * 2 * 32);
    }
}
