//! Interruption: the first Ctrl-C asks a training to save and stop, and an enrichment to record the calls that are open;
//! anywhere else, and the second time, it ends the process at once, which loses nothing because every write is atomic.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ExitStatus;

#[derive(Default)]
struct State {
    saves_on_request: AtomicBool,
    requested: AtomicBool,
}

static STATE: OnceLock<Arc<State>> = OnceLock::new();

/// While it lives, an interruption is a request that the holder answers.
pub(super) struct InterruptGuard(Arc<State>);

impl InterruptGuard {
    /// Takes interruptions over. Must be answered by asking `requested` at every step.
    pub(super) fn arm() -> anyhow::Result<Self> {
        let state = match STATE.get() {
            Some(state) => state.clone(),
            None => {
                let state = Arc::new(State::default());
                let seen = state.clone();
                ctrlc::set_handler(move || {
                    let first = !seen.requested.swap(true, Ordering::SeqCst);
                    if !(first && seen.saves_on_request.load(Ordering::SeqCst)) {
                        std::process::exit(ExitStatus::Interrupted as i32);
                    }
                })?;
                STATE.get_or_init(|| state).clone()
            }
        };
        state.saves_on_request.store(true, Ordering::SeqCst);
        Ok(Self(state))
    }

    /// Whether an interruption was asked for.
    pub(super) fn requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }
}

impl Drop for InterruptGuard {
    fn drop(&mut self) {
        self.0.saves_on_request.store(false, Ordering::SeqCst);
    }
}
