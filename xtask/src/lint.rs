//! `cargo xtask lint`: clippy with warnings denied, over the host, the fuzz targets and the plugins' tests natively, and
//! over the guests for their own target.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::test::plugin_packages;
use crate::{announce, build, c_compiler, program, requirements};

/// The package of the fuzz targets, which are native programs.
const FUZZ_PACKAGE: &str = "hilora-fuzz";

/// Runs all of them; the first that finds something ends the task.
pub(crate) fn run(repository: &Path) -> Result<u8> {
    // The release profile throughout: build scripts and macros are compiled once for lints, tests and the binary.
    let host = build::host_packages(repository)?;
    let packages = host.iter().flat_map(|package| ["--package", package]);
    announce("lints of the host");
    let mut command = clippy(repository);
    program::run(command.args(["--release", "--all-targets"]).args(packages).args(["--", "-D", "warnings"]))?;
    announce("lints of the plugins' tests");
    let mut command = clippy(repository);
    command.args(["--release", "--all-targets"]);
    command.args(plugin_packages().into_iter().flat_map(|package| ["--package", package]));
    match requirements::check_cpp_compiler("fuzzing") {
        Ok(()) => {
            command.args(["--package", FUZZ_PACKAGE]);
        }
        Err(_) => announce("without the fuzz targets: libFuzzer needs c++, a C++ compiler"),
    }
    program::run(command.args(["--", "-D", "warnings"]))?;
    announce("lints of the guests");
    let mut command = clippy(repository);
    c_compiler::provide(repository, &mut command)?;
    command.args(["--profile", build::PROFILE, "--target", build::TARGET, "--workspace", "--exclude", FUZZ_PACKAGE]);
    command.args(host.iter().flat_map(|package| ["--exclude", package]));
    program::run(command.args(["--", "-D", "warnings"]))?;
    Ok(0)
}

fn clippy(repository: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(repository).arg("clippy");
    command
}
