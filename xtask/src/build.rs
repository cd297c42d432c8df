//! `cargo xtask build`: the host's binary, and every plugin as one file under `plugins/`, every test guest as one under
//! `target/guests/`.
//!
//! It installs componentize-py and the guests' C compiler, pinned, in virtual environments under `target/`. What the
//! machine itself must have was checked before.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wasm_encoder::{CustomSection, Section};

use crate::program::{run, target_folder, write_if_changed};
use crate::static_link::static_link;
use crate::{announce, c_compiler, python};

/// What guests are built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";
/// The Cargo profile that guests are built with.
pub(crate) const PROFILE: &str = "guest";
/// The plugins that are written in Rust.
pub(crate) const RUST_PLUGINS: [&str; 10] = [
    "codecontests",
    "apps",
    "taco",
    "livecodebench",
    "jsonl",
    "keyword-classifier",
    "chatml-formatter",
    "policy-formatter",
    "any-order-checker",
    "javascript-runner",
];
/// The plugin that is written in Python.
const PYTHON_PLUGIN: &str = "python-runner";
/// The custom section that the host reads a manifest from.
const MANIFEST_SECTION: &str = "hilora:manifest";

/// The packages of the host: a folder each under `host/`, and the tasks themselves. They are always built together, so
/// that a dependency has the same features, and one build, in the binary and in the tests.
pub(crate) fn host_packages(repository: &Path) -> Result<Vec<String>> {
    let mut packages = vec!["xtask".to_owned()];
    for entry in fs::read_dir(repository.join("host")).context("cannot list host/")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        packages.push(if name == "cli" { "hilora-host".to_owned() } else { format!("hilora-{name}") });
    }
    packages.sort();
    Ok(packages)
}

/// Builds the host's binary.
pub(crate) fn build_host(repository: &Path) -> Result<()> {
    announce("building hilora-host (the first time takes some minutes)");
    run(Command::new("cargo").current_dir(repository).args([
        "build",
        "--release",
        "--package",
        "hilora-host",
        "--bins",
    ]))
}

/// Builds the plugins and, where asked, the guests that the tests load.
pub(crate) fn build(repository: &Path, with_test_guests: bool) -> Result<()> {
    build_rust_guests(repository, with_test_guests)?;
    build_python_runner(repository)
}

/// The packages under `tests/guests`, one folder each.
fn test_guests(repository: &Path) -> Result<Vec<String>> {
    let folder = repository.join("tests/guests");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn build_rust_guests(repository: &Path, with_test_guests: bool) -> Result<()> {
    let target = target_folder(repository);
    let mut built: Vec<(String, PathBuf)> =
        RUST_PLUGINS.iter().map(|name| ((*name).to_owned(), repository.join("plugins"))).collect();
    if with_test_guests {
        built.extend(test_guests(repository)?.into_iter().map(|name| (name, target.join("guests"))));
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(repository).args(["build", "--profile", PROFILE, "--target", TARGET]);
    for (name, _) in &built {
        command.args(["--package", name]);
    }
    c_compiler::provide(repository, &mut command)?;
    run(&mut command)?;
    for (name, folder) in built {
        let component = target.join(TARGET).join(PROFILE).join(format!("{}.wasm", name.replace('-', "_")));
        let bytes = fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
        write_if_changed(&folder.join(format!("{name}.wasm")), &bytes)?;
    }
    Ok(())
}

/// Makes the Python runner anew where one of its inputs changed; the stamp holds the inputs themselves.
fn build_python_runner(repository: &Path) -> Result<()> {
    let source = repository.join("plugins").join(PYTHON_PLUGIN);
    let output = repository.join("plugins").join(format!("{PYTHON_PLUGIN}.wasm"));
    let work = target_folder(repository).join(PYTHON_PLUGIN);
    let stamp = work.join("inputs");
    let inputs = python_inputs(repository, &source)?;
    if output.is_file() && fs::read(&stamp).is_ok_and(|old| old == inputs) {
        return Ok(());
    }
    let environment = python::environment(repository, "python-venv", &source.join("requirements.txt"))?;
    fs::create_dir_all(&work)?;
    let component = work.join("component.wasm");
    run(Command::new(environment.join("bin/componentize-py"))
        .current_dir(&source)
        .env("VIRTUAL_ENV", &environment)
        .arg("--wit-path")
        .arg(repository.join("wit"))
        .args(["--wit-path", "wit", "--world", "hilora:python-runner/python-runner"])
        .args(["componentize", "--python-path", ".", "app", "--output"])
        .arg(&component))?;
    let linked = fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
    let mut packed = static_link(&linked).context("cannot link the Python runner")?;
    let manifest = fs::read(source.join("plugin.toml")).context("cannot read the Python runner's plugin.toml")?;
    CustomSection { name: MANIFEST_SECTION.into(), data: (&manifest[..]).into() }.append_to(&mut packed);
    write_if_changed(&output, &packed)?;
    write_if_changed(&stamp, &inputs)
}

/// Everything that the Python component is made of, file by file.
fn python_inputs(repository: &Path, source: &Path) -> Result<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        ["app.py", "plugin.toml", "requirements.txt"].into_iter().map(|name| source.join(name)).collect();
    for folder in [
        repository.join("wit"),
        source.join("wit"),
        source.join("wit/deps/wasi-cli"),
        repository.join("xtask/src/static_link"),
    ] {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            files.push(entry?.path());
        }
    }
    files.retain(|path| path.is_file());
    files.sort();
    let mut inputs = Vec::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(repository).unwrap_or(&file).display().to_string();
        inputs.extend_from_slice(format!("{name} {}\n", bytes.len()).as_bytes());
        inputs.extend_from_slice(&bytes);
    }
    Ok(inputs)
}
