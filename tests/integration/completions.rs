//! What other models answered, through the binary and the real runner: programs found in completions, and completions judged
//! in the layouts of other projects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{real_data_trial, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("completions::programs_are_found_and_a_wrong_line_is_told_before_anything_is_written", extracted),
        Trial::test("completions::each_problem_has_its_own_number_of_answers", uneven),
        Trial::test("completions::humaneval_and_mbpp_as_they_are_published", asserts),
        Trial::test("completions::answers_in_words_of_gsm8k_and_math", words),
        Trial::test("completions::bad_input_is_one_error", bad_input),
        real_data_trial("completions::livecodebench_real", "livecodebench/full-3.jsonl", livecodebench),
    ]
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Result<Self, Failed> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, rows: &[Value]) -> Result<PathBuf, Failed> {
        let path = self.path(name);
        fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>())?;
        Ok(path)
    }

    fn call(&self, arguments: &[&str], files: &[(&str, &Path)]) -> Result<Output, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).args(arguments).env("HF_HUB_OFFLINE", "1");
        for (name, path) in files {
            command.arg(name).arg(path);
        }
        Ok(command.output()?)
    }

    /// The evaluation that a call prints.
    fn evaluate(&self, arguments: &[&str], files: &[(&str, &Path)]) -> Result<Value, Failed> {
        let output = self.call(&[&["evaluate", "--json"], arguments].concat(), files)?;
        if output.status.code() != Some(0) {
            return Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn data(name: &str) -> PathBuf {
    repository().join("tests/data/benchmarks").join(name)
}

fn pass_at(record: &Value, k: &str) -> f64 {
    record["evaluation"]["pass_at"][k]["value"].as_f64().unwrap_or(f64::NAN)
}

fn verdicts(record: &Value) -> &Value {
    &record["evaluation"]["verdicts"]
}

fn extracted() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let fenced = "Add.\n\n```python\nprint(1)\n```\n";
    let rows = [
        json!({"id": "a", "completion": fenced}),
        json!({"id": 7, "completion": "I do not know.", "seed": 3}),
        json!({"id": "a", "completion": fenced}),
    ];
    let (input, output) = (bench.write("in.jsonl", &rows)?, bench.path("out.jsonl"));
    let told = bench.call(&["extract", "--json"], &[("--input", &input), ("--output", &output)])?;
    assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
    let summary: Value = serde_json::from_slice(&told.stdout)?;
    assert_eq!(summary, json!({"completions": 3, "solutions": 2, "without_solution": 1, "not_extracted": 0}));
    let written = fs::read_to_string(&output)?;
    let found = r#"{"id":"a","solution":"print(1)"}"#;
    assert_eq!(written.lines().collect::<Vec<_>>(), [found, r#"{"id":7,"solution":null}"#, found]);

    let wrong = bench.write("wrong.jsonl", &[rows[0].clone(), json!({"id": "b"})])?;
    let told = bench.call(&["extract"], &[("--input", &wrong), ("--output", &output)])?;
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(2));
    assert!(said.contains("wrong.jsonl, line 2") && said.contains("completion"), "{said}");
    assert_eq!(fs::read_to_string(&output)?, written, "the old file stays");
    Ok(())
}

fn uneven() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let problem = |id: &str| {
        let text =
            json!({"id": id, "title": "", "statement": format!("Double, {id}."), "tags": [], "difficulty": null});
        json!({"text": text, "domain": "python", "tests": [{"input": "3", "output": "6"}, {"input": "0", "output": "0"}],
            "time_limit_ms": null, "memory_limit_bytes": null})
    };
    let problems = bench.write("problems.jsonl", &["p", "q", "r"].map(problem))?;
    let code = |id: &str, code: &str| json!({"id": id, "code": code});
    let (right, wrong) = ("print(2 * int(input()))", "print(6)");
    let rows = [
        code("p", right),
        code("p", wrong),
        code("p", "import numpy"),
        json!({"id": "p", "completion": format!("```python\n{right}  # again\n```")}),
        code("q", wrong),
        code("q", right),
        code("q", right),
        code("s", right),
    ];
    let completions = bench.write("completions.jsonl", &rows)?;
    let output = bench.path("evaluation.json");
    let files: [(&str, &Path); 3] = [("--completions", &completions), ("--problems", &problems), ("--output", &output)];
    let record = bench.evaluate(&["--k", "1,2"], &files)?;
    // p has 2 of 4 right and q 2 of 3: 1 - C(2,2)/C(4,2) = 5/6, and 1 - 0.
    assert!((pass_at(&record, "1") - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-15);
    assert!((pass_at(&record, "2") - (5.0 / 6.0 + 1.0) / 2.0).abs() < 1e-15);
    assert_eq!(verdicts(&record), &json!({"accepted": 4, "unsupported": 1, "wrong-answer": 2}));
    let told = &record["completions"];
    assert_eq!((&told["of_unknown_problems"], &told["problems_without_answers"]), (&json!({"s": 1}), &json!(["r"])));
    assert_eq!((&told["repeated"], &told["answers_per_problem"]), (&json!(1), &json!([3, 4])));
    assert_eq!(told["unsupported"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&output)?)?, record);
    assert!(!bench.path("evaluation.json.judged").exists(), "what was kept meanwhile is gone");

    let told = bench.call(&["evaluate", "--k", "4"], &files)?;
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(2));
    assert!(said.contains("pass@4: expected 4 answers to every problem, got 3 to `q`"), "{said}");
    Ok(())
}

