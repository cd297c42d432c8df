//! Plugins that are not what they should be: each is one clear error that names the plugin and the call, and the host
//! goes on.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use hilora_contract::dataset::{Domain, ProblemText};
use hilora_contract::plugin::{FormatterExample, FormatterLesson, LoadedRow, LoaderOptions, PluginError, RunLimits};
use hilora_wasm::{HostOptions, PluginHost, pack};
use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

use crate::repository;
use crate::run::files_of_run;
use crate::sandbox::{built, host};

const CLASSIFIER: &str = "plugins/keyword-classifier.wasm";

/// A host whose calls end soon.
static STRICT_HOST: LazyLock<Result<PluginHost, String>> = LazyLock::new(|| {
    let cache_dir = repository().join("target/compiled-plugins");
    let call_limits = RunLimits {
        fuel: u64::MAX,
        cpu_time_ms: 300,
        wall_time_ms: 60_000,
        memory_bytes_max: 64 << 20,
        output_bytes_max: 4 << 10,
        reproducible: false,
    };
    PluginHost::new(&HostOptions { cache_dir, call_limits, ..HostOptions::default() })
        .map_err(|error| error.to_string())
});

fn strict_host() -> Result<&'static PluginHost, Failed> {
    STRICT_HOST.as_ref().map_err(|error| error.as_str().into())
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("plugins::shipped_plugins_say_who_they_are", shipped_plugins_say_who_they_are),
        Trial::test("plugins::files_that_are_no_plugins_are_refused", files_that_are_no_plugins_are_refused),
        Trial::test("plugins::a_component_of_another_world_is_refused", a_component_of_another_world_is_refused),
        Trial::test("plugins::a_capability_needs_the_manifests_ask", a_capability_needs_the_manifests_ask),
        Trial::test("plugins::compiled_code_is_kept_and_mended", compiled_code_is_kept_and_mended),
        Trial::test("plugins::hostile_classifier", hostile_classifier),
        Trial::test("plugins::hostile_loader", hostile_loader),
        Trial::test("plugins::hostile_formatter", hostile_formatter),
        Trial::test("plugins::a_batch_is_as_large_as_memory_allows", a_batch_is_as_large_as_memory_allows),
        Trial::test("plugins::no_command_reaches_a_terminal", no_command_reaches_a_terminal),
        Trial::test("plugins::what_a_plugin_prints_is_shown_on_demand", what_a_plugin_prints_is_shown_on_demand),
        Trial::test("plugins::what_takes_long_to_compile_is_refused", what_takes_long_to_compile_is_refused),
        Trial::test("plugins::a_refused_preparation_rewrites_nothing", a_refused_preparation_rewrites_nothing),
    ]
}

fn problem(id: &str, statement: &str) -> ProblemText {
    ProblemText {
        id: id.to_owned(),
        title: String::new(),
        statement: statement.to_owned(),
        tags: Vec::new(),
        difficulty: None,
    }
}

/// The error's text must hold each of these parts.
fn expect_error<T>(answer: Result<T, PluginError>, parts: &[&str]) -> Result<(), Failed> {
    let error = match answer {
        Ok(_) => return Err(format!("expected an error with {parts:?}, got an answer").into()),
        Err(error) => error.to_string(),
    };
    match parts.iter().find(|part| !error.contains(**part)) {
        Some(part) => Err(format!("expected `{part}` in: {error}").into()),
        None => Ok(()),
    }
}

/// A shipped component with some bytes replaced by others of the same length.
pub(crate) fn altered(folder: &TempDir, component_path: &str, from: &str, to: &str) -> Result<PathBuf, Failed> {
    assert_eq!(from.len(), to.len(), "a component's sections keep their sizes");
    let mut bytes = fs::read(built(component_path)?)?;
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|start| bytes[*start..].starts_with(from.as_bytes())).collect();
    if places.is_empty() {
        return Err(format!("{component_path} does not hold `{from}`").into());
    }
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = folder.path().join("altered.wasm");
    fs::write(&path, bytes)?;
    Ok(path)
}

fn shipped_plugins_say_who_they_are() -> Result<(), Failed> {
    for (name, kind) in [
        ("codecontests", "dataset-loader"),
        ("keyword-classifier", "domain-classifier"),
        ("chatml-formatter", "prompt-formatter"),
        ("python-runner", "solution-runner"),
    ] {
        let inspection = host()?.inspect(&built(&format!("plugins/{name}.wasm"))?)?;
        assert_eq!((inspection.identity.name.as_str(), inspection.identity.kind.to_string().as_str()), (name, kind));
        assert!(!inspection.identity.version.is_empty());
    }
    Ok(())
}

