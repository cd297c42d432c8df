//! What the binary says, held against golden files under `tests/ui`: the help of every subcommand and the errors of bad
//! input. With `HILORA_BLESS=1` a test writes what is said now instead; the difference is then read in the change:
//! `HILORA_BLESS=1 cargo test --release -p hilora-host --test integration -- messages`.
//!
//! A case of an error is a folder `tests/ui/errors/<case>`:
//! - `command` has a command in each line, as a shell would read it: `NAME=VALUE hilora-host 'an argument' <IN >OUT`.
//!   Without `<IN` there is nothing on standard input; `>closed` is a pipe that nobody reads. A line that starts with
//!   `#` says why the case is there. What succeeds is called with `--quiet`, because progress depends on the clock.
//! - `expected` has each command again, its exit code and what it said.
//! - Everything else is input. A case runs in a copy of its folder, beside links to `configs`, `examples`, `plugins`.
//!
//! Whatever the cases are, a failure is one line that begins with `error: `, says nothing twice and has no full stop;
//! its hints have lines of their own below.
//!
//! What differs between machines and builds has a placeholder in the golden files: `<folder>` is the copy,
//! `<repository>` is the repository's root, `<hash>` a content hash and `<version>` the version of the program and its
//! plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};

use crate::repository;

/// The width for which help is laid out.
const COLUMNS: &str = "100";
/// Set to anything, it makes the golden files anew.
const BLESS_VARIABLE: &str = "HILORA_BLESS";
/// What surrounds a test and could change what is said.
const UNSET_VARIABLES: [&str; 8] = [
    "RUST_LOG",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_ENDPOINT",
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("messages::help_of_every_subcommand", holds_help),
        Trial::test("messages::wrong_words_are_found", finds_wrong_words),
        Trial::test("messages::a_difference_is_shown_by_lines", shows_a_difference),
    ];
    match names_in(&golden().join("errors")) {
        Ok(cases) => trials.extend(cases.into_iter().map(|case| {
            let name = format!("messages::errors/{case}");
            Trial::test(name, move || holds_a_case(&golden().join("errors").join(case)))
        })),
        Err(error) => trials.push(Trial::test("messages::errors", || Err(error))),
    }
    trials
}

/// The folder of golden files.
fn golden() -> PathBuf {
    repository().join("tests/ui")
}

fn hilora() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
    command.env("COLUMNS", COLUMNS).env("HF_HUB_OFFLINE", "1");
    for variable in UNSET_VARIABLES {
        command.env_remove(variable);
    }
    command
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>, Failed> {
    fs::read_dir(folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Holds a text against its golden file, or makes the file anew if that is asked for.
fn hold(file: &Path, text: &str) -> Result<(), Failed> {
    if std::env::var_os(BLESS_VARIABLE).is_some() {
        return Ok(fs::write(file, text)?);
    }
    let expected = match fs::read_to_string(file) {
        Ok(expected) => expected,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("cannot read {}: {error}", file.display()).into()),
    };
    if text == expected {
        return Ok(());
    }
    let name = file.strip_prefix(repository()).unwrap_or(file).display();
    let lines = difference(&expected, text);
    Err(format!("{name} differs (- expected, + got):\n{lines}{BLESS_VARIABLE}=1 writes the new text").into())
}

/// The lines of two texts, with a sign before those that are in only one of them.
fn difference(expected: &str, got: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    // common[i][j]: the most lines that old[i..] and new[j..] have in common, in order.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut text = String::new();
    while i < old.len() || j < new.len() {
        let (sign, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', old[i - 1])
        } else {
            j += 1;
            ('+', new[j - 1])
        };
        text.push_str(format!("{sign} {line}").trim_end());
        text.push('\n');
    }
    text
}

fn shows_a_difference() -> Result<(), Failed> {
    let got = difference("one\ntwo\nthree\n", "one\n2\nthree\nfour\n");
    let expected = "  one\n- two\n+ 2\n  three\n+ four\n";
    if got == expected { Ok(()) } else { Err(format!("got:\n{got}").into()) }
}

/// Asks a subcommand and all below it for their help. They are found in the help itself, so that none is forgotten.
fn walk_help(subcommand: &[String], found: &mut BTreeMap<String, String>) -> Result<(), Failed> {
    let output = hilora().args(subcommand).arg("--help").output()?;
    if !output.status.success() || !output.stderr.is_empty() {
        return Err(format!("{subcommand:?} --help: {output:?}").into());
    }
    let text = String::from_utf8(output.stdout)?;
    let below = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that goes on in the next line is indented further than the names.
    let names = below.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    for name in names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help") {
        walk_help(&[subcommand, &[name.to_owned()]].concat(), found)?;
    }
    let name = if subcommand.is_empty() { "hilora-host".to_owned() } else { subcommand.join("-") };
    // Terminals show no spaces at the end of a line, and editors remove them from golden files.
    let lines: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    found.insert(format!("{name}.txt"), lines);
    Ok(())
}

