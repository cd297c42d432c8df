//! The documents as a reader follows them: every command of README.md and docs/ is run as it is written, or, if it takes
//! long or needs what a test does not have, held against the command line's own parser. Links lead to files, and the
//! README stays short.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{command_line, repository};

/// More than this nobody reads before the first command.
const README_WORDS_MAX: usize = 700;

/// Commands that are parsed and not run, each with the reason. Everything else in a block of `sh` is run.
const PARSED_ONLY: [(&str, &str); 19] = [
    ("cargo xtask quickstart", "builds everything and runs the main job: minutes"),
    ("cargo xtask build", "the tests run on what it has built"),
    ("cargo xtask seeds", "runs the main job three times"),
    ("cargo xtask cuda", "downloads NVIDIA's compiler"),
    ("cargo xtask cuda --tests", "downloads NVIDIA's compiler"),
    ("target/release/hilora-host --plugin plugins/codecontests.wasm", "minutes; main_job::* runs a smaller one"),
    ("target/cuda/release/hilora-host --device cuda --plugin plugins/codecontests.wasm", "needs a GPU"),
    ("hilora-host prepare --plugin plugins/codecontests.wasm", "half a minute; prepare::* runs smaller ones"),
    ("hilora-host enrich --config my.yaml", "needs an endpoint; enrich::* brings one"),
    ("hilora-host train --plan", "ten seconds of calibration; training::* runs it"),
    ("hilora-host train", "minutes; training::* runs smaller ones"),
    ("hilora-host evaluate", "minutes; main_job::* runs a smaller one"),
    (
        "hilora-host model merge --base examples/tiny-base --adapter runs/quickstart/adapter --output runs/merged",
        "needs an adapter of this base; models::* merges one",
    ),
    (
        "hilora-host model probe --model examples/tiny-base --adapter runs/quickstart/adapter --batch batch.safetensors \
         --output probe.safetensors",
        "needs an adapter of this base; parity::* probes one",
    ),
    ("hilora-host plugin build words", "compiles; plugin_projects::* runs the walk"),
    ("hilora-host plugin test words/words.wasm --vectors words/golden.jsonl", "plugin_projects::* runs the walk"),
    ("hilora-host plugin try words/words.wasm --input row.json", "plugin_projects::* runs the walk"),
    ("hilora-host prepare --config words.yaml --plugin words/words.wasm", "plugin_projects::* runs the walk"),
    ("hilora-host model pretrain examples/tiny-base/pretrain.yaml", "trains the tiny base anew: minutes"),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("documents::every_command_does_what_it_says", commands),
        Trial::test("documents::only_commands_that_stand_somewhere_are_excused", excuses),
        Trial::test("documents::every_link_leads_to_a_file", links),
        Trial::test("documents::the_readme_is_short_and_names_every_page", readme),
    ]
}

/// README.md and every page of docs/.
fn documents() -> Result<Vec<PathBuf>, Failed> {
    let mut documents = vec![repository().join("README.md")];
    for entry in fs::read_dir(repository().join("docs"))? {
        documents.push(entry?.path());
    }
    documents.sort();
    Ok(documents)
}

/// The commands of a document's `sh` blocks, one a line; a backslash at the end of a line goes on in the next.
pub(crate) fn commands_of(document: &Path) -> Result<Vec<String>, Failed> {
    let text = fs::read_to_string(document)?.replace("\\\n", "");
    let mut commands = Vec::new();
    let mut is_shell = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) => is_shell = language == "sh",
            None if is_shell && !line.trim().is_empty() => {
                commands.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            None => {}
        }
    }
    Ok(commands)
}