fn files_that_are_no_plugins_are_refused() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("plugin.wasm");
    let host = host()?;
    expect_error(host.inspect(&path), &["cannot read", "plugin.wasm"])?;

    let whole = fs::read(built(CLASSIFIER)?)?;
    let cases: [(&[u8], &str); 5] = [
        (b"", "another format"),
        (b"not a component at all", "another format"),
        (b"\0asm\x01\0\0\0", "a core WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "no export"),
        (&whole[..whole.len() / 2], "a damaged file"),
    ];
    for (bytes, got) in cases {
        fs::write(&path, bytes)?;
        expect_error(host.inspect(&path), &["is not a plugin", got])?;
    }

    for other in ["0.1.0", "0.9.0"] {
        let to = format!("hilora:plugin/classifier@{other}");
        let other = altered(&folder, CLASSIFIER, "hilora:plugin/classifier@0.2.0", &to)?;
        let named = format!("is a plugin for {}", to.replace("/classifier", ""));
        expect_error(host.inspect(&other), &[&named, "expected hilora:plugin@0.2.0, which this host speaks"])?;
    }
    let unnamed = altered(&folder, CLASSIFIER, "hilora:manifest", "hilora:manifist")?;
    expect_error(host.inspect(&unnamed), &["no usable manifest", "hilora:manifest", "found none"])?;
    let wrong = altered(&folder, CLASSIFIER, "capabilities = []", "capabilitie$ = []")?;
    expect_error(host.inspect(&wrong), &["no usable manifest"])?;
    let curious = altered(&folder, CLASSIFIER, "wasi:cli/environment@", "wasi:cli/environmint@")?;
    expect_error(host.inspect(&curious), &["imports `wasi:cli/environmint@", "keyword-classifier"])
}

fn a_component_of_another_world_is_refused() -> Result<(), Failed> {
    let path = built(CLASSIFIER)?;
    let host = host()?;
    let parts = ["keyword-classifier.wasm is a domain-classifier, expected a"];
    expect_error(host.loader(&path), &parts)?;
    expect_error(host.formatter(&path), &parts)?;
    expect_error(host.checker(&path), &parts)?;
    expect_error(host.runner(&path), &parts)
}

fn a_capability_needs_the_manifests_ask() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let silent = altered(&folder, "target/guests/hostile-loader.wasm", "[\"read-source\"]", "[             ]")?;
    expect_error(host()?.loader(&silent), &["needs the capability `read-source`", "manifest does not ask"])
}

fn compiled_code_is_kept_and_mended() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let options = HostOptions { cache_dir: folder.path().join("cache"), ..HostOptions::default() };
    let path = built(CLASSIFIER)?;
    let classify = || -> Result<Domain, Failed> {
        let classifier = PluginHost::new(&options)?.classifier(&path)?;
        Ok(classifier.classify(&[problem("a", "Use a heap.")])?.remove(0).domain)
    };
    let first = classify()?;
    let mut files: Vec<PathBuf> =
        fs::read_dir(&options.cache_dir)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let [entry, hash] = &files[..] else { return Err(format!("expected code and its hash, got {files:?}").into()) };
    assert_eq!((entry.extension(), hash.extension()), (Some("cwasm".as_ref()), Some("sha256".as_ref())));
    assert_eq!(classify()?, first);
    let mut bytes = fs::read(entry)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(entry, &bytes)?;
    assert_eq!(classify()?, first);
    assert_ne!(fs::read(entry)?, bytes, "the damaged entry still stands");
    Ok(())
}

