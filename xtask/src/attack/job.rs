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
    "stages/verified.jsonl",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "evaluation.json",
];
/// How many of these, from the first, are written by `prepare`.
const PREPARED: usize = 5;
/// The run that nobody disturbs.
pub(super) const CALM: &str = "calm";
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
        let output = job.command(&[], CALM).output()?;
        job.takes = begun.elapsed();
        if !output.status.success() {
            bail!("the undisturbed job failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        job.files = job.left(CALM);
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
        command.arg(self.path(run)).arg("--registry").arg(self.registry(run));
        piped(command)
    }

    /// A subcommand of `registry` on a run's registry.
    pub(super) fn registry_command(&self, subcommand: &[&str], run: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.repository).arg("registry").args(subcommand);
        command.arg("--registry").arg(self.registry(run));
        piped(command)
    }

    /// The registry that a run registers in.
    pub(super) fn registry(&self, run: &str) -> PathBuf {
        self.path(&format!("{run}.sqlite"))
    }

    /// A copy of what the undisturbed job left, and of its registry.
    pub(super) fn copy(&self, run: &str) -> Result<()> {
        copy_folder(&self.path(CALM), &self.path(run))?;
        let registry = self.registry(run);
        fs::copy(self.registry(CALM), &registry).with_context(|| format!("cannot copy {}", registry.display()))?;
        Ok(())
    }

    /// Removes what an attempt left. What stays goes with the campaign's folder.
    pub(super) fn remove(&self, run: &str) {
        drop(fs::remove_dir_all(self.path(run)));
        drop(fs::remove_file(self.registry(run)));
    }

    fn left(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        let read = |name: &&str| Some(((*name).to_owned(), fs::read(self.path(run).join(name)).ok()?));
        KEPT.iter().filter_map(read).collect()
    }

    /// Whether a run has left what the undisturbed one did.
    pub(super) fn same(&self, run: &str) -> Result<(), String> {
        self.same_of(run, &KEPT)
    }

    /// The same of what `prepare` leaves.
    pub(super) fn same_data(&self, run: &str) -> Result<(), String> {
        self.same_of(run, &KEPT[..PREPARED])
    }

    fn same_of(&self, run: &str, files: &[&str]) -> Result<(), String> {
        let left = self.left(run);
        for name in files {
            match left.get(*name) {
                None => return Err(format!("{name} is missing")),
                Some(bytes) if self.files.get(*name) != Some(bytes) => {
                    return Err(format!("{name} is not what the undisturbed job wrote"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the whole job ended as it may: with the undisturbed bytes, or with one message and exit code 1 or 2.
    pub(super) fn ended_well(&self, output: &Output, run: &str) -> Result<(), String> {
        self.said_well(output)?;
        match output.status.code() {
            Some(0) => self.same(run),
            _ => Ok(()),
        }
    }

    /// Whether a command has ended by itself, and if it failed, with one message that tells of no defect.
    pub(super) fn said_well(&self, output: &Output) -> Result<(), String> {
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error")).collect();
        if said.contains("a defect of hilora-host") || said.contains("panicked at") {
            return Err(format!("a panic: {}", errors.join("; ")));
        }
        match (output.status.code(), errors.len()) {
            (Some(0), _) | (Some(1 | 2), 1) => Ok(()),
            _ => Err(format!("{}, with the errors {errors:?}", output.status)),
        }
    }
}

fn piped(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
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
