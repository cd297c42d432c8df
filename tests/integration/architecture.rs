//! Holds the map of ARCHITECTURE.md against the code: which crates there are and what each may use. That no crate uses
//! what it does not declare is cargo's to enforce. What cargo cannot see is held here: a dependency that nobody uses, and
//! features that would make the tests build everything again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use toml::Table;

use crate::repository;

/// Third-party packages that only some crates may name, and those crates.
const FENCED_PACKAGES: [(&str, &[&str]); 8] = [
    ("wasmtime", &["wasm"]),
    ("wasmparser", &["wasm"]),
    ("candle-core", &["kernels", "model", "trainer"]),
    ("sqlx", &["registry"]),
    ("reqwest", &["enrich"]),
    ("hf-hub", &["hub"]),
    ("ureq", &["hub"]),
    ("indicatif", &["cli", "run"]),
];

/// Dependencies that are declared for their features alone: the binary and its tests share one build through them.
const FOR_FEATURES: [&str; 4] = ["axum", "hashbrown", "idna", "num-complex"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("architecture::crates_use_only_what_the_table_allows", crates_follow_the_table),
        Trial::test("architecture::fenced_packages_stay_in_their_crates", packages_stay_fenced),
        Trial::test("architecture::every_dependency_is_used", dependencies_are_used),
        Trial::test("architecture::tests_and_binary_share_one_build", features_are_the_same),
    ]
}

/// A crate of the host.
struct HostCrate {
    /// Its folder's name under `host/`.
    name: String,
    folder: PathBuf,
    manifest: Table,
}

impl HostCrate {
    fn dependencies(&self, section: &str) -> BTreeSet<String> {
        self.manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(Table::keys).cloned().collect()
    }
}

fn host_crates() -> Result<Vec<HostCrate>, Failed> {
    let mut crates = Vec::new();
    for entry in fs::read_dir(repository().join("host"))? {
        let folder = entry?.path();
        let name = folder.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?.parse()?;
        crates.push(HostCrate { name, folder, manifest });
    }
    crates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(crates)
}

/// The rows of ARCHITECTURE.md's table: `| crate | may use |`.
fn table() -> Result<BTreeMap<String, BTreeSet<String>>, Failed> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md"))?;
    let rows: BTreeMap<_, _> = text
        .lines()
        .skip_while(|line| !line.starts_with("| crate | may use"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let name = cells.next()?.trim_matches('`').to_owned();
            let allowed = cells.next()?.split(',').map(|name| name.trim().trim_matches('`').to_owned());
            Some((name, allowed.filter(|name| name != "nothing").collect()))
        })
        .collect();
    if rows.len() < 10 {
        return Err(format!("expected the table of crates in ARCHITECTURE.md, found {} rows", rows.len()).into());
    }
    Ok(rows)
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}

/// The table names every crate and exactly what it uses: a permission that nobody uses is as wrong as a missing one.
fn crates_follow_the_table() -> Result<(), Failed> {
    let table = table()?;
    let mut wrong = Vec::new();
    let crates = host_crates()?;
    for host_crate in &crates {
        let HostCrate { name, .. } = host_crate;
        let Some(allowed) = table.get(name) else {
            wrong.push(format!("the crate `{name}` is missing from the table"));
            continue;
        };
        let used: BTreeSet<String> = host_crate
            .dependencies("dependencies")
            .iter()
            .filter_map(|package| package.strip_prefix("hilora-").map(str::to_owned))
            .collect();
        if used != *allowed {
            wrong.push(format!("`{name}` uses {used:?}, and the table says {allowed:?}"));
        }
    }
    for name in table.keys().filter(|name| !crates.iter().any(|host_crate| host_crate.name == **name)) {
        wrong.push(format!("the table names `{name}`, and there is no such crate"));
    }
    none(wrong)
}

fn packages_stay_fenced() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for host_crate in host_crates()? {
        let used = host_crate.dependencies("dependencies");
        for (package, allowed) in FENCED_PACKAGES {
            if used.contains(package) != allowed.contains(&host_crate.name.as_str()) {
                wrong.push(format!("`{package}` is for {allowed:?}; see host/{}/Cargo.toml", host_crate.name));
            }
        }
    }
    none(wrong)
}

fn dependencies_are_used() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for host_crate in host_crates()? {
        let mut files = Vec::new();
        rust_files(&host_crate.folder, &mut files)?;
        let text = files.iter().map(fs::read_to_string).collect::<Result<String, _>>()?;
        for package in host_crate.dependencies("dependencies") {
            let name = package.replace('-', "_");
            let named = [format!("{name}::"), format!("{name}!"), format!("use {name}")];
            let is_used = named.iter().any(|named| text.contains(named));
            if !is_used && !FOR_FEATURES.contains(&package.as_str()) {
                wrong.push(format!("host/{}/Cargo.toml declares `{package}`, and no file names it", host_crate.name));
            }
        }
    }
    none(wrong)
}

/// The packages of the host with their features, with or without what only tests need.
fn features(edges: &str) -> Result<BTreeSet<String>, Failed> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(repository()).args(["tree", "--locked", "--edges", edges, "--format", "{p} {f}"]);
    command.args(["--prefix", "none", "--package", "xtask"]);
    for host_crate in host_crates()? {
        let package = host_crate.manifest["package"]["name"].as_str().unwrap_or_default().to_owned();
        command.args(["--package", &package]);
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
}

/// A dependency whose features differ between the binary and the tests is built twice, with all that stands on it.
fn features_are_the_same() -> Result<(), Failed> {
    let with_tests = features("normal,build,dev")?;
    let differing = features("normal,build")?.into_iter().filter(|package| !with_tests.contains(package));
    none(differing.map(|package| format!("tests build it with other features: {package}")).collect())
}

fn none(wrong: Vec<String>) -> Result<(), Failed> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
