//! A virtual clock: the time that a guest sees. It starts at a fixed date, advances with fuel and a little with each
//! look, so that two looks never show the same time, and a sleep advances it at once without waiting. The same program
//! therefore sees the same times in every run.
//!
//! It never reads the machine's clock. A guest that sleeps past its wall-clock limit is stopped there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;

use hilora_contract::plugin::FUEL_PER_SECOND;

/// 2024-01-01T00:00:00Z in seconds of Unix time.
pub(super) const START_SECONDS: u64 = 1_704_067_200;

/// What the clock says it can tell apart.
pub(super) const RESOLUTION_NANOSECONDS: u64 = 1_000;

/// A guest's clock. Clones show the same time.
#[derive(Clone)]
pub(super) struct VirtualClock(Arc<Shared>);

struct Shared {
    slept_nanoseconds: AtomicU64,
    looks: AtomicU64,
    limit_nanoseconds: u64,
    exhausted: AtomicBool,
}

impl VirtualClock {
    /// A clock at the start date that a sleep cannot carry beyond the limit.
    pub(super) fn new(wall_time_ms: u64) -> Self {
        Self(Arc::new(Shared {
            slept_nanoseconds: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            limit_nanoseconds: wall_time_ms.saturating_mul(1_000_000),
            exhausted: AtomicBool::new(false),
        }))
    }

    /// Nanoseconds since the start date, for a guest that has used so much fuel.
    pub(super) fn look(&self, fuel_used: u64) -> u64 {
        let running = u128::from(fuel_used) * 1_000_000_000 / u128::from(FUEL_PER_SECOND);
        let looking = self.0.looks.fetch_add(1, Ordering::Relaxed).saturating_mul(RESOLUTION_NANOSECONDS);
        u64::try_from(running)
            .unwrap_or(u64::MAX)
            .saturating_add(looking)
            .saturating_add(self.0.slept_nanoseconds.load(Ordering::Relaxed))
    }

    /// Whether a sleep went past the limit.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0.exhausted.load(Ordering::Relaxed)
    }

    fn sleep(&self, nanoseconds: u64) {
        let slept = self.0.slept_nanoseconds.load(Ordering::Relaxed).saturating_add(nanoseconds);
        self.0.slept_nanoseconds.store(slept, Ordering::Relaxed);
        if slept > self.0.limit_nanoseconds {
            self.0.exhausted.store(true, Ordering::Relaxed);
        }
    }
}

/// A guest's wait for a time to come.
pub(super) struct Alarm {
    pub(super) clock: VirtualClock,
    pub(super) remaining_nanoseconds: u64,
}

#[async_trait]
impl Pollable for Alarm {
    /// Ready on the second look: whatever else the guest waits for gets the first, so that `select` with a timeout
    /// on readable input returns the input and lets no time pass.
    async fn ready(&mut self) {
        let remaining = std::mem::take(&mut self.remaining_nanoseconds);
        if remaining == 0 {
            return;
        }
        let mut looked = false;
        std::future::poll_fn(|context| {
            if looked {
                return std::task::Poll::Ready(());
            }
            looked = true;
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        self.clock.sleep(remaining);
        if self.clock.is_exhausted() {
            // `execution` ends the call at this point.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuel_and_sleep_advance_it() {
        let clock = VirtualClock::new(10_000);
        assert_eq!(clock.look(FUEL_PER_SECOND), 1_000_000_000);
        assert_eq!(clock.look(FUEL_PER_SECOND), 1_000_001_000);
        clock.sleep(2_000_000_000);
        assert_eq!(clock.look(FUEL_PER_SECOND / 2), 2_500_002_000);
        assert!(!clock.is_exhausted());
        clock.sleep(u64::MAX);
        assert!(clock.is_exhausted());
    }
}
