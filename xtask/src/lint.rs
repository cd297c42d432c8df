//! `cargo xtask lint`: clippy with warnings denied, over the host natively and over the guests for their own target.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{announce, c_compiler, program};

/// Runs both; the first that finds something ends the task.
pub(crate) fn run(repository: &Path) -> Result<u8> {
    // The release profile throughout: build scripts and macros are compiled once for lints, tests and the binary.
    let host = ["--release", "--package", "hilora-host", "--package", "xtask", "--all-targets"];
    let guests = [
        "--profile",
        "guest",
        "--target",
        "wasm32-wasip2",
        "--workspace",
        "--exclude",
        "hilora-host",
        "--exclude",
        "xtask",
        "--exclude",
        "hilora-fuzz",
    ];
    announce("lints of the host");
    program::run(clippy(repository).args(host).args(["--", "-D", "warnings"]))?;
    announce("lints of the guests");
    let mut command = clippy(repository);
    c_compiler::provide(repository, &mut command)?;
    program::run(command.args(guests).args(["--", "-D", "warnings"]))?;
    Ok(0)
}

fn clippy(repository: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(repository).arg("clippy");
    command
}
