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

use crate::lint::LintingCompiler;
use crate::program::{run, target_folder, write_if_changed};
use crate::static_link::{Changes, STACK_BYTES, static_link};
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
/// The functions of libm that it is linked with.
const PYTHON_LIBM: &str = "hilora-python-libm";
/// The custom section that the host reads a manifest from.
const MANIFEST_SECTION: &str = "hilora:manifest";

/// What plugins share, and the plugins that are examples.
const SHARED_PACKAGES: [&str; 8] = [
    "hilora-plugin-sdk",
    "hilora-dataset-formats",
    "hilora-chatml",
    "custom-classifier",
    "csv-loader",
    "chat-formatter",
    "pair-checker",
    "calculator-runner",
];

/// The names of the host's crates: the folders under `host/`.
pub(crate) fn host_crates(repository: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(repository.join("host")).context("cannot list host/")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The package of one of the host's crates.
pub(crate) fn host_package(name: &str) -> String {
    if name == "cli" { "hilora-host".to_owned() } else { format!("hilora-{name}") }
}

/// The packages that are compiled, tested and linted natively: the host, the plugins, which link only as components but
/// have tests, the fuzz targets and these tasks. They are taken together, so that every dependency has the same features
/// and is compiled once.
pub(crate) fn native_packages(repository: &Path) -> Result<Vec<String>> {
    let mut packages: Vec<_> = host_crates(repository)?.iter().map(|name| host_package(name)).collect();
    packages.extend(["hilora-fuzz", "xtask"].map(str::to_owned));
    packages.extend([&SHARED_PACKAGES[..], &RUST_PLUGINS].concat().into_iter().map(str::to_owned));
    Ok(packages)
}

/// The packages that are built for the guests' target, with those that only tests load and the examples.
pub(crate) fn guest_packages(repository: &Path) -> Result<Vec<String>> {
    let mut packages = test_guests(repository)?;
    packages.push(PYTHON_LIBM.to_owned());
    packages.extend([&SHARED_PACKAGES[..], &RUST_PLUGINS].concat().into_iter().map(str::to_owned));
    Ok(packages)
}

/// `cargo` with a subcommand over some packages, natively. The release profile throughout, so that the binary, tests and
/// lints have the same dependencies.
pub(crate) fn cargo(repository: &Path, subcommand: &str, packages: &[String]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository).args([subcommand, "--release"]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    command
}

/// `cargo` with a subcommand over some packages, for guests.
pub(crate) fn guest_cargo(repository: &Path, subcommand: &str, packages: &[String]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository).args([subcommand, "--profile", PROFILE, "--target", TARGET]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    command
}

/// Builds the host's binary.
pub(crate) fn build_host(repository: &Path) -> Result<()> {
    announce("building hilora-host (the first time takes some minutes)");
    run(cargo(repository, "build", &["hilora-host".to_owned()]).arg("--bins"))
}

/// Builds the plugins.
pub(crate) fn build(repository: &Path) -> Result<()> {
    build_rust_guests(repository, false, None)?;
    build_python_runner(repository)
}

/// Builds the plugins and the guests that the tests load, linting them on the way where that is asked.
pub(crate) fn build_with_test_guests(repository: &Path, lints: Option<&LintingCompiler>) -> Result<()> {
    build_rust_guests(repository, true, lints)?;
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

fn build_rust_guests(repository: &Path, with_test_guests: bool, lints: Option<&LintingCompiler>) -> Result<()> {
    let target = target_folder(repository);
    let mut built: Vec<(String, PathBuf)> =
        RUST_PLUGINS.iter().map(|name| ((*name).to_owned(), repository.join("plugins"))).collect();
    if with_test_guests {
        // The example is asked the same as those in other languages.
        let guests = test_guests(repository)?.into_iter().chain(["custom-classifier".to_owned()]);
        built.extend(guests.map(|name| (name, target.join("guests"))));
    }
    let mut packages: Vec<_> = built.iter().map(|(name, _)| name.clone()).collect();
    packages.push(PYTHON_LIBM.to_owned());
    if lints.is_some() {
        packages = guest_packages(repository)?;
    }
    let mut command = guest_cargo(repository, "build", &packages);
    if let Some(lints) = lints {
        lints.lint(&mut command);
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
    let libm = target_folder(repository).join(TARGET).join(PROFILE).join("hilora_python_libm.wasm");
    let libm = fs::read(&libm).with_context(|| format!("cannot read {}", libm.display()))?;
    let changes = Changes { stack_bytes: STACK_BYTES, libm: &libm };
    let mut packed = static_link(&linked, Some(&changes)).context("cannot link the Python runner")?;
    let manifest = fs::read(source.join("plugin.toml")).context("cannot read the Python runner's plugin.toml")?;
    CustomSection { name: MANIFEST_SECTION.into(), data: (&manifest[..]).into() }.append_to(&mut packed);
    write_if_changed(&output, &packed)?;
    write_if_changed(&stamp, &inputs)
}

/// Everything that the Python component is made of, file by file.
fn python_inputs(repository: &Path, source: &Path) -> Result<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        ["app.py", "plugin.toml", "requirements.txt"].into_iter().map(|name| source.join(name)).collect();
    files.push(target_folder(repository).join(TARGET).join(PROFILE).join("hilora_python_libm.wasm"));
    for folder in [
        repository.join("wit"),
        source.join("wit"),
        source.join("driver"),
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
