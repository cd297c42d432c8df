//! `hilora-host plugin build`: a project's component, by the tools of its language, with its manifest in it.
//!
//! It installs nothing. What is missing is told all at once, each with what brings it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;
use hilora_contract::artifact::{FileError, Output};
use hilora_contract::plugin::{Manifest, PluginIdentity};
use hilora_wasm::{HostOptions, PackError, PluginHost, pack};
use serde::Serialize;
use serde_json::Value;

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::plugin_language::Language;

/// What Rust plugins are built for.
const TARGET: &str = "wasm32-wasip2";
/// The first bytes of every component: the magic number, the version of the format, and the layer.
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
/// What a component has of WASI at most: nothing that the host does not offer.
const JAVASCRIPT_FEATURES_OFF: [&str; 5] = ["random", "stdio", "clocks", "http", "fetch-event"];

/// Arguments of `plugin build`.
#[derive(Debug, Args)]
pub(super) struct BuildArguments {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// What was built.
#[derive(Debug, Serialize)]
pub(super) struct Built {
    #[serde(flatten)]
    pub(super) identity: PluginIdentity,
    pub(super) file: PathBuf,
    bytes: usize,
    seconds: f64,
}

impl BuildArguments {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let built = build(&self.folder, console)?;
        console.result(&built, &built.summary())?;
        Ok(ExitStatus::Done)
    }
}

impl Built {
    /// What was built, in a line.
    pub(super) fn summary(&self) -> String {
        let Self { identity, file, bytes, seconds } = self;
        format!("{} of {identity}: {:.1} MiB in {seconds:.0} s", file.display(), *bytes as f64 / (1 << 20) as f64)
    }
}

/// Builds the project in this folder; the component is put beside its source as `NAME.wasm`.
pub(super) fn build(folder: &Path, console: &Console) -> Result<Built> {
    let begun = Instant::now();
    let language = language_of(folder)?;
    let manifest_path = folder.join("plugin.toml");
    let text = fs::read_to_string(&manifest_path).map_err(|error| Failure::reading(&manifest_path, error))?;
    let manifest = Manifest::parse(&text)?;
    let file = folder.join(format!("{}.wasm", manifest.name));
    refuse_to_replace(&file)?;
    let mut output = Output::create(&file, &[&manifest_path])?;
    let tools = Tools::of(folder, language)?;
    console.note(&format!("building {} with {}", manifest.name, tools.told()));
    let scratch = tempfile::tempdir().map_err(|error| FileError::writing(std::env::temp_dir(), error))?;
    let component_path = tools.build(folder, scratch.path())?;
    let component = fs::read(&component_path).map_err(|error| Failure::reading(&component_path, error))?;
    let packed = match pack(&component, &text) {
        // The macro of the Rust SDK has put it in.
        Err(PackError::AlreadyPacked) => component,
        packed => packed?,
    };
    let whole = scratch.path().join(format!("{}.wasm", manifest.name));
    fs::write(&whole, &packed).map_err(|error| FileError::writing(&whole, error))?;
    let identity = PluginHost::new(&HostOptions::default())?.inspect(&whole)?.identity;
    output.append(&packed)?;
    output.commit()?;
    Ok(Built { identity, file, bytes: packed.len(), seconds: begun.elapsed().as_secs_f64() })
}

/// What a project is written in, by the one file that each language's has.
fn language_of(folder: &Path) -> Result<Language> {
    let marks = [("Cargo.toml", Language::Rust), ("app.py", Language::Python), ("package.json", Language::JavaScript)];
    let found: Vec<_> = marks.iter().filter(|(mark, _)| folder.join(mark).is_file()).collect();
    match found[..] {
        [(_, language)] => Ok(*language),
        [] => Err(Failure::bad_input(
            format!("{}: expected Cargo.toml, app.py or package.json, got none of them", folder.display()),
            "`hilora-host plugin new` makes a project",
        )),
        _ => {
            let names: Vec<&str> = found.iter().map(|(mark, _)| *mark).collect();
            Err(Failure::bad_input(
                format!("{}: expected a project in one language, got {}", folder.display(), names.join(" and ")),
                "keep each plugin in a folder of its own",
            ))
        }
    }
}

/// Only a component is ever replaced: what else stands under that name is somebody's.
fn refuse_to_replace(file: &Path) -> Result<()> {
    let Ok(mut old) = fs::File::open(file) else { return Ok(()) };
    let mut header = [0; COMPONENT_HEADER.len()];
    match old.read_exact(&mut header) {
        Ok(()) if header == COMPONENT_HEADER => Ok(()),
        _ => Err(Failure::bad_input(
            format!("{} is there and is no component: it is not replaced", file.display()),
            "move it, or give the plugin another name in plugin.toml",
        )),
    }
}

/// The tools of a language, all there.
enum Tools {
    Rust,
    Python { componentize_py: PathBuf },
    JavaScript { componentize_js: PathBuf },
}

