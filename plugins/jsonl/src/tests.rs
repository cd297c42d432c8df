//! The loader over rows and mappings that these tests write themselves.

use hilora_plugin_sdk::loader_contract::{damaged, read_to_end};
use hilora_plugin_sdk::types::{
    CheckerPlugin, Conversation, FloatComparison, LetterCase, PolicyExample, Problem, ProblemChecker, Role, SkippedRow,
};

use super::*;

const CHAT: &str = r#"{"kind": "chat"}"#;
const COMPLETION: &str = r#"{"kind": "completion"}"#;
const PROBLEM: &str = r#"{"kind": "problem"}"#;
const POLICY: &str = r#"{"kind": "policy"}"#;

const CHAT_ROW: &str = r#"{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}"#;
const COMPLETION_ROW: &str = r#"{"prompt": "1 + 1", "completion": "2"}"#;
const PROBLEM_ROW: &str =
    r#"{"problem": "Add.", "solution": "print(3)", "tests": [{"input": "1 2\n", "output": "3\n"}, ["5 5", ["10"]]]}"#;
const POLICY_ROW: &str = r##"{"instruction": "Cancel my order #1.", "policy": "Cancel pending orders.", "actions": [{"name": "cancel", "kwargs": {"order": "#1", "why": [1, 2.50]}}], "outputs": ["done", 5]}"##;

fn read(options: &str, text: &str) -> Result<Vec<LoadedRow>, LoadError> {
    read_to_end::<Jsonl>(vec![SourceFile::from_bytes("part.jsonl", text.as_bytes().to_vec())], options, 4)
}

fn one(options: &str, row: &str) -> LoadedRow {
    read(options, row).expect("options and file are whole").remove(0)
}

fn conversation(options: &str, row: &str) -> Conversation {
    match one(options, row) {
        LoadedRow::Conversation(conversation) => conversation,
        other => panic!("{other:?}"),
    }
}

