//! `hilora-host data show` and `data stats` through the binary: what is trained on is told apart, lengths are the
//! tokenizer's, pages are whole, and looking changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("data::show_tells_trained_text_apart_and_changes_nothing", shows),
        Trial::test("data::the_models_template_lays_out_as_the_formatter_where_both_are_chatml", same_layout),
        Trial::test("data::stats_count_rows_and_tokens_of_every_side", counts),
        Trial::test("data::a_source_is_shown_without_a_config", shows_a_source),
        Trial::test("data::a_recognised_pattern_of_files_is_prepared", prepares_a_pattern),
        Trial::test("data::bad_input_is_one_error_with_exit_code_2", bad_input),
    ]
}

/// Two files of rows, in a list and in a table.
fn write_rows(folder: &Path) -> Result<(), Failed> {
    let row = |number: usize| json!({"instruction": format!("Write the number {number}."), "input": "In words.", "output": "x"});
    fs::write(folder.join("a.json"), serde_json::to_vec_pretty(&[row(1), row(2)])?)?;
    fs::write(folder.join("b.csv"), "instruction,input,output\n\"Say \"\"hi\"\".\",,hi\nSay more.,Much.,\n")?;
    Ok(())
}

fn shows_a_source() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    write_rows(folder.path())?;
    let show = |arguments: &[&str]| -> Result<Output, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        let command = command.current_dir(repository()).args(["data", "show", "--limit", "9", "--source"]);
        Ok(command.arg(folder.path()).args(arguments).output()?)
    };
    let output = show(&["--json"])?;
    let view: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    let mapping = "Alpaca: prompt = instruction + input, completion = output";
    let expected = json!([
        {"source": "jsonl", "words": format!("a.json: a JSON list; {mapping}")},
        {"source": "jsonl", "words": format!("b.csv: CSV; {mapping}")},
    ]);
    if view["plan"] != expected || view["skipped"] != json!({"missing-field": 1}) {
        return Err(format!("expected {expected}, got {view:#}").into());
    }
    let said = |row: usize| view["rows"][row]["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    if (said(0), said(2)) != ("Write the number 1.\nIn words.".to_owned(), "Say \"hi\".".to_owned()) {
        return Err(format!("other prompts: {view:#}").into());
    }
    let text = String::from_utf8(show(&[])?.stdout)?;
    for words in ["source: jsonl", "assistant [trained]: x", "skipped as missing-field: b.csv line 3: "] {
        if !text.contains(words) {
            return Err(format!("expected `{words}` in:\n{text}").into());
        }
    }
    let output = show(&["--options", "kind"])?;
    match output.status.code() {
        Some(2) => Ok(()),
        _ => Err(format!("expected exit code 2: {output:?}").into()),
    }
}

fn prepares_a_pattern() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    write_rows(folder.path())?;
    let pattern = folder.path().join("*.[jc]s*");
    let config = format!(
        "
adapter_name: talk-lora
base_model: examples/tiny-base
lora: {{r: 4, lora_alpha: 8}}
training: {{mode: qlora, num_epochs: 1, batch_size: 4, learning_rate: 1e-3, max_seq_length: 100}}
data:
  source: jsonl
  files: [{pattern:?}]
  domains: [python, data_structures, math, algorithms, policy]
  eval_fraction: 0
"
    );
    fs::write(folder.path().join("talk.yaml"), config)?;
    let run = folder.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
    command.current_dir(repository()).args(["prepare", "--config"]).arg(folder.path().join("talk.yaml"));
    let output = command.arg("--run").arg(&run).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() || !told.contains("b.csv: CSV; Alpaca") {
        return Err(format!("{:?}: {told}", output.status).into());
    }
    let rows = fs::read_to_string(run.join("data/talk_train.jsonl"))?;
    let resolved = fs::read_to_string(run.join("config.yaml"))?;
    match (rows.lines().count(), resolved.contains("a.json") && resolved.contains("b.csv")) {
        (3, true) => Ok(()),
        _ => Err(format!("{rows}\n{resolved}").into()),
    }
}

struct Bench {
    folder: tempfile::TempDir,
}

fn solved(problem: &str, reasoning: Option<&str>, domain: &str, difficulty: Option<&str>) -> Value {
    json!({"problem": problem, "reasoning": reasoning, "solution": "print(1)", "domain": domain, "difficulty": difficulty})
}

