//! What a guest has used, on the host's side, and what ends it.

use std::fmt;

use crate::execution::Stopwatch;
use hilora_contract::plugin::{LimitKind, RunLimits};

/// The units that one guest may use, and has used.
pub(crate) struct Allowance {
    limits: RunLimits,
    stopwatch: Stopwatch,
    in_this_call: u64,
    in_earlier_calls: u64,
}

/// A limit that ended a call while its guest reported.
#[derive(Debug)]
pub(crate) struct LimitReached(pub(crate) LimitKind);

impl fmt::Display for LimitReached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the limit of {} is reached", self.0)
    }
}

impl std::error::Error for LimitReached {}

impl Allowance {
    pub(crate) fn new(limits: &RunLimits) -> Self {
        Self { limits: *limits, stopwatch: Stopwatch::start(), in_this_call: 0, in_earlier_calls: 0 }
    }

    /// A call begins: its limits count anew, from `stopwatch` on.
    pub(crate) fn begin(&mut self, stopwatch: &Stopwatch) {
        self.stopwatch = *stopwatch;
        self.in_earlier_calls = self.in_earlier_calls.saturating_add(self.in_this_call);
        self.in_this_call = 0;
    }

    /// The guest has used so many units since its last report.
    pub(crate) fn report(&mut self, units: u64) -> Result<(), LimitReached> {
        self.in_this_call = self.in_this_call.saturating_add(units);
        if self.in_this_call > self.limits.fuel {
            return Err(LimitReached(LimitKind::Fuel));
        }
        self.stopwatch.check(&self.limits).map_or(Ok(()), |limit| Err(LimitReached(limit)))
    }

    /// All units that were reported. While the guest runs, it is up to one report ahead of this.
    pub(crate) fn used(&self) -> u64 {
        self.in_earlier_calls.saturating_add(self.in_this_call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RunLimits = RunLimits {
        fuel: 1_000,
        cpu_time_ms: 60_000,
        wall_time_ms: 0,
        memory_bytes_max: 0,
        output_bytes_max: 0,
        reproducible: true,
    };

    #[test]
    fn a_limit_is_of_one_call_and_exact() {
        let mut allowance = Allowance::new(&LIMITS);
        assert!(allowance.report(993).is_ok());
        assert!(allowance.report(7).is_ok());
        assert!(matches!(allowance.report(1), Err(LimitReached(LimitKind::Fuel))));
        allowance.begin(&Stopwatch::start());
        assert!(allowance.report(1_000).is_ok());
        assert_eq!(allowance.used(), 2_001);
    }

    #[test]
    fn a_clock_that_has_run_out_ends_a_call() {
        let limits = RunLimits { reproducible: false, ..LIMITS };
        let reached = Allowance::new(&limits).report(1);
        assert!(matches!(reached, Err(LimitReached(LimitKind::WallClock))));
    }
}
