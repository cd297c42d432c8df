//! Compiling: a component's code becomes machine code in a process of its own, because how much time and memory that takes
//! is up to whoever wrote the component. What goes over its limits is ended and costs this process nothing.
//!
//! The process is this program, started again with a command that it names (`set_compiler_process`). Where it names none (a
//! test, a program of another kind) everything is compiled where it is asked for, without limits.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::param::page_size;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use wasmtime::Engine;

use super::engine::engine;
use super::metering::metered;
use super::sealed_file::{SealedFile, seal};
use hilora_contract::plugin::PluginError;

/// What `/proc` calls the two files.
const COMPONENT: &str = "hilora-component";
const CODE: &str = "hilora-compiled-code";

/// How often a process that compiles is looked after.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The most bytes that are read of what it says.
const WORDS_BYTES_MAX: u64 = 16 << 10;

/// The exit status of a process that found that the component cannot be compiled, and says why.
const NOT_COMPILED: u8 = 2;

/// What compiling one component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time of all threads together, in milliseconds.
    pub cpu_time_ms: u64,
    /// Memory, in bytes.
    pub memory_bytes_max: u64,
}

impl Default for CompileLimits {
    /// Two minutes and 4 GiB. The largest component that ships with this host, CPython, takes 20 s and 1 GiB.
    fn default() -> Self {
        Self { cpu_time_ms: 120_000, memory_bytes_max: 4 << 30 }
    }
}

/// Sees that something is being compiled, so that a person can be told.
pub trait CompileObserver: Send + Sync {
    /// This plugin is being compiled: what it gives is called now and then, and dropped at the end.
    fn begin(&self, plugin: &str) -> Box<dyn FnMut() + '_>;
}

/// How this program compiles in a process of its own.
pub struct CompilerProcess {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, before those that make a `CompileRequest`.
    pub arguments: Vec<OsString>,
    /// Who is told of it.
    pub observer: Box<dyn CompileObserver>,
}

static PROCESS: OnceLock<CompilerProcess> = OnceLock::new();

/// From now on everything that this process compiles is compiled in processes that are started so. The first caller
/// decides.
pub fn set_compiler_process(process: CompilerProcess) {
    drop(PROCESS.set(process));
}

/// Why there is no code.
#[derive(Debug)]
pub(super) enum CompileError {
    /// It is not valid, or the compiler cannot stand it; its words.
    Invalid(String),
    /// It takes more than it may; which limit.
    Limit(String),
    /// The machine's fault, or the compiler's own.
    Failed(String),
}

impl From<wasmtime::Error> for CompileError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Invalid(format!("{error:#}"))
    }
}

/// The component's machine code for this engine; `name` is the plugin's.
pub(super) fn compile(
    engine: &Engine,
    name: &str,
    component: &[u8],
    limits: CompileLimits,
) -> Result<SealedFile, CompileError> {
    let failed = |error: io::Error| CompileError::Failed(error.to_string());
    match PROCESS.get() {
        Some(process) => process.compile(name, component, limits),
        None => {
            let metered = metered(component).map_err(|error| CompileError::Invalid(error.to_string()))?;
            SealedFile::of_bytes(CODE, &engine.precompile_component(&metered)?).map_err(failed)
        }
    }
}

impl CompilerProcess {
    fn compile(&self, name: &str, component: &[u8], limits: CompileLimits) -> Result<SealedFile, CompileError> {
        let failed = |error: io::Error| CompileError::Failed(error.to_string());
        let component = SealedFile::of_bytes(COMPONENT, component).map_err(failed)?;
        let code = memfd_create(CODE, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
        let code = File::from(code.map_err(|error| failed(error.into()))?);
        let mut process = Running(self.start(&component, &code, limits).map_err(failed)?);
        let mut alive = self.observer.begin(name);
        let words = process.0.stderr.take().map(|stderr| {
            thread::spawn(move || {
                let mut words = Vec::new();
                // What does not fit is read, too, so that nobody waits for a full pipe.
                let mut stderr = stderr;
                drop(stderr.by_ref().take(WORDS_BYTES_MAX).read_to_end(&mut words));
                drop(io::copy(&mut stderr, &mut io::sink()));
                String::from_utf8_lossy(&words).trim().to_owned()
            })
        });
        let ended = loop {
            match process.0.try_wait().map_err(failed)? {
                Some(status) => break status,
                None => thread::sleep(LOOK_INTERVAL),
            }
            alive();
        };
        let words = words.and_then(|words| words.join().ok()).unwrap_or_default();
        if ended.success() {
            seal(&code).map_err(failed)?;
            return SealedFile::inherited(code.as_raw_fd()).map_err(failed);
        }
        Err(why(ended, words, limits))
    }

    fn start(&self, component: &SealedFile, code: &File, limits: CompileLimits) -> io::Result<Child> {
        // Unlike the originals, duplicates stay open in the program that is started.
        let component = rustix::io::dup(component.file())?;
        let code = rustix::io::dup(code)?;
        Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .arg(format!("--component={}", component.as_raw_fd()))
            .arg(format!("--code={}", code.as_raw_fd()))
            .arg(format!("--cpu-time-ms={}", limits.cpu_time_ms))
            .arg(format!("--memory-bytes-max={}", limits.memory_bytes_max))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // In a group of its own, so that Ctrl-C reaches this process alone.
            .process_group(0)
            .spawn()
    }
}

/// A process that is ended where nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn why(ended: ExitStatus, words: String, limits: CompileLimits) -> CompileError {
    let signal = ended.signal();
    let is = |expected: Signal| signal == Some(expected.as_raw());
    if is(Signal::XCPU) {
        return CompileError::Limit(format!("{} s of processor time", limits.cpu_time_ms.div_ceil(1_000)));
    }
    // What Rust and the operating system say where there is no memory, for data or for a thread.
    if ["memory allocation of", "os error 12", "code: 12,", "code: 11,"].iter().any(|said| words.contains(said)) {
        return CompileError::Limit(format!("{} MiB of memory", limits.memory_bytes_max >> 20));
    }
    let of_others = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];
    if of_others.into_iter().any(is) {
        return CompileError::Failed(format!("the process that compiles was ended: {ended}"));
    }
    match ended.code() {
        Some(code) if code == i32::from(NOT_COMPILED) => CompileError::Invalid(words),
        // It died of what it compiled.
        _ => CompileError::Invalid(format!("code that the compiler fails on ({ended}): {words}")),
    }
}

