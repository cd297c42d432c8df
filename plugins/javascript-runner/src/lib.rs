//! The JavaScript runner: QuickJS in a component, with as much of Node.js as a program needs that reads standard input
//! and writes standard output (`prelude.js`). Where tests call a function of the program, `entry_point` finds it.
//!
//! It limits nothing (the host does), judges nothing and never sees an expected output.

mod entry_point;
mod program;
mod streams;

use std::ffi::CStr;

use hilora_plugin_sdk::runner::{Outcome, RunnerInfo, SolutionRunner};
use hilora_plugin_sdk::types::language;

/// The plugin.
pub struct JavaScriptRunner;

impl SolutionRunner for JavaScriptRunner {
    fn describe() -> RunnerInfo {
        // SAFETY: the function takes nothing and returns a constant text that ends with a zero byte.
        let version = unsafe { CStr::from_ptr(rquickjs::qjs::JS_GetVersion()) };
        RunnerInfo {
            language: language::JAVASCRIPT.to_owned(),
            file_extension: "js".to_owned(),
            interpreter: format!("QuickJS-ng {}", version.to_string_lossy()),
            calls_functions: true,
        }
    }

    fn run(code: String, entry_point: Option<String>) -> Outcome {
        let outcome = program::run(&code, entry_point.as_deref());
        streams::flush();
        outcome
    }
}

hilora_plugin_sdk::export_runner!(JavaScriptRunner);
hilora_plugin_sdk::manifest!("plugin.toml");
