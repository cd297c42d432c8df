//! The tools that the assistant can call, told in the instructions with the words of Qwen's own templates.

use hilora_plugin_sdk::types::{Message, Role};

const BEFORE: &str = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with \
                      function signatures within <tools></tools> XML tags:\n<tools>";
const AFTER: &str = "\n</tools>\n\nFor each function call, return a json object with function name and arguments within \
                     <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": \
                     <args-json-object>}\n</tool_call>";

/// The messages, of which the first tells the tools, where there are any.
pub(crate) fn described(mut messages: Vec<Message>, tools: &[String]) -> Vec<Message> {
    if tools.is_empty() {
        return messages;
    }
    let listed: String = tools.iter().map(|tool| format!("\n{tool}")).collect();
    let text = format!("{BEFORE}{listed}{AFTER}");
    match messages.first_mut() {
        Some(first) if first.role == Role::System => first.content = format!("{}\n\n{text}", first.content),
        _ => messages.insert(0, Message::new(Role::System, text)),
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_stand_in_the_instructions() {
        let tools = ["{\"type\":\"function\"}".to_owned(), "{}".to_owned()];
        let user = || Message::new(Role::User, "Hi");
        assert_eq!(described(vec![user()], &[]), [user()]);
        let added = described(vec![user()], &tools);
        assert_eq!((added.len(), &added[0].role), (2, &Role::System));
        assert!(added[0].content.contains("<tools>\n{\"type\":\"function\"}\n{}\n</tools>"), "{}", added[0].content);
        let joined = described(vec![Message::new(Role::System, "Be brief."), user()], &tools);
        assert_eq!(joined[0].content, format!("Be brief.\n\n{}", added[0].content));
        assert_eq!(joined.len(), 2);
    }
}