fn asserts() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let rows = [
        json!({"task_id": "HumanEval/0", "completion": "    return len([n for n in numbers if n > bound])\n"}),
        json!({"task_id": "HumanEval/0", "completion": "    return len(numbers)\n"}),
        json!({"task_id": "HumanEval/1", "solution": "def shout(text):\n    return text.upper() + '!'"}),
        json!({"task_id": "HumanEval/1", "solution": "def shout(text):\n    return text.upper()"}),
    ];
    let (completions, problems) = (bench.write("samples.jsonl", &rows)?, data("humaneval.jsonl"));
    let files: [(&str, &Path); 2] = [("--completions", &completions), ("--problems", &problems)];
    let record = bench.evaluate(&["--benchmark", "humaneval"], &files)?;
    assert_eq!(verdicts(&record), &json!({"accepted": 2, "wrong-answer": 2}));
    assert_eq!((pass_at(&record, "1"), &record["completions"]["layout"]), (0.5, &json!("EvalPlus")));

    // As lm-evaluation-harness logs them, under the document's own name.
    let sample = |doc_id: u32, task: u32, code: &str| json!({"doc_id": doc_id, "doc": {"task_id": task}, "resps": [["…"]], "filtered_resps": [code], "filter": "code"});
    let rows = [
        sample(0, 602, "def root(n):\n    return int(n ** .5)"),
        sample(1, 601, "def add_digits(n):\n    return n % 9"),
    ];
    let (completions, problems) = (bench.write("logged.jsonl", &rows)?, data("mbpp.jsonl"));
    let files: [(&str, &Path); 2] = [("--completions", &completions), ("--problems", &problems)];
    let record = bench.evaluate(&["--benchmark", "mbpp"], &files)?;
    assert_eq!(verdicts(&record), &json!({"accepted": 1, "wrong-answer": 1}));

    // A script in the manner of EvalPlus', which compares by numpy, and samples that nobody has filtered.
    let script = "import numpy as np\n\ndef near(out, exp):\n    if isinstance(out, np.ndarray):\n        raise TypeError\n    \
                  assert np.allclose(out, exp, rtol=1e-07, atol=1e-06), 'not near'\n\ndef check(candidate):\n    \
                  for n, exp in [(3, 1.0), (1, 0.3333333)]:\n        near(candidate(n), exp)\n";
    let prompt = "def third(n):\n    \"\"\"A third of n.\"\"\"\n";
    let row = json!({"task_id": "HumanEval/3", "prompt": prompt, "entry_point": "third", "test": script,
        "canonical_solution": "    return n / 3\n"});
    let problems = bench.write("plus.jsonl", &[row])?;
    let said = |body: &str| format!("So:\n\n```python\ndef third(n):\n    {body}\n```\n");
    let said = [said("return n / 3"), said("return n // 3"), said("raise SystemExit")];
    let row = json!({"doc_id": 0, "doc": {"task_id": "HumanEval/3"}, "resps": [said], "filtered_resps": said, "filter": "none"});
    let completions = bench.write("unfiltered.jsonl", &[row])?;
    let files: [(&str, &Path); 2] = [("--completions", &completions), ("--problems", &problems)];
    let record = bench.evaluate(&["--benchmark", "humaneval-plus"], &files)?;
    assert_eq!(verdicts(&record), &json!({"accepted": 1, "wrong-answer": 2}));
    let told = |sample: usize| record["evaluation"]["outcomes"][0]["samples"][sample]["failed_test"].clone();
    assert_eq!(told(1), json!({"test": 1, "detail": "an assert failed: not near"}));
    assert_eq!(told(2), json!({"test": 1, "detail": "the test did not run to its end"}));
    Ok(())
}

