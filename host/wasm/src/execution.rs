//! The execution of one call: a future is polled on the calling thread. The host looks at the clocks between two polls,
//! and whenever the guest reports what it used (`metering`). There is no runtime, no timer thread and no other task, so
//! nothing about a call depends on what else the process does.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::clock::VirtualClock;
use hilora_contract::plugin::{LimitKind, RunLimits};

/// The time that this thread has spent on a processor.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Measures one call on the thread that makes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch {
    cpu_start: Duration,
    wall_start: Instant,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { cpu_start: thread_cpu_time(), wall_start: Instant::now() }
    }

    pub(super) fn cpu_time(&self) -> Duration {
        thread_cpu_time().saturating_sub(self.cpu_start)
    }

    pub(super) fn wall_time(&self) -> Duration {
        self.wall_start.elapsed()
    }

    /// Which limit of time has been reached, where time is limited at all.
    pub(super) fn check(&self, limits: &RunLimits) -> Option<LimitKind> {
        if limits.reproducible {
            None
        } else if self.cpu_time() >= Duration::from_millis(limits.cpu_time_ms) {
            Some(LimitKind::CpuTime)
        } else if self.wall_time() >= Duration::from_millis(limits.wall_time_ms) {
            Some(LimitKind::WallClock)
        } else {
            None
        }
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls `call` to its end or to the first limit of time. A call that is given up is dropped, which unwinds it.
pub(super) fn drive<F: Future>(
    call: F,
    limits: &RunLimits,
    stopwatch: &Stopwatch,
    clock: &VirtualClock,
) -> Result<F::Output, LimitKind> {
    let mut call = pin!(call);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = call.as_mut().poll(&mut context) {
            return Ok(output);
        }
        // Nothing outside the guest ever wakes it, so a guest that is not already awake would wait for ever.
        let waits_for_ever = !woken.0.swap(false, Ordering::Relaxed);
        if clock.is_exhausted() || waits_for_ever {
            return Err(LimitKind::VirtualClock);
        }
        if let Some(limit) = stopwatch.check(limits) {
            return Err(limit);
        }
    }
}
