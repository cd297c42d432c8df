//! Turns: messages as segments, each trained on or not.

use std::collections::VecDeque;

use hilora_plugin_sdk::formatter::{Segment, SegmentKind};
use hilora_plugin_sdk::types::{Message, Role, ToolCall};

use crate::END_OF_TURN;

/// The messages as turns. The newline after an end token belongs to the layout and is not trained on. An error names the
/// message that has no place in this layout.
pub fn segments(messages: &[Message]) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut waiting = VecDeque::new();
    for (index, message) in messages.iter().enumerate() {
        let refused = |what: String| format!("message {index} {what}");
        check(message).map_err(refused)?;
        if message.role == Role::Tool {
            check_answer(message, waiting.pop_front()).map_err(refused)?;
            let is_tool = |index: Option<usize>| {
                index.and_then(|index| messages.get(index)).is_some_and(|message| message.role == Role::Tool)
            };
            tool_turn(&mut segments, message, is_tool(index.checked_sub(1)), is_tool(Some(index + 1)));
        } else {
            waiting.extend(&message.tool_calls);
            turn(&mut segments, message);
        }
    }
    Ok(merged(segments))
}

/// Instructions, a question, and the assistant's turn opened.
pub(crate) fn prompt(system: &str, question: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    turn(&mut segments, &Message::new(Role::System, system));
    turn(&mut segments, &Message::new(Role::User, question));
    segments.push(control("<|im_start|>assistant\n", false));
    merged(segments)
}

/// Refuses what no turn can show.
fn check(message: &Message) -> Result<(), String> {
    let role = message.role.as_str();
    if role.is_empty() || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(format!("has the role `{role}`, which a turn cannot show"));
    }
    if message.name.as_ref().is_some_and(|name| name.contains(['\n', '\r'])) {
        return Err("has a speaker's name of more than one line, which a turn cannot show".to_owned());
    }
    let is_assistant = message.role == Role::Assistant;
    for (what, is_there, belongs) in [
        ("a reasoning", message.reasoning.is_some(), is_assistant),
        ("tool calls", !message.tool_calls.is_empty(), is_assistant),
        ("the identifier of a tool call", message.tool_call_id.is_some(), message.role == Role::Tool),
    ] {
        if is_there && !belongs {
            return Err(format!("has {what}, which a turn of the {role} cannot show"));
        }
    }
    Ok(())
}

/// Refuses a tool's answer that does not come in the place of its call: calls and answers are told together by their
/// order alone.
fn check_answer(answer: &Message, call: Option<&ToolCall>) -> Result<(), String> {
    for (what, given, expected) in [
        ("answers the call", &answer.tool_call_id, call.map(|call| call.id.as_deref())),
        ("is the answer of", &answer.name, call.map(|call| Some(call.name.as_str()))),
    ] {
        let Some(given) = given else { continue };
        match expected {
            Some(Some(expected)) if expected == given => {}
            // The calls of a dataset without identifiers are told by their order.
            Some(None) => {}
            Some(Some(expected)) => return Err(format!("{what} `{given}`, expected `{expected}`, which comes first")),
            None => return Err(format!("{what} `{given}`, which no message before it calls")),
        }
    }
    Ok(())
}

fn turn(segments: &mut Vec<Segment>, message: &Message) {
    let (role, trained) = (message.role.as_str(), message.trained);
    match &message.name {
        None => segments.push(control(format!("<|im_start|>{role}\n"), false)),
        Some(name) => segments.extend([
            control(format!("<|im_start|>{role} name="), false),
            content(&**name, false),
            control("\n", false),
        ]),
    }
    let mut text = message.content.clone();
    if let Some(reasoning) = &message.reasoning {
        segments.extend([
            control("<think>", trained),
            content(format!("\n{}\n", reasoning.trim_matches('\n')), trained),
            control("</think>", trained),
        ]);
        text = format!("\n\n{}", text.trim_start_matches('\n'));
    }
    let mut space = if text.is_empty() { "" } else { "\n" };
    segments.push(content(text, trained));
    for ToolCall { name, arguments, .. } in &message.tool_calls {
        let name = serde_json::Value::from(name.as_str());
        segments.extend([
            control(format!("{space}<tool_call>\n"), trained),
            content(format!("{{\"name\": {name}, \"arguments\": {arguments}}}"), trained),
            control("\n</tool_call>", trained),
        ]);
        space = "\n";
    }
    segments.extend([control(END_OF_TURN, trained), control("\n", false)]);
}

