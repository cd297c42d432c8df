//! The Rust SDK for hilora plugins: one module per kind of plugin, and one macro that exports it.
//!
//! A plugin is a `cdylib` built for `wasm32-wasip2`. It implements the trait of its kind, exports the type with the
//! macro of the same name, and embeds its manifest:
//!
//! ```ignore
//! use hilora_plugin_sdk::classifier::{Classification, ClassifyError, DomainClassifier, DomainInfo};
//!
//! pub struct MyClassifier;
//! impl DomainClassifier for MyClassifier { /* … */ }
//!
//! hilora_plugin_sdk::export_classifier!(MyClassifier);
//! hilora_plugin_sdk::manifest!("plugin.toml");
//! ```
//!
//! On a native target both macros export nothing, so that `cargo test` and `cargo clippy --all-targets` work on a
//! plugin as on any other crate. The SDK gives no access to files, network, clocks or randomness: a plugin has what
//! its world imports and nothing else.

#[doc(hidden)]
pub mod bindings;
mod manifest;
mod source_file;

pub mod types;

pub mod loader;

#[cfg(not(target_arch = "wasm32"))]
pub mod loader_contract;

pub mod classifier;

pub mod formatter;

pub mod checker;

pub mod runner;

/// For a plugin that has no options: whatever is not an empty JSON object is an error.
pub fn no_options(options: &str) -> Result<(), String> {
    let empty = options.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match empty.is_some_and(|inner| inner.trim().is_empty()) {
        true => Ok(()),
        false => Err(format!("expected no options, which this plugin does not have, got {options}")),
    }
}
