//! What new plugin projects are made of: the SDKs, the interfaces and the examples, as they lie in the repository, embedded
//! in the binary. Nothing is ever fetched. A test holds the lists against the folders.

use hilora_contract::plugin::PluginKind;

use super::plugin_language::Language;

/// A file of a project: where it lies in its folder, and its text.
pub(super) type TemplateFile = (&'static str, &'static str);

/// Files of a folder of the repository.
macro_rules! files {
    ($folder:literal; $($file:literal),* $(,)?) => {
        [$(($file, include_str!(concat!($folder, "/", $file)))),*]
    };
}

/// The interfaces.
pub(super) const WIT: &[TemplateFile] = &files![
    "../../../wit";
    "dataset-loader.wit",
    "domain-classifier.wit",
    "output-checker.wit",
    "prompt-formatter.wit",
    "solution-runner.wit",
    "types.wit",
    "worlds.wit",
];

/// The Rust SDK without its manifest, which names the workspace, and its interfaces.
pub(super) const RUST_SDK: &[TemplateFile] = &files![
    "../../../plugins/sdk";
    "README.md",
    "src/bindings.rs",
    "src/checker.rs",
    "src/classifier.rs",
    "src/formatter.rs",
    "src/harness/golden.rs",
    "src/harness/mod.rs",
    "src/lib.rs",
    "src/loader.rs",
    "src/loader_contract.rs",
    "src/manifest.rs",
    "src/runner.rs",
    "src/source_file.rs",
    "src/types.rs",
];

/// The Python SDK.
pub(super) const PYTHON_SDK: &[TemplateFile] = &files![
    "../../../plugins/sdk-python/hilora_plugin";
    "__init__.py",
    "checker.py",
    "classifier.py",
    "component.py",
    "formatter.py",
    "loader.py",
    "py.typed",
    "testing.py",
    "types.py",
];

/// The JavaScript SDK.
pub(super) const JAVASCRIPT_SDK: &[TemplateFile] = &files![
    "../../../plugins/sdk-javascript/hilora-plugin";
    "index.d.ts",
    "index.js",
    "package.json",
    "testing.d.ts",
    "testing.js",
];

/// What belongs to a language and to no kind.
pub(super) const RUST: &[TemplateFile] = &files!["../templates/rust"; "Cargo.toml", "README.md"];
/// The SDK's manifest outside of the workspace.
pub(super) const RUST_SDK_MANIFEST: &str = include_str!("../templates/rust/sdk.toml");
/// What belongs to a language and to no kind.
pub(super) const PYTHON: &[TemplateFile] = &files!["../templates/python"; "README.md", "requirements.txt"];
/// What belongs to a language and to no kind.
pub(super) const JAVASCRIPT: &[TemplateFile] = &files!["../templates/javascript"; "README.md"];

/// An example that new projects are made of.
pub(super) struct Example {
    /// The language that it is written in.
    pub(super) language: Language,
    /// The kind of plugin that it is.
    pub(super) kind: PluginKind,
    /// Its name, which the project's own replaces.
    pub(super) name: &'static str,
    /// Its files.
    pub(super) files: &'static [TemplateFile],
}

