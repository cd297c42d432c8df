//! Virtual environments of Python under `target/`, each with the packages that one pinned requirements file names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::program::{run, target_folder, write_if_changed};

/// The environment `name`, made where it is missing or of other requirements.
pub(crate) fn environment(repository: &Path, name: &str, requirements: &Path) -> Result<PathBuf> {
    let environment = target_folder(repository).join(name);
    let stamp = environment.join("requirements.txt");
    let wanted = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    if fs::read(&stamp).is_ok_and(|old| old == wanted) {
        return Ok(environment);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let python = environment.join("bin/python");
    if !python.is_file() {
        bail!("`python3 -m venv` made no {}", python.display());
    }
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(requirements))?;
    write_if_changed(&stamp, &wanted)?;
    Ok(environment)
}
