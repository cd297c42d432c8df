//! Plugins as WebAssembly components: the one module that knows wasmtime.
//!
//! It implements the traits of `plugin` over components, each kind in a file of its own. A component gets nothing by
//! default: no files, no network, no environment, a virtual clock and fixed randomness; every call has a limit of
//! memory, time and output. Nothing of wasmtime or of the generated bindings leaves this module.

#[cfg(test)]
mod any_component;

mod answer;
mod bindings;
mod cache;
mod checker;
mod checker_folder;
mod classifier;
mod clock;
mod compiler;
mod component_file;
mod component_parts;
mod engine;
mod execution;
mod formatter;
mod guest;
mod limits;
mod linker;
mod loaded_plugin;
mod loader;
mod memory;
mod messages;
mod metering;
mod pack;
mod plugin_host;
mod plugin_log;
mod proposals;
mod runner;
mod sealed_file;
mod source;
mod stdio;

pub use checker_folder::CheckerFolder;
pub use compiler::{CompileLimits, CompileObserver, CompileRequest, CompilerProcess, set_compiler_process};
pub use loaded_plugin::CallUsage;
pub use pack::{PackError, pack};
pub use plugin_host::{HostOptions, Inspection, PluginHost, SharedRunner, inherited_runner};
pub use plugin_log::PLUGIN_LOG_TARGET;
