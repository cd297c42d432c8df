//! `hilora-host plugin new`: a project of one's own that builds and passes its own tests, anywhere on disk.
//!
//! It is an example of the repository with another name, beside the SDK and the interface that it needs. Nothing is fetched.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hilora_contract::artifact::{AtomicFolder, FileError};
use hilora_contract::plugin::{Manifest, PluginKind};
use serde_json::json;

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::plugin_language::Language;
use super::plugin_template::{
    EXAMPLES, Example, JAVASCRIPT, JAVASCRIPT_SDK, PYTHON, PYTHON_SDK, RUST, RUST_SDK, RUST_SDK_MANIFEST, WIT,
};

/// Names that a Rust package cannot have, or that stand for something else in one.
const RESERVED_NAMES: [&str; 44] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "final",
    "fn",
    "for",
    "hilora-plugin-sdk",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "serde",
    "serde-json",
    "static",
    "std",
    "struct",
    "test",
    "trait",
    "type",
    "use",
    "while",
];

/// Files that are made and not written.
const IGNORED: &str = "/target\n/.venv\n/node_modules\n__pycache__/\n*.wasm\n";

/// A kind of plugin, in a word.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KindName {
    /// Reads a dataset format
    #[value(alias = "dataset-loader")]
    Loader,
    /// Sorts problems into domains
    #[value(alias = "domain-classifier")]
    Classifier,
    /// Lays out prompts and lessons
    #[value(alias = "prompt-formatter")]
    Formatter,
    /// Judges answers where several are right
    #[value(alias = "output-checker")]
    Checker,
    /// Runs programs of a language
    #[value(alias = "solution-runner")]
    Runner,
}

impl KindName {
    fn kind(self) -> PluginKind {
        match self {
            Self::Loader => PluginKind::DatasetLoader,
            Self::Classifier => PluginKind::DomainClassifier,
            Self::Formatter => PluginKind::PromptFormatter,
            Self::Checker => PluginKind::OutputChecker,
            Self::Runner => PluginKind::SolutionRunner,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Loader => "Loader",
            Self::Classifier => "Classifier",
            Self::Formatter => "Formatter",
            Self::Checker => "Checker",
            Self::Runner => "Runner",
        }
    }
}

/// Arguments of `plugin new`.
#[derive(Debug, Args)]
pub(super) struct NewArguments {
    /// The plugin's name: lower-case letters, digits and dashes
    name: String,
    /// What it does
    #[arg(long, value_enum)]
    kind: KindName,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    language: Language,
    /// The project's folder, which must not exist or be empty [default: NAME]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl NewArguments {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let example = self.example()?;
        self.check_name()?;
        let folder = self.path.clone().unwrap_or_else(|| PathBuf::from(&self.name));
        let project = AtomicFolder::create(&folder)?;
        for (path, text) in self.files(example) {
            let path = project.partial().join(path);
            let write = |path: &PathBuf| {
                fs::create_dir_all(path.parent().unwrap_or(path))?;
                fs::write(path, &text)
            };
            write(&path).map_err(|error| FileError::writing(&path, error))?;
        }
        project.commit()?;
        let file = match self.language {
            Language::Rust => "src/lib.rs",
            Language::Python => "plugin.py",
            Language::JavaScript => "plugin.js",
        };
        let told = json!({
            "name": self.name, "kind": self.kind.kind(), "language": self.language.to_string(), "folder": folder,
            "fill_in": folder.join(file),
        });
        let text = format!(
            "{folder} is a {kind} in {language}\nfill in       {file}\nthen          hilora-host plugin build {folder}",
            folder = folder.display(),
            kind = self.kind.kind(),
            language = self.language,
            file = folder.join(file).display(),
        );
        console.result(&told, &text)?;
        Ok(ExitStatus::Done)
    }

    fn example(&self) -> Result<&'static Example> {
        let kind = self.kind.kind();
        let of_kind = || EXAMPLES.iter().filter(move |example| example.kind == kind);
        of_kind().find(|example| example.language == self.language).ok_or_else(|| {
            let languages: Vec<String> = of_kind().map(|example| example.language.to_string()).collect();
            Failure::bad_input(
                format!("there is no {kind} in {} to begin with", self.language),
                format!("expected `--language` {}", languages.join(" or ")),
            )
        })
    }

    fn check_name(&self) -> Result<()> {
        let example =
            "a name such as `word-classifier`: lower-case letters, digits and dashes, beginning with a letter";
        if Manifest::parse(&format!("name = {:?}\nversion = \"0.1.0\"", self.name)).is_err() {
            return Err(Failure::bad_input(format!("expected a plugin's name, got `{}`", self.name), example));
        }
        if RESERVED_NAMES.contains(&self.name.as_str()) {
            let message = format!("expected a plugin's name, got `{}`, which stands for something else", self.name);
            return Err(Failure::bad_input(message, example));
        }
        Ok(())
    }

    /// Every file of the project with its text.
    fn files(&self, example: &Example) -> Vec<(String, String)> {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), self.named(text, example.name));
        let under = |folder: &str, files: &[(&str, &str)]| -> Vec<(String, String)> {
            files.iter().map(|(path, text)| (format!("{folder}/{path}"), (*text).to_owned())).collect()
        };
        let mut files: Vec<(String, String)> = example.files.iter().map(own).collect();
        files.push((".gitignore".to_owned(), IGNORED.to_owned()));
        match self.language {
            Language::Rust => {
                files.extend(RUST.iter().map(own));
                files.push(("sdk/Cargo.toml".to_owned(), RUST_SDK_MANIFEST.to_owned()));
                files.extend(under("sdk", RUST_SDK));
                files.extend(under("sdk/wit", WIT));
            }
            Language::Python => {
                files.extend(PYTHON.iter().map(own));
                files.extend(under("hilora_plugin", PYTHON_SDK));
                files.extend(self.world());
            }
            Language::JavaScript => {
                files.extend(JAVASCRIPT.iter().map(own));
                files.extend(under("hilora-plugin", JAVASCRIPT_SDK));
                files.extend(self.world());
            }
        }
        files
    }

    /// The interfaces with the world of this kind alone, so that a tool need not be told which it is.
    fn world(&self) -> Vec<(String, String)> {
        let head = format!("world {} {{", self.kind.kind());
        let mut files = Vec::new();
        for (path, text) in WIT {
            let text = match *path {
                "worlds.wit" => {
                    let package = text.lines().next().unwrap_or_default();
                    let world: Vec<&str> =
                        text.lines().skip_while(|line| *line != head).take_while(|line| !line.is_empty()).collect();
                    format!("{package}\n\n/// What the plugin is.\n{}\n", world.join("\n"))
                }
                _ => (*text).to_owned(),
            };
            files.push((format!("wit/{path}"), text));
        }
        files
    }

    /// The text with the project's name in the place of the example's.
    fn named(&self, text: &str, example: &str) -> String {
        let mut type_name = in_capitals(&self.name);
        let word = self.kind.word();
        if type_name == word {
            type_name = format!("My{word}");
        } else if !type_name.ends_with(word) {
            type_name.push_str(word);
        }
        text.replace("plugin-name", &self.name)
            .replace("plugin-kind", &self.kind.kind().to_string())
            .replace(example, &self.name)
            .replace(&in_capitals(example), &type_name)
    }
}

