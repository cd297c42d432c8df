//! One worker process, as the host sees it: how it is started, asked, watched and ended.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::command::WorkerCommand;
use super::confine::Confinement;
use super::process_time::ProcessTime;
use super::wire::{Answer, HEAD_BYTES_MAX, Message, Request, receive, send};
use hilora_contract::plugin::RunLimits;

/// How long a worker may take until it is ready. It has nothing to compile and little to read.
const START_AT_MOST: Duration = Duration::from_secs(120);
/// How much more processor time than its limit a run may take before its worker is ended. Fuel decides long before; this
/// is for an engine that does not come back.
const GRACE: Duration = Duration::from_secs(2);
/// A worker that was on no processor for so long is stopped, or waits for what never comes.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// A pipe of Linux that is ready takes so many bytes without waiting.
const PIPE_BUF: usize = 4096;
/// How often a run that is waited for looks at the time, and whether it is to be ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why a worker gave no answer. It is gone then.
#[derive(Debug)]
pub(super) enum WorkerEnd {
    /// Somebody killed it: the kernel for want of memory, or a person. It says nothing of the program.
    Killed(String),
    /// It ended by itself.
    Died(String),
    /// It took more time than anything that its limits allow, and was ended.
    TimedOut(String),
    /// The host was asked to end it.
    Stopped,
}