fn hostile_classifier() -> Result<(), Failed> {
    let classifier = strict_host()?.classifier(&built("target/guests/hostile-classifier.wasm")?)?;
    let name = "domain-classifier hostile-classifier 0.0.1";
    let cases: [(&str, &[&str]); 14] = [
        ("loop", &["CPU time limit in `classify` at `b`", "300 ms"]),
        ("sleep", &["virtual clock limit in `classify` at `b`"]),
        ("allocate", &["memory limit in `classify` at `b`", "67108864 bytes"]),
        ("panic", &["trapped in `classify` at `b`", "the statement asked for it"]),
        ("exit", &["trapped in `classify` at `b`", "exit code 0"]),
        ("print", &["trapped in `classify` at `b`", "wrote more than 4096 bytes"]),
        ("refuse", &["`b`: not today"]),
        ("refuse a stranger", &["item 99 of 3: who?"]),
        ("refuse without end", &["broke its contract in `classify`", "at most 16777216 bytes"]),
        ("signal without end", &["broke its contract in `classify`", "at most 16777216 bytes"]),
        ("answer too little", &["broke its contract in `classify`", "expected 3 answers, got 2"]),
        ("unknown domain", &["broke its contract in `classify` at `b`", "`astrology`"]),
        ("negative score", &["broke its contract in `classify` at `b`", "-1"]),
        ("undefined score", &["broke its contract in `classify` at `b`", "NaN"]),
    ];
    for (statement, parts) in cases {
        let batch = [problem("a", "fine"), problem("b", statement), problem("c", "fine")];
        expect_error(classifier.classify(&batch), &[&[name], parts].concat())
            .map_err(|failed| format!("{statement}: {}", failed.message().unwrap_or_default()))?;
    }
    assert_eq!(classifier.classify(&[problem("a", "fine")])?[0].domain.0, "python");
    assert_eq!(classifier.classify(&[])?, []);
    Ok(())
}

fn hostile_loader() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rows.txt");
    let loader = strict_host()?.loader(&built("target/guests/hostile-loader.wasm")?)?;
    let none = LoaderOptions::new();
    expect_error(loader.open(&[folder.path().join("absent.txt")], &none), &["hostile-loader", "absent.txt"])?;
    expect_error(loader.open(&[folder.path().to_owned()], &none), &["hostile-loader", "expected a file"])?;

    let at_open: [(&str, &[&str]); 4] = [
        ("missing column", &["rows.txt: column `tests`: expected `list`, found no such column"]),
        ("malformed", &["rows.txt: row 3: not a row"]),
        ("read past the end", &["0 bytes past the end"]),
        ("open another file", &["Err("]),
    ];
    for (asked, parts) in at_open {
        fs::write(&path, asked)?;
        expect_error(loader.open(std::slice::from_ref(&path), &none), parts)?;
    }
    fs::write(&path, "tell the options")?;
    let options = LoaderOptions::from_iter([("kind".to_owned(), "chat".into())]);
    expect_error(loader.open(std::slice::from_ref(&path), &options), &[r#"data.options: {"kind":"chat"}"#])?;

    let at_reading: [(&str, &[&str]); 9] = [
        ("too many rows", &["`next-batch` at row 0", "expected 1 to 10 rows, got 11"]),
        ("nobody answers", &["`next-batch` at row 0", "the last is the assistant's"]),
        ("user speaks last", &["`next-batch` at row 0", "the last is the assistant's"]),
        ("wrong reason", &["`next-batch` at row 0", "`No Solution!`"]),
        ("no identifier", &["`next-batch` at row 0", "an empty one"]),
        ("long identifier", &["`next-batch` at row 0", "at most 4096 bytes, got 5000"]),
        ("panic at the second batch", &["trapped in `next-batch` at row 2", "the file asked for it"]),
        // Neither a limit that it went over before, nor the first row of the batch.
        ("panic long after a refusal", &["trapped in `next-batch` at row 1", "the real reason"]),
        ("panic at row 7", &["trapped in `next-batch` at row 7", "row 7 is not liked"]),
    ];
    for (asked, parts) in at_reading {
        fs::write(&path, asked)?;
        let mut reader = loader.open(std::slice::from_ref(&path), &none)?;
        match asked {
            "panic at the second batch" => assert_eq!(reader.next_batch(10)?.len(), 2),
            "panic long after a refusal" => assert_eq!(reader.next_batch(10)?.len(), 1),
            "panic at row 7" => assert_eq!(reader.next_batch(4)?.len(), 4),
            _ => {}
        }
        expect_error(reader.next_batch(10), parts)?;
        assert_eq!(reader.next_batch(10)?, [], "a reader that failed is asked again");
    }

    // The limit of an output is that of a call.
    fs::write(&path, "print in each batch")?;
    let mut reader = loader.open(std::slice::from_ref(&path), &none)?;
    for _ in 0..3 {
        assert_eq!(reader.next_batch(10)?.len(), 1);
    }
    assert_eq!(reader.next_batch(10)?, []);

    fs::write(&path, "nothing wrong")?;
    let mut reader = loader.open(&[path], &none)?;
    let mut rows = Vec::new();
    loop {
        let batch = reader.next_batch(10)?;
        if batch.is_empty() {
            break;
        }
        rows.extend(batch);
    }
    assert!(matches!(rows[1], LoadedRow::Skipped(_)), "rows come in file order");
    assert_eq!((rows.len(), reader.rows_total()?), (3, None));
    Ok(())
}

fn a_batch_is_as_large_as_memory_allows() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rows.txt");
    fs::write(&path, "large batch")?;
    let guest = built("target/guests/hostile-loader.wasm")?;
    let none = LoaderOptions::new();
    let batch = host()?.loader(&guest)?.open(std::slice::from_ref(&path), &none)?.next_batch(10)?;
    assert!(matches!(&batch[..], [LoadedRow::Problem(problem)] if problem.text.statement.len() == 160 << 20));
    expect_error(
        strict_host()?.loader(&guest)?.open(std::slice::from_ref(&path), &none)?.next_batch(10),
        &["memory limit in `next-batch` at row 0"],
    )?;
    fs::write(&path, "too large a batch")?;
    expect_error(
        host()?.loader(&guest)?.open(&[path], &none)?.next_batch(10),
        &["broke its contract in `next-batch` at one of 10 rows from row 0", "at most 536870912 bytes"],
    )
}

