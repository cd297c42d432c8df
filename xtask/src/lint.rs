//! Lints: clippy with warnings denied, over the host, the plugins' tests and the fuzz targets natively, and over the
//! guests for their own target.
//!
//! `cargo xtask lint` checks without building. Where everything is built anyway, a [`LintingCompiler`] lints on the way:
//! a check of its own would read all dependencies a second time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{announce, build, c_compiler, program};

/// What no lint may find.
const DENIED: [&str; 2] = ["-D", "warnings"];

/// Runs all of them; the first that finds something ends the task.
pub(crate) fn run(repository: &Path) -> Result<u8> {
    // The release profile: build scripts and macros are compiled once for lints, tests and the binary.
    announce("lints of the host, the plugins' tests and the fuzz targets");
    let mut command = build::cargo(repository, "clippy", &build::native_packages(repository)?);
    program::run(command.arg("--all-targets").arg("--").args(DENIED))?;
    announce("lints of the guests");
    let mut command = build::guest_cargo(repository, "clippy", &build::guest_packages(repository)?);
    c_compiler::provide(repository, &mut command)?;
    program::run(command.arg("--").args(DENIED))?;
    Ok(0)
}

/// A compiler for cargo that compiles a package of the workspace and then lints it, with what the compiler just read and
/// with the very arguments. Dependencies are compiled as ever.
pub(crate) struct LintingCompiler(PathBuf);

impl LintingCompiler {
    /// Places it under `target/`: a copy of this program, which may itself be built anew on the way.
    pub(crate) fn place(repository: &Path) -> Result<Self> {
        let path = program::target_folder(repository).join("linting-compiler");
        let this = std::env::current_exe().context("this program does not know its own file")?;
        let bytes = fs::read(&this).with_context(|| format!("cannot read {}", this.display()))?;
        program::write_if_changed(&path, &bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", path.display()))?;
        Ok(Self(path))
    }

    /// Makes cargo compile with it.
    pub(crate) fn lint(&self, command: &mut Command) {
        command.env("RUSTC_WORKSPACE_WRAPPER", &self.0);
    }
}

/// Where cargo calls this program as a [`LintingCompiler`], does that work; the result is the exit code.
pub(crate) fn run_as_compiler(arguments: &[OsString]) -> Option<Result<u8>> {
    let (compiler, arguments) = arguments.split_first()?;
    (Path::new(compiler).file_stem() == Some(OsStr::new("rustc"))).then(|| compile_and_lint(compiler, arguments))
}

fn compile_and_lint(compiler: &OsStr, arguments: &[OsString]) -> Result<u8> {
    let mut compile = Command::new(compiler);
    compile.args(arguments);
    let Some(lint_arguments) = lint_arguments(arguments) else {
        return Ok(program::exit_code(program::status(&mut compile)?));
    };
    // What the compiler itself warns of, the linter says again.
    let status = program::status(compile.arg("--cap-lints=allow"))?;
    if !status.success() {
        return Ok(program::exit_code(status));
    }
    // The linter writes metadata that nobody wants.
    let folder = std::env::temp_dir().join(format!("hilora-lint-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut lint = Command::new("clippy-driver");
    let status = program::status(lint.args(lint_arguments).arg("--out-dir").arg(&folder).args(DENIED));
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(program::exit_code(status?))
}

/// The arguments with which a package that was compiled with `arguments` is linted: those that say where and what to
/// write are left out. Nothing where cargo only asks about the compiler.
fn lint_arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let mut kept = Vec::new();
    let mut compiles = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if text.starts_with("--emit=") {
            compiles = true;
        } else if text == "--out-dir" {
            rest.next();
        } else if let Some(kinds) = text.strip_prefix("--json=") {
            // Cargo must not take what the linter writes for the package.
            let kinds: Vec<_> = kinds.split(',').filter(|kind| *kind != "artifacts").collect();
            kept.push(format!("--json={}", kinds.join(",")).into());
        } else {
            kept.push(argument.clone());
        }
    }
    kept.push("--emit=metadata".into());
    compiles.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_package_is_linted_with_the_arguments_that_compiled_it() {
        let compiled = strings(&[
            "--crate-name",
            "a",
            "--json=diagnostic-rendered-ansi,artifacts,future-incompat",
            "--emit=dep-info,metadata,link",
            "-C",
            "opt-level=3",
            "--warn=clippy::todo",
            "--out-dir",
            "target/release/deps",
            "--extern",
            "b=libb.rmeta",
        ]);
        let linted = strings(&[
            "--crate-name",
            "a",
            "--json=diagnostic-rendered-ansi,future-incompat",
            "-C",
            "opt-level=3",
            "--warn=clippy::todo",
            "--extern",
            "b=libb.rmeta",
            "--emit=metadata",
        ]);
        assert_eq!(lint_arguments(&compiled), Some(linted));
    }

    #[test]
    fn questions_about_the_compiler_are_not_linted() {
        assert_eq!(lint_arguments(&strings(&["-vV"])), None);
        assert_eq!(lint_arguments(&strings(&["-", "--crate-name", "___", "--print=file-names"])), None);
        assert!(run_as_compiler(&strings(&["test"])).is_none() && run_as_compiler(&[]).is_none());
    }
}
