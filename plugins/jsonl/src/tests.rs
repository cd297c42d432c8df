//! The loader over rows and mappings that these tests write themselves.

use hilora_plugin_sdk::loader_contract::{damaged, read_to_end};
use hilora_plugin_sdk::types::{Conversation, PolicyExample, Problem, Role, SkippedRow};

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
    conversation.messages.iter().map(|message| (message.role, message.content.as_str())).collect()
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
            assert_eq!(detail, "part.jsonl line 3: `prompt`: expected a string, got a list");
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
            "`messages[0].role`: expected one of assistant, system, user, got `gpt`",
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
        (COMPLETION, r#"{"prompt": "a"}"#, "missing-field", "`completion`: expected a string, got nothing"),
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
            "`actions`: expected a list of actions, got nothing",
        ),
        (
            POLICY,
            r#"{"instruction": "a", "policy": "b", "actions": [{"name": "c", "arguments": [1]}]}"#,
            "wrong-type",
            "`actions[0].arguments`: expected an object, got a list",
        ),
        (POLICY, r#"{"instruction": "a", "actions": []}"#, "missing-field", "`policy`: expected a string, got nothing"),
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
        ("{}", "`kind`: expected one of chat, completion, problem, policy, got nothing"),
        (r#"{"kind": "text"}"#, "`kind`: expected one of chat, completion, problem, policy, got `text`"),
        (
            r#"{"kind": "completion", "promt": "x", "roles": {}}"#,
            "unknown key `promt`, `roles`; known for this kind: completion, difficulty, id, kind, prompt, system, tags",
        ),
        (r#"{"kind": "chat", "messages": 3}"#, "`messages`: expected a string, got a number"),
        (r#"{"kind": "chat", "messages": ""}"#, "`messages`: expected a field's name, got nothing"),
        (
            r#"{"kind": "chat", "roles": {"human": "person"}}"#,
            "`roles.human`: expected `system`, `user` or `assistant`, got `person`",
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