/// Plugins and files whose words would clear a screen: the binary shows what they are and sends none of it.
fn no_command_reaches_a_terminal() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let prepare = |data: &str, plugin: &str| -> Result<(Option<i32>, String), Failed> {
        let config = folder.path().join("run.yaml");
        let text = format!(
            "adapter_name: x-lora\nbase_model: examples/tiny-base\nlora: {{r: 4, lora_alpha: 8}}\n\
             training: {{mode: qlora, num_epochs: 1, batch_size: 1, learning_rate: 1e-3, max_seq_length: 64}}\n\
             data: {{verify: false, domains: [python], {data}}}\n"
        );
        fs::write(&config, text)?;
        let output = Command::new(env!("CARGO_BIN_EXE_hilora-host"))
            .args(["prepare", "-v", "--config"])
            .arg(&config)
            .arg("--run")
            .arg(folder.path().join("run"))
            .arg("--plugin")
            .arg(built(plugin)?)
            .current_dir(repository())
            .output()?;
        Ok((output.status.code(), String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?))
    };
    let file = |name: &str, content: &str| -> Result<String, Failed> {
        let path = folder.path().join(name);
        fs::write(&path, content)?;
        // As a text in double quotation marks, YAML takes JSON.
        Ok(serde_json::to_string(&path)?)
    };
    let problems = |statement: &str| -> Result<String, Failed> {
        let row = serde_json::json!({
            "problem": statement, "solution": "print(1)", "tests": [{"input": "", "output": "1"}],
        });
        Ok(format!("source: jsonl, options: {{kind: problem}}, files: [{}]", file("rows.jsonl", &row.to_string())?))
    };
    let loaded = |content: &str| Ok::<_, Failed>(format!("source: hostile, files: [{}]", file("rows.txt", content)?));
    let named = "nothing wrong";
    for (data, plugin, part) in [
        (loaded("commands to a terminal")?, "target/guests/hostile-loader.wasm", named),
        (problems("refuse in colour")?, "target/guests/hostile-classifier.wasm", named),
        (problems("unknown domain in colour")?, "target/guests/hostile-classifier.wasm", named),
        (
            format!("source: jsonl, options: {{kind: problem}}, files: [{}]", r#""\e[2Jabsent.jsonl""#),
            CLASSIFIER,
            "absent",
        ),
    ] {
        let (code, said) = prepare(&data, plugin)?;
        assert_eq!(code, Some(2), "{data}: {said}");
        assert!(said.contains(part) && said.contains("␛[2J"), "{data}: {said}");
        let sent = said.chars().find(|c| c.is_control() && !['\n', '\t'].contains(c) || *c == '\u{202e}');
        assert_eq!(sent, None, "{data}: {said:?}");
    }
    Ok(())
}