fn holds_help() -> Result<(), Failed> {
    let folder = golden().join("help");
    let mut found = BTreeMap::new();
    walk_help(&[], &mut found)?;
    let stale: Vec<String> = names_in(&folder)?.into_iter().filter(|name| !found.contains_key(name)).collect();
    if std::env::var_os(BLESS_VARIABLE).is_some() {
        for name in &stale {
            fs::remove_file(folder.join(name))?;
        }
    } else if !stale.is_empty() {
        return Err(
            format!("tests/ui/help has files of no subcommand: {stale:?}; {BLESS_VARIABLE}=1 removes them").into()
        );
    }
    let every: Vec<String> = found
        .iter()
        .filter_map(|(name, text)| hold(&folder.join(name), text).err())
        .filter_map(|failed| failed.message().map(str::to_owned))
        .collect();
    if every.is_empty() { Ok(()) } else { Err(every.join("\n").into()) }
}

/// A command of a case, taken apart.
struct CaseCommand {
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    input: Option<String>,
    output: Option<String>,
}

impl CaseCommand {
    /// Reads a line of a case's `command`.
    fn parse(line: &str) -> Self {
        let mut command = Self { arguments: Vec::new(), variables: Vec::new(), input: None, output: None };
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                command.arguments.push(part.to_owned());
                continue;
            }
            for word in part.split_whitespace() {
                let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                match word.split_once('=') {
                    Some((name, value)) if is_name(name) => command.variables.push((name.to_owned(), value.to_owned())),
                    _ if word.starts_with('<') => command.input = Some(word[1..].to_owned()),
                    _ if word.starts_with('>') => command.output = Some(word[1..].to_owned()),
                    _ if word == "hilora-host" && command.arguments.is_empty() => {}
                    _ => command.arguments.push(word.to_owned()),
                }
            }
        }
        command
    }

    /// Runs it in a folder and tells its exit code and what it said.
    fn run(&self, folder: &Path) -> Result<String, Failed> {
        let mut command = hilora();
        command.current_dir(folder).env("HF_HOME", folder.join("hub")).args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        if let Some(input) = &self.input {
            command.stdin(File::open(folder.join(input))?);
        }
        match self.output.as_deref() {
            None => {
                command.stdout(Stdio::piped());
            }
            Some("closed") => {
                // The end for reading goes at once, so that the first write meets a closed pipe.
                let (_, writer) = io::pipe()?;
                command.stdout(writer);
            }
            Some(path) => {
                command.stdout(File::options().write(true).open(folder.join(path))?);
            }
        }
        let output = command.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
        let code = output.status.code().ok_or(format!("{:?} was stopped: {output:?}", self.arguments))?;
        let mut said = format!("exit code {code}\n{}", String::from_utf8(output.stderr)?);
        if !output.stdout.is_empty() {
            write!(said, "standard output:\n{}", String::from_utf8(output.stdout)?)?;
        }
        Ok(said)
    }
}

/// Runs a case, and holds what it said against its golden file and against what every message must be.
fn holds_a_case(case: &Path) -> Result<(), Failed> {
    let commands = fs::read_to_string(case.join("command"))
        .map_err(|error| format!("cannot read {}: {error}", case.join("command").display()))?;
    let temporary = tempfile::tempdir()?;
    let folder = fs::canonicalize(temporary.path())?;
    copy_folder(case, &folder)?;
    let root = fs::canonicalize(repository())?;
    for name in ["configs", "examples", "plugins"] {
        std::os::unix::fs::symlink(root.join(name), folder.join(name))?;
    }
    let mut said = String::new();
    for line in commands.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        writeln!(said, "$ {line}\n{}", CaseCommand::parse(line).run(&folder)?)?;
    }
    let said = said
        .replace(&*folder.to_string_lossy(), "<folder>")
        .replace(&*root.to_string_lossy(), "<repository>")
        .replace(concat!(" ", env!("CARGO_PKG_VERSION")), " <version>");
    let said = without_hashes(&said);
    hold(&case.join("expected"), &said)?;
    let lines: Vec<&str> = said.lines().collect();
    let faults: Vec<String> = lines.split(|line| line.starts_with("$ ")).skip(1).flat_map(faults_of_words).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