/// `word-classifier` as the name of a type.
fn in_capitals(name: &str) -> String {
    let capitalized = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str())).unwrap_or_default()
    };
    name.split('-').map(capitalized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(name: &str, kind: KindName, language: Language) -> NewArguments {
        NewArguments { name: name.to_owned(), kind, language, path: None }
    }

    #[test]
    fn a_project_has_its_own_name_everywhere() {
        for example in EXAMPLES {
            let kind =
                KindName::value_variants().iter().find(|kind| kind.kind() == example.kind).expect("it is a kind");
            let new = arguments("own-name", *kind, example.language);
            let files = new.files(example);
            for (path, text) in &files {
                let sample = [example.name, &in_capitals(example.name), "plugin-name", "plugin-kind"];
                let is_sdk = path.contains("hilora") || path.starts_with("sdk/");
                assert!(is_sdk || !sample.iter().any(|name| text.contains(name)), "{path} of {}", example.name);
            }
            let manifest = files.iter().find(|(path, _)| path == "plugin.toml").expect("there is a manifest");
            assert_eq!(Manifest::parse(&manifest.1).expect("it is one").name, "own-name");
            assert!(files.iter().any(|(path, _)| path == "golden.jsonl" || path == "README.md"));
        }
    }

    #[test]
    fn a_type_has_a_name_that_nothing_else_has() {
        let named =
            |name| arguments(name, KindName::Classifier, Language::Rust).named("CustomClassifier", "custom-classifier");
        assert_eq!(named("word-classifier"), "WordClassifier");
        assert_eq!(named("string"), "StringClassifier");
        assert_eq!(named("classifier"), "MyClassifier");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", "A", "1a", "a b", "../a", "fn", "serde", "a\"\nb"] {
            assert!(arguments(name, KindName::Loader, Language::Rust).check_name().is_err(), "{name}");
        }
        assert!(arguments("a-1", KindName::Loader, Language::Rust).check_name().is_ok());
    }

    #[test]
    fn the_world_of_a_kind_stands_alone() {
        for kind in KindName::value_variants() {
            let files = arguments("a", *kind, Language::Python).world();
            let (_, world) = files.iter().find(|(path, _)| path == "wit/worlds.wit").expect("there are worlds");
            assert_eq!(world.matches("\nworld ").count(), 1, "{world}");
            assert!(world.contains("    export ") && world.trim_end().ends_with('}'), "{world}");
        }
    }
}
