//! The host's side: a runner whose runs happen in worker processes. There are as many as there were runs at once; each
//! lives until the pool is dropped or it dies.

use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wire::{Answer, receive, send};
use hilora_contract::plugin::{
    PluginError, PluginIdentity, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
};

/// How often a run is begun whose worker dies.
const ATTEMPTS: usize = 2;
/// How much longer than its wall-clock limit a run may take before its worker is taken for dead: the limit is the
/// worker's to keep, and this is for an engine that does not come back.
const GRACE: Duration = Duration::from_secs(10);

/// A solution runner over worker processes.
pub struct WorkerPool {
    /// The same runner in this process: who it is and what it runs. It runs nothing here.
    runner: Arc<dyn SolutionRunner>,
    program: PathBuf,
    arguments: Vec<OsString>,
    idle: Mutex<Vec<Worker>>,
}

impl WorkerPool {
    /// A pool whose workers are `program` with these arguments, which must make it serve this runner.
    pub fn new(runner: Arc<dyn SolutionRunner>, program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { runner, program, arguments, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) -> io::Result<Worker> {
        let idle = self.idle().pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Worker::start(&self.program, &self.arguments),
        }
    }

    fn failed(&self, message: String) -> PluginError {
        PluginError::Engine { what: format!("run a program with {}", self.runner.identity()), message }
    }
}

impl SolutionRunner for WorkerPool {
    fn identity(&self) -> &PluginIdentity {
        self.runner.identity()
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        self.runner.describe()
    }

    fn run(&self, code: &str, stdin: &[u8], limits: &RunLimits) -> Result<RunReport, PluginError> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut worker =
                self.worker().map_err(|error| self.failed(format!("cannot start a worker process: {error}")))?;
            match worker.run(code, stdin, limits) {
                Ok((Answer::Failed(message), ..)) => {
                    self.idle().push(worker);
                    return Err(self.failed(message));
                }
                Ok((Answer::Ran { termination, fuel, cpu_time_us, wall_time_us, memory_bytes }, stdout, stderr)) => {
                    self.idle().push(worker);
                    return Ok(RunReport {
                        termination,
                        stdout,
                        stderr,
                        fuel,
                        cpu_time_us,
                        wall_time_us,
                        memory_bytes,
                    });
                }
                Err(error) => {
                    last = worker.end(&error);
                    tracing::warn!("a worker process died: {last}");
                }
            }
        }
        Ok(RunReport {
            termination: Termination::EngineCrashed { message: last },
            stdout: Vec::new(),
            stderr: Vec::new(),
            fuel: 0,
            cpu_time_us: 0,
            wall_time_us: 0,
            memory_bytes: 0,
        })
    }
}

/// One worker process.
struct Worker {
    process: Child,
    requests: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    fn start(program: &PathBuf, arguments: &[OsString]) -> io::Result<Self> {
        let mut process = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, requests: BufWriter::new(requests), answers: BufReader::new(answers) })
    }

    /// One run. An error is the process's end, or as good as that.
    fn run(&mut self, code: &str, stdin: &[u8], limits: &RunLimits) -> io::Result<(Answer, Vec<u8>, Vec<u8>)> {
        send(&mut self.requests, limits, code.as_bytes(), stdin)?;
        if !limits.reproducible {
            self.wait(Duration::from_millis(limits.wall_time_ms).saturating_add(GRACE))?;
        }
        receive(&mut self.answers)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits until the answer begins.
    fn wait(&self, at_most: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(at_most).map_err(io::Error::other)?;
        let mut waiting = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
        match poll(&mut waiting, Some(&timeout))? {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", at_most.as_secs()))),
            _ => Ok(()),
        }
    }

    /// Ends what is left of it and says in words how it ended.
    fn end(mut self, error: &io::Error) -> String {
        // It may still be alive: killed or not, it is waited for.
        drop(self.process.kill());
        match self.process.wait() {
            Ok(status) => format!("{error} ({status})"),
            Err(_) => error.to_string(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A worker that is idle has nothing to lose.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