/// Every example.
pub(super) const EXAMPLES: &[Example] = &[
    Example {
        language: Language::Rust,
        kind: PluginKind::DatasetLoader,
        name: "csv-loader",
        files: &files![
            "../../../examples/plugins/rust/csv-loader";
            "golden.csv",
            "golden.jsonl",
            "plugin.toml",
            "src/csv.rs",
            "src/lib.rs",
        ],
    },
    Example {
        language: Language::Rust,
        kind: PluginKind::DomainClassifier,
        name: "custom-classifier",
        files: &files![
            "../../../examples/plugins/rust/custom-classifier";
            "golden.jsonl",
            "plugin.toml",
            "src/lib.rs",
        ],
    },
    Example {
        language: Language::Rust,
        kind: PluginKind::PromptFormatter,
        name: "chat-formatter",
        files: &files![
            "../../../examples/plugins/rust/chat-formatter";
            "golden.jsonl",
            "plugin.toml",
            "src/lib.rs",
        ],
    },
    Example {
        language: Language::Rust,
        kind: PluginKind::OutputChecker,
        name: "pair-checker",
        files: &files![
            "../../../examples/plugins/rust/pair-checker";
            "golden.jsonl",
            "plugin.toml",
            "src/lib.rs",
        ],
    },
    Example {
        language: Language::Rust,
        kind: PluginKind::SolutionRunner,
        name: "calculator-runner",
        files: &files![
            "../../../examples/plugins/rust/calculator-runner";
            "golden.jsonl",
            "plugin.toml",
            "src/lib.rs",
        ],
    },
    Example {
        language: Language::Python,
        kind: PluginKind::DatasetLoader,
        name: "csv-loader",
        files: &files![
            "../../../examples/plugins/python/csv-loader";
            "app.py",
            "golden.csv",
            "golden.jsonl",
            "plugin.py",
            "plugin.toml",
            "test_plugin.py",
        ],
    },
    Example {
        language: Language::Python,
        kind: PluginKind::DomainClassifier,
        name: "custom-classifier",
        files: &files![
            "../../../examples/plugins/python/custom-classifier";
            "app.py",
            "golden.jsonl",
            "plugin.py",
            "plugin.toml",
            "test_plugin.py",
        ],
    },
    Example {
        language: Language::Python,
        kind: PluginKind::PromptFormatter,
        name: "chat-formatter",
        files: &files![
            "../../../examples/plugins/python/chat-formatter";
            "app.py",
            "golden.jsonl",
            "plugin.py",
            "plugin.toml",
            "test_plugin.py",
        ],
    },
    Example {
        language: Language::Python,
        kind: PluginKind::OutputChecker,
        name: "pair-checker",
        files: &files![
            "../../../examples/plugins/python/pair-checker";
            "app.py",
            "golden.jsonl",
            "plugin.py",
            "plugin.toml",
            "test_plugin.py",
        ],
    },
    Example {
        language: Language::JavaScript,
        kind: PluginKind::DomainClassifier,
        name: "custom-classifier",
        files: &files![
            "../../../examples/plugins/javascript/custom-classifier";
            "golden.jsonl",
            "package.json",
            "plugin.js",
            "plugin.test.js",
            "plugin.toml",
        ],
    },
    Example {
        language: Language::JavaScript,
        kind: PluginKind::PromptFormatter,
        name: "chat-formatter",
        files: &files![
            "../../../examples/plugins/javascript/chat-formatter";
            "golden.jsonl",
            "package.json",
            "plugin.js",
            "plugin.test.js",
            "plugin.toml",
        ],
    },
    Example {
        language: Language::JavaScript,
        kind: PluginKind::OutputChecker,
        name: "pair-checker",
        files: &files![
            "../../../examples/plugins/javascript/pair-checker";
            "golden.jsonl",
            "package.json",
            "plugin.js",
            "plugin.test.js",
            "plugin.toml",
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn files_under(folder: &Path, prefix: &str, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let entry = entry.expect("the folder can be read");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.path().is_dir() {
                true if !name.ends_with("__pycache__") => files_under(&entry.path(), &format!("{name}/"), into),
                true => {}
                false => {
                    into.insert(name);
                }
            }
        }
    }

    #[test]
    fn every_file_of_a_template_is_embedded() {
        let holds = |folder: &str, files: &[TemplateFile], others: &[&str]| {
            let mut there = BTreeSet::new();
            files_under(&repository().join(folder), "", &mut there);
            there.retain(|file| !others.iter().any(|other| file.starts_with(other)));
            let embedded: BTreeSet<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(embedded, there, "{folder}");
        };
        holds("wit", WIT, &[]);
        holds("plugins/sdk", RUST_SDK, &["Cargo.toml", "wit/"]);
        holds("plugins/sdk-python/hilora_plugin", PYTHON_SDK, &[]);
        holds("plugins/sdk-javascript/hilora-plugin", JAVASCRIPT_SDK, &[]);
        for Example { language, name, files, .. } in EXAMPLES {
            let others = ["Cargo.toml", "README.md", "hilora_plugin/", "hilora-plugin/"];
            holds(&format!("examples/plugins/{language}/{name}"), files, &others);
        }
    }

    #[test]
    fn the_sdk_asks_for_what_the_workspace_asks_for() {
        let manifest = |text: &str| text.parse::<toml::Table>().expect("it is TOML");
        let workspace = fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace has a manifest");
        let workspace = manifest(&workspace);
        let (package, shared) = (&workspace["workspace"]["package"], &workspace["workspace"]["dependencies"]);
        let here = fs::read_to_string(repository().join("plugins/sdk/Cargo.toml")).expect("the SDK has a manifest");
        let (here, embedded) = (manifest(&here), manifest(RUST_SDK_MANIFEST));
        let names = |table: &toml::Value| table.as_table().map(|it| it.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names(&here["dependencies"]), names(&embedded["dependencies"]));
        for (name, asked) in embedded["dependencies"].as_table().expect("it is a table") {
            assert_eq!(*asked, shared[name], "{name}");
        }
        for key in ["version", "edition", "rust-version", "license"] {
            assert_eq!(embedded["package"][key], package[key], "{key}");
        }
        let pinned = fs::read_to_string(repository().join("plugins/python-runner/requirements.txt"));
        let (_, requirements) = PYTHON.iter().find(|(name, _)| *name == "requirements.txt").expect("it is there");
        assert!(pinned.expect("the runner pins it").contains(requirements.trim()), "one componentize-py");
    }
}