fn problem(options: &str, row: &str) -> Problem {
    match one(options, row) {
        LoadedRow::Problem(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn policy(options: &str, row: &str) -> PolicyExample {
    match one(options, row) {
        LoadedRow::Policy(example) => example,
        other => panic!("{other:?}"),
    }
}

fn skip(options: &str, row: &str) -> (String, String) {
    match one(options, row) {
        LoadedRow::Skipped(SkippedRow { reason, detail, .. }) => (reason, detail),
        other => panic!("{other:?}"),
    }
}

fn options_error(options: &str) -> String {
    match read(options, "") {
        Err(LoadError::Options(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn turns(conversation: &Conversation) -> Vec<(Role, &str)> {
    conversation.messages.iter().map(|message| (message.role.clone(), message.content.as_str())).collect()
}

/// The roles in a conversation of these messages.
fn roles(options: &str, messages: &str) -> Vec<Role> {
    let chat = conversation(options, &format!(r#"{{"messages": {messages}}}"#));
    chat.messages.into_iter().map(|message| message.role).collect()
}

fn pairs(problem: &Problem) -> Vec<(&str, &str)> {
    problem.tests.iter().map(|test| (test.input.as_str(), test.expected.as_str())).collect()
}

#[test]
fn the_common_field_names_need_no_mapping() {
    let chat = conversation(CHAT, CHAT_ROW);
    assert_eq!(chat.id, "part-1");
    assert_eq!(turns(&chat), [(Role::System, "Be brief."), (Role::User, "Hi"), (Role::Assistant, "Hello.")]);
    assert_eq!(turns(&conversation(COMPLETION, COMPLETION_ROW)), [(Role::User, "1 + 1"), (Role::Assistant, "2")]);
    let problem = problem(PROBLEM, PROBLEM_ROW);
    assert_eq!((problem.text.statement.as_str(), problem.solutions[0].code.as_str()), ("Add.", "print(3)"));
    assert_eq!(pairs(&problem), [("1 2\n", "3\n"), ("5 5", "10")]);
    let example = policy(POLICY, POLICY_ROW);
    assert_eq!(
        (example.instruction.as_str(), example.policy.as_str()),
        ("Cancel my order #1.", "Cancel pending orders.")
    );
    assert_eq!((example.actions[0].name.as_str(), example.actions.len()), ("cancel", 1));
    assert_eq!(example.actions[0].arguments, r##"{"order":"#1","why":[1,2.50]}"##);
    assert_eq!((example.outputs, example.tags), (vec!["done".to_owned(), "5".to_owned()], vec!["policy".to_owned()]));
}

#[test]
fn a_mapping_names_other_fields_and_paths() {
    let options = r#"{"kind": "chat", "messages": "data.conversations", "role": "from", "content": "value",
        "roles": {"human": "user", "gpt": "assistant"}, "id": "meta.id", "tags": ["a", "b"], "difficulty": "meta.level"}"#;
    let row = r#"{"data": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}, "meta": {"id": 17, "level": "easy"}}"#;
    let chat = conversation(options, row);
    assert_eq!(turns(&chat), [(Role::User, "Hi"), (Role::Assistant, "Hello.")]);
    assert_eq!((chat.id.as_str(), chat.tags.len(), chat.difficulty.as_deref()), ("17", 2, Some("easy")));

    let options = r#"{"kind": "completion", "prompt": "question", "completion": "answer", "system": "Be brief.", "tags": "topics"}"#;
    let chat = conversation(options, r#"{"question": "1 + 1", "answer": "2", "topics": ["sums", ""]}"#);
    assert_eq!(turns(&chat), [(Role::System, "Be brief."), (Role::User, "1 + 1"), (Role::Assistant, "2")]);
    assert_eq!(chat.tags, ["sums"]);
}

#[test]
fn a_message_keeps_whatever_it_has() {
    let row = r#"{"tools": [{"type": "function", "function": {"name": "get_weather"}}], "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "Ann", "content": "Weather?", "weight": null, "images": []},
        {"role": "assistant", "content": null, "reasoning_content": "I look.", "weight": 0, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}},
            {"name": "get_time", "arguments": {}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "name": "get_time", "content": "noon"},
        {"role": "assistant", "content": "Rain at noon.", "train": true}]}"#
        .replace('\n', " ");
    let chat = conversation(CHAT, &row);
    assert_eq!(chat.tools, [r#"{"type":"function","function":{"name":"get_weather"}}"#]);
    let [developer, user, asks, first, second, last] = &chat.messages[..] else { panic!("{:?}", chat.messages) };
    assert_eq!((&developer.role, user.name.as_deref()), (&Role::Developer, Some("Ann")));
    assert_eq!((asks.content.as_str(), asks.reasoning.as_deref(), asks.trained), ("", Some("I look."), false));
    let calls: Vec<_> =
        asks.tool_calls.iter().map(|call| (call.id.as_deref(), &*call.name, &*call.arguments)).collect();
    assert_eq!(calls, [(Some("c1"), "get_weather", r#"{"city":"Paris"}"#), (None, "get_time", "{}")]);
    assert_eq!((&first.role, first.tool_call_id.as_deref(), first.trained), (&Role::Tool, Some("c1"), false));
    assert_eq!((second.name.as_deref(), last.trained), (Some("get_time"), true));
}

#[test]
fn any_role_can_be_named_and_a_field_can_be_left_out() {
    let row =
        r#"{"messages": [{"role": "critic", "content": "Well?", "mood": 3}, {"role": "gpt", "content": "Well."}]}"#;
    let options = r#"{"kind": "chat", "ignore": ["mood"], "roles": {"critic": "critic", "gpt": "assistant"}}"#;
    let chat = conversation(options, row);
    assert_eq!(turns(&chat), [(Role::Other("critic".to_owned()), "Well?"), (Role::Assistant, "Well.")]);
    let renamed = r#"{"kind": "chat", "reasoning": "thought", "weight": "learn"}"#;
    let row = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "learn": 0},
        {"role": "assistant", "content": "c", "thought": "d"}]}"#
        .replace('\n', " ");
    let chat = conversation(renamed, &row);
    assert_eq!((chat.messages[1].trained, chat.messages[2].reasoning.as_deref()), (false, Some("d")));
}

#[test]
fn nothing_of_a_message_vanishes_silently() {
    let said = |message: &str| format!(r#"{{"messages": [{message}, {{"role": "assistant", "content": "b"}}]}}"#);
    for (message, reason, detail) in [
        (
            r#"{"role": "user", "content": "a", "images": ["x"]}"#,
            "unread-field",
            "`messages[0].images` is not read; the option `ignore` names fields that may be left out",
        ),
        (
            r#"{"role": "assistant", "content": "a", "weight": 0.5}"#,
            "wrong-type",
            "`messages[0].weight`: expected 0 or 1, got 0.5",
        ),
        (
            r#"{"role": "assistant", "content": "a", "train": 1}"#,
            "wrong-type",
            "`messages[0].train`: expected true or false, got 1",
        ),
        (
            r#"{"role": "assistant", "content": "a", "train": true, "weight": 0}"#,
            "wrong-type",
            "`messages[0]`: `weight` and `train` say the opposite",
        ),
        (
            r#"{"role": "assistant", "content": "a", "tool_calls": [{"type": "custom", "custom": {}}]}"#,
            "wrong-type",
            "`messages[0].tool_calls[0].type`: expected `function`, got `custom`",
        ),
        (
            r#"{"role": "assistant", "content": "a", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}"#,
            "wrong-type",
            "`messages[0].tool_calls[0].function.arguments`: expected an object, got a list",
        ),
        (
            r#"{"role": "assistant", "content": "a", "tool_calls": [{"name": "f", "strict": true}]}"#,
            "unread-field",
            "`messages[0].tool_calls[0].strict` is not read; the option `ignore` names fields that may be left out",
        ),
        (
            r#"{"role": "assistant", "content": "a", "reasoning": "x", "reasoning_content": "y"}"#,
            "unread-field",
            "`messages[0].reasoning_content` is not read; the option `ignore` names fields that may be left out",
        ),
    ] {
        let expected = (reason.to_owned(), format!("part.jsonl line 1: {detail}"));
        assert_eq!(skip(CHAT, &said(message)), expected, "{message}");
    }
    let row = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}"#;
    let expected =
        ("nothing-to-train-on".to_owned(), "part.jsonl line 1: no message of `messages` is trained on".to_owned());
    assert_eq!(skip(CHAT, row), expected);
}

#[test]
fn what_a_row_says_beside_its_conversation_is_honoured_or_named() {
    let chat = |beside: &str| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": "a"}}, {{"role": "assistant", "content": "b"}}], {beside}}}"#
        )
    };
    let pair = |beside: &str| format!(r#"{{"prompt": "a", "completion": "b", {beside}}}"#);
    for (options, row) in [(CHAT, &chat as &dyn Fn(&str) -> String), (COMPLETION, &pair)] {
        let said = conversation(options, &row(r#""system": "Be brief.", "tools": "[{\"name\": \"f\"}]""#));
        assert_eq!(turns(&said)[0], (Role::System, "Be brief."));
        assert_eq!((said.messages.len(), said.tools), (3, vec![r#"{"name":"f"}"#.to_owned()]));
        let said = conversation(options, &row(r#""functions": [{"name": "f"}], "system_prompt": "Now.", "tools": []"#));
        assert_eq!((turns(&said)[0].1, said.tools.len()), ("Now.", 1));
        // What is no matter of learning stays where it is.
        let plain =
            conversation(options, &row(r#""source": "x", "label": 3, "train": "test", "images": [], "weight": 1.0"#));
        assert_eq!(plain.messages.len(), 2);
        for (beside, reason, detail) in [
            (r#""label": false"#, "negative-label", "`label` is false: the answer is one to avoid, not one to learn"),
            (r#""label": "False""#, "negative-label", "`label` is false: the answer is one to avoid, not one to learn"),
            (r#""weight": 0"#, "nothing-to-train-on", "`weight` is 0"),
            (r#""weight": "0.0""#, "nothing-to-train-on", "`weight` is 0"),
            (r#""weight": 0.3"#, "wrong-type", "`weight`: expected 0 or 1, got 0.3"),
            (r#""train": false"#, "nothing-to-train-on", "`train` is false"),
            (r#""train": "False""#, "nothing-to-train-on", "`train` is false"),
            (
                r#""rejected": "c""#,
                "unread-field",
                "`rejected` is not read; the option `ignore` names fields that may be left out",
            ),
            (
                r#""input": "the text to sum up""#,
                "unread-field",
                "`input` is not read; the option `ignore` names fields that may be left out",
            ),
            (r#""tools": [3]"#, "wrong-type", "`tools[0]`: expected an object, got a number"),
        ] {
            let expected = (reason.to_owned(), format!("part.jsonl line 1: {detail}"));
            assert_eq!(skip(options, &row(beside)), expected, "{options} {beside}");
        }
        let ignoring = options.replace('}', r#", "ignore": ["rejected", "label", "weight"]}"#);
        let kept = conversation(&ignoring, &row(r#""rejected": "c", "label": false, "weight": 0"#));
        assert_eq!(kept.messages.len(), 2);
    }
    let with_system =
        chat("\"system\": \"Be brief.\"").replacen('[', r#"[{"role": "system", "content": "Be kind."}, "#, 1);
    assert_eq!(skip(CHAT, &with_system).0, "two-system-prompts");
    let same = with_system.replace("Be kind.", "Be brief.");
    assert_eq!(conversation(CHAT, &same).messages.len(), 3);
}

#[test]
fn a_completion_may_have_a_thought_earlier_turns_and_messages() {
    let row = r#"{"prompt": "a", "completion": "b", "reasoning": "because", "history": [["c", "d"], ["e", "f"]]}"#;
    let chat = conversation(COMPLETION, row);
    let spoken: Vec<&str> = turns(&chat).into_iter().map(|(_, text)| text).collect();
    assert_eq!((spoken, chat.messages[5].reasoning.as_deref()), (vec!["c", "d", "e", "f", "a", "b"], Some("because")));
    assert!(chat.messages[1].trained);

    let row = r#"{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"}], "completion": [{"role": "assistant", "content": "d", "thinking": "e"}]}"#
        .replace('\n', " ");
    let chat = conversation(COMPLETION, &row);
    let trained: Vec<bool> = chat.messages.iter().map(|message| message.trained).collect();
    assert_eq!((trained, chat.messages[3].reasoning.as_deref()), (vec![false, false, false, true], Some("e")));
    let one = r#"{"prompt": "a", "completion": {"role": "assistant", "content": "b"}}"#;
    assert_eq!(turns(&conversation(COMPLETION, one)), [(Role::User, "a"), (Role::Assistant, "b")]);
    assert_eq!(skip(COMPLETION, r#"{"prompt": "a", "completion": "b", "history": [["c"]]}"#).0, "wrong-type");
}

#[test]
fn fields_are_joined_where_the_options_list_them() {
    let options = r#"{"kind": "completion", "prompt": ["instruction", "input"], "completion": "output"}"#;
    let row = |input: &str| format!(r#"{{"instruction": "Sum up.", "input": {input}, "output": "Short."}}"#);
    for (input, prompt) in
        [("\"A text.\"", "Sum up.\nA text."), ("\"\"", "Sum up."), ("null", "Sum up."), ("7", "Sum up.\n7")]
    {
        assert_eq!(turns(&conversation(options, &row(input)))[0].1, prompt);
    }
    let joined = options.replace("{\"kind", "{\"join\": \" | \", \"kind");
    assert_eq!(turns(&conversation(&joined, &row("\"A text.\"")))[0].1, "Sum up. | A text.");
    assert_eq!(skip(options, r#"{"input": "a", "output": "b"}"#).0, "missing-field");
    assert_eq!(skip(options, r#"{"instruction": "", "input": " ", "output": "b"}"#).0, "empty-prompt");
    assert_eq!(
        options_error(r#"{"kind": "completion", "prompt": []}"#),
        "`prompt`: expected names of fields, got an empty one or none"
    );
}

#[test]
fn content_in_parts_and_the_calls_of_old_are_read() {
    let row = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Wea"}, {"text": "ther?"}]},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{\"a\": 1}"}},
        {"role": "function", "name": "f", "content": "rain"}, {"role": "assistant", "content": ["Ra", "in."]}]}"#
        .replace('\n', " ");
    let chat = conversation(CHAT, &row);
    let said: Vec<&str> = turns(&chat).into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["Weather?", "", "rain", "Rain."]);
    assert_eq!((&chat.messages[1].tool_calls[0].name[..], &chat.messages[2].role), ("f", &Role::Tool));
    let image = row.replace(r#""type": "text", "text""#, r#""type": "image_url", "image_url""#);
    assert_eq!(
        skip(CHAT, &image).1,
        "part.jsonl line 1: `messages[0].content[0].type`: expected `text`, got `image_url`"
    );
}

#[test]
fn parts_of_responses_and_roles_in_capitals_are_read() {
    let row = r#"{"messages": [{"role": "User", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"role": "ASSISTANT", "content": [{"type": "output_text", "text": "Rain."}]}]}"#
        .replace('\n', " ");
    let chat = conversation(CHAT, &row);
    assert_eq!(turns(&chat), [(Role::User, "Weather?"), (Role::Assistant, "Rain.")]);
    // The options may tell them apart.
    let apart = r#"{"kind": "chat", "roles": {"USER": "system", "user": "user", "assistant": "assistant"}}"#;
    assert_eq!(conversation(apart, &row.replace("\"User\"", "\"USER\"")).messages[0].role, Role::System);
    assert_eq!(conversation(apart, &row).messages[0].role, Role::User);
}

#[test]
fn where_no_row_tells_a_layout_the_first_that_cannot_be_read_are_named() {
    for (name, text, words) in [
        ("pretty.jsonl", "{\n  \"prompt\": 1\n}\n", "pretty.jsonl line 1: not JSON: EOF"),
        ("latin.csv", "question,answer\nQ,Gr\u{fc}n\n", "latin.csv line 2: "),
        ("lists.json", "[[1], [2]]", "lists.json line 1: expected a JSON object, got a list"),
    ] {
        let bytes = text.chars().map(|c| c as u8).collect();
        let read = read_to_end::<Jsonl>(vec![SourceFile::from_bytes(name, bytes)], "{}", 4);
        let Err(LoadError::Options(message)) = read else { panic!("{read:?}") };
        let begin = "`kind`: expected one of chat, completion, problem, policy, got nothing, and no row tells it\n  - ";
        assert!(message.starts_with(&format!("{begin}{words}")), "{message}");
    }
}

#[test]
fn a_problem_names_its_checker_in_a_field_or_for_all() {
    let named = |options: &str, checker: &str| {
        problem(options, &format!(r#"{{"problem": "Add.", "checker": {checker}}}"#)).checker
    };
    let float = |absolute_tolerance, letters| {
        ProblemChecker::Float(FloatComparison { absolute_tolerance, relative_tolerance: 1e-6, letters })
    };
    let plugin = |options: &str| {
        ProblemChecker::Plugin(CheckerPlugin { name: "any-order".to_owned(), options: options.to_owned() })
    };
    assert_eq!(named(PROBLEM, "null"), None);
    assert_eq!(named(PROBLEM, r#""tokens""#), Some(ProblemChecker::Tokens(LetterCase::Significant)));
    let ignoring = r#"{"name": "lines", "ignore_case": true}"#;
    assert_eq!(named(PROBLEM, ignoring), Some(ProblemChecker::Lines(LetterCase::Ignored)));
    let tolerant = r#"{"name": "float", "absolute_tolerance": 1e-3, "ignore_case": false}"#;
    assert_eq!(named(PROBLEM, tolerant), Some(float(1e-3, LetterCase::Significant)));
    assert_eq!(named(PROBLEM, r#""any-order""#), Some(plugin("{}")));
    assert_eq!(named(PROBLEM, r#"{"name": "any-order", "options": {"by": 1.50}}"#), Some(plugin(r#"{"by":1.50}"#)));
    let for_all = r#"{"kind": "problem", "checker": {"name": "float", "ignore_case": true}}"#;
    assert_eq!(named(for_all, "7"), Some(float(1e-6, LetterCase::Ignored)));
    for (checker, reason, detail) in [
        ("7", "wrong-type", "`checker`: expected a string, got a number"),
        (
            r#""../x""#,
            "wrong-checker",
            "`checker`: expected `lines`, `tokens`, `float`, or a plugin's name of lower-case letters, digits and dashes, got `../x`",
        ),
        (
            r#"{"name": "lines", "tolerance": 1}"#,
            "wrong-checker",
            "`checker.tolerance`: the checker `lines` has no such option",
        ),
        (
            r#"{"name": "float", "relative_tolerance": "1"}"#,
            "wrong-type",
            "`checker.relative_tolerance`: expected a finite number that is not negative, got \"1\"",
        ),
        (r#"{"ignore_case": true}"#, "missing-field", "`checker.name`: expected a checker's name, got nothing"),
    ] {
        let row = format!(r#"{{"problem": "Add.", "checker": {checker}}}"#);
        assert_eq!(skip(PROBLEM, &row), (reason.to_owned(), format!("part.jsonl line 1: {detail}")), "{checker}");
    }
    let called = r#"{"problem": "Add.", "entry_point": "f", "checker": "tokens"}"#;
    assert_eq!(skip(PROBLEM, called).0, "checker-of-function");
}

#[test]
fn programs_are_in_the_language_that_the_options_name() {
    let options = r#"{"kind": "problem", "language": "javascript"}"#;
    let row =
        r#"{"problem": "Add.", "solution": "let f;", "entry_point": "f", "starter_code": "var f = function() {};"}"#;
    let found = problem(options, row);
    assert_eq!(found.solutions[0].language, "javascript");
    assert!(found.text.statement.contains("```javascript\nvar f"), "{}", found.text.statement);
    assert_eq!(problem(PROBLEM, row).solutions[0].language, "python3");
}

#[test]
fn functional_tests_are_values_or_lines_of_json() {
    let row = |tests: &str| {
        format!(
            r#"{{"problem": "Add.", "solutions": "[\"def f(a, b): return a\", \"\"]", "entry_point": "f", "starter_code": "def f(a, b):", "title": "Sum", "tests": {tests}}}"#
        )
    };
    let values = problem(PROBLEM, &row(r#"[{"input": [1, "a"], "output": "x"}, [7, [ 8 ]]]"#));
    assert_eq!(pairs(&values), [("1\n\"a\"", "\"x\""), ("7", "[8]")]);
    assert_eq!((values.entry_point.as_deref(), values.solutions.len()), (Some("f"), 1));
    assert_eq!(values.text.statement, "Add.\n\nStarter code:\n```python\ndef f(a, b):\n```\n");
    assert_eq!(values.text.title, "Sum");
    let lines = problem(PROBLEM, &row(r#"[{"input": "1\n\"a\"", "output": "\"x\""}, ["7", [ 8 ]]]"#));
    assert_eq!(pairs(&lines), [("1\n\"a\"", "\"x\""), ("7", "[8]")]);
}

#[test]
fn a_problem_may_lack_tests_and_solutions_that_no_option_names() {
    let bare = problem(PROBLEM, r#"{"problem": "Add."}"#);
    assert_eq!((bare.tests.len(), bare.solutions.len()), (0, 0));
    for (option, reason) in [("tests", "missing-field"), ("solution", "missing-field")] {
        let options = format!(r#"{{"kind": "problem", "{option}": "{option}"}}"#);
        assert_eq!(skip(&options, r#"{"problem": "Add."}"#).0, reason);
    }
    let options = r#"{"kind": "problem", "tests": "t"}"#;
    assert_eq!(skip(options, r#"{"problem": "Add.", "t": []}"#).0, "no-tests");
}

#[test]
fn the_policy_may_be_a_file_that_is_not_read_as_rows() {
    let file = |name: &str, text: &str| SourceFile::from_bytes(name, text.as_bytes().to_vec());
    let options = r#"{"kind": "policy", "policy": {"file": "rules.md"}}"#;
    let rows = r#"{"instruction": "Keep it.", "actions": []}"#;
    let read = |files| read_to_end::<Jsonl>(files, options, 4);
    match &read(vec![file("rules.md", "# Rules\n"), file("a.jsonl", rows)]).expect("both are whole")[..] {
        [LoadedRow::Policy(example)] => {
            assert_eq!((example.policy.as_str(), example.actions.len()), ("# Rules", 0));
        }
        other => panic!("{other:?}"),
    }
    for (files, words) in [
        (vec![file("a.jsonl", rows)], "`policy.file`: expected one of `a.jsonl`, got `rules.md`"),
        (vec![file("rules.md", " ")], "`policy.file`: `rules.md` is empty"),
        (vec![SourceFile::from_bytes("rules.md", vec![0xff])], "`policy.file`: `rules.md` is not UTF-8 text"),
        (
            vec![SourceFile::from_bytes("rules.md", vec![b'a'; (1 << 20) + 1])],
            "`policy.file`: expected at most 1048576 bytes in `rules.md`, got 1048577",
        ),
    ] {
        assert_eq!(read(files), Err(LoadError::Options(words.to_owned())));
    }
}

#[test]
fn a_row_that_does_not_fit_is_named_with_line_and_field() {
    let text = format!("{COMPLETION_ROW}\n\n{}", r#"{"prompt": ["x"], "completion": "y"}"#);
    match read(COMPLETION, &text).expect("the file is whole").remove(1) {
        LoadedRow::Skipped(SkippedRow { id, reason, detail }) => {
            assert_eq!((id.as_deref(), reason.as_str()), (Some("part-3"), "wrong-type"));
            assert_eq!(detail, "part.jsonl line 3: `prompt[0]`: expected an object, got a string");
        }
        other => panic!("{other:?}"),
    }
    for (options, row, reason, detail) in [
        (CHAT, r#"{}"#, "missing-field", "`messages`: expected a list of messages, got nothing"),
        (CHAT, r#"{"messages": []}"#, "no-messages", "`messages` is empty"),
        (
            CHAT,
            r#"{"messages": [{"role": "gpt", "content": ""}]}"#,
            "unknown-role",
            "`messages[0].role`: expected one of assistant, developer, function, system, tool, user, got `gpt`",
        ),
        (
            CHAT,
            r#"{"messages": [{"content": "a"}]}"#,
            "missing-field",
            "`messages[0].role`: expected a role, got nothing",
        ),
        (
            CHAT,
            r#"{"messages": [{"role": "assistant", "content": " "}]}"#,
            "empty-answer",
            "`messages[0].content` is empty",
        ),
        (
            CHAT,
            r#"{"messages": [{"role": "user", "content": "a"}]}"#,
            "last-message-not-assistant",
            "`messages` does not end with an answer",
        ),
        (COMPLETION, r#"{"prompt": "a", "completion": ""}"#, "empty-answer", "`completion` is empty"),
        (
            COMPLETION,
            r#"{"prompt": "a"}"#,
            "missing-field",
            "`completion`: expected a string, got nothing; the row has `prompt`",
        ),
        (PROBLEM, r#"{"problem": " "}"#, "empty-description", "`problem` is empty"),
        (
            PROBLEM,
            r#"{"problem": "a", "tests": [["1"]]}"#,
            "wrong-type",
            "`tests[0]`: expected a pair of input and output, got 1 items",
        ),
        (
            PROBLEM,
            r#"{"problem": "a", "tests": [{"input": "1"}]}"#,
            "null-test",
            "`tests[0].output` is missing or null",
        ),
        (
            POLICY,
            r#"{"instruction": "a", "policy": "b"}"#,
            "missing-field",
            "`actions`: expected a list of actions, got nothing; the row has `instruction`, `policy`",
        ),
        (
            POLICY,
            r#"{"instruction": "a", "policy": "b", "actions": [{"name": "c", "arguments": [1]}]}"#,
            "wrong-type",
            "`actions[0].arguments`: expected an object, got a list",
        ),
        (
            POLICY,
            r#"{"instruction": "a", "actions": []}"#,
            "missing-field",
            "`policy`: expected a string, got nothing; the row has `instruction`, `actions`",
        ),
        (
            r#"{"kind": "completion", "prompt": "promt"}"#,
            r#"{"prompt": "a", "completion": "b"}"#,
            "missing-field",
            "`promt`: expected a string, got nothing; the row has `prompt`, `completion`; perhaps `prompt` is meant",
        ),
    ] {
        assert_eq!(skip(options, row), (reason.to_owned(), format!("part.jsonl line 1: {detail}")), "{row}");
    }
}

#[test]
fn what_lies_below_a_wrong_value_is_wrong_and_not_missing() {
    let turns = r#"[{"meta": {"from": "user"}, "content": "a"}, {"meta": {"from": "assistant"}, "content": "b"}]"#;
    let role = r#"{"kind": "chat", "role": "meta.from"}"#;
    assert_eq!(roles(role, turns), [Role::User, Role::Assistant]);
    for (options, row, detail) in [
        (
            role,
            format!(r#"{{"messages": {}}}"#, turns.replace(r#"{"from": "user"}"#, "\"user\"")),
            "`messages[0].meta`: expected an object, got a string",
        ),
        (
            r#"{"kind": "chat", "content": "text.value"}"#,
            r#"{"messages": [{"role": "user", "text": ["a"]}]}"#.to_owned(),
            "`messages[0].text`: expected an object, got a list",
        ),
        (
            r#"{"kind": "completion", "difficulty": "meta.info.level"}"#,
            r#"{"prompt": "a", "completion": "b", "meta": {"info": 3}}"#.to_owned(),
            "`meta.info`: expected an object, got a number",
        ),
        (
            r#"{"kind": "problem", "output": "result.value"}"#,
            r#"{"problem": "a", "tests": [["1", "2"], {"input": "1", "result": true}]}"#.to_owned(),
            "`tests[1].result`: expected an object, got a boolean",
        ),
    ] {
        assert_eq!(skip(options, &row), ("wrong-type".to_owned(), format!("part.jsonl line 1: {detail}")), "{row}");
    }
}

#[test]
fn arguments_may_be_text_that_holds_an_object() {
    let row =
        r#"{"instruction": "a", "policy": "b", "actions": [{"name": "c", "arguments": "{\"d\": 1}"}, {"name": "e"}]}"#;
    let arguments: Vec<String> = policy(POLICY, row).actions.into_iter().map(|action| action.arguments).collect();
    assert_eq!(arguments, [r#"{"d":1}"#, "{}"]);
}

#[test]
fn arguments_that_no_value_can_hold_stay_the_text_that_they_are() {
    let digits = "7".repeat(400);
    let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
    for value in [r#""\ud800""#, "1e999", &digits, &deep] {
        let object = format!("{{ \"a\": {value} }}");
        let text = object.replace('\\', "\\\\").replace('"', "\\\"");
        for kwargs in [object, format!("\"{text}\"")] {
            let actions = format!(r#"[{{"name": "c", "kwargs": {kwargs}}}]"#);
            let row = format!(r#"{{"instruction": "a", "policy": "b", "actions": {actions}}}"#);
            assert_eq!(policy(POLICY, &row).actions[0].arguments, format!("{{\"a\":{value}}}"), "{kwargs}");
        }
    }
}

#[test]
fn options_that_cannot_be_used_are_named() {
    for (options, message) in [
        (
            r#"{"tags": []}"#,
            "`kind`: expected one of chat, completion, problem, policy, got nothing, and no row tells it",
        ),
        (r#"{"kind": "text"}"#, "`kind`: expected one of chat, completion, problem, policy, got `text`"),
        (
            r#"{"kind": "completion", "promt": "x", "roles": {}}"#,
            "unknown key `promt`, `roles`; known for this kind: completion, difficulty, history, id, ignore, join, kind, \
             label, plan, prompt, reasoning, system, system_field, tags, tools\n\
             hint: perhaps `prompt` for `promt`",
        ),
        (r#"{"kind": "chat", "messages": 3}"#, "`messages`: expected a string, got a number"),
        (r#"{"kind": "chat", "messages": ""}"#, "`messages`: expected a field's name, got nothing"),
        (
            r#"{"kind": "chat", "roles": {"human": "a person"}}"#,
            "`roles.human`: expected a role of letters, digits and `-`, `_`, `.`, got `a person`",
        ),
        (r#"{"kind": "chat", "ignore": "id"}"#, "`ignore`: expected a list, got a string"),
        (
            r#"{"kind": "problem", "language": "Java Script"}"#,
            "`language`: expected a name of lower-case letters, digits and `+`, `#`, `-`, `_`, `.`, got `Java Script`",
        ),
        (
            r#"{"kind": "problem", "checker": {"name": "float", "absolute_tolerance": -1}}"#,
            "`checker.absolute_tolerance`: expected a finite number that is not negative, got -1",
        ),
        (r#"{"kind": "policy", "policy": "x"}"#, "`policy`: expected {\"field\": …} or {\"file\": …}, got a string"),
        (
            r#"{"kind": "problem", "solution": "a", "solutions": "b"}"#,
            "`solution` and `solutions`: expected one of them, got both",
        ),
        ("[", "not JSON: EOF while parsing a list at column 1"),
        ("[]", "expected an object, got a list"),
    ] {
        assert_eq!(options_error(options), message, "{options}");
    }
}

#[test]
fn only_a_problem_has_a_title() {
    let titled = r#"{"kind": "problem", "title": "name"}"#;
    assert_eq!(problem(titled, r#"{"problem": "Add.", "name": "Sum"}"#).text.title, "Sum");
    assert_eq!(skip(titled, r#"{"problem": "Add."}"#).0, "missing-field");
    for kind in ["chat", "completion", "policy"] {
        let message = options_error(&format!(r#"{{"kind": "{kind}", "title": "name"}}"#));
        assert!(message.starts_with("unknown key `title`; known for this kind: "), "{message}");
    }
}

#[test]
fn an_identifier_is_the_files_name_without_its_ending_and_the_line() {
    for (name, id) in [
        ("train.jsonl", "train-1"),
        ("train.part2.jsonl", "train.part2-1"),
        ("train.json.gz", "train-1"),
        ("v1.5.ndjson", "v1.5-1"),
        ("rows.txt", "rows.txt-1"),
        ("jsonl", "jsonl-1"),
        (".jsonl.gz", "row-1"),
    ] {
        let file = SourceFile::from_bytes(name, COMPLETION_ROW.as_bytes().to_vec());
        match &read_to_end::<Jsonl>(vec![file], COMPLETION, 4).expect("options and file are whole")[..] {
            [LoadedRow::Conversation(chat)] => assert_eq!(chat.id, id),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn files_whose_rows_could_not_be_told_apart_need_an_identifier() {
    let read = |names: [&str; 2], options: &str| {
        let row = |name: &&str| format!(r#"{{"prompt": "a", "completion": "b", "key": "{name}"}}"#).into_bytes();
        let files = names.iter().map(|name| SourceFile::from_bytes(name, row(name))).collect();
        read_to_end::<Jsonl>(files, options, 4)
    };
    let ids = |rows: Vec<LoadedRow>| {
        let id = |row| match row {
            LoadedRow::Conversation(chat) => chat.id,
            other => panic!("{other:?}"),
        };
        rows.into_iter().map(id).collect::<Vec<_>>()
    };
    let parts = read(["train.part1.jsonl", "train.part2.jsonl"], COMPLETION).expect("the names differ");
    assert_eq!(ids(parts), ["train.part1-1", "train.part2-1"]);
    let message = "two files are named `train`, so that their rows would have the same identifiers; name the field \
                   that tells rows apart with `id`";
    for names in [["train.jsonl", "train.jsonl"], ["train.jsonl", "train.jsonl.gz"], ["train.json", "train.ndjson"]] {
        assert_eq!(read(names, COMPLETION), Err(LoadError::Options(message.to_owned())), "{names:?}");
    }
    let named = read(["train.jsonl", "train.jsonl.gz"], r#"{"kind": "completion", "id": "key"}"#);
    assert_eq!(ids(named.expect("the rows have names")), ["train.jsonl", "train.jsonl.gz"]);
}

/// The rows of an input of the corpus, which Python, pyarrow and Polars wrote.
fn corpus(name: &str) -> Vec<LoadedRow> {
    read_corpus(name).expect("the file is whole")
}

/// The same, or why there are none. The options stand in the first line, and before them what the file is called.
fn read_corpus(name: &str) -> Result<Vec<LoadedRow>, LoadError> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/jsonl").join(name);
    let bytes = std::fs::read(path).expect("the corpus is there");
    let end = bytes.iter().position(|byte| *byte == b'\n').expect("the first line is the options");
    let first = std::str::from_utf8(&bytes[..end]).expect("options are text");
    let (file, options) = match first.split_once(' ') {
        Some((file, options)) if !file.starts_with('{') => (file, options),
        _ => ("rows.jsonl", first),
    };
    let file = SourceFile::from_bytes(file, bytes[end + 1..].to_vec());
    read_to_end::<Jsonl>(vec![file], options, 3)
}

#[test]
fn damaged_and_oversized_archives_are_errors_that_name_them() {
    for codec in ["zstd", "bzip2", "xz"] {
        for damage in ["cut-half", "cut-end"] {
            match read_corpus(&format!("rows-{codec}-{damage}")) {
                Err(LoadError::Malformed(malformed)) => {
                    let words = format!("the {codec} is damaged");
                    assert!(malformed.detail.contains(&words), "{codec} {damage}: {}", malformed.detail);
                }
                other => panic!("{codec} {damage}: {other:?}"),
            }
        }
    }
    match read_corpus("rows-xz-large-dictionary") {
        Err(LoadError::Malformed(malformed)) => {
            assert!(malformed.detail.contains("the xz is damaged"), "{malformed:?}")
        }
        other => panic!("a dictionary of 512 MiB is beyond the bound, got {other:?}"),
    }
    // What unpacks to one long line of nothing is one row that is none.
    assert!(matches!(&corpus("rows-zstd-bomb")[..], [LoadedRow::Skipped(_)]));
}

#[test]
fn the_same_rows_in_everything_that_rows_are_written_in() {
    let expected = corpus("rows");
    assert_eq!(expected.len(), 8);
    assert!(expected.iter().all(|row| matches!(row, LoadedRow::Conversation(_))), "{expected:?}");
    for name in [
        "rows-zstd",
        "rows-zstd-frames",
        "rows-bzip2",
        "rows-xz",
        "rows-list",
        "rows-list-indented",
        "rows-list-bzip2",
        "rows-parquet",
        "rows-arrow",
        "rows-polars",
        "rows-csv",
        "rows-csv-windows",
        "rows-csv-semicolons",
        "rows-csv-xz",
        "rows-tsv",
    ] {
        assert_eq!(corpus(name), expected, "{name}");
    }
}

#[test]
fn conversations_in_columns_are_those_of_lines() {
    let said = |name: &str| -> Vec<Conversation> {
        let row = |(index, row)| match row {
            LoadedRow::Conversation(chat) => Conversation { id: format!("{index}"), ..chat },
            other => panic!("{name}: {other:?}"),
        };
        corpus(name).into_iter().enumerate().map(row).collect()
    };
    let expected = said("calls-lines");
    assert_eq!((expected.len(), expected[0].messages[1].trained, expected[0].tools.len()), (3, false, 1));
    for name in ["calls-parquet", "calls-arrow", "calls-polars"] {
        assert_eq!(said(name), expected, "{name}");
    }
}

#[test]
fn rows_that_are_no_lines_are_named_by_their_place() {
    let named = |name: &str, text: &str| {
        let file = SourceFile::from_bytes(name, text.as_bytes().to_vec());
        let rows = read_to_end::<Jsonl>(vec![file], COMPLETION, 4).expect("the file is whole");
        let fate = |row| match row {
            LoadedRow::Conversation(chat) => chat.id,
            LoadedRow::Skipped(SkippedRow { reason, detail, .. }) => format!("{reason}: {detail}"),
            other => panic!("{other:?}"),
        };
        rows.into_iter().map(fate).collect::<Vec<_>>()
    };
    let row = r#"{"prompt": "a", "completion": "b"}"#;
    assert_eq!(
        named("a.json", &format!("[{row},\n {row}, {{\"prompt\": 1}}, 7, {{\"a\": }}\n]")),
        [
            "a-0",
            "a-1",
            "wrong-type: a.json item 2 (line 2): `prompt`: expected a string, got a number",
            "malformed-json: a.json item 3 (line 2): expected a JSON object, got a number",
            "malformed-json: a.json item 4 (line 2): not JSON: expected value at column 7",
        ]
    );
    assert_eq!(
        named("b.csv", "prompt,completion\n\"a\nb\",c\n\nd,e,f\ng\n,h\ni,j"),
        [
            "b-2",
            "wrong-cells: b.csv line 5: expected 2 cells, one a column, got 3",
            "wrong-cells: b.csv line 6: expected 2 cells, one a column, got 1",
            "missing-field: b.csv line 7: `prompt`: expected a string, got nothing; the row has `completion`",
            "b-8",
        ]
    );
    assert_eq!(named("c.csv", "prompt,completion\ra,b\r\"c\rd\",e"), ["c-2", "c-3"]);
    assert_eq!(named("d.csv", "\"a,\nb\";prompt;completion\n1;2;3"), ["d-3"]);
    for (name, text, words) in [
        ("a.json", "[{\"prompt\": 1}", "line 1: the file ends inside the item 0 of its list"),
        ("a.json", "[{}, {}\n", "line 2: the file ends inside the item 1 of its list"),
        ("a.json", "[{}\n] 3", "line 2: expected nothing after the end of the list"),
        ("a.csv", "a,b\n1,\"2\n", "line 3: the file ends inside a cell in quotation marks"),
        ("a.csv", "a,a\n1,2\n", "line 1: two columns are named \"a\""),
    ] {
        let file = SourceFile::from_bytes(name, text.as_bytes().to_vec());
        match read_to_end::<Jsonl>(vec![file], COMPLETION, 4) {
            Err(LoadError::Malformed(malformed)) => assert_eq!(malformed.detail, words),
            other => panic!("{text}: {other:?}"),
        }
    }
    for (name, text) in [("a.json", "[]"), ("a.json", " [\n ] \n"), ("a.csv", ""), ("a.csv", "a,b\r"), ("a.tsv", "\n")]
    {
        assert_eq!(named(name, text), [""; 0], "{text}");
    }
}

/// The plan's line for one row in a file of lines.
fn plan(options: &str, row: &str) -> (String, String) {
    match one(options, row) {
        LoadedRow::Skipped(SkippedRow { id: Some(source), reason, detail }) if reason == "plan" => (source, detail),
        other => panic!("{other:?}"),
    }
}

#[test]
fn known_layouts_need_no_options_and_are_named_in_the_plan() {
    let user_and_assistant = vec![(Role::User, "a"), (Role::Assistant, "b")];
    for (row, words, said) in [
        (
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
            "OpenAI: messages = messages, role = role, content = content",
            user_and_assistant.clone(),
        ),
        (
            r#"{"id": 3, "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#,
            "ShareGPT: messages = conversations, role = from, content = value",
            user_and_assistant.clone(),
        ),
        (
            r#"{"instruction": "a", "input": "", "output": "b"}"#,
            "Alpaca: prompt = instruction + input, completion = output",
            user_and_assistant.clone(),
        ),
        (
            r#"{"instruction": "Sum up.", "context": "Long.", "response": "b", "category": "c"}"#,
            "question and answer: prompt = instruction + context, completion = response",
            vec![(Role::User, "Sum up.\nLong."), (Role::Assistant, "b")],
        ),
        (
            r#"{"prompt": "a", "completion": "b", "label": true}"#,
            "KTO: prompt = prompt, completion = completion",
            user_and_assistant.clone(),
        ),
        (
            r#"{"question": "a", "answer": "b"}"#,
            "question and answer: prompt = question, completion = answer",
            user_and_assistant.clone(),
        ),
        (
            r#"{"prompt": "a", "chosen": "b", "rejected": "c"}"#,
            "preferences: prompt = prompt, completion = chosen; `rejected` is not trained on",
            user_and_assistant.clone(),
        ),
        (
            r#"{"prompt": "a", "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
                "rejected": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}]}"#,
            "preferences: messages = chosen; `rejected` is not trained on",
            user_and_assistant.clone(),
        ),
        (
            r#"{"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": []}"#,
            "preferences: prompt = prompt, completion = chosen; `rejected` is not trained on",
            user_and_assistant.clone(),
        ),
    ] {
        let row = row.replace('\n', " ");
        let expected = ("jsonl".to_owned(), format!("part.jsonl: JSON lines; {words}"));
        assert_eq!(plan(r#"{"plan": true}"#, &row), expected, "{row}");
        assert_eq!(turns(&conversation("{}", &row)), said, "{row}");
    }
    assert_eq!(problem("{}", PROBLEM_ROW).tests.len(), 2);
    assert_eq!(policy("{}", POLICY_ROW).actions.len(), 1);
    let words = plan(r#"{"plan": true, "kind": "chat"}"#, "{}").1;
    assert_eq!(words, "part.jsonl: JSON lines; kind chat, by the options");
}

#[test]
fn what_share_gpt_calls_a_call_is_one() {
    let row = r#"{"conversations": [{"from": "human", "value": "Weather?"}, {"from": "function_call",
        "value": "{\"name\": \"f\", \"arguments\": {\"a\": 1}}"}, {"from": "observation", "value": "rain"},
        {"from": "gpt", "value": "Rain."}], "system": "Be brief.", "tools": "[{\"name\": \"f\"}]"}"#
        .replace('\n', " ");
    let chat = conversation("{}", &row);
    let roles: Vec<&Role> = chat.messages.iter().map(|message| &message.role).collect();
    assert_eq!(roles, [&Role::System, &Role::User, &Role::Assistant, &Role::Tool, &Role::Assistant]);
    assert_eq!((&chat.messages[2].content[..], &chat.messages[2].tool_calls[0].arguments[..]), ("", r#"{"a":1}"#));
    assert_eq!(chat.tools.len(), 1);
}

#[test]
fn an_option_goes_before_what_a_layout_says() {
    let row = r#"{"instruction": "a", "output": "b", "better": "c", "level": "hard"}"#;
    let chat = conversation(r#"{"difficulty": "level"}"#, row);
    assert_eq!((turns(&chat)[1].1, chat.difficulty.as_deref()), ("b", Some("hard")));
    let chat = conversation(r#"{"prompt": "instruction", "completion": "better"}"#, row);
    assert_eq!(turns(&chat)[1].1, "c");
}

#[test]
fn a_layout_that_nobody_knows_is_refused_with_its_fields() {
    let refused = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, row)| SourceFile::from_bytes(name, row.as_bytes().to_vec())).collect();
        match read_to_end::<Jsonl>(files, "{}", 4) {
            Err(LoadError::Options(message)) => message,
            other => panic!("{other:?}"),
        }
    };
    let message = refused(&[("a.jsonl", r#"{"text": "x", "source": "y"}"#)]);
    assert!(
        message.contains("the rows of a.jsonl have the fields `text`, `source`") && message.contains("\nhint: "),
        "{message}"
    );
    let message = refused(&[("a.jsonl", COMPLETION_ROW), ("b.jsonl", CHAT_ROW)]);
    assert!(message.contains("a.jsonl and b.jsonl have different layouts"), "{message}");
    let apps = r#"{"problem_id": 1, "question": "q", "solutions": "[]", "input_output": "{}"}"#;
    assert!(refused(&[("a.jsonl", apps)]).ends_with("hint: set `data.source: apps`"));
    assert_eq!(plan(r#"{"plan": true}"#, apps).0, "apps");
}

#[test]
fn damage_costs_rows_and_never_more() {
    for (options, row) in [(CHAT, CHAT_ROW), (COMPLETION, COMPLETION_ROW), (PROBLEM, PROBLEM_ROW), (POLICY, POLICY_ROW)]
    {
        for bytes in damaged(format!("{row}\n{row}").as_bytes(), 1000) {
            let rows = read_to_end::<Jsonl>(vec![SourceFile::from_bytes("a.jsonl", bytes)], options, 1);
            assert!(rows.expect("plain lines have nothing to damage but rows").len() <= 3);
        }
        for bytes in damaged(options.as_bytes(), 1000) {
            // Whatever becomes of the options, it is an answer.
            let _ = read(&String::from_utf8_lossy(&bytes), row);
        }
    }
}

#[test]
fn a_line_of_100_mb_costs_that_row_only_and_an_empty_file_has_none() {
    let long = COMPLETION_ROW.replace("1 + 1", &"a".repeat(100_000_000));
    let rows = read(COMPLETION, &[COMPLETION_ROW, &long, COMPLETION_ROW].join("\n")).expect("the file is whole");
    assert!(matches!(&rows[1], LoadedRow::Skipped(skipped) if skipped.reason == "line-too-long"));
    assert!(matches!((&rows[0], &rows[2]), (LoadedRow::Conversation(_), LoadedRow::Conversation(_))));
    for options in [CHAT, COMPLETION, PROBLEM, POLICY] {
        assert_eq!(read(options, ""), Ok(vec![]));
    }
}

#[test]
fn asserts_are_tests() {
    let mbpp = r#"{"task_id": 2, "text": "Double it.", "code": "def double(n):\n    return 2 * n", "test_setup_code": "import math",
        "test_imports": ["import re"], "test_list": ["assert double(2) == 4", "assert double(0) == 0"], "challenge_test_list": []}"#;
    let options = r#"{"kind": "problem", "id": "task_id", "statement": "text", "solution": "code"}"#;
    let row = problem(options, &mbpp.replace('\n', " "));
    assert_eq!(row.entry_point.as_deref(), Some("run_assert_test"));
    assert_eq!(row.tests.iter().map(|test| test.input.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    let code = row.test_code.expect("asserts are code");
    for part in ["assert double(2) == 4", "import math", "import re"] {
        assert!(code.contains(part), "{code}");
    }
    assert_eq!(row.text.statement, "Double it.\n\nIt must pass this test:\n```python\nassert double(2) == 4\n```\n");

    let human = r#"{"task_id": "HumanEval/0", "prompt": "def double(n):\n    \"\"\"Doubles.\"\"\"\n", "entry_point": "double",
        "canonical_solution": "    return 2 * n\n", "test": "def check(candidate):\n    assert candidate(2) == 4\n"}"#;
    let human = human.replace("\n        ", " ");
    let options = r#"{"kind": "problem", "id": "task_id", "statement": "prompt", "solution": "canonical_solution"}"#;
    let row = problem(options, &human);
    assert_eq!((row.tests.len(), row.solutions.len()), (1, 1));
    assert_eq!(row.solutions[0].code, "def double(n):\n    \"\"\"Doubles.\"\"\"\n    return 2 * n\n");
    assert!(row.test_code.is_some_and(|code| code.contains("check(double)")));

    let (reason, detail) = skip(options, &human.replace("\"entry_point\": \"double\",", ""));
    assert_eq!(reason, "missing-field");
    assert!(detail.contains("entry_point"), "{detail}");
    let other = options.replace('{', "{\"language\": \"javascript\", ");
    assert_eq!(skip(&other, &human).0, "asserts-of-other-language");
    let checked =
        human.replace("\"entry_point\": \"double\",", "\"entry_point\": \"double\", \"checker\": \"tokens\",");
    assert_eq!(skip(options, &checked).0, "checker-of-function");
}

#[test]
fn what_only_looks_like_asserts_is_none() {
    let row = problem(PROBLEM, r#"{"problem": "Add.", "tests": [["1", "2"]], "test": "assert f(1) == 2"}"#);
    assert_eq!((row.tests.len(), row.test_code), (1, None));
    let row = problem(PROBLEM, r#"{"problem": "Add.", "test": 3, "test_list": "x"}"#);
    assert_eq!((row.tests.len(), row.test_code), (0, None));
}