/// The inputs of a case, links as links.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Failed> {
    for name in names_in(from)?.into_iter().filter(|name| name != "command" && name != "expected") {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
        } else if from.is_dir() {
            fs::create_dir(&to)?;
            copy_folder(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// A text with `<hash>` in place of every content hash.
fn without_hashes(text: &str) -> String {
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split_inclusive(|character: char| !character.is_ascii_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
            if is_hash(word) { part.replace(word, "<hash>") } else { part.to_owned() }
        })
        .collect()
}

/// What is wrong with how a command of a case ended: its exit code, what it said, and what it printed.
fn faults_of_words(lines: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = lines.iter().copied().take_while(|line| *line != "standard output:").collect();
    let [code, said @ ..] = lines.as_slice() else { return vec!["nothing is said".to_owned()] };
    // An empty line parts the commands.
    let said: Vec<&str> = said.iter().copied().filter(|line| !line.is_empty()).collect();
    let is_silent = said.is_empty();
    // The parser of arguments lays out usage and similar names below its errors, and the help if nothing was asked for.
    let is_of_arguments = said.iter().any(|line| line.starts_with("For more information, try '--help'"));
    let is_help = said.iter().any(|line| line.starts_with("Usage: "));
    let errors: Vec<usize> = (0..said.len()).filter(|index| said[*index].starts_with("error:")).collect();
    let mut faults = Vec::new();
    let mut fault = |fault: &str, line: &str| faults.push(format!("{fault}: {line}"));
    match (*code, errors.as_slice()) {
        // Where nobody reads, nobody is told why.
        ("exit code 0" | "exit code 1" | "exit code 3", []) if is_silent => {}
        ("exit code 2", []) if is_help => {}
        ("exit code 1" | "exit code 2", [index]) => {
            let error = said[*index];
            if error.contains("hint:") {
                fault("a hint within the error", error);
            }
            if said[*index..].iter().any(|line| line.ends_with('.') && !is_of_arguments) {
                fault("a full stop at the end", error);
            }
            let parts: Vec<&str> = error.trim_start_matches("error: ").split(": ").collect();
            let repeats = |size: usize| parts.windows(2 * size).any(|part| part[..size] == part[size..]);
            if (1..=parts.len() / 2).any(repeats) {
                fault("said twice", error);
            }
            // Several faults of one file are a list below the error.
            let below = said.iter().skip(index + 1).skip_while(|line| line.starts_with("  - "));
            for line in below.filter(|line| !is_of_arguments && !line.starts_with("hint: ")) {
                fault("expected only hints after the error", line);
            }
        }
        _ => fault("expected one error with exit code 1 or 2, or silence with 0, 1 or 3", &lines.join(" | ")),
    }
    faults
}

fn finds_wrong_words() -> Result<(), Failed> {
    let faults = |said: &str| faults_of_words(&said.lines().collect::<Vec<_>>()).len();
    for right in [
        "exit code 2\nerror: a.yaml has 1 unusable value(s):\n  - seed: missing\nhint: set it\nhint: or not",
        "exit code 1\n\nstandard output:\nhalf of it.",
        "exit code 2\nerror: invalid value 'a' for '--seed <SEED>'\n\nFor more information, try '--help'.",
    ] {
        if faults(right) > 0 {
            return Err(format!("expected no fault in:\n{right}").into());
        }
    }
    for wrong in [
        "exit code 2\nerror: a.yaml: no seed; hint: set it",
        "exit code 2\nerror: a.yaml: no seed.",
        "exit code 2\nerror: a.yaml: no seed\nhint: set it.",
        "exit code 2\nerror: cannot read a.yaml: cannot read a.yaml: no such file",
        "exit code 2\nerror: a.yaml: no seed\n  |\n1 | sed: 1",
        "exit code 2\nthread 'main' panicked",
        "exit code 101",
        "exit code 0\nerror: a.yaml: no seed",
        "exit code 2\nerror: a\nerror: b",
    ] {
        if faults(wrong) == 0 {
            return Err(format!("expected a fault in:\n{wrong}").into());
        }
    }
    Ok(())
}
