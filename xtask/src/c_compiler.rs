//! A C compiler for the guests: zig, installed from PyPI into a virtual environment under `target/`.
//!
//! Guests are Rust but for zstd, QuickJS and CORE-MATH, which are C and need a compiler and headers that know WebAssembly.
//! Only commands that build guests get it; the host is built with the machine's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::program::{target_folder, write_if_changed};
use crate::python;

/// Makes the command build C for the guests' target.
pub(crate) fn provide(repository: &Path, command: &mut Command) -> Result<()> {
    let environment = python::environment(repository, "c-compiler-venv", &repository.join("xtask/c_compiler.txt"))?;
    let folder = target_folder(repository).join("c-compiler");
    // cargo names the target in a way that zig does not know; the wrapper names it itself.
    // CORE-MATH asks how numbers are rounded and notes what was inexact, for which WebAssembly has no words: there is one
    // way. Its build would also name the building machine's processor.
    let compiler = r#"ROUNDING='-DFE_DOWNWARD=1 -DFE_UPWARD=2 -DFE_TOWARDZERO=3 -DFE_UNDERFLOW=0 -DFE_OVERFLOW=0 -DFE_INEXACT=0 -DFE_INVALID=0 -DFE_DIVBYZERO=0 -Dprintf=no_printf -Dexit=no_exit'
for argument do
    shift
    case "$argument" in
    --target=* | -march=*) ;;
    vendor/src/binary*) set -- "$@" $ROUNDING "$argument" ;;
    *) set -- "$@" "$argument" ;;
    esac
done
set -- cc -target wasm32-wasi -g0 "$@""#;
    let archiver = r#"set -- ar "$@""#;
    // QuickJS's build script would look for another compiler for WebAssembly.
    command.env("RQUICKJS_SYS_NO_WASI_SDK", "1");
    for (variable, name, arguments) in [("CC_wasm32_wasip2", "cc", compiler), ("AR_wasm32_wasip2", "ar", archiver)] {
        command.env(variable, wrapper(&folder, name, &environment, arguments)?);
    }
    Ok(())
}

/// A program that calls zig with the arguments that `arguments` makes of its own. What zig keeps stays in `folder`.
fn wrapper(folder: &Path, name: &str, environment: &Path, arguments: &str) -> Result<PathBuf> {
    let quoted = |path: PathBuf| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let (python, cache) = (quoted(environment.join("bin/python")), quoted(folder.join("cache")));
    let script = format!(
        "#!/bin/sh\n{arguments}\nexport ZIG_GLOBAL_CACHE_DIR={cache} ZIG_LOCAL_CACHE_DIR={cache}\n\
         exec {python} -m ziglang \"$@\"\n"
    );
    let path = folder.join(name);
    write_if_changed(&path, script.as_bytes())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))?;
    Ok(path)
}
