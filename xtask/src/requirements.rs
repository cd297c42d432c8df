//! Requirements: what a machine must have before anything is built. All that is missing is said at once, by name and
//! with a hint; what a task can install itself (the WebAssembly target) it installs.

use anyhow::{Result, bail};

use crate::{announce, program};

const TARGET: &str = "wasm32-wasip2";

/// The oldest Python that the build of the Python runner works with.
const PYTHON_MIN: (u32, u32) = (3, 10);

/// Prints the version and imports what making a virtual environment needs; Debian splits `ensurepip` off.
const PYTHON_PROBE: &str = "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])";

/// Checks everything, then installs the target where it is missing.
pub(crate) fn check() -> Result<()> {
    let missing: Vec<String> = [c_compiler(), rustup(), python()].into_iter().flatten().collect();
    if !missing.is_empty() {
        bail!("this machine lacks what the build needs:\n  - {}", missing.join("\n  - "));
    }
    if !target_is_installed() {
        announce(&format!("installing the Rust target {TARGET}"));
        program::run(std::process::Command::new("rustup").args(["target", "add", TARGET]))?;
    }
    Ok(())
}

/// Checks what some tasks alone need: libFuzzer is C++, and NVIDIA's compiler works through one of C++.
pub(crate) fn check_cpp_compiler(task: &str) -> Result<()> {
    match program::output("c++", &["--version"]) {
        Some(_) => Ok(()),
        None => bail!(
            "this machine lacks c++, a C++ compiler, which {task} needs\n    hint: apt install build-essential, or \
             xcode-select --install"
        ),
    }
}

fn c_compiler() -> Option<String> {
    match program::output("cc", &["--version"]) {
        Some(_) => None,
        None => {
            Some("cc, a C compiler and linker\n    hint: apt install build-essential, or xcode-select --install".into())
        }
    }
}

fn rustup() -> Option<String> {
    if target_is_installed() || program::output("rustup", &["--version"]).is_some() {
        return None;
    }
    Some(format!("rustup, or a Rust toolchain with the target {TARGET}\n    hint: https://rustup.rs"))
}

fn target_is_installed() -> bool {
    // The toolchain's own folder tells, with rustup or without it.
    let folder = program::output("rustc", &["--print", "target-libdir", "--target", TARGET]);
    folder.is_some_and(|folder| std::path::Path::new(folder.trim()).is_dir())
}

fn python() -> Option<String> {
    let (major, minor) = PYTHON_MIN;
    let wanted = format!("python3 {major}.{minor} or newer with venv");
    let hint = "hint: apt install python3 python3-venv";
    match program::output("python3", &["-c", PYTHON_PROBE]) {
        Some(text) => match parse_version(&text) {
            Some(version) if version >= PYTHON_MIN => None,
            _ => Some(format!("{wanted}; got Python {}\n    {hint}", text.trim().replace(' ', "."))),
        },
        None if program::output("python3", &["--version"]).is_some() => {
            Some(format!("{wanted}; this python3 has no venv or no ensurepip\n    {hint}"))
        }
        None => Some(format!("{wanted}; there is no python3\n    {hint}")),
    }
}

/// `3 11` as (3, 11).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(parse_version("3 11\n"), Some((3, 11)));
        assert!(parse_version("3 9\n").expect("a version") < PYTHON_MIN);
        assert_eq!(parse_version("Python 3"), None);
    }
}
