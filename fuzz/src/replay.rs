//! Every input of the corpora, through the function that its target calls, within the bounds that libFuzzer holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The longest that an input may take, as for libFuzzer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most memory of the whole process, as for libFuzzer.
#[cfg(target_os = "linux")]
const MEMORY_MIB_MAX: u64 = 1024;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

/// The names in a folder that are folders, or files.
fn names(folder: &Path, folders: bool) -> BTreeSet<String> {
    fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_dir() == folders)
        .map(|path| path.file_stem().expect("it has a name").to_string_lossy().into_owned())
        .collect()
}

/// Reads each input of the loader's corpus. A thread that hangs is left behind: the test has failed.
fn replay(loader: &str, read: fn(&[u8])) {
    let mut inputs: Vec<_> = fs::read_dir(corpora().join(loader))
        .expect("the corpus is there")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    inputs.sort();
    assert!(inputs.len() > 20, "expected a corpus, found {} inputs", inputs.len());
    for input in inputs {
        let bytes = fs::read(&input).expect("an input can be read");
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            read(&bytes);
            sender.send(()).expect("the test waits");
        });
        match receiver.recv_timeout(TIMEOUT) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{} takes longer than {TIMEOUT:?}", input.display()),
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("the loader panics on {}", input.display()),
        }
        reader.join().expect("the input was read");
        check_memory(&input);
    }
}

#[cfg(target_os = "linux")]
fn check_memory(input: &Path) {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells a process its memory");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the largest memory is told");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    assert!(peak_kib < MEMORY_MIB_MAX << 10, "{peak_kib} KiB of memory after {}", input.display());
}

#[cfg(not(target_os = "linux"))]
fn check_memory(_: &Path) {}

#[test]
fn apps_keeps_its_contract() {
    replay("apps", crate::apps);
}

#[test]
fn codecontests_keeps_its_contract() {
    replay("codecontests", crate::codecontests);
}

#[test]
fn jsonl_keeps_its_contract() {
    replay("jsonl", crate::jsonl);
}

#[test]
fn livecodebench_keeps_its_contract() {
    replay("livecodebench", crate::livecodebench);
}

#[test]
fn taco_keeps_its_contract() {
    replay("taco", crate::taco);
}

/// A loader with a target has a corpus and a test here. A test's name begins with the loader's.
#[test]
fn every_target_has_a_corpus_that_is_replayed() {
    let targets = names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin"), false);
    assert_eq!(names(&corpora(), true), targets);
    let tests: BTreeSet<_> = include_str!("replay.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("fn ")?.strip_suffix("_keeps_its_contract() {"))
        .map(str::to_owned)
        .collect();
    assert_eq!(tests, targets);
}

#[test]
#[should_panic(expected = "panics on")]
fn a_loader_that_panics_is_found() {
    replay("apps", |_| panic!("damaged"));
}
