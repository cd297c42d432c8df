//! Holds ARCHITECTURE.md's table of who may import whom against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::repository;

/// Modules that all may import, because they hold plain values.
const FOR_ALL: [&str; 2] = ["dataset", "artifact"];

/// Packages that only some modules may name, and those modules.
const FENCED_PACKAGES: [(&str, &[&str]); 6] = [
    ("wasmtime", &["wasm"]),
    ("candle_core", &["kernels", "model", "trainer", "evaluator"]),
    ("sqlx", &["registry"]),
    ("reqwest", &["traces"]),
    ("hf_hub", &["hub"]),
    ("ureq", &["hub"]),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("architecture::modules_import_only_what_the_table_allows", imports_follow_the_table),
        Trial::test("architecture::fenced_packages_stay_in_their_modules", packages_stay_fenced),
    ]
}

/// The rows of ARCHITECTURE.md's table: `| module | may import |`.
fn table() -> Result<BTreeMap<String, BTreeSet<String>>, Failed> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md"))?;
    let rows: BTreeMap<_, _> = text
        .lines()
        .skip_while(|line| !line.starts_with("| module | may import"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let module = cells.next()?.trim_matches('`').to_owned();
            let allowed = cells.next()?.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect();
            Some((module, allowed))
        })
        .collect();
    if rows.len() < 10 {
        return Err(format!("expected the import table in ARCHITECTURE.md, found {} rows", rows.len()).into());
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
    Ok(())
}

/// Every source file below a module of the host, with the module's name.
fn module_files() -> Result<Vec<(String, PathBuf)>, Failed> {
    let source = repository().join("host/src");
    let mut found = Vec::new();
    for entry in fs::read_dir(&source)? {
        let path = entry?.path();
        if path.is_dir() {
            let module = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            let mut files = Vec::new();
            rust_files(&path, &mut files)?;
            found.extend(files.into_iter().map(|file| (module.clone(), file)));
        }
    }
    Ok(found)
}

/// The first names after every `crate::` in code, comments left out.
fn imported_modules(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let group = rest.strip_prefix('{').and_then(|rest| rest.split_once("};")).map(|(group, _)| group);
            let names: Vec<&str> = match group {
                // `use crate::{a, b::c};`: the commas of nested groups do no harm, their names are not modules.
                Some(group) => group.split(',').collect(),
                None => vec![rest],
            };
            names
                .into_iter()
                .map(|name| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn imports_follow_the_table() -> Result<(), Failed> {
    let table = table()?;
    let files = module_files()?;
    let modules: BTreeSet<String> = files.iter().map(|(module, _)| module.clone()).collect();
    let mut wrong = Vec::new();
    for (module, file) in &files {
        let Some(allowed) = table.get(module) else {
            if !FOR_ALL.contains(&module.as_str()) {
                wrong.push(format!("the module `{module}` is missing from the table"));
            }
            continue;
        };
        if allowed.contains("everything") {
            continue;
        }
        for imported in imported_modules(&fs::read_to_string(file)?) {
            let ours = modules.contains(&imported) && imported != *module;
            if ours && !FOR_ALL.contains(&imported.as_str()) && !allowed.contains(&imported) {
                wrong.push(format!("{} imports `{imported}`, which the table does not allow", file.display()));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn packages_stay_fenced() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for (module, file) in module_files()? {
        let text = fs::read_to_string(&file)?;
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (package, allowed) in FENCED_PACKAGES {
            if code.contains(&format!("{package}::")) && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{} names `{package}`; only {allowed:?} may", file.display()));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
