//! Holds the map of ARCHITECTURE.md against the code: which crates there are and what each may use. That no crate uses
//! what it does not declare is cargo's to enforce. What cargo cannot see is held here: a dependency that nobody uses, a
//! circle between the files of a crate, and features that would make the tests build everything again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use toml::Table;

use crate::repository;

/// Third-party packages that only some crates may name, and those crates.
const FENCED_PACKAGES: [(&str, &[&str]); 7] = [
    ("wasmtime", &["wasm"]),
    ("wasmparser", &["wasm"]),
    ("candle-core", &["kernels", "model", "trainer"]),
    ("sqlx", &["registry"]),
    ("reqwest", &["endpoint"]),
    ("ureq", &["hub"]),
    ("indicatif", &["cli"]),
];

/// Dependencies that are declared for their features alone: the binary and its tests share one build through them.
const FOR_FEATURES: [&str; 5] = ["anyhow", "axum", "hashbrown", "idna", "num-complex"];

/// Packages outside of `host/` and `plugins/` whose tests are compiled with the host's.
const TESTED_BESIDE: [&str; 2] = ["xtask", "hilora-fuzz"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("architecture::crates_use_only_what_the_table_allows", crates_follow_the_table),
        Trial::test("architecture::fenced_packages_stay_in_their_crates", packages_stay_fenced),
        Trial::test("architecture::every_dependency_is_used", dependencies_are_used),
        Trial::test("architecture::no_circle_between_the_files_of_a_crate", files_have_no_circles),
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

/// The module of a file: `a/b.rs` and `a/b/mod.rs` are `a::b`; the crate's root is the empty path.
fn module_of(source: &Path, file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(source).unwrap_or(file).with_extension("");
    let mut parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// The code of a file without its tests, its comments and its strings' content.
fn product_code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut rest = text.lines().peekable();
    while let Some(line) = rest.next() {
        // By rustfmt, a test module begins in the first column and ends with a brace there.
        if line.trim() == "#[cfg(test)]" {
            let indent = line.len() - line.trim_start().len();
            for line in rest.by_ref() {
                let is_end = line.len() > indent && line[indent..].starts_with('}') && line[..indent].trim().is_empty();
                if is_end || (line.trim_end().ends_with(';') && !line.starts_with(&" ".repeat(indent + 1))) {
                    break;
                }
            }
            continue;
        }
        lines.push(line.split("//").next().unwrap_or_default());
    }
    lines.join("\n")
}

/// Every path that a `use` names, groups taken apart: `crate::a::{b, c::d}` is `crate::a::b` and `crate::a::c::d`.
fn used_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for statement in code.split(';') {
        let Some(at) = statement.rfind("use ") else { continue };
        let before = statement[..at].trim_end();
        let begins = before.is_empty() || before.ends_with(['}', ')', ']', '{']) || before.ends_with("pub");
        if begins {
            expand(&[], statement[at + 4..].trim(), &mut paths);
        }
    }
    paths
}

fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, group.rsplit_once('}').map(|(group, _)| group)),
        None => (tree, None),
    };
    let mut path = prefix.to_vec();
    let head = head.split(" as ").next().unwrap_or_default();
    path.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
    let Some(group) = group else {
        paths.push(path);
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (index, character) in group.char_indices().chain([(group.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = group[start..index].trim();
                if !part.is_empty() {
                    expand(&path, part, paths);
                }
                start = index + 1;
            }
            _ => {}
        }
    }
}

/// A path inside the crate, from its root; `None` where it leads out of the crate.
fn inside(module: &[String], path: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let mut from = module.to_vec();
    match first.as_str() {
        "crate" => from.clear(),
        "self" => {}
        "super" => {
            from.pop()?;
        }
        _ => {
            from.push(first.clone());
            if !modules.contains(&from) {
                return None;
            }
        }
    }
    for part in rest {
        if part == "super" {
            from.pop()?;
        } else {
            from.push(part.clone());
        }
    }
    Some(from)
}