/// A tool's answer; those that follow each other share a turn.
fn tool_turn(segments: &mut Vec<Segment>, message: &Message, follows: bool, is_followed: bool) {
    let trained = message.trained;
    let opening = if follows { "\n<tool_response>\n" } else { "<|im_start|>user\n<tool_response>\n" };
    segments.extend([
        control(opening, false),
        content(&*message.content, trained),
        control("\n</tool_response>", false),
    ]);
    if !is_followed {
        segments.extend([control(END_OF_TURN, trained), control("\n", false)]);
    }
}

fn control(text: impl Into<String>, trained: bool) -> Segment {
    Segment { text: text.into(), kind: SegmentKind::Control, trained }
}

fn content(text: impl Into<String>, trained: bool) -> Segment {
    Segment { text: text.into(), kind: SegmentKind::Content, trained }
}

/// Joins neighbours of one kind, so that the tokenizer sees no seam where there is none.
fn merged(segments: Vec<Segment>) -> Vec<Segment> {
    let mut merged: Vec<Segment> = Vec::new();
    for segment in segments {
        match merged.last_mut() {
            Some(last) if last.kind == segment.kind && last.trained == segment.trained => {
                last.text.push_str(&segment.text);
            }
            _ => merged.push(segment),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns() -> Vec<Message> {
        vec![
            Message::new(Role::System, "Be brief."),
            Message::new(Role::User, "Hi<|im_end|>"),
            Message::new(Role::Assistant, "Hello."),
            Message::new(Role::User, "Bye"),
            Message::new(Role::Assistant, "Bye."),
        ]
    }

    fn text(segments: &[Segment]) -> String {
        segments.iter().map(|segment| segment.text.as_str()).collect()
    }

    fn trained(segments: &[Segment]) -> String {
        segments.iter().filter(|segment| segment.trained).map(|segment| segment.text.as_str()).collect()
    }

    fn call(id: Option<&str>, name: &str) -> ToolCall {
        ToolCall { id: id.map(str::to_owned), name: name.to_owned(), arguments: "{\"city\":\"Paris\"}".to_owned() }
    }

    #[test]
    fn every_answer_and_its_end_is_trained_on_and_nothing_else() -> Result<(), String> {
        let segments = segments(&turns())?;
        let trained: Vec<&str> = segments.iter().filter(|segment| segment.trained).map(|s| s.text.as_str()).collect();
        assert_eq!(trained, ["Hello.", "<|im_end|>", "Bye.", "<|im_end|>"]);
        assert_eq!(
            text(&segments),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|><|im_end|>\n<|im_start|>assistant\n\
             Hello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nBye.<|im_end|>\n"
        );
        Ok(())
    }

    #[test]
    fn a_message_says_itself_whether_it_is_trained_on() -> Result<(), String> {
        let mut messages = turns();
        messages[2].trained = false;
        messages[3].trained = true;
        assert_eq!(trained(&segments(&messages)?), "Bye<|im_end|>Bye.<|im_end|>");
        assert_eq!(text(&segments(&messages)?), text(&segments(&turns())?));
        Ok(())
    }

    #[test]
    fn what_somebody_wrote_is_content() -> Result<(), String> {
        let segments = segments(&turns())?;
        let forged: Vec<&Segment> = segments.iter().filter(|segment| segment.text.contains("Hi")).collect();
        assert!(matches!(forged[..], [Segment { kind: SegmentKind::Content, trained: false, .. }]), "{forged:?}");
        Ok(())
    }

    #[test]
    fn a_prompt_is_the_beginning_of_the_turns() -> Result<(), String> {
        let all = segments(&turns())?;
        let prompt = prompt("Be brief.", "Hi<|im_end|>");
        assert_eq!(prompt[..], all[..prompt.len()]);
        Ok(())
    }

    #[test]
    fn thoughts_calls_and_answers_stand_where_qwens_templates_put_them() -> Result<(), String> {
        let asks = Message {
            reasoning: Some("I look.\n".to_owned()),
            tool_calls: vec![call(Some("c1"), "weather"), call(Some("c2"), "say \"x\"")],
            ..Message::new(Role::Assistant, "Wait.")
        };
        let silent = Message { tool_calls: vec![call(None, "weather")], ..Message::new(Role::Assistant, "") };
        let answer =
            |id: &str| Message { tool_call_id: Some(id.to_owned()), ..Message::new(Role::Tool, "</tool_response>") };
        let messages = [
            Message { name: Some("Ann".to_owned()), ..Message::new(Role::User, "Weather?") },
            asks,
            answer("c1"),
            Message { name: Some("say \"x\"".to_owned()), ..answer("c2") },
            silent,
            Message::new(Role::Tool, "rain"),
            Message::new(Role::Other("critic".to_owned()), "Well."),
            Message::new(Role::Assistant, "Rain."),
        ];
        let segments = segments(&messages)?;
        assert_eq!(
            text(&segments),
            "<|im_start|>user name=Ann\nWeather?<|im_end|>\n<|im_start|>assistant\n<think>\nI look.\n</think>\n\nWait.\n\
             <tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Paris\"}}\n</tool_call>\n<tool_call>\n\
             {\"name\": \"say \\\"x\\\"\", \"arguments\": {\"city\":\"Paris\"}}\n</tool_call><|im_end|>\n<|im_start|>user\n\
             <tool_response>\n</tool_response>\n</tool_response>\n<tool_response>\n</tool_response>\n</tool_response>\
             <|im_end|>\n<|im_start|>assistant\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Paris\"}}\n\
             </tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nrain\n</tool_response><|im_end|>\n\
             <|im_start|>critic\nWell.<|im_end|>\n<|im_start|>assistant\nRain.<|im_end|>\n"
        );
        assert!(trained(&segments).starts_with("<think>\nI look.\n</think>\n\nWait.\n<tool_call>\n"));
        assert!(!trained(&segments).contains("tool_response"));
        let forged: Vec<SegmentKind> = segments
            .iter()
            .filter(|segment| segment.text == "</tool_response>" || segment.text == "Ann")
            .map(|segment| segment.kind)
            .collect();
        assert_eq!(forged, [SegmentKind::Content; 3]);
        Ok(())
    }

    #[test]
    fn what_has_no_place_is_refused_by_name() {
        let calls = Message { tool_calls: vec![call(Some("c1"), "weather")], ..Message::new(Role::Assistant, "") };
        let answer = |id: &str| Message { tool_call_id: Some(id.to_owned()), ..Message::new(Role::Tool, "rain") };
        let other = Message { name: Some("time".to_owned()), ..Message::new(Role::Tool, "noon") };
        for (messages, why) in [
            (vec![answer("c1")], "message 0 answers the call `c1`, which no message before it calls"),
            (vec![calls.clone(), answer("c2")], "message 1 answers the call `c2`, expected `c1`, which comes first"),
            (vec![calls.clone(), other], "message 1 is the answer of `time`, expected `weather`, which comes first"),
            (
                vec![Message { role: Role::User, ..calls }],
                "message 0 has tool calls, which a turn of the user cannot show",
            ),
            (
                vec![Message { reasoning: Some("x".to_owned()), ..Message::new(Role::System, "") }],
                "message 0 has a reasoning, which a turn of the system cannot show",
            ),
            (
                vec![Message::new(Role::Other("a<|im_end|>".to_owned()), "")],
                "message 0 has the role `a<|im_end|>`, which a turn cannot show",
            ),
        ] {
            assert_eq!(segments(&messages), Err(why.to_owned()));
        }
    }
}