fn words() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let question = "Ben has 9 apples and eats a third of them. How many are left?";
    let sample = |doc_id: u32, filter: &str, response: &str| {
        let doc = if doc_id == 1 { json!({"question": question}) } else { json!({"id": "0"}) };
        json!({"doc_id": doc_id, "doc": doc, "resps": [[response]], "filtered_resps": ["x"], "filter": filter})
    };
    let rows = [
        sample(0, "strict-match", "6 * 200 is $\\boxed{1200.0}$ screws"),
        sample(0, "flexible-extract", "6 * 200 is $\\boxed{1200.0}$ screws"),
        sample(1, "strict-match", "9 - 3 = 6, and 6 + 1 = 7.\n#### 7"),
    ];
    let (completions, problems) = (bench.write("gsm8k.jsonl", &rows)?, data("gsm8k.jsonl"));
    let files: [(&str, &Path); 2] = [("--completions", &completions), ("--problems", &problems)];
    let record = bench.evaluate(&["--benchmark", "gsm8k"], &files)?;
    assert_eq!(verdicts(&record), &json!({"accepted": 1, "wrong-answer": 1}));
    assert_eq!(record["completions"]["of_other_filters"], json!(1));

    let rows = [
        json!({"id": "prealgebra/0", "completion": "It is \\boxed{0.1}."}),
        json!({"id": "algebra/0", "completion": "So $x = \\boxed{\\pm\\sqrt{8}}$."}),
        json!({"id": "algebra/0", "completion": "So $x = \\boxed{\\sqrt{8}}$."}),
        json!({"id": "algebra/0", "completion": "I give up"}),
    ];
    let (completions, problems) = (bench.write("math.jsonl", &rows)?, data("math.jsonl"));
    let files: [(&str, &Path); 2] = [("--completions", &completions), ("--problems", &problems)];
    let record = bench.evaluate(&["--benchmark", "math"], &files)?;
    assert_eq!(verdicts(&record), &json!({"accepted": 2, "wrong-answer": 2}));
    assert_eq!(record["evaluation"]["errors"], json!({"no-answer": 1}));
    Ok(())
}