fn what_a_plugin_prints_is_shown_on_demand() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("plugin.log");
    let inspect = |log: &[&OsStr]| -> Result<String, Failed> {
        let output = Command::new(env!("CARGO_BIN_EXE_hilora-host"))
            .args(["plugin", "inspect"])
            .arg(built("target/guests/hostile-loader.wasm")?)
            .args(log)
            .output()?;
        assert_eq!(output.status.code(), Some(0));
        Ok(String::from_utf8(output.stderr)?)
    };
    let line = "hostile-loader describe stdout: asked what it reads␛[2J�2J␇␍nothing wrong�\n";
    assert_eq!(inspect(&[])?, "");
    assert_eq!(inspect(&["--plugin-log".as_ref(), "-".as_ref()])?, format!("DEBUG {line}"));
    for times in 1..3 {
        assert_eq!(inspect(&["--plugin-log".as_ref(), file.as_os_str()])?, "");
        assert_eq!(fs::read_to_string(&file)?.replace(' ', ""), line.replace(' ', "").repeat(times));
    }
    Ok(())
}

fn what_takes_long_to_compile_is_refused() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let component = folder.path().join("bomb.wasm");
    let code = "(table.fill $t (i32.const 0) (ref.null func) (i32.const 1)) ".repeat(40_000);
    let text = format!(
        "(component (core module (table $t 10 funcref) (func {code})) (instance $none)
            (export \"hilora:plugin/loader@0.2.0\" (instance $none)))"
    );
    fs::write(&component, pack(&wat::parse_str(text)?, "name = \"bomb\"\nversion = \"1\"")?)?;
    let config = folder.path().join("run.yaml");
    let text = "adapter_name: x-lora\nbase_model: examples/tiny-base\nlora: {r: 4, lora_alpha: 8}\n\
                training: {mode: qlora, num_epochs: 1, batch_size: 1, learning_rate: 1e-3, max_seq_length: 64}\n\
                plugins: {limits: {compile_cpu_time_ms: 1000}}\n\
                data: {verify: false, domains: [python], source: bomb, files: [CHANGELOG.md]}\n";
    fs::write(&config, text)?;
    let output = Command::new(env!("CARGO_BIN_EXE_hilora-host"))
        .args(["prepare", "--config"])
        .arg(&config)
        .arg("--run")
        .arg(folder.path().join("run"))
        .arg("--plugin")
        .arg(&component)
        .current_dir(repository())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    let expected = "error: dataset-loader bomb 1 cannot be compiled within its limit: at most 1 s of processor time\n";
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(expected), "{said}");
    Ok(())
}

/// A promise that is broken, a domain that nobody knows and a choice of plugins that cannot be: each is one error, and what
/// was prepared before stays as it was, byte for byte.
fn a_refused_preparation_rewrites_nothing() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let ends = ["", " of these", " that you get", " as it comes", " again", " with a heap, greedy"];
    let row = |(number, end): (usize, &&str)| {
        let (statement, solution) = (format!("count the batch{end}"), format!("print({number})"));
        let tests = serde_json::json!([{"input": "", "output": number.to_string()}]);
        serde_json::json!({"problem": statement, "solution": solution, "tests": tests}).to_string()
    };
    let rows: Vec<String> = ends.iter().enumerate().map(row).collect();
    fs::write(folder.path().join("rows.jsonl"), rows.join("\n"))?;
    let prepare = |domains: &str, plugins: &[&str]| -> Result<(Option<i32>, String), Failed> {
        let (config, rows) = (folder.path().join("run.yaml"), folder.path().join("rows.jsonl"));
        let text = format!(
            "adapter_name: python-lora\nbase_model: examples/tiny-base\nlora: {{r: 4, lora_alpha: 8}}\n\
             training: {{mode: qlora, num_epochs: 1, batch_size: 1, learning_rate: 1e-3, max_seq_length: 64}}\n\
             data: {{verify: false, domains: [{domains}], source: jsonl, options: {{kind: problem}}, files: [{rows}], \
             min_examples: 1, eval_fraction: 0}}\n",
            rows = serde_json::to_string(&rows)?
        );
        fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.args(["prepare", "--config"]).arg(&config).arg("--run").arg(folder.path().join("run"));
        for plugin in plugins {
            command.arg("--plugin").arg(built(plugin)?);
        }
        let output = command.current_dir(repository()).output()?;
        Ok((output.status.code(), String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?))
    };
    let (code, said) = prepare("python", &[])?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("     1  tie: algorithms was chosen, data_structures scored as high"), "{said}");
    let before = files_of_run(&folder.path().join("run"))?;
    assert!(before.len() >= 4, "{:?}", before.keys());
    let hostile = "target/guests/hostile-classifier.wasm";
    let cases: [(&str, &[&str], &[&str]); 4] = [
        (
            "python",
            &[hostile],
            &[
                "domain-classifier hostile-classifier 0.0.1 broke a promise of its interface in `classify` at `rows-",
                "expected the same answer in every batch, `python` of python 6, got `python` of python 3 in another",
                "hint: a classification may depend on its problem alone",
            ],
        ),
        (
            "astrology",
            &[],
            &["data.domains: expected a domain of `algorithms`", "got `astrology`", "hint: name domains"],
        ),
        (
            "python",
            &[hostile, CLASSIFIER],
            &[
                "two of one kind: expected one domain-classifier, got hostile-classifier 0.0.1 (",
                "keyword-classifier 0",
            ],
        ),
        (
            "python",
            &["target/guests/hostile-formatter.wasm"],
            &["hostile-formatter 0.0.1 broke its contract in `stop-"],
        ),
    ];
    for (domains, plugins, parts) in cases {
        let (code, said) = prepare(domains, plugins)?;
        assert_eq!(code, Some(2), "{plugins:?}: {said}");
        let missing: Vec<_> = parts.iter().filter(|part| !said.contains(**part)).collect();
        assert!(missing.is_empty(), "{missing:?} in {said}");
        assert!(files_of_run(&folder.path().join("run"))? == before, "{plugins:?} changed a file: {said}");
    }
    let (code, said) = prepare("python, astrology", &[])?;
    let note = "data.domains: no row can be of `astrology`: domain-classifier keyword-classifier";
    assert!(code == Some(0) && said.contains(note), "{said}");
    Ok(())
}

