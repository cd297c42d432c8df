//! `cargo xtask fuzz`: feeds every dataset loader damaged files, natively, with libFuzzer on stable Rust.
//!
//! A target begins with the corpus in `tests/fuzz/<loader>`, keeps what it finds beside it in `target/fuzz/corpus`, and
//! puts an input that fails under `target/fuzz/failures`. Two targets run at a time. The tests replay the corpora; an
//! input that failed belongs there as `found-<what>`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::{announce, program, requirements};

/// The seconds for which each target runs where nobody says otherwise.
pub(crate) const SECONDS: u32 = 60;

/// How many targets run at a time.
const AT_A_TIME: usize = 2;

/// What LLVM's coverage pass writes into the code; the flags are stable Rust's, and `cargo fuzz` passes the same.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                               -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                               -Cllvm-args=-sanitizer-coverage-pc-table \
                               -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The bounds that an input must keep: the largest input, the memory of the whole process and the time for one input.
const BOUNDS: [&str; 3] = ["-max_len=65536", "-rss_limit_mb=1024", "-timeout=10"];

/// Runs one target, or all of them; 0 where they found nothing.
pub(crate) fn run(repository: &Path, loader: Option<&str>, seconds: u32) -> Result<u8> {
    requirements::check_cpp_compiler("fuzzing")?;
    let mut loaders = loaders(repository)?;
    if let Some(loader) = loader {
        if !loaders.iter().any(|known| known == loader) {
            bail!("expected one of the loaders {}, got `{loader}`", loaders.join(", "));
        }
        loaders = vec![loader.to_owned()];
    }
    announce("building the fuzz targets (the first time takes some minutes)");
    let targets = build(repository)?;
    announce(&format!("fuzzing {} for {seconds} s each", loaders.join(", ")));
    let folder = program::target_folder(repository).join("fuzz");
    let (waiting, failed) = (Mutex::new(loaders.into_iter()), AtomicBool::new(false));
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let next = waiting.lock().map(|mut waiting| waiting.next());
                let Ok(Some(loader)) = next else { return Ok(()) };
                if !fuzz(repository, &targets, &folder, &loader, seconds)? {
                    failed.store(true, Ordering::Relaxed);
                }
            }
        };
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread that runs the fuzz targets ended early"),
        })
    })?;
    Ok(u8::from(failed.into_inner()))
}

/// The loaders that have a target: the files in `fuzz/src/bin`.
fn loaders(repository: &Path) -> Result<Vec<String>> {
    let folder = repository.join("fuzz/src/bin");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Builds every target and tells the folder that they lie in. Their folder is their own, because instrumented code must
/// not mix with the product's.
fn build(repository: &Path) -> Result<PathBuf> {
    let host = program::output("rustc", &["--print", "host-tuple"]).context("rustc does not tell the host's target")?;
    let host = host.trim();
    let folder = program::target_folder(repository).join("fuzz");
    let mut command = Command::new("cargo");
    // A target by name keeps the flags away from build scripts and macros.
    command.env("RUSTFLAGS", INSTRUMENTATION).env_remove("CARGO_TARGET_DIR");
    command.args([
        "build",
        "--package",
        "hilora-fuzz",
        "--bins",
        "--profile",
        "fuzz",
        "--target",
        host,
        "--target-dir",
    ]);
    program::run(command.arg(&folder))?;
    Ok(folder.join(host).join("fuzz"))
}

/// Runs one target; whether it found nothing.
fn fuzz(repository: &Path, targets: &Path, folder: &Path, loader: &str, seconds: u32) -> Result<bool> {
    let (corpus, failures) = (folder.join("corpus").join(loader), folder.join("failures").join(loader));
    for folder in [&corpus, &failures] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = folder.join(format!("{loader}.log"));
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(targets.join(loader));
    command.args(BOUNDS).arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/", failures.display()));
    command.arg(&corpus).arg(repository.join("tests/fuzz").join(loader));
    let status = program::status(command.stdout(output.try_clone()?).stderr(output))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    match status.success() {
        true => announce(&format!("{loader}: {}", figures(&text))),
        false => {
            let tail: Vec<&str> = text.lines().rev().take(30).collect();
            tail.iter().rev().for_each(|line| eprintln!("    {line}"));
            announce(&format!("{loader}: FAILED; the whole log is {}", log.display()));
        }
    }
    Ok(status.success())
}

/// What libFuzzer's closing lines say.
fn figures(log: &str) -> String {
    let figure = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        line.map_or("?", |rest| rest.trim_start_matches(':').trim()).to_owned()
    };
    let coverage = log.lines().rev().find_map(|line| line.split(" cov: ").nth(1)?.split(' ').next());
    format!(
        "{} inputs, {} edges, {} MiB at most, nothing found",
        figure("number_of_executed_units"),
        coverage.unwrap_or("?"),
        figure("peak_rss_mb")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_closing_lines() {
        let log = "#2\tINITED cov: 99 ft: 100\n#12\tNEW    cov: 1234 ft: 2000 corp: 12/3Kb\n\
                   stat::number_of_executed_units: 567\nstat::peak_rss_mb:              78\n";
        assert_eq!(figures(log), "567 inputs, 1234 edges, 78 MiB at most, nothing found");
        assert_eq!(figures(""), "? inputs, ? edges, ? MiB at most, nothing found");
    }
}
