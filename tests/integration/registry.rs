//! The registry under a kill: a process that registers versions is killed at any moment, and the file stays whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hilora_contract::artifact::{ContentHash, hash_of_artifact};
use hilora_registry::{AdapterFiles, Registry, RegistryError, Version, VersionContent};
use libtest_mimic::{Failed, Trial};

/// Names the registry that this very program, started again, writes into until it is killed.
const WRITER_VARIABLE: &str = "HILORA_TEST_REGISTRY_WRITER";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("registry::a_killed_writer_leaves_whole_versions_without_gaps", survives_kills),
        Trial::test("registry::two_processes_never_choose_the_same_version", two_writers_take_turns),
    ]
}

/// Registers versions without end where this process was started as a writer; otherwise does nothing.
pub(crate) fn write_until_killed_where_asked() -> Result<(), RegistryError> {
    let Some(path) = std::env::var_os(WRITER_VARIABLE) else { return Ok(()) };
    let registry = Registry::open(Path::new(&path))?;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for index in 0_u64.. {
        let (content, adapter) = version(folder.path(), &index.to_string(), std::process::id());
        registry.register(&content, &adapter)?;
    }
    Ok(())
}

/// A version that this process writes, and its adapter's folder.
fn version(folder: &Path, what: &str, writer: u32) -> (VersionContent, PathBuf) {
    let adapter = folder.join("adapter");
    std::fs::create_dir_all(&adapter).expect("a folder can be made");
    // More than one write of the copy, so that a kill falls into it.
    let weights = format!("{what} {writer} ").repeat(100_000);
    std::fs::write(adapter.join("adapter_model.safetensors"), weights).expect("a file can be written");
    std::fs::write(adapter.join("adapter_config.json"), "{}").expect("a file can be written");
    let hash = hash_of_artifact(&adapter).expect("it can be read");
    (content(hash, writer), adapter)
}

fn content(adapter: ContentHash, writer: u32) -> VersionContent {
    VersionContent {
        name: "python-lora".to_owned(),
        adapter,
        base_model: ContentHash::of(b"base"),
        dataset_manifest: ContentHash::of(b"manifest"),
        config: ContentHash::of(b"config"),
        evaluation: ContentHash::of(b"evaluation"),
        code_version: writer.to_string(),
        summary: serde_json::json!({"pass_at_1": 0.5}),
        gate: serde_json::json!({"passed": true}),
        gate_passed: true,
    }
}

/// Lets so many writers run side by side until enough versions stand, then kills them where they are.
fn write_and_kill(path: &Path, writers: usize, enough: impl Fn(&[Version]) -> bool) -> Result<(), Failed> {
    let mut children = Vec::new();
    for _ in 0..writers {
        let mut command = Command::new(std::env::current_exe()?);
        children.push(command.env(WRITER_VARIABLE, path).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
    }
    let mut early = None;
    for _ in 0..2000 {
        std::thread::sleep(Duration::from_millis(5));
        if path.exists() && enough(&Registry::open_existing(path)?.list()?) {
            break;
        }
        early = children.iter_mut().find_map(|child| child.try_wait().ok().flatten());
        if early.is_some() {
            break;
        }
    }
    let mut words = String::new();
    for mut child in children {
        child.kill()?;
        words.push_str(&String::from_utf8_lossy(&child.wait_with_output()?.stderr));
    }
    match early {
        Some(status) => Err(format!("a writer ended by itself ({status}): {words}").into()),
        None => Ok(()),
    }
}

/// Every version from 1 up, each readable and with the files that were registered.
fn check_whole(path: &Path) -> Result<usize, Failed> {
    let versions = Registry::open_existing(path)?.list()?;
    for version in &versions {
        let files = version.check_files()?;
        if files != AdapterFiles::Whole {
            return Err(format!("expected the files of version {} whole, got {files:?}", version.version).into());
        }
    }
    let numbers: Vec<u64> = versions.iter().map(|version| version.version).collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    if numbers == expected {
        Ok(numbers.len())
    } else {
        Err(format!("expected versions {expected:?}, got {numbers:?}").into())
    }
}

fn survives_kills() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("registry.sqlite");
    let mut before = 0;
    for _ in 0..8 {
        write_and_kill(&path, 1, |versions| versions.len() > before)?;
        let after = check_whole(&path)?;
        if after <= before {
            return Err(format!("expected more than {before} versions, got {after}").into());
        }
        before = after;
    }
    // The next version goes on where the killed writers stopped.
    let run = tempfile::tempdir()?;
    let (content, adapter) = version(run.path(), "after the kills", 0);
    let next = Registry::open(&path)?.register(&content, &adapter)?;
    if next.version.version != before as u64 + 1 || next.already_there {
        return Err(format!("expected version {} anew, got {next:?}", before + 1).into());
    }
    // What the killed copies left is gone.
    for entry in std::fs::read_dir(folder.path().join("adapters"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != ".lock" && name.parse::<ContentHash>().is_err() {
            return Err(format!("expected only whole adapters in the store, got {name}").into());
        }
    }
    Ok(())
}

fn two_writers_take_turns() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("registry.sqlite");
    let writers = |versions: &[Version]| {
        versions.iter().map(|version| version.content.code_version.clone()).collect::<BTreeSet<_>>().len()
    };
    write_and_kill(&path, 2, |versions| versions.len() >= 20 && writers(versions) == 2)?;
    let count = check_whole(&path)?;
    if count < 20 || writers(&Registry::open_existing(&path)?.list()?) != 2 {
        return Err(format!("expected both processes among at least 20 versions, got {count} versions").into());
    }
    Ok(())
}
