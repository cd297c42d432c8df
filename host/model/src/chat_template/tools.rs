//! Tools in a chat template: what defines them and what calls them is JSON, whose words are a dataset's.

use std::collections::VecDeque;

use minijinja::value::Value;
use serde::de::IgnoredAny;

use hilora_contract::dataset::{Message, Role, ToolCall};

/// The text of a JSON object as a template's value, its keys in their order. `what` is for messages.
pub(super) fn value(what: &str, text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("{what}: {error}"))?;
    match value.kind() {
        minijinja::value::ValueKind::Map => Ok(value),
        other => Err(format!("{what}: expected a JSON object, got a {other}")),
    }
}

/// The text of a JSON value with others in place of its words, keys included. What is no JSON stays as it is: reading it
/// will say so.
pub(super) fn with_words(json: &str, replace: &mut dyn FnMut(&str) -> String) -> String {
    if serde_json::from_str::<IgnoredAny>(json).is_err() {
        return json.to_owned();
    }
    let mut text = String::new();
    let mut rest = json;
    // Outside of a word no quotation mark stands.
    while let Some(begin) = rest.find('"') {
        let mut is_escaped = false;
        let within = rest[begin + 1..].find(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        let Some(length) = within else { break };
        let end = begin + 1 + length + 1;
        text.push_str(&rest[..begin]);
        match serde_json::from_str::<String>(&rest[begin..end]) {
            Ok(word) => text.push_str(&format!("\"{}\"", quoted(&replace(&word)))),
            Err(_) => text.push_str(&rest[begin..end]),
        }
        rest = &rest[end..];
    }
    text.push_str(rest);
    text
}

/// A word as it stands between the quotation marks of JSON.
pub(super) fn quoted(word: &str) -> String {
    let json = serde_json::Value::from(word).to_string();
    json[1..json.len() - 1].to_owned()
}

/// Whether a word is a name, by which templates may choose what they write: letters, digits and `_`, `-`, `.`.
pub(super) fn is_name(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Refuses an answer of a tool that does not come in the place of its call: many templates show neither the identifier of
/// a call nor the tool's name beside the answer.
pub(super) fn check_answers(messages: &[Message]) -> Result<(), String> {
    let mut waiting: VecDeque<&ToolCall> = VecDeque::new();
    for (index, message) in messages.iter().enumerate() {
        waiting.extend(&message.tool_calls);
        if message.role != Role::Tool {
            continue;
        }
        let call = waiting.pop_front();
        let told = [
            (&message.tool_call_id, call.map(|call| call.id.as_deref())),
            (&message.name, call.map(|call| Some(call.name.as_str()))),
        ];
        for (given, called) in told {
            match (given, called) {
                (None, _) | (Some(_), Some(None)) => {}
                (Some(given), Some(Some(called))) if given == called => {}
                (Some(given), Some(Some(called))) => {
                    return Err(format!("message {index} answers `{given}`, expected `{called}`, which comes first"));
                }
                (Some(given), None) => {
                    return Err(format!("message {index} answers `{given}`, which no message before it calls"));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_json_are_replaced_and_nothing_else_is() {
        let mut louder = |word: &str| word.to_uppercase();
        let json = r#"{ "b": [1.50, "x \"y\" \\", true], "a": {"ü\n": "" } , "e":1e5}"#;
        let expected = r#"{ "B": [1.50, "X \"Y\" \\", true], "A": {"Ü\n": "" } , "E":1e5}"#;
        assert_eq!(with_words(json, &mut louder), expected);
        assert_eq!(with_words("{\"a\"", &mut louder), "{\"a\"");
    }

    #[test]
    fn an_answer_comes_in_the_place_of_its_call() {
        let call = |id: &str| ToolCall { id: Some(id.to_owned()), name: "f".to_owned(), arguments: "{}".to_owned() };
        let answer = |id: &str| Message { tool_call_id: Some(id.to_owned()), ..Message::new(Role::Tool, "r") };
        let calls = Message { tool_calls: vec![call("a"), call("b")], ..Message::new(Role::Assistant, "") };
        let check = |rest: &[Message]| check_answers(&[std::slice::from_ref(&calls), rest].concat());
        assert_eq!(check(&[answer("a"), answer("b")]), Ok(()));
        assert_eq!(check(&[Message::new(Role::Tool, "r")]), Ok(()));
        assert!(check(&[answer("b")]).is_err_and(|message| message.contains("expected `a`")));
        assert!(check(&[answer("a"), answer("b"), answer("c")]).is_err_and(|message| message.contains("no message")));
    }
}