/// What the process that compiles is started with.
#[derive(Debug, Clone, Copy)]
pub struct CompileRequest {
    /// The descriptor of the component.
    pub component: RawFd,
    /// The descriptor of the empty file that the code is written to.
    pub code: RawFd,
    /// What it may take.
    pub limits: CompileLimits,
}

impl CompileRequest {
    /// Compiles under the limits, as the process that was started for it; the exit code to end with.
    pub fn execute(&self) -> Result<u8, PluginError> {
        let failed = |error: io::Error| PluginError::Resources {
            what: "a process that compiles".to_owned(),
            message: error.to_string(),
        };
        limit_this_process(self.limits).map_err(failed)?;
        let component = SealedFile::inherited(self.component).and_then(|sealed| sealed.read()).map_err(failed)?;
        let compiled = metered(&component)
            .map_err(|error| error.to_string())
            .and_then(|metered| engine_of_code()?.precompile_component(&metered).map_err(|error| format!("{error:#}")));
        match compiled {
            Ok(code) => {
                let path = format!("/proc/self/fd/{}", self.code);
                File::options().write(true).open(path).and_then(|mut file| file.write_all(&code)).map_err(failed)?;
                Ok(0)
            }
            Err(why) => {
                drop(io::stderr().write_all(why.as_bytes()));
                Ok(NOT_COMPILED)
            }
        }
    }
}

fn engine_of_code() -> Result<Engine, String> {
    engine(None).map_err(|error| error.to_string())
}

/// Lets this process end by itself where it goes over its limits, or where the one that started it ends.
fn limit_this_process(limits: CompileLimits) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let both = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Core, both(0))?;
    // The soft limit is a signal that says which limit it was, the hard one would kill.
    let seconds = limits.cpu_time_ms.div_ceil(1_000);
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds + 10) })?;
    Ok(setrlimit(Resource::Data, both(limits.memory_bytes_max.saturating_add(data_bytes()?)))?)
}

/// What this process holds of what the limit counts: address space that its allocator has reserved at the beginning, of
/// which next to nothing is used yet.
fn data_bytes() -> io::Result<u64> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split_whitespace().nth(5).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or(io::ErrorKind::InvalidData)? * page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(raw: i32) -> ExitStatus {
        ExitStatus::from_raw(raw)
    }

    #[test]
    fn what_a_process_holds_is_known() -> io::Result<()> {
        let held = std::hint::black_box(vec![1_u8; 256 << 20]);
        assert!(data_bytes()? >= held.len() as u64);
        Ok(())
    }

    #[test]
    fn how_the_process_ended_says_why_there_is_no_code() {
        let limits = CompileLimits { cpu_time_ms: 1_500, memory_bytes_max: 64 << 20 };
        let told = |status, words: &str| format!("{:?}", why(ended(status), words.to_owned(), limits));
        assert_eq!(told(Signal::XCPU.as_raw(), ""), "Limit(\"2 s of processor time\")");
        assert_eq!(told(Signal::ABORT.as_raw(), "memory allocation of 9 bytes failed"), "Limit(\"64 MiB of memory\")");
        assert_eq!(told(i32::from(NOT_COMPILED) << 8, "no code"), "Invalid(\"no code\")");
        assert!(told(Signal::KILL.as_raw(), "").starts_with("Failed(\"the process that compiles was ended: signal: 9"));
        assert!(told(Signal::ABORT.as_raw(), "overflow").starts_with("Invalid(\"code that the compiler fails on (sig"));
        assert!(told(1 << 8, "a defect").starts_with("Invalid(\"code that the compiler fails on (exit status: 1)"));
    }
}