impl Tools {
    /// Looks for them; an error names all that are missing, and what brings them.
    fn of(folder: &Path, language: Language) -> Result<Self> {
        let mut missing: Vec<(&str, String)> = Vec::new();
        let tools = match language {
            Language::Rust => {
                match told(
                    Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder),
                ) {
                    Some(library) if Path::new(library.trim()).is_dir() => {}
                    Some(_) => missing.push(("the target wasm32-wasip2", format!("`rustup target add {TARGET}`"))),
                    None => missing.push(("rustc", "https://rustup.rs".to_owned())),
                }
                if told(Command::new("cargo").arg("--version").current_dir(folder)).is_none() {
                    missing.push(("cargo", "https://rustup.rs".to_owned()));
                }
                Self::Rust
            }
            Language::Python => {
                let own = folder.join(".venv/bin/componentize-py");
                let command = if own.is_file() { own } else { PathBuf::from("componentize-py") };
                if told(Command::new(&command).arg("--version")).is_none() {
                    let install = "`python3 -m venv .venv && .venv/bin/pip install -r requirements.txt`";
                    missing.push(("componentize-py", format!("{install} in {}", folder.display())));
                }
                Self::Python { componentize_py: absolute(&command) }
            }
            Language::JavaScript => {
                if told(Command::new("node").arg("--version")).is_none() {
                    missing.push(("node", "https://nodejs.org, version 20 or newer".to_owned()));
                }
                let command = folder.join("node_modules/.bin/componentize-js");
                if !command.is_file() {
                    missing.push(("componentize-js", format!("`npm install` in {}", folder.display())));
                }
                Self::JavaScript { componentize_js: absolute(&command) }
            }
        };
        if missing.is_empty() {
            return Ok(tools);
        }
        let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        let ways: Vec<String> = missing.iter().map(|(name, way)| format!("{name}: {way}")).collect();
        Err(Failure::bad_input(
            format!("a plugin in {language} is built with {}, which cannot be found", names.join(" and ")),
            ways.join("; "),
        ))
    }

    fn told(&self) -> &'static str {
        match self {
            Self::Rust => "cargo",
            Self::Python { .. } => "componentize-py",
            Self::JavaScript { .. } => "componentize-js",
        }
    }

    /// Builds, and tells where the component lies. What the tools say goes to standard error.
    fn build(&self, folder: &Path, scratch: &Path) -> Result<PathBuf> {
        let made = absolute(&scratch.join("component.wasm"));
        let mut command = match self {
            Self::Rust => return build_with_cargo(folder),
            Self::Python { componentize_py } => {
                let mut command = Command::new(componentize_py);
                command.args(["--wit-path", "wit", "componentize", "--python-path", ".", "app", "--output"]).arg(&made);
                command
            }
            Self::JavaScript { componentize_js } => {
                let mut command = Command::new(componentize_js);
                command.args(["plugin.js", "--wit", "wit", "--out"]).arg(&made).arg("--disable");
                command.args(JAVASCRIPT_FEATURES_OFF);
                command
            }
        };
        let status = command.current_dir(folder).stdin(Stdio::null()).stdout(std::io::stderr()).status();
        finished(self.told(), status)?;
        Ok(made)
    }
}

/// Cargo itself tells which file is the component: the target folder may be anywhere.
fn build_with_cargo(folder: &Path) -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    let started = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| cannot_run("cargo", &error))?;
    let mut component = None;
    if let Some(output) = child.stdout.take() {
        let lines = BufReader::new(output).lines().map_while(std::io::Result::ok);
        // The project's own library is the last that is built.
        component = lines.filter_map(|line| component_of(&line)).last();
    }
    finished("cargo", child.wait())?;
    component.ok_or_else(|| {
        Failure::bad_input(
            format!("{}: expected a library that is a component, got none from cargo", folder.display()),
            "Cargo.toml needs `crate-type = [\"cdylib\"]` under [lib]",
        )
    })
}

/// The component that a message of cargo tells of.
fn component_of(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_artifact = message["reason"] == "compiler-artifact";
    let is_library = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib");
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.find(|file| is_artifact && is_library && file.extension().is_some_and(|extension| extension == "wasm"))
}

fn finished(tool: &str, status: std::io::Result<std::process::ExitStatus>) -> Result<()> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::bad_input(
            format!("{tool} could not build the plugin ({status})"),
            "what it said stands above",
        )),
        Err(error) => Err(cannot_run(tool, &error)),
    }
}

fn cannot_run(tool: &str, error: &std::io::Error) -> Failure {
    Failure::bad_input(format!("cannot run {tool}: {error}"), "install it, and see that it is on the PATH")
}

/// What a command prints, where it can be run and succeeds.
fn told(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same file from whatever folder; a mere name is looked for on the PATH.
fn absolute(path: &Path) -> PathBuf {
    match path.components().count() {
        0 | 1 => path.to_owned(),
        _ => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_which_file_is_the_component() {
        let message = |kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"a"}},"filenames":["{file}"]}}"#
            )
        };
        assert_eq!(component_of(&message("cdylib", "/t/a.wasm")), Some(PathBuf::from("/t/a.wasm")));
        assert_eq!(component_of(&message("lib", "/t/liba.rlib")), None);
        assert_eq!(component_of(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(component_of("no JSON"), None);
    }

    #[test]
    fn only_a_component_is_replaced() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("a.wasm");
        assert!(refuse_to_replace(&file).is_ok());
        fs::write(&file, [COMPONENT_HEADER, b"rest"].concat())?;
        assert!(refuse_to_replace(&file).is_ok());
        for other in [&b""[..], b"my notes", b"\0asm\x01\0\0\0"] {
            fs::write(&file, other)?;
            assert!(refuse_to_replace(&file).is_err());
        }
        Ok(())
    }
}
