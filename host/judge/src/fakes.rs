//! A native fake of a solution runner, for this crate's own tests. No WebAssembly runs here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::Language;
use hilora_contract::plugin::{
    LimitKind, PluginError, PluginIdentity, PluginKind, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
};

/// Its programs are words: `echo`, `fail`, `crash` (its process dies), `late` (the wall clock ends it), `wait` (until it
/// is stopped), and `spend N` (echoes after N units of fuel). On an input that begins with `slow` each takes a moment.
pub(crate) struct FakeRunner {
    identity: PluginIdentity,
    /// After so many runs it is broken.
    runs_max: u64,
    begun: AtomicU64,
    stops: AtomicU64,
    /// What was run, as code and input.
    pub(crate) ran: Mutex<Vec<(String, String)>>,
}

impl FakeRunner {
    pub(crate) fn new() -> Self {
        Self::broken_after(u64::MAX)
    }

    pub(crate) fn broken_after(runs_max: u64) -> Self {
        let identity = PluginIdentity {
            name: "fake".to_owned(),
            version: "1".to_owned(),
            kind: PluginKind::SolutionRunner,
            content: ContentHash::of(b""),
        };
        Self { identity, runs_max, begun: AtomicU64::new(0), stops: AtomicU64::new(0), ran: Mutex::default() }
    }

    /// What was run so far.
    pub(crate) fn ran(&self) -> Vec<(String, String)> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(message: &str) -> PluginError {
        PluginError::Engine { what: "fake".to_owned(), message: message.to_owned() }
    }
}

impl SolutionRunner for FakeRunner {
    fn identity(&self) -> &PluginIdentity {
        &self.identity
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        Ok(RunnerInfo {
            language: Language::PYTHON3,
            file_extension: "py".to_owned(),
            interpreter: "fake".to_owned(),
            calls_functions: true,
        })
    }

    fn run(&self, code: &str, _: Option<&str>, stdin: &[u8], limits: &RunLimits) -> Result<RunReport, PluginError> {
        if self.begun.fetch_add(1, Ordering::SeqCst) >= self.runs_max {
            return Err(Self::failed("broken"));
        }
        let input = String::from_utf8_lossy(stdin).into_owned();
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).push((code.to_owned(), input));
        if stdin.starts_with(b"slow") {
            thread::sleep(Duration::from_millis(30));
        }
        let fuel = code.strip_prefix("spend ").and_then(|fuel| fuel.parse().ok()).unwrap_or(1);
        let termination = match code {
            _ if fuel > limits.fuel => Termination::LimitExceeded(LimitKind::Fuel),
            "echo" => Termination::Exited(0),
            _ if code.starts_with("spend ") => Termination::Exited(0),
            "fail" => Termination::Raised { exception: "ValueError".to_owned(), message: "no".to_owned() },
            "crash" => Termination::Unfinished { message: "the engine's process died: gone".to_owned() },
            "late" => Termination::Unfinished { message: "the machine's limit of wall clock ended it".to_owned() },
            "wait" => {
                let stops = self.stops.load(Ordering::SeqCst);
                while self.stops.load(Ordering::SeqCst) == stops {
                    thread::sleep(Duration::from_millis(1));
                }
                return Err(Self::failed("stopped"));
            }
            _ => return Err(Self::failed("broken")),
        };
        Ok(RunReport {
            termination,
            stdout: stdin.to_vec(),
            stderr: Vec::new(),
            fuel,
            cpu_time_us: 1,
            wall_time_us: 1,
            memory_bytes: 1,
        })
    }

    fn stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
    }
}
