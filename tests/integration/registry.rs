//! The registry under a kill and on a disk that loses bits: a process that registers versions is killed at any moment, and
//! the file stays whole; where a byte of it is another one, that is told, or makes no difference.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use hilora_contract::artifact::{ContentHash, hash_of_artifact};
use hilora_registry::{AdapterFiles, Registry, RegistryError, Version, VersionContent};
use libtest_mimic::{Failed, Trial};

/// Names the registry that this very program, started again, writes into until it is killed.
const WRITER_VARIABLE: &str = "HILORA_TEST_REGISTRY_WRITER";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("registry::a_killed_writer_leaves_whole_versions_without_gaps", survives_kills),
        Trial::test("registry::two_processes_never_choose_the_same_version", two_writers_take_turns),
        Trial::test("registry::a_flipped_byte_is_told_or_changes_nothing", flipped_bytes),
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
        let files = version.check_files();
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

/// The longest that a call may take, on a machine that does other work, too.
const CALL_SECONDS_MAX: u64 = 20;

/// Runs the binary on this registry; an error if it does not end.
fn call(path: &Path, arguments: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
    command.arg("registry").args(arguments).arg("--registry").arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let begun = Instant::now();
    // What it says of a small registry fits into the pipes.
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(CALL_SECONDS_MAX) {
            child.kill()?;
            return Err(format!("{arguments:?} did not end within {CALL_SECONDS_MAX} s").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().map(|mut pipe| pipe.read_to_end(&mut stdout)).transpose()?;
    child.stderr.take().map(|mut pipe| pipe.read_to_end(&mut stderr)).transpose()?;
    Ok(Output { status, stdout, stderr })
}

/// Flips a byte at every so manyth position of a real registry. Each call gives what it gave before, or one clear error.
fn flipped_bytes() -> Result<(), Failed> {
    const STEP: usize = 97;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("registry.sqlite");
    let registry = Registry::open(&path)?;
    for number in 0..5_u8 {
        let adapter = folder.path().join("adapter");
        std::fs::create_dir_all(&adapter)?;
        std::fs::write(adapter.join("adapter_model.safetensors"), [number; 100])?;
        registry.register(&content(hash_of_artifact(&adapter)?, 1), &adapter)?;
    }
    drop(registry);
    let questions: [&[&str]; 2] = [&["list", "--json"], &["show", "python-lora", "3", "--json"]];
    let expected = [call(&path, questions[0])?, call(&path, questions[1])?];
    for answer in &expected {
        assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    }
    let whole = std::fs::read(&path)?;
    // The header, and then every so manyth byte; which bits are flipped follows from the position.
    let positions = (0..100).step_by(3).chain((100..whole.len()).step_by(STEP));
    let (mut calls, mut told) = (0_u32, 0_u32);
    for (turn, position) in positions.enumerate() {
        let mut damaged = whole.clone();
        damaged[position] ^= [0x01, 0x80, 0xff, 0x20][turn % 4];
        std::fs::write(&path, &damaged)?;
        let answer = call(&path, questions[turn % 2])?;
        let said = String::from_utf8_lossy(&answer.stderr);
        calls += 1;
        match answer.status.code() {
            Some(0) => {
                assert_eq!(answer.stdout, expected[turn % 2].stdout, "byte {position} of {}", whole.len());
                assert_eq!(said, "", "byte {position}");
            }
            Some(1 | 2) => {
                told += 1;
                let is_one_error = said.starts_with("error: ") && said.matches("error: ").count() >= 1;
                assert!(
                    is_one_error && !said.contains("panicked") && answer.stdout.is_empty(),
                    "byte {position}: {said}"
                );
                assert!(said.lines().skip(1).all(|line| line.starts_with("hint: ")), "byte {position}: {said}");
            }
            other => return Err(format!("byte {position}: {other:?}, {said}").into()),
        }
    }
    eprintln!("{calls} flipped bytes of {}: {told} told, the others change nothing", whole.len());
    assert!(told > calls / 8, "{told} of {calls}");
    // The file is as it was, and so is everything in it.
    std::fs::write(&path, &whole)?;
    assert_eq!(call(&path, &["verify"])?.status.code(), Some(0));
    // What verifying finds decides the exit code, on both ways to be told.
    std::fs::remove_dir_all(
        folder
            .path()
            .join("adapters")
            .join(Registry::open(&path)?.show("python-lora", Some(2))?.content.adapter.to_string()),
    )?;
    let found = call(&path, &["verify", "--json"])?;
    assert_eq!(found.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&found.stdout)?;
    assert_eq!((&found["is_whole"], &found["versions"][1]["files"]["state"]), (&false.into(), &"missing".into()));
    assert_eq!(call(&path, &["verify", "python-lora@1"])?.status.code(), Some(0));
    assert_eq!(call(&path, &["verify", "python-lora@x"])?.status.code(), Some(2));
    Ok(())
}