fn commands() -> Result<(), Failed> {
    let mut failures = Vec::new();
    for document in documents()? {
        let folder = reader_folder()?;
        for command in commands_of(&document)? {
            let is_excused = PARSED_ONLY.iter().any(|(excused, _)| *excused == command);
            let output = if is_excused { parse(&command)? } else { run(&command, folder.path())? };
            if output.status.code() != Some(0) {
                failures.push(format!(
                    "{}: `{command}`: expected exit code 0, got {}\n{}",
                    document.display(),
                    output.status,
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// A folder as a reader has it after the quickstart: what the repository holds, and a run.
fn reader_folder() -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    for name in ["plugins", "configs", "examples"] {
        std::os::unix::fs::symlink(repository().join(name).canonicalize()?, folder.path().join(name))?;
    }
    let run = folder.path().join("runs/quickstart");
    let data = run.join("data");
    fs::create_dir_all(&data)?;
    let lesson = json!({"problem": "Print 1.", "reasoning": null, "solution": "print(1)", "domain": "python",
        "difficulty": null});
    let text = json!({"id": "p1", "title": "", "statement": "Print 1.", "tags": [], "difficulty": null});
    let problem = json!({"text": text, "domain": "python", "tests": [{"input": "", "output": "1"}],
        "time_limit_ms": null, "memory_limit_bytes": null});
    for (file, row) in [("train", &lesson), ("eval", &lesson), ("tests", &problem)] {
        fs::write(data.join(format!("python_{file}.jsonl")), line(row))?;
    }
    let completion = json!({"id": "p1", "completion": "```python\nprint(1)\n```"});
    fs::write(folder.path().join("completions.jsonl"), line(&completion))?;
    let sample = json!({"task_id": "HumanEval/1", "completion": "    return text.upper() + '!'"});
    fs::write(folder.path().join("samples.jsonl"), line(&sample))?;
    fs::copy(repository().join("tests/data/benchmarks/humaneval.jsonl"), folder.path().join("humaneval.jsonl"))?;
    let adapter = repository().join("tests/data/oracle/llama/adapter").canonicalize()?;
    std::os::unix::fs::symlink(adapter, run.join("adapter"))?;
    command_line::write_run(&run, 0.05)?;
    command_line::register(folder.path(), &["weights"])?;
    Ok(folder)
}

fn line(row: &Value) -> String {
    format!("{row}\n")
}

/// Runs a command as a shell does, with the binary where a shell finds it.
pub(crate) fn run(command: &str, folder: &Path) -> Result<Output, Failed> {
    let binary = Path::new(env!("CARGO_BIN_EXE_hilora-host"));
    let mut path = OsString::from(binary.parent().ok_or("the binary is in a folder")?);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    Ok(shell.output()?)
}

/// Has the command's own parser read it: with `--help` behind it everything before is read and nothing is done.
fn parse(command: &str) -> Result<Output, Failed> {
    let words: Vec<&str> = command.split(' ').collect();
    match words.as_slice() {
        ["cargo", "xtask", task, arguments @ ..] => {
            // A task may hand `--help` on to the program that it starts, so its help is asked for by its name.
            let mut help = Command::new(env!("CARGO"));
            let output = help.args(["xtask", "help", task]).current_dir(repository()).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            match arguments.iter().find(|argument| !text.contains(**argument)) {
                Some(unknown) => Err(format!("`{command}`: `cargo xtask {task}` has no {unknown}").into()),
                None => Ok(output),
            }
        }
        [program, arguments @ ..] if program.ends_with("hilora-host") => {
            let mut host = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
            Ok(host.args(arguments).arg("--help").output()?)
        }
        _ => Err(format!("`{command}`: expected hilora-host or cargo xtask").into()),
    }
}

fn excuses() -> Result<(), Failed> {
    let mut written = BTreeSet::new();
    for document in documents()? {
        written.extend(commands_of(&document)?);
    }
    match PARSED_ONLY.iter().find(|(command, _)| !written.contains(*command)) {
        Some((command, _)) => Err(format!("no document has `{command}`").into()),
        None => Ok(()),
    }
}

fn links() -> Result<(), Failed> {
    let mut documents = documents()?;
    documents.extend(["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| repository().join(name)));
    let mut found = 0;
    for document in documents {
        let text = fs::read_to_string(&document)?;
        let folder = document.parent().ok_or("a document is in a folder")?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let path = link.split('#').next().unwrap_or_default();
            if !folder.join(path).exists() {
                return Err(format!("{}: nothing is at `{link}`", document.display()).into());
            }
            found += 1;
        }
    }
    // A reader of links that finds none would hold nothing.
    if found < 10 { Err(format!("expected at least 10 links, found {found}").into()) } else { Ok(()) }
}

fn readme() -> Result<(), Failed> {
    let text = fs::read_to_string(repository().join("README.md"))?;
    let words = text.split_whitespace().count();
    if words > README_WORDS_MAX {
        return Err(format!("expected at most {README_WORDS_MAX} words in README.md, got {words}").into());
    }
    for document in documents()?.into_iter().filter(|path| !path.ends_with("README.md")) {
        let name = document.file_name().ok_or("a page has a name")?.to_string_lossy().into_owned();
        if !text.contains(&format!("](docs/{name})")) {
            return Err(format!("README.md does not name docs/{name}").into());
        }
    }
    Ok(())
}
