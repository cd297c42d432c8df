//! The job that is attacked: a small main job with real stages, and what it leaves when nobody disturbs it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{announce, program};

const CONFIG: &str = "tests/data/small_job.yaml";
/// What the job leaves that must be the same bytes whatever happened on the way.
const KEPT: [&str; 8] = [
    "data/python_train.jsonl",
    "data/python_eval.jsonl",
    "data/python_tests.jsonl",
    "manifest.json",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "evaluation.json",
    "stages/verified.jsonl",
];
/// No command on the small job may take longer.
pub(super) const AT_MOST: Duration = Duration::from_secs(300);

/// The job, and what it leaves.
pub(super) struct Job {
    repository: PathBuf,
    binary: PathBuf,
    folder: Folder,
    files: BTreeMap<String, Vec<u8>>,
    /// How long it takes undisturbed.
    pub(super) takes: Duration,
}

/// A folder that goes with its holder.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Job {
    /// Runs the job once.
    pub(super) fn undisturbed(repository: &Path) -> Result<Self> {
        announce("the job that is attacked, undisturbed");
        let path = program::target_folder(repository).join(format!("attack-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut job = Self {
            repository: repository.to_owned(),
            binary: program::target_folder(repository).join("release/hilora-host"),
            folder: Folder(path),
            files: BTreeMap::new(),
            takes: Duration::ZERO,
        };
        let begun = Instant::now();
        let output = job.command(&[], "calm").output()?;
        job.takes = begun.elapsed();
        if !output.status.success() {
            bail!("the undisturbed job failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        job.files = job.left("calm");
        if job.files.len() < KEPT.len() {
            bail!("expected the job to leave {}, got {:?}", KEPT.join(", "), job.files.keys());
        }
        Ok(job)
    }

    /// A path in the campaign's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// The binary.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The binary with a subcommand, the job's config and this run folder.
    pub(super) fn command(&self, subcommand: &[&str], run: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.repository).args(subcommand).args(["--config", CONFIG, "--run"]);
        command.arg(self.path(run)).arg("--registry").arg(self.path(&format!("{run}.sqlite")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A copy of what the undisturbed job left.
    pub(super) fn copy(&self, run: &str) -> Result<()> {
        copy_folder(&self.path("calm"), &self.path(run))
    }

    fn left(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        let read = |name: &&str| Some(((*name).to_owned(), fs::read(self.path(run).join(name)).ok()?));
        KEPT.iter().filter_map(read).collect()
    }

    /// Whether a run has left what the undisturbed one did, as far as it got.
    pub(super) fn same(&self, run: &str, all: bool) -> Result<(), String> {
        let left = self.left(run);
        let differs = |(name, bytes): &(&String, &Vec<u8>)| self.files.get(*name) != Some(bytes);
        if let Some((name, _)) = left.iter().find(differs) {
            return Err(format!("{name} is not what the undisturbed job wrote"));
        }
        match self.files.keys().find(|name| all && !left.contains_key(*name)) {
            Some(missing) => Err(format!("{missing} is missing")),
            None => Ok(()),
        }
    }

    /// Whether a command ended as it may: with the undisturbed bytes, or with one message and exit code 1 or 2.
    pub(super) fn ended_well(&self, output: &Output, run: &str) -> Result<(), String> {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| line.starts_with("error")).unwrap_or_default();
        if said.contains("a defect of hilora-host") || said.contains("panicked at") {
            return Err(format!("a panic: {last}"));
        }
        match output.status.code() {
            Some(0) => self.same(run, false),
            Some(1 | 2) => Ok(()),
            _ => Err(format!("{}: {last}", output.status)),
        }
    }
}

/// Runs a command to its end, which must come in time.
pub(super) fn finish(command: &mut Command) -> Result<Output, String> {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    // What it says is little, and fits into the pipes.
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if begun.elapsed() > AT_MOST {
            drop(child.kill());
            drop(child.wait());
            return Err(format!("no end after {} s", AT_MOST.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().map_err(|error| error.to_string())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("cannot copy {}", target.display()))?;
        }
    }
    Ok(())
}
