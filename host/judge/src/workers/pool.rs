//! The host's side: a runner whose runs happen in worker processes. There are as many as there were runs at once; each
//! lives until the pool is dropped or it dies.

use std::io::{self, BufReader, BufWriter};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::command::WorkerCommand;
use super::wire::{Answer, Request, receive, send};
use hilora_contract::plugin::{
    PluginError, PluginIdentity, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
};

/// How often a run is begun whose worker dies.
const ATTEMPTS: usize = 2;
/// How much longer than its wall-clock limit a run may take before its worker is taken for dead: the limit is the
/// worker's to keep, and this is for an engine that does not come back.
const GRACE: Duration = Duration::from_secs(10);

/// How often a run that is waited for looks whether it is to be ended.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// A solution runner over worker processes.
pub struct WorkerPool {
    /// The same runner in this process: who it is and what it runs. It runs nothing here.
    runner: Arc<dyn SolutionRunner>,
    command: WorkerCommand,
    idle: Mutex<Vec<Worker>>,
    /// How often it was told to end what is under way. A run ends if the number is not the one it began with.
    stops: AtomicU64,
}

impl WorkerPool {
    /// A pool whose workers are started by this command, which must serve this runner.
    pub fn new(runner: Arc<dyn SolutionRunner>, command: WorkerCommand) -> Self {
        Self { runner, command, idle: Mutex::default(), stops: AtomicU64::new(0) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) -> io::Result<Worker> {
        let idle = self.idle().pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Worker::start(&self.command),
        }
    }

    fn failed(&self, message: String) -> PluginError {
        PluginError::Resources { what: format!("run a program with {}", self.runner.identity()), message }
    }
}

impl SolutionRunner for WorkerPool {
    fn identity(&self) -> &PluginIdentity {
        self.runner.identity()
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        self.runner.describe()
    }

    fn run(
        &self,
        code: &str,
        entry_point: Option<&str>,
        stdin: &[u8],
        limits: &RunLimits,
    ) -> Result<RunReport, PluginError> {
        let request = Request { limits: *limits, entry_point: entry_point.map(str::to_owned) };
        let mut last = String::new();
        let stops = self.stops.load(Ordering::SeqCst);
        let is_stopped = || self.stops.load(Ordering::SeqCst) != stops;
        for _ in 0..ATTEMPTS {
            let mut worker =
                self.worker().map_err(|error| self.failed(format!("cannot start a worker process: {error}")))?;
            match worker.run(&request, code, stdin, &is_stopped) {
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
                    if is_stopped() {
                        return Err(self.failed("it was stopped on request".to_owned()));
                    }
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

    fn stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
    }
}

/// One worker process.
struct Worker {
    process: Child,
    requests: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    fn start(command: &WorkerCommand) -> io::Result<Self> {
        let mut starting = Command::new(&command.program);
        // In a group of its own, so that Ctrl-C reaches the host alone, which decides what becomes of its workers.
        starting.args(&command.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = starting.spawn()?;
        let requests = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, requests: BufWriter::new(requests), answers: BufReader::new(answers) })
    }

    /// One run. An error is the process's end, or as good as that.
    fn run(
        &mut self,
        request: &Request,
        code: &str,
        stdin: &[u8],
        is_stopped: &dyn Fn() -> bool,
    ) -> io::Result<(Answer, Vec<u8>, Vec<u8>)> {
        send(&mut self.requests, request, code.as_bytes(), stdin)?;
        let limits = &request.limits;
        let at_most = Duration::from_millis(limits.wall_time_ms).saturating_add(GRACE);
        self.wait((!limits.reproducible).then_some(at_most), is_stopped)?;
        receive(&mut self.answers)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits until the answer begins.
    fn wait(&self, at_most: Option<Duration>, is_stopped: &dyn Fn() -> bool) -> io::Result<()> {
        let begun = Instant::now();
        let interval = Timespec::try_from(STOP_INTERVAL).map_err(io::Error::other)?;
        let mut waiting = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
        loop {
            match poll(&mut waiting, Some(&interval)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if is_stopped() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if let Some(at_most) = at_most.filter(|at_most| begun.elapsed() >= *at_most) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", at_most.as_secs())));
            }
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::fakes::FakeRunner;
    use crate::limits::run_limits;

    fn pool(program: &str, arguments: &[&str]) -> WorkerPool {
        WorkerPool::new(Arc::new(FakeRunner::new()), WorkerCommand::new(program, arguments))
    }

    fn limits() -> RunLimits {
        RunLimits { reproducible: true, ..run_limits(None, None) }
    }

    #[test]
    fn a_run_is_begun_again_once_after_its_worker_has_died() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let starts = folder.path().join("starts");
        let script = format!("echo start >> {}; exit 7", starts.display());
        let report = pool("/bin/sh", &["-c", &script]).run("echo", None, b"1", &limits())?;
        let Termination::EngineCrashed { message } = report.termination else { panic!("{:?}", report.termination) };
        assert!(message.contains("exit status: 7"), "{message}");
        assert_eq!(std::fs::read_to_string(&starts)?.lines().count(), 2);
        Ok(())
    }

    #[test]
    fn a_run_that_is_stopped_is_an_error_and_its_worker_is_gone() {
        let pool = pool("/bin/sleep", &["1000"]);
        let begun = Instant::now();
        thread::scope(|scope| {
            let run = scope.spawn(|| pool.run("echo", None, b"1", &limits()));
            while !run.is_finished() {
                assert!(begun.elapsed() < Duration::from_secs(30), "the run was not ended");
                pool.stop();
                thread::sleep(Duration::from_millis(20));
            }
            let error = run.join().expect("it does not panic").expect_err("it was stopped");
            assert!(error.to_string().contains("stopped on request"), "{error}");
        });
        assert!(pool.idle().is_empty(), "nobody gets this worker again");
    }

    #[test]
    fn a_program_that_is_no_worker_is_told() {
        let error =
            pool("/nowhere/worker", &[]).run("echo", None, b"1", &limits()).expect_err("there is no such program");
        assert!(error.to_string().contains("cannot start a worker process"), "{error}");
    }
}