/// What one file imports from which other files. A name that a `mod.rs` only passes on is followed to the file that
/// defines it, so that a face hides no circle.
fn imports_between(source: &Path) -> Result<BTreeMap<Vec<String>, BTreeSet<Vec<String>>>, Failed> {
    let mut files = Vec::new();
    rust_files(source, &mut files)?;
    let mut codes = BTreeMap::new();
    for file in &files {
        let module = module_of(source, file);
        if module.last().is_none_or(|name| name != "tests") {
            codes.insert(module, product_code(&fs::read_to_string(file)?));
        }
    }
    let modules: BTreeSet<Vec<String>> = codes.keys().cloned().collect();
    let paths: BTreeMap<&Vec<String>, Vec<Vec<String>>> = codes
        .iter()
        .map(|(module, code)| {
            let paths = used_paths(code).into_iter().filter_map(|path| inside(module, &path, &modules)).collect();
            (module, paths)
        })
        .collect();
    let resolve = |mut path: Vec<String>| -> Option<Vec<String>> {
        for _ in 0..8 {
            let home = (0..=path.len()).rev().map(|end| path[..end].to_vec()).find(|at| modules.contains(at))?;
            let Some(name) = path.get(home.len()) else { return Some(home) };
            let passed_on = paths[&home].iter().find(|used| used.last() == Some(name) && **used != path);
            match passed_on {
                // `mod.rs` and `lib.rs` pass on what their files define.
                Some(definition) if definition.starts_with(&home) => path = definition.clone(),
                _ => return Some(home),
            }
        }
        None
    };
    let mut imports: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, paths) in &paths {
        for path in paths {
            if let Some(target) = resolve(path.clone()).filter(|target| target != *module) {
                // A face names its own files to pass them on; that is no dependency.
                if !target.starts_with(module) {
                    imports.entry((*module).clone()).or_default().insert(target);
                }
            }
        }
    }
    Ok(imports)
}

/// The first circle that is found, as the modules along it.
fn circle(imports: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Option<Vec<String>> {
    fn visit<'a>(
        at: &'a Vec<String>,
        imports: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
        path: &mut Vec<&'a Vec<String>>,
        done: &mut BTreeSet<&'a Vec<String>>,
    ) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|seen| *seen == at) {
            return Some(path[start..].iter().map(|module| module.join("::")).collect());
        }
        if !done.insert(at) {
            return None;
        }
        path.push(at);
        let found = imports.get(at).into_iter().flatten().find_map(|next| visit(next, imports, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| visit(module, imports, &mut Vec::new(), &mut done))
}

fn files_have_no_circles() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for host_crate in host_crates()? {
        let mut imports = imports_between(&host_crate.folder.join("src"))?;
        // bindgen's `with` names the host's own type of an open file, and that file names its bindings: the price of
        // keeping generated code behind one file.
        if let Some(bindings) = imports.get_mut(&vec!["bindings".to_owned()]).filter(|_| host_crate.name == "wasm") {
            bindings.clear();
        }
        while let Some(found) = circle(&imports) {
            let first: Vec<String> = found[0].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            let second = found.get(1).unwrap_or(&found[0]);
            let second: Vec<String> = second.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            wrong.push(format!("host/{}: {} → {}", host_crate.name, found.join(" → "), found[0]));
            imports.get_mut(&first).into_iter().for_each(|targets| {
                targets.remove(&second);
            });
        }
    }
    none(wrong)
}

/// What the packages are built of, with features, and with or without what only tests need.
fn features(packages: &[String], edges: &str) -> Result<BTreeSet<String>, Failed> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(repository()).args(["tree", "--locked", "--edges", edges, "--format", "{p} {f}"]);
    command.args(["--prefix", "none"]).args(packages.iter().flat_map(|package| ["--package", package]));
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
}

/// Everything that is compiled natively and tested: the host, the plugins and what is tested beside them.
fn tested_packages() -> Result<Vec<String>, Failed> {
    let mut packages: Vec<_> = TESTED_BESIDE.map(str::to_owned).into();
    for folder in ["host", "plugins"] {
        for entry in fs::read_dir(repository().join(folder))? {
            // A plugin that is not written in Rust has no manifest of cargo's.
            let Ok(manifest) = fs::read_to_string(entry?.path().join("Cargo.toml")) else { continue };
            let manifest: Table = manifest.parse()?;
            packages.push(manifest["package"]["name"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(packages)
}

/// A dependency whose features differ between the binary, the tests and the plugins' tests is built twice, with all that
/// stands on it.
fn features_are_the_same() -> Result<(), Failed> {
    let tested = features(&tested_packages()?, "normal,build,dev")?;
    let binary = features(&["hilora-host".to_owned()], "normal,build")?;
    let differing = binary.into_iter().filter(|package| !tested.contains(package));
    none(differing.map(|package| format!("tests build it with other features: {package}")).collect())
}

fn none(wrong: Vec<String>) -> Result<(), Failed> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