fn bad_input() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let completions = bench.write("completions.jsonl", &[json!({"id": "x", "code": "print(1)"})])?;
    let odd = bench.write("odd.jsonl", &[json!({"name": "x", "answer": "print(1)"})])?;
    let problems = data("gsm8k.jsonl");
    let output = bench.path("evaluation.json");
    for (arguments, files, expected) in [
        (&["evaluate"][..], vec![("--completions", &completions)], "nothing says what the completions answer"),
        (
            &["evaluate", "--config", "configs/quickstart.yaml"],
            vec![("--problems", &problems)],
            "--output: expected `--completions` beside it",
        ),
        (
            &["evaluate", "--benchmark", "gsm8k"],
            vec![("--completions", &odd), ("--problems", &problems)],
            "odd.jsonl, line 1: expected `id` with `completion` or `code`",
        ),
        (
            &["evaluate", "--benchmark", "gsm8k"],
            vec![("--completions", &completions), ("--problems", &problems)],
            "the first is of `x`, and the first problem is `0`",
        ),
        (
            &["evaluate", "--benchmark", "humaneval"],
            vec![("--completions", &completions), ("--problems", &problems)],
            "the files hold no problem of humaneval",
        ),
        (
            &["evaluate", "--benchmark", "gsm8k", "--from", "2024-01-01"],
            vec![("--completions", &completions), ("--problems", &problems)],
            "no problem of gsm8k has one",
        ),
        (
            &["evaluate", "--benchmark", "gsm9k"],
            vec![("--completions", &completions), ("--problems", &problems)],
            "expected one of livecodebench, humaneval",
        ),
    ] {
        let files: Vec<(&str, &Path)> =
            files.into_iter().chain([("--output", &output)]).map(|(name, path)| (name, path.as_path())).collect();
        let told = bench.call(arguments, &files)?;
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(!output.exists());
    }
    Ok(())
}

fn livecodebench(problems: PathBuf) -> Result<(), Failed> {
    let bench = Bench::new()?;
    let sort = "for _ in range(int(input())):\n    s = input()\n    print('YES' if sum(a != b for a, b in zip(s, 'abc')) < 3 else 'NO')";
    let count =
        "class Solution:\n    def countSeniors(self, details: list[str]) -> int:\n        return sum(int(d[11:13]) ";
    let tie = "n = int(input())\ns = input()\nt = s.count('T')\nprint('T' if 2 * t > n or (2 * t == n and s[-1] == 'A') else 'A')";
    let rows = json!([
        {"question_id": "1873_A", "code_list": [sort, sort.replace("< 3", "< 2")]},
        {"question_id": "2727", "code_list": [format!("{count}> 60 for d in details)"), format!("{count}< 60 for d in details)")]},
        {"question_id": "abc301_a", "code_list": [tie, tie.replace(" or (2 * t == n and s[-1] == 'A')", ""), ""]},
        {"question_id": "not_here", "code_list": ["pass"]},
    ]);
    let completions = bench.path("custom.json");
    fs::write(&completions, serde_json::to_string_pretty(&rows)?)?;
    let files: [(&str, &Path); 2] = [("--completions", &completions), ("--problems", &problems)];
    let all = bench.evaluate(&["--benchmark", "livecodebench"], &files)?;
    let right: Vec<Vec<bool>> = all["evaluation"]["outcomes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|outcome| {
            outcome["samples"].as_array().into_iter().flatten().map(|s| s["verdict"] == "accepted").collect()
        })
        .collect();
    assert_eq!(right, [vec![true, false], vec![true, false], vec![true, false, false]]);
    assert_eq!(verdicts(&all), &json!({"accepted": 3, "no-code": 1, "wrong-answer": 3}));
    assert_eq!(all["completions"]["of_unknown_problems"], json!({"not_here": 1}));
    let window = ["--benchmark", "livecodebench", "--from", "2023-08-01", "--to", "2023-08-31"];
    let some = bench.evaluate(&window, &files)?;
    assert_eq!(
        (&some["evaluation"]["problems"], &some["skipped_problems"]),
        (&json!(1), &json!({"outside-the-dates": 2}))
    );
    Ok(())
}
