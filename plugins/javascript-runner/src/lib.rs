//! The JavaScript runner: QuickJS in a component, with as much of Node.js as a program needs that reads standard input
//! and writes standard output (`prelude.js`).
//!
//! It limits nothing (the host does), judges nothing and never sees an expected output.

mod program;
mod streams;

use hilora_plugin_sdk::runner::{Outcome, RunnerInfo, SolutionRunner};
use hilora_plugin_sdk::types::Language;

/// The plugin.
pub struct JavaScriptRunner;

impl SolutionRunner for JavaScriptRunner {
    fn describe() -> RunnerInfo {
        RunnerInfo { language: Language::Javascript, interpreter: "QuickJS-ng".to_owned() }
    }

    fn run(code: String) -> Outcome {
        let outcome = program::run(&code);
        streams::flush();
        outcome
    }
}

hilora_plugin_sdk::export_runner!(JavaScriptRunner);
hilora_plugin_sdk::manifest!("plugin.toml");