/// A worker process.
pub(super) struct Worker {
    process: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl Worker {
    /// Starts a worker, which begins to make itself ready. An error is the machine's: no process can be made.
    pub(super) fn start(command: &WorkerCommand) -> io::Result<Self> {
        let (mut starting, inherited) = command.build()?;
        // In a group of its own, so that Ctrl-C reaches the host alone, which decides what becomes of its workers.
        starting.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = starting.spawn()?;
        drop(inherited);
        let requests = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, requests, answers })
    }

    /// Waits until it can run programs. None of this time is any program's.
    pub(super) fn make_ready(mut self, is_stopped: &dyn Fn() -> bool) -> Result<Self, WorkerEnd> {
        let begun = Instant::now();
        let mut is_late = || {
            let late = begun.elapsed() > START_AT_MOST;
            late.then(|| format!("it was not ready after {} s", START_AT_MOST.as_secs()))
        };
        match self.answer(&mut Watch::new(&mut is_late, is_stopped), HEAD_BYTES_MAX) {
            Ok((Answer::Ready(confinement), ..)) => {
                tell(confinement);
                Ok(self)
            }
            Ok(_) => Err(self.end(Silence::Broken(io::Error::other("an answer before the question")))),
            Err(silence) => Err(self.end(silence)),
        }
    }

    /// One run, and the worker for the next.
    pub(super) fn run(
        mut self,
        request: &Request,
        code: &str,
        stdin: &[u8],
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(Self, Message<Answer>), WorkerEnd> {
        // The host watches the clocks, and does not believe the worker's.
        let limits = RunLimits { reproducible: true, ..request.limits };
        let asked = Request { limits, entry_point: request.entry_point.clone() };
        let cpu_at_most = Duration::from_millis(request.limits.cpu_time_ms).saturating_add(GRACE);
        let cpu_at_most = (!request.limits.reproducible).then_some(cpu_at_most);
        let mut time = ProcessTime::of(self.process.id());
        let mut is_late = || {
            let used = time.used();
            match cpu_at_most {
                Some(at_most) if used > at_most => {
                    Some(format!("no answer after {} s of processor time", at_most.as_secs()))
                }
                _ if time.idle() > STALLED_AFTER => {
                    Some(format!("it was on no processor for {} s", STALLED_AFTER.as_secs()))
                }
                _ => None,
            }
        };
        let mut watch = Watch::new(&mut is_late, is_stopped);
        let mut requests = BufWriter::new(Watched { pipe: &mut self.requests, watch: &mut watch });
        let sent = send(&mut requests, &asked, code.as_bytes(), stdin);
        // Dropped with what was not sent, it would wait for the pipe again.
        drop(requests.into_parts());
        let answer = match sent {
            Ok(()) => self.answer(&mut watch, HEAD_BYTES_MAX.max(request.limits.output_bytes_max)),
            Err(error) => Err(watch.silence(error)),
        };
        match answer {
            Ok(message) => Ok((self, message)),
            Err(silence) => Err(self.end(silence)),
        }
    }

    /// Receives an answer whose parts have at most so many bytes.
    fn answer(&mut self, watch: &mut Watch<'_>, part_bytes_max: u64) -> Result<Message<Answer>, Silence> {
        // It says one thing and then waits, so nothing of a next answer is read.
        let mut answers = BufReader::new(Watched { pipe: &mut self.answers, watch });
        let answer = receive(&mut answers, part_bytes_max);
        drop(answers);
        answer
            .and_then(|answer| answer.ok_or(io::ErrorKind::UnexpectedEof.into()))
            .map_err(|error| watch.silence(error))
    }

    /// Ends what is left of it, and says how it ended.
    fn end(mut self, silence: Silence) -> WorkerEnd {
        let status = match &silence {
            // The pipe may be closed a moment before the process is gone, whose own end says more than a signal of ours.
            Silence::Broken(_) => self.exit_within(Duration::from_secs(1)),
            Silence::Late(_) | Silence::Stopped => None,
        };
        drop(self.process.kill());
        drop(self.process.wait());
        match (silence, status) {
            (Silence::Stopped, _) => WorkerEnd::Stopped,
            (Silence::Late(why), _) => WorkerEnd::TimedOut(why),
            (Silence::Broken(error), None) => WorkerEnd::Died(error.to_string()),
            (Silence::Broken(error), Some(status)) if is_of_others(status) => {
                WorkerEnd::Killed(format!("{error} ({status})"))
            }
            (Silence::Broken(error), Some(status)) => WorkerEnd::Died(format!("{error} ({status})")),
        }
    }

    fn exit_within(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            match self.process.try_wait() {
                Ok(None) if begun.elapsed() < at_most => std::thread::sleep(Duration::from_millis(1)),
                ended => return ended.ok().flatten(),
            }
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

/// Says once in the life of this process that its workers keep rights which others give up.
fn tell(confinement: Confinement) {
    static TOLD: Once = Once::new();
    match confinement {
        Confinement::Full => {}
        Confinement::Partial => TOLD.call_once(|| tracing::info!("this kernel confines worker processes in part")),
        Confinement::None => TOLD
            .call_once(|| tracing::warn!("this kernel does not confine worker processes; the engine's sandbox does")),
    }
}

/// Why no answer came.
enum Silence {
    Broken(io::Error),
    Late(String),
    Stopped,
}

/// What is looked at while a pipe is waited for.
struct Watch<'a> {
    is_late: &'a mut dyn FnMut() -> Option<String>,
    is_stopped: &'a dyn Fn() -> bool,
    /// Why the waiting was given up.
    given_up: Option<Silence>,
}

impl<'a> Watch<'a> {
    fn new(is_late: &'a mut dyn FnMut() -> Option<String>, is_stopped: &'a dyn Fn() -> bool) -> Self {
        Self { is_late, is_stopped, given_up: None }
    }

    /// Waits until the pipe is ready, or gives up.
    fn wait(&mut self, pipe: &impl AsFd, ready: PollFlags) -> io::Result<()> {
        let interval = Timespec::try_from(LOOK_INTERVAL).map_err(io::Error::other)?;
        let mut waiting = [PollFd::new(pipe, ready)];
        loop {
            // Whatever the time is, what is there counts: this process may have been stopped, too.
            match poll(&mut waiting, Some(&interval)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.given_up = match (self.is_late)() {
                _ if (self.is_stopped)() => Some(Silence::Stopped),
                late => late.map(Silence::Late),
            };
            if self.given_up.is_some() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Why reading or writing failed.
    fn silence(&mut self, error: io::Error) -> Silence {
        self.given_up.take().unwrap_or(Silence::Broken(error))
    }
}

/// A pipe to or from a worker, which is never waited for without looking at the time.
struct Watched<'a, 'w, P> {
    pipe: &'a mut P,
    watch: &'a mut Watch<'w>,
}

impl<P: Read + AsFd> Read for Watched<'_, '_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watch.wait(self.pipe, PollFlags::IN)?;
        self.pipe.read(buffer)
    }
}

impl<P: Write + AsFd> Write for Watched<'_, '_, P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watch.wait(self.pipe, PollFlags::OUT)?;
        // So many can be written without waiting to a pipe that is ready.
        self.pipe.write(&bytes[..bytes.len().min(PIPE_BUF)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

/// Whether a process ended by a signal that it does not raise by a fault of its own.
fn is_of_others(status: ExitStatus) -> bool {
    let of_others = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::XCPU];
    status.signal().is_some_and(|signal| of_others.iter().any(|other| other.as_raw() == signal))
}
