//! `cargo xtask quickstart`: from a fresh clone to a proven adapter in one command.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{announce, build, program};

/// Builds everything and runs the main job; its exit code is passed on.
pub(crate) fn run(repository: &Path, arguments: &[String]) -> Result<u8> {
    build::build_host(repository)?;
    announce("building the plugins");
    build::build(repository)?;
    announce("hilora-host --plugin plugins/codecontests.wasm");
    let mut job = Command::new(program::target_folder(repository).join("release/hilora-host"));
    job.args(["--plugin", "plugins/codecontests.wasm"]).args(arguments);
    Ok(program::exit_code(program::status(&mut job)?))
}
