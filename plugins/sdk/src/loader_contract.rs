//! The loader's contract, for native tests and fuzzing of a loader: reads it to its end and panics where it does not
//! keep what `dataset-loader.wit` promises. It says nothing about whether the rows are right.

use serde_json::value::RawValue;

use crate::loader::{DatasetLoader, DatasetReader, LoadError, LoadedRow, SourceFile};
use crate::types::{Action, Role, SkippedRow};

/// The longest reason, in characters: it is counted and printed in tables.
const REASON_CHARACTERS_MAX: usize = 64;
/// The longest name of a language, in characters.
const LANGUAGE_CHARACTERS_MAX: usize = 32;
/// The longest name of a role, in characters.
const ROLE_CHARACTERS_MAX: usize = 64;

/// Every row of the files, asked for `rows_max` at a time.
pub fn read_to_end<L: DatasetLoader>(
    files: Vec<SourceFile>,
    options: &str,
    rows_max: u32,
) -> Result<Vec<LoadedRow>, LoadError> {
    let mut rows = Vec::new();
    read_each::<L>(files, options, rows_max, |row| rows.push(row))?;
    Ok(rows)
}

/// Hands every row of the files to `on_row`, keeping none.
pub fn read_each<L: DatasetLoader>(
    files: Vec<SourceFile>,
    options: &str,
    rows_max: u32,
    mut on_row: impl FnMut(LoadedRow),
) -> Result<(), LoadError> {
    let mut reader = L::open(files, options)?;
    loop {
        let batch = reader.next_batch(rows_max)?;
        assert!(batch.len() <= rows_max as usize, "a batch of {} rows, at most {rows_max} were asked", batch.len());
        if batch.is_empty() {
            break;
        }
        for row in batch {
            check(&row);
            on_row(row);
        }
    }
    assert_eq!(reader.next_batch(rows_max), Ok(vec![]), "rows after the end");
    Ok(())
}

/// The bytes as damage leaves them: cut off and with one bit flipped, at up to `places` places each.
pub fn damaged(bytes: &[u8], places: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let step = bytes.len().div_ceil(places.max(1)).max(1);
    let cut = (0..bytes.len()).step_by(step).map(|end| bytes[..end].to_vec());
    let flipped = (0..bytes.len()).step_by(step).map(|at| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        flipped
    });
    cut.chain(flipped)
}

/// Whether the text is a JSON object. It is kept as it is and never built, so whatever is written like JSON will do.
fn is_object(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|json| json.get().starts_with('{'))
}

fn check(row: &LoadedRow) {
    match row {
        LoadedRow::Problem(problem) => {
            assert!(!problem.text.id.is_empty(), "a problem without an identifier");
            assert_ne!(problem.entry_point.as_deref(), Some(""), "an entry point without a name");
            assert!(problem.entry_point.is_none() || problem.checker.is_none(), "an entry point and a checker");
            for solution in problem.solutions.iter().chain(&problem.incorrect_solutions) {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+#-_.".contains(&byte);
                let language = &solution.language;
                let fits = (1..=LANGUAGE_CHARACTERS_MAX).contains(&language.len());
                assert!(fits && language.bytes().all(plain), "`{language}` is no language's name");
            }
        }
        LoadedRow::Conversation(conversation) => {
            assert!(!conversation.id.is_empty(), "a conversation without an identifier");
            let last = conversation.messages.last().map(|message| &message.role);
            assert_eq!(last, Some(&Role::Assistant), "the last message is not the assistant's");
            assert!(conversation.messages.iter().any(|message| message.trained), "nothing is trained on");
            for message in &conversation.messages {
                let name = message.role.as_str();
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let fits = (1..=ROLE_CHARACTERS_MAX).contains(&name.len());
                assert!(fits && name.bytes().all(plain), "`{name}` is no role's name");
                for call in &message.tool_calls {
                    assert!(is_object(&call.arguments), "the arguments of `{}`: {}", call.name, call.arguments);
                }
            }
            assert!(conversation.tools.iter().all(|tool| is_object(tool)), "a tool that is no JSON object");
        }
        LoadedRow::Policy(example) => {
            assert!(!example.id.is_empty(), "a policy example without an identifier");
            for Action { name, arguments } in &example.actions {
                assert!(is_object(arguments), "the arguments of `{name}` are no JSON object: {arguments}");
            }
        }
        LoadedRow::Skipped(SkippedRow { id, reason, detail }) => {
            assert_ne!(id.as_deref(), Some(""), "an identifier that is empty is none");
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(!reason.is_empty() && reason.chars().all(kebab), "`{reason}` is not in kebab case");
            let characters = reason.chars().count();
            assert!(characters <= REASON_CHARACTERS_MAX, "a reason of {characters} characters: {reason}");
            assert!(!detail.is_empty(), "a row that is skipped as {reason} without any detail");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::types::PolicyExample;

    fn skipped(reason: &str) -> LoadedRow {
        LoadedRow::Skipped(SkippedRow { id: None, reason: reason.to_owned(), detail: "x".to_owned() })
    }

    fn policy(arguments: &str) -> LoadedRow {
        LoadedRow::Policy(PolicyExample {
            id: "p".to_owned(),
            instruction: String::new(),
            policy: String::new(),
            actions: vec![Action { name: "end".to_owned(), arguments: arguments.to_owned() }],
            outputs: vec![],
            tags: vec![],
            difficulty: None,
        })
    }

    fn keeps(row: &LoadedRow) -> bool {
        catch_unwind(|| check(row)).is_ok()
    }

    #[test]
    fn arguments_are_the_text_of_an_object_whatever_it_holds() {
        let digits = "7".repeat(400);
        let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
        for value in ["{}", r#""\ud800""#, "1e999", &digits, &deep] {
            assert!(keeps(&policy(&format!("{{\"a\":{value}}}"))), "{value}");
        }
        for arguments in ["", "[1]", "1", "null", "\"{}\"", "{", "{\"a\":}", "{} {}"] {
            assert!(!keeps(&policy(arguments)), "{arguments:?}");
        }
    }

    #[test]
    fn a_reason_is_a_short_word_in_kebab_case() {
        assert!(keeps(&skipped("no-tests")) && keeps(&skipped(&"a".repeat(64))));
        for reason in ["", "No-tests", "no tests", &"a".repeat(65)] {
            assert!(!keeps(&skipped(reason)), "{reason:?}");
        }
    }
}
