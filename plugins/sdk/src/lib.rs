//! The Rust SDK for hilora plugins: one module per kind of plugin, and one macro that exports it.
//!
//! A plugin is a `cdylib` built for `wasm32-wasip2`. It implements the trait of its kind, exports the type with the
//! macro of the same name, and embeds its manifest:
//!
//! ```
//! use hilora_plugin_sdk::classifier::{Classification, DomainClassifier, DomainInfo};
//! use hilora_plugin_sdk::types::ProblemText;
//!
//! pub struct Everything;
//!
//! impl DomainClassifier for Everything {
//!     fn domains() -> Vec<DomainInfo> {
//!         vec![DomainInfo::new("everything", "Whatever there is")]
//!     }
//!
//!     fn classify(_problem: &ProblemText) -> Result<Classification, String> {
//!         Ok(Classification::of("everything"))
//!     }
//! }
//!
//! hilora_plugin_sdk::export_classifier!(Everything);
//! # // A plugin has its own manifest here: `hilora_plugin_sdk::manifest!("plugin.toml");`
//! # fn main() {}
//! ```
//!
//! and `hilora_plugin_sdk::manifest!("plugin.toml");`. `hilora-host plugin new` writes such a project, [`harness`] is what
//! its tests call, and [`options()`] reads options into a struct of one's own.
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

#[cfg(not(target_arch = "wasm32"))]
pub mod harness;

pub mod classifier;

pub mod formatter;

pub mod checker;

pub mod runner;

/// The options of a config or a problem, one JSON object, as a struct of one's own. Derive `Deserialize` for it with
/// `#[serde(deny_unknown_fields)]`: a key that a plugin does not know must be refused. An error tells the key and what was
/// expected.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Options {
///     #[serde(default)]
///     ignore_case: bool,
/// }
///
/// assert!(hilora_plugin_sdk::options::<Options>(r#"{"ignore_case": true}"#).is_ok_and(|options| options.ignore_case));
/// let refused = hilora_plugin_sdk::options::<Options>(r#"{"case": true}"#).err();
/// assert!(refused.is_some_and(|why| why.contains("unknown field `case`, expected `ignore_case`")));
/// ```
pub fn options<T: serde::de::DeserializeOwned>(options: &str) -> Result<T, String> {
    serde_json::from_str(options).map_err(|error| error.to_string())
}

/// For a plugin that has no options: whatever is not an empty JSON object is an error.
pub fn no_options(options: &str) -> Result<(), String> {
    let empty = options.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match empty.is_some_and(|inner| inner.trim().is_empty()) {
        true => Ok(()),
        false => Err(format!("expected no options, which this plugin does not have, got {options}")),
    }
}