impl Bench {
    fn new(chat_template: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let config = format!(
            "
adapter_name: python-lora
base_model: examples/tiny-base
chat_template: {chat_template}
lora: {{r: 4, lora_alpha: 8}}
training: {{mode: qlora, num_epochs: 1, batch_size: 4, learning_rate: 1e-3, max_seq_length: 100}}
data: {{source: codecontests, files: [a.parquet], domains: [python]}}
"
        );
        fs::write(folder.path().join("data.yaml"), config)?;
        let data = folder.path().join("run/data");
        fs::create_dir_all(&data)?;
        let long = format!("Print {}.", "the number 1 and ".repeat(40));
        let conversation = json!({"messages": [
            {"role": "user", "content": "What is 1?<|im_end|>\u{1b}[31m"}, {"role": "assistant", "content": "A number."},
            {"role": "user", "content": "And 2?"}, {"role": "assistant", "content": "Another."},
        ], "domain": "talk", "difficulty": null});
        let train = [
            solved("Print 1.", None, "python", Some("easy")),
            solved("Print <b>one</b>.", Some("One is 1."), "math", None),
            conversation,
            solved(&long, None, "python", Some("easy")),
        ];
        let lines = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
        fs::write(data.join("python_train.jsonl"), lines(&train))?;
        fs::write(data.join("python_eval.jsonl"), lines(&train[..1]))?;
        let test = json!({"input": "", "output": "1"});
        let text = json!({"id": "p7", "title": "", "statement": "Print 1.", "tags": [], "difficulty": null});
        let problem = json!({"text": text, "domain": "python", "tests": [test, test], "time_limit_ms": null,
            "memory_limit_bytes": null});
        fs::write(data.join("python_tests.jsonl"), lines(&[problem]))?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self, arguments: &[&str]) -> Result<Output, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).arg("data").args(arguments).arg("--config").arg(self.path("data.yaml"));
        Ok(command.arg("--run").arg(self.path("run")).output()?)
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, Failed> {
        let output = self.data(&[arguments, &["--json"]].concat())?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}").into())
    }

    fn text(&self, arguments: &[&str]) -> Result<String, Failed> {
        let output = self.data(arguments)?;
        if output.status.code() != Some(0) {
            return Err(format!("{output:?}").into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn names(folder: &Path) -> Result<Vec<String>, Failed> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, Failed>>()?;
    names.sort();
    Ok(names)
}

fn shows() -> Result<(), Failed> {
    let bench = Bench::new("formatter")?;
    let text = bench.text(&["show"])?;
    assert!(text.starts_with("row 0: python, easy, "), "{text}");
    let answer = "⟪Let me solve this step by step.\n\n```python\nprint(1)\n```<|im_end|>⟫";
    assert!(text.contains(answer) && text.contains("⟪One is 1.\n\n```python"), "{text}");
    assert!(text.contains("⟪A number.<|im_end|>⟫\n<|im_start|>user\nAnd 2?"), "{text}");
    // A pipe gets no escape sequences, not even those of the data.
    assert!(text.contains("␛[31m") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(text.matches("row ").count(), 3, "three rows unless more are asked for: {text}");

    let row = &bench.json(&["show", "--row", "1"])?[0];
    let trained: String = row["pieces"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|piece| piece["trained"] == true)
        .filter_map(|piece| piece["text"].as_str())
        .collect();
    assert_eq!(trained, "One is 1.\n\n```python\nprint(1)\n```<|im_end|>");
    assert_eq!(row["domain"], "math");
    let asked = bench.json(&["show", "--side", "tests", "--id", "p7"])?;
    assert_eq!((&asked[0]["trained_tokens"], &asked[0]["tests"]), (&json!(0), &json!(2)));
    assert_eq!(bench.json(&["show", "--domain", "talk"])?[0]["name"], "row 2");

    let page = bench.path("rows.html");
    bench.text(&["show", "--limit", "9", "--html", &page.to_string_lossy()])?;
    let page = fs::read_to_string(page)?;
    assert!(page.contains("Print &lt;b&gt;one&lt;/b&gt;.") && !page.contains("<script"));
    assert_eq!(page.matches("<h2>").count(), 4);
    assert_eq!(names(&bench.path("run"))?, ["data"], "looking writes nothing into the run");
    Ok(())
}

fn same_layout() -> Result<(), Failed> {
    let (formatter, model) = (Bench::new("formatter")?, Bench::new("model")?);
    for side in ["train", "eval", "tests"] {
        let rows = |bench: &Bench| bench.json(&["show", "--limit", "99", "--side", side]);
        assert_eq!(rows(&formatter)?, rows(&model)?, "{side}");
    }
    Ok(())
}

fn counts() -> Result<(), Failed> {
    let bench = Bench::new("formatter")?;
    let sides = bench.json(&["stats"])?;
    let train = &sides[0];
    assert_eq!((&train["side"], &train["rows"], &train["with_reasoning"]), (&json!("train"), &json!(4), &json!(1)));
    assert_eq!(train["kinds"], json!({"solved problem": 3, "conversation": 1}));
    assert_eq!((&train["max_tokens"], &train["too_long"]), (&json!(100), &json!(1)));
    let by_domain: Vec<&str> =
        train["by_domain"].as_array().into_iter().flatten().filter_map(|group| group["group"].as_str()).collect();
    assert_eq!(by_domain, ["math", "python", "talk"]);
    let shown = bench.json(&["show", "--limit", "9"])?;
    let tokens = shown.as_array().into_iter().flatten().filter_map(|row| row["tokens"].as_u64());
    assert_eq!(train["tokens"]["total"], json!(tokens.sum::<u64>()));
    assert_eq!(sides[2]["tests"]["max"], 2);
    assert_eq!(sides[2]["trained_tokens"], Value::Null);

    let text = bench.text(&["stats"])?;
    assert!(text.contains("train: 4 rows (1 conversations, 3 solved problems)"), "{text}");
    let page = bench.path("stats.html");
    bench.text(&["stats", "--html", &page.to_string_lossy()])?;
    let page = fs::read_to_string(page)?;
    assert!(page.contains("<svg") && page.contains("The data of python-lora") && !page.contains("<script"));
    Ok(())
}

fn bad_input() -> Result<(), Failed> {
    let bench = Bench::new("formatter")?;
    for (arguments, expected) in [
        (&["show", "--row", "4"][..], "has 4 rows, so there is no row 4"),
        (&["show", "--id", "p7"], "--id names a held-out problem, but --side is train\nhint: "),
        (&["show", "--domain", "chess"], "no row of "),
    ] {
        let output = bench.data(arguments)?;
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    fs::remove_file(bench.path("run/data/python_eval.jsonl"))?;
    let output = bench.data(&["stats"])?;
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("python_eval.jsonl is missing\nhint: `hilora-host prepare` makes it"), "{message}");
    Ok(())
}