fn hostile_formatter() -> Result<(), Failed> {
    let formatter = strict_host()?.formatter(&built("target/guests/hostile-formatter.wasm")?)?;
    let lesson = |statement: &str| {
        FormatterLesson::Solved(FormatterExample {
            problem: problem("b", statement),
            reasoning: None,
            solution: "print(1)".to_owned(),
            domain: Domain("python".to_owned()),
        })
    };
    let broke = "broke its contract in";
    expect_error(formatter.stop_sequences(), &[broke, "`stop-sequences`"])?;
    expect_error(
        formatter.format_lessons("python", &[lesson("fine"), lesson("nothing to learn")]),
        &[broke, "`format-lessons` at `b`"],
    )?;
    expect_error(formatter.format_lessons("python", &[lesson("answer too little")]), &[broke, "got 0"])?;
    expect_error(formatter.format_lessons("astrology", &[lesson("fine")]), &["`astrology`"])?;
    for (statement, part) in [
        ("no message", "the last is the assistant's"),
        ("user speaks last", "the last is the assistant's"),
        ("nobody has a role", "expected a role"),
    ] {
        let formatted = formatter.format_lessons("python", &[lesson("fine"), lesson(statement)]);
        expect_error(formatted, &[broke, "`format-lessons` at `b`", part])?;
    }
    let much = formatter.format_lessons("python", &[lesson("fine"), lesson("far too much")]);
    expect_error(
        much,
        &[broke, "`format-lessons` at `b`", "expected a sequence of at most 262464 bytes for 20 bytes"],
    )?;
    for statement in ["trained prompt", "empty prompt", "far too much"] {
        let prompts = formatter.format_prompts("python", &[problem("a", "fine"), problem("b", statement)]);
        expect_error(prompts, &[broke, "`format-prompts` at `b`"])?;
    }
    expect_error(formatter.extract_solution("panic"), &["trapped in `extract-solution`", "asked for it"])?;
    for (completion, part) in
        [("a byte more", "a part of a completion of 11 bytes, got 12 bytes"), ("megabytes more", "at most 14 bytes")]
    {
        expect_error(formatter.extract_solution(completion), &[broke, "`extract-solution`", part])?;
    }
    for _ in 0..3 {
        let answer = formatter.extract_solution("count the calls")?;
        assert_eq!(answer.as_deref(), Some("0"), "an instance remembers an earlier call");
    }
    assert_eq!(formatter.extract_solution("the same")?.as_deref(), Some("the same"));
    assert_eq!(formatter.extract_solution("fine")?, None);
    Ok(())
}
