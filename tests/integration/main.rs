//! The integration tests: the real binary, real components, real files. One binary, because linking is slow.
//!
//! A test that needs real data (`HILORA_REAL_DATA=<folder>`) shows as ignored where the variable is unset and fails
//! where it is set but the file is missing. Components come from `cargo xtask build`, which `cargo xtask test` runs.

use std::path::PathBuf;

use hilora_contract::fault::Fault;
use hilora_contract::plugin::PluginError;
use hilora_wasm::{HostOptions, PluginHost};
use libtest_mimic::{Arguments, Failed, Trial};

mod adapter_kinds;
mod architecture;
mod benchmarks;
mod chat_template;
mod command_line;
mod completions;
mod data;
mod datasets;
#[path = "../support/decoded.rs"]
mod decoded;
mod documents;
mod endpoint_evaluate;
mod enrich;
mod evaluate;
mod hub;
mod hub_attacks;
mod hub_data_sets;
mod instruction_sets;
mod judge;
mod main_job;
mod messages;
mod models;
mod parity;
mod plugin_projects;
mod plugins;
mod prepare;
mod registry;
mod run;
mod sandbox;
mod saved_modules;
mod tokenizer;
mod training;

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What a person is told of an error: its text, and a line for each hint.
pub fn told(error: &dyn Fault) -> String {
    let hints = error.hints().into_iter().map(|hint| format!("\nhint: {hint}"));
    std::iter::once(error.to_string()).chain(hints).collect()
}

/// A built component.
pub fn component(name: &str) -> PathBuf {
    repository().join("plugins").join(name).with_extension("wasm")
}

/// A plugin host whose compiled code is kept between runs of the tests.
pub fn plugin_host() -> Result<PluginHost, PluginError> {
    PluginHost::new(&HostOptions { cache_dir: repository().join("target/compiled-plugins"), ..HostOptions::default() })
}

/// A test that needs a file of the real data, given by its path in that folder.
pub fn real_data_trial(
    name: &str,
    file: &'static str,
    test: impl FnOnce(PathBuf) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let folder = std::env::var_os("HILORA_REAL_DATA").map(PathBuf::from);
    let absent = folder.is_none();
    Trial::test(name, move || {
        let path = folder.expect("an ignored test runs only when asked for with HILORA_REAL_DATA set").join(file);
        if !path.exists() {
            return Err(format!("HILORA_REAL_DATA is set, but {} does not exist", path.display()).into());
        }
        test(path)
    })
    .with_ignored_flag(absent)
}

fn main() {
    // A test of the registry starts this program again as a writer that it can kill.
    if let Err(error) = registry::write_until_killed_where_asked() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
    // Those of instruction sets start it again behind an emulator.
    match instruction_sets::write_bits_where_asked() {
        Ok(false) => {}
        Ok(true) => return,
        Err(error) => {
            eprintln!("error: {}", error.message().unwrap_or_default());
            std::process::exit(1);
        }
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(architecture::trials());
    trials.extend(benchmarks::trials());
    trials.extend(chat_template::trials());
    trials.extend(command_line::trials());
    trials.extend(completions::trials());
    trials.extend(datasets::trials());
    trials.extend(data::trials());
    trials.extend(documents::trials());
    trials.extend(endpoint_evaluate::trials());
    trials.extend(enrich::trials());
    trials.extend(evaluate::trials());
    trials.extend(hub::trials());
    trials.extend(hub_attacks::trials());
    trials.extend(hub_data_sets::trials());
    trials.extend(instruction_sets::trials());
    trials.extend(judge::trials());
    trials.extend(main_job::trials());
    trials.extend(messages::trials());
    trials.extend(plugin_projects::trials());
    trials.extend(prepare::trials());
    trials.extend(registry::trials());
    trials.extend(run::trials());
    trials.extend(models::trials());
    trials.extend(parity::trials());
    trials.extend(tokenizer::trials());
    trials.extend(training::trials());
    trials.extend(plugins::trials());
    trials.extend(sandbox::trials());
    trials.extend(saved_modules::trials());
    trials.extend(adapter_kinds::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
