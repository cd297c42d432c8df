//! The host's side: a runner whose runs happen in worker processes. There are as many as there were runs at once; each
//! lives until the pool is dropped or it dies.
//!
//! What the machine does to a worker says nothing of the program that it ran, so that run is begun again.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command::WorkerCommand;
use super::wire::Request;
use super::worker::{Worker, WorkerEnd};
use hilora_contract::plugin::{
    PluginError, PluginIdentity, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
};

/// How often a run is begun whose worker dies by itself, as if the program had a part in it.
const DEATHS_MAX: usize = 3;
/// How often a run is begun that takes more time than anything its limits allow. Each takes long.
const TIMEOUTS_MAX: usize = 2;
/// How often a run is begun whose worker others kill. That is never the program's doing, but a machine that goes on with it
/// cannot judge.
const KILLS_MAX: usize = 64;

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

    /// A worker that can run programs.
    fn worker(&self, is_stopped: &dyn Fn() -> bool) -> Result<Result<Worker, WorkerEnd>, PluginError> {
        let idle = self.idle().pop();
        match idle {
            Some(worker) => Ok(Ok(worker)),
            None => {
                let started = Worker::start(&self.command);
                let cannot = |error: io::Error| self.failed(format!("cannot start a worker process: {error}"));
                started.map_err(cannot).map(|worker| worker.make_ready(is_stopped))
            }
        }
    }

    fn failed(&self, message: String) -> PluginError {
        PluginError::Resources { what: format!("run a program with {}", self.runner.identity()), message }
    }

    /// A run that the machine ended.
    fn unfinished(message: String) -> RunReport {
        RunReport {
            termination: Termination::Unfinished { message },
            stdout: Vec::new(),
            stderr: Vec::new(),
            fuel: 0,
            cpu_time_us: 0,
            wall_time_us: 0,
            memory_bytes: 0,
        }
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
        let stops = self.stops.load(Ordering::SeqCst);
        let is_stopped = || self.stops.load(Ordering::SeqCst) != stops;
        let (mut deaths, mut timeouts, mut kills) = (0, 0, 0);
        loop {
            let mut has_begun = false;
            let ended = match self.worker(&is_stopped)? {
                Err(ended) => ended,
                Ok(worker) => {
                    has_begun = true;
                    match worker.run(&request, code, stdin, &is_stopped) {
                        Ok((worker, (answer, stdout, stderr))) => {
                            self.idle().push(worker);
                            return answer.report(stdout, stderr).map_err(|message| self.failed(message));
                        }
                        Err(ended) => ended,
                    }
                }
            };
            match ended {
                WorkerEnd::Stopped => return Err(self.failed("it was stopped on request".to_owned())),
                WorkerEnd::Killed(how) => {
                    kills += 1;
                    if kills >= KILLS_MAX {
                        let message =
                            format!("its worker process was killed {kills} times in a row, the last time: {how}");
                        return Err(self.failed(message));
                    }
                    tracing::debug!("a worker process was killed: {how}");
                }
                WorkerEnd::Died(how) => {
                    tracing::warn!("a worker process died: {how}");
                    deaths += 1;
                    if deaths >= DEATHS_MAX && has_begun {
                        return Ok(Self::unfinished(format!("the engine's process died: {how}")));
                    }
                    if deaths >= DEATHS_MAX {
                        return Err(self.failed(format!("its worker process does not begin: {how}")));
                    }
                }
                WorkerEnd::TimedOut(how) => {
                    tracing::warn!("a worker process was ended: {how}");
                    timeouts += 1;
                    if timeouts >= TIMEOUTS_MAX && has_begun {
                        return Ok(Self::unfinished(format!("the host ended the engine's process: {how}")));
                    }
                    if timeouts >= TIMEOUTS_MAX {
                        return Err(self.failed(format!("its worker process does not begin: {how}")));
                    }
                }
            }
        }
    }

    fn stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::confine::Confinement;
    use super::super::wire::{Answer, send};
    use super::*;
    use crate::fakes::FakeRunner;
    use crate::limits::run_limits;

    fn pool(program: &str, arguments: &[&str]) -> WorkerPool {
        WorkerPool::new(Arc::new(FakeRunner::new()), WorkerCommand::new(program, arguments))
    }

    /// A shell script that says that it is ready and reads on; then comes `then`.
    fn script(folder: &std::path::Path, then: &str) -> io::Result<String> {
        let (ready, starts) = (folder.join("ready"), folder.join("starts"));
        let mut message = Vec::new();
        send(&mut message, &Answer::Ready(Confinement::Full), b"", b"")?;
        std::fs::write(&ready, message)?;
        Ok(format!("PATH=/usr/bin:/bin; echo start >> {}; cat {}; {then}", starts.display(), ready.display()))
    }

    fn starts(folder: &std::path::Path) -> io::Result<usize> {
        Ok(std::fs::read_to_string(folder.join("starts"))?.lines().count())
    }

    fn limits() -> RunLimits {
        RunLimits { reproducible: true, ..run_limits(None, None) }
    }

    #[test]
    fn a_run_whose_worker_dies_each_time_is_unfinished() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let script = script(folder.path(), "head -c 1 >/dev/null; exit 7")?;
        let report = pool("/bin/sh", &["-c", &script]).run("echo", None, b"1", &limits())?;
        let Termination::Unfinished { message } = report.termination else { panic!("{:?}", report.termination) };
        assert!(message.contains("exit status: 7"), "{message}");
        assert_eq!(starts(folder.path())?, DEATHS_MAX);
        Ok(())
    }

    #[test]
    fn a_run_whose_worker_is_killed_is_begun_again_and_never_judged() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let script = script(folder.path(), "head -c 1 >/dev/null; kill -9 $$")?;
        let error = pool("/bin/sh", &["-c", &script]).run("echo", None, b"1", &limits()).expect_err("it is killed");
        assert!(error.to_string().contains("was killed 64 times in a row"), "{error}");
        assert_eq!(starts(folder.path())?, KILLS_MAX);
        Ok(())
    }

    #[test]
    fn a_worker_that_never_becomes_ready_is_no_verdict() -> Result<(), Box<dyn std::error::Error>> {
        let error = pool("/bin/sh", &["-c", "exit 7"]).run("echo", None, b"1", &limits()).expect_err("it dies");
        assert!(error.to_string().contains("its worker process does not begin"), "{error}");
        Ok(())
    }

    #[test]
    fn a_worker_that_takes_more_processor_time_than_its_limits_allow_is_ended() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let script = script(folder.path(), "while :; do :; done")?;
        let limits = RunLimits { cpu_time_ms: 1, reproducible: false, ..limits() };
        let report = pool("/bin/sh", &["-c", &script]).run("echo", None, b"1", &limits)?;
        let Termination::Unfinished { message } = report.termination else { panic!("{:?}", report.termination) };
        assert!(message.contains("of processor time"), "{message}");
        assert_eq!(starts(folder.path())?, TIMEOUTS_MAX);
        Ok(())
    }

    #[test]
    fn a_worker_that_goes_silent_at_any_point_holds_nobody() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        // It reads nothing of an input that is larger than a pipe; it begins an answer and does not end it.
        for then in ["exec sleep 1000", "printf 'half'; exec sleep 1000"] {
            let script = script(folder.path(), then)?;
            let pool = pool("/bin/sh", &["-c", &script]);
            let input = vec![b'x'; 4 << 20];
            let begun = Instant::now();
            thread::scope(|scope| {
                let run = scope.spawn(|| pool.run("echo", None, &input, &limits()));
                thread::sleep(Duration::from_millis(300));
                while !run.is_finished() {
                    assert!(begun.elapsed() < Duration::from_secs(30), "{then}: it waits for ever");
                    pool.stop();
                    thread::sleep(Duration::from_millis(20));
                }
                assert!(run.join().expect("it does not panic").is_err(), "{then}");
            });
        }
        Ok(())
    }

    #[test]
    fn a_worker_has_no_environment() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let variables = folder.path().join("variables");
        let script = format!("/usr/bin/env > {}; exit 7", variables.display());
        assert!(pool("/bin/sh", &["-c", &script]).run("echo", None, b"1", &limits()).is_err());
        let variables = std::fs::read_to_string(variables)?;
        // The shell's own.
        let foreign = |line: &&str| !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.starts_with(own));
        assert_eq!(variables.lines().filter(foreign).collect::<Vec<_>>(), Vec::<&str>::new());
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
