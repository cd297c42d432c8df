//! Interruption. The first SIGINT, SIGTERM or SIGHUP asks the work that goes on to save what it has and to stop, and the
//! exit code says which signal it was. A second one ends the process at once, and so does the first if nobody has answered
//! it within five seconds, or if there is nothing to save; that loses nothing that was finished, because every write is
//! atomic.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::failure::{Result, StreamError};
use super::signal::Signal;

/// How long work that can stop may take to notice that it should.
const PATIENCE: Duration = Duration::from_millis(4500);

/// Whether somebody answers a request to stop.
static IS_ANSWERED: AtomicBool = AtomicBool::new(false);
/// Whether the work has seen the request, and is saving.
static IS_SEEN: AtomicBool = AtomicBool::new(false);
/// The first signal that came; 0 if none has.
static REQUESTED: AtomicI32 = AtomicI32::new(0);
/// Whether the thread that waits for signals runs.
static WATCHED: OnceLock<()> = OnceLock::new();

/// While it lives, a signal is a request that the holder answers by asking `requested` often.
pub(crate) struct InterruptGuard(());

impl InterruptGuard {
    /// Takes signals over.
    pub(crate) fn arm() -> Result<Self> {
        if WATCHED.get().is_none() {
            let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(StreamError::Signals)?;
            if WATCHED.set(()).is_ok() {
                thread::spawn(move || watch(signals));
            }
        }
        IS_ANSWERED.store(true, Ordering::SeqCst);
        Ok(Self(()))
    }

    /// Whether an end was asked for. Whoever is told so saves and stops.
    pub(crate) fn requested(&self) -> bool {
        let is_requested = self.signal().is_some();
        if is_requested {
            IS_SEEN.store(true, Ordering::SeqCst);
        }
        is_requested
    }

    /// The signal that asked for it.
    pub(crate) fn signal(&self) -> Option<Signal> {
        Signal::of(REQUESTED.load(Ordering::SeqCst))
    }
}

impl Drop for InterruptGuard {
    fn drop(&mut self) {
        IS_ANSWERED.store(false, Ordering::SeqCst);
    }
}

fn watch(mut signals: Signals) {
    for number in signals.forever() {
        let Some(signal) = Signal::of(number) else { continue };
        let first = REQUESTED.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !(first && IS_ANSWERED.load(Ordering::SeqCst)) {
            std::process::exit(signal.exit_code().into());
        }
        thread::spawn(move || {
            thread::sleep(PATIENCE);
            if !IS_SEEN.load(Ordering::SeqCst) {
                std::process::exit(signal.exit_code().into());
            }
        });
    }
}
