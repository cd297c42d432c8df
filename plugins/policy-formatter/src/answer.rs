//! The answer to a case under a policy, as text, and the actions read back out of such a text.
//!
//! ````text
//! Actions:
//! ```json
//! {"name":"cancel_order","arguments":{"order":"W1"}}
//! ```
//!
//! Tell the user:
//! - 54.04
//! ````

use hilora_dataset_formats::json::Json;
use hilora_plugin_sdk::types::{Action, PolicyExample};

/// What the answer says where an example has no action.
const NO_ACTION: &str = "No action is to be taken under the policy.";

/// What opens and closes the block of actions. No line of it can close it early: each is one JSON object.
const OPENING: &str = "```json";
const CLOSING: &str = "```";

/// The answer: the actions, one compact JSON object a line, then what must be told, one point each.
pub(crate) fn compose(example: &PolicyExample) -> Result<String, String> {
    let mut answer = NO_ACTION.to_owned();
    if !example.actions.is_empty() {
        let calls: Vec<String> = example.actions.iter().map(call).collect::<Result<_, _>>()?;
        answer = format!("Actions:\n{OPENING}\n{}\n{CLOSING}", calls.join("\n"));
    }
    if !example.outputs.is_empty() {
        answer.push_str("\n\nTell the user:");
        for output in &example.outputs {
            // The further lines of a point are indented, so that they do not look like points.
            answer.push_str("\n- ");
            answer.push_str(&output.trim().replace('\n', "\n  "));
        }
    }
    Ok(answer)
}

/// One action. Its arguments keep their order and every digit.
fn call(action: &Action) -> Result<String, String> {
    let refused = |got: &str| format!("the arguments of `{}`: expected one JSON object, got {got}", action.name);
    let arguments = Json::parse(&action.arguments).map_err(|why| refused(&why))?;
    if !arguments.is_object() {
        return Err(refused(arguments.kind()));
    }
    let name = serde_json::Value::from(action.name.as_str());
    Ok(format!("{{\"name\":{name},\"arguments\":{}}}", arguments.compact()))
}

/// The lines of the last whole block of actions; `None` where there is none.
pub(crate) fn actions(completion: &str) -> Option<String> {
    let mut last = None;
    let mut lines = completion.lines().map(str::trim);
    while lines.any(|line| line == OPENING) {
        let mut block = Vec::new();
        let mut closed = false;
        for line in lines.by_ref() {
            closed = line == CLOSING;
            if closed {
                break;
            }
            block.push(line);
        }
        if closed && block.iter().any(|line| !line.is_empty()) {
            last = Some(block.join("\n"));
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::example;

    #[test]
    fn an_example_without_anything_says_so_and_no_more() {
        assert_eq!(compose(&example(&[], &[])).as_deref(), Ok("No action is to be taken under the policy."));
        assert_eq!(
            compose(&example(&[], &["54.04", "two\nlines"])).as_deref(),
            Ok("No action is to be taken under the policy.\n\nTell the user:\n- 54.04\n- two\n  lines")
        );
    }

    #[test]
    fn the_actions_come_back_out_of_the_answer() {
        let digits = "7".repeat(400);
        let arguments = format!("{{\"b\": [1, 2.50], \"a\": \"```\\n\", \"c\": {digits}}}");
        let answer = compose(&example(&[("say \"x\"", &arguments), ("end", "{}")], &["done"])).expect("it is whole");
        let expected = format!(
            "{{\"name\":\"say \\\"x\\\"\",\"arguments\":{{\"b\":[1,2.50],\"a\":\"```\\n\",\"c\":{digits}}}}}\n\
             {{\"name\":\"end\",\"arguments\":{{}}}}"
        );
        assert_eq!(actions(&answer), Some(expected));
    }

    #[test]
    fn an_answer_without_a_whole_block_has_no_actions() {
        for answer in ["", NO_ACTION, "```json\n{}", "```json\n\n```", "```python\npass\n```", "```\n{}\n```"] {
            assert_eq!(actions(answer), None, "{answer:?}");
        }
        let two = "```json\n{\"name\":\"a\"}\n```\nNo:\n```json\n{\"name\":\"b\"}\n```\n```json\n{";
        assert_eq!(actions(two).as_deref(), Some("{\"name\":\"b\"}"));
    }
}
