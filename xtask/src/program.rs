//! A program that a task runs: its command line in messages, its exit code as it is; and the files it finds there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command and fails where it fails. What it prints goes to standard error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command.stdout(std::io::stderr()))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command with its output on this terminal.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("cannot run `{}`", line(command)))
}

/// Runs a command, passes its standard output on to standard error and shows each line of it to `on_line`.
pub(crate) fn tee(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    read_lines(command, |text| {
        eprintln!("{text}");
        on_line(text);
    })
}

/// Runs a command and shows each line of its standard output to `on_line`.
pub(crate) fn read_lines(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run `{}`", line(command)))?;
    let output = child.stdout.take().context("the output is piped")?;
    for text in BufReader::new(output).lines() {
        on_line(&text?);
    }
    Ok(child.wait()?)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(repository: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from)
}

/// Replaces a file in one step, so that nobody ever loads half a component.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().context("a file stands in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, bytes).with_context(|| format!("cannot write {}", temporary.display()))?;
    fs::rename(&temporary, path).with_context(|| format!("cannot write {}", path.display()))
}

/// A command's standard output, where it can be run and succeeds.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The exit code to pass on: the command's own, or 128 and the signal that ended it, as shells say it.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
