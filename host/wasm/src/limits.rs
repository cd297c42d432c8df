//! The limits of one instance, as the engine asks for them: when a memory or a table grows, which is also how a meter
//! reports. A refusal of memory is remembered for the call, because code that sees an allocation fail may end in many ways.

use wasmtime::ResourceLimiter;

use super::execution::Stopwatch;
use super::metering::{Allowance, METER_TABLE_MAX};
use hilora_contract::plugin::RunLimits;

/// Elements over all tables of a guest: function pointers, far fewer in any real component.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;
/// Modules of one guest. componentize-py links a few dozen, each of which has a table of its meter.
const INSTANCES_MAX: usize = 512;
const TABLES_MAX: usize = 1_024;
/// Memories of one guest: each takes 4 GiB of address space, and a real component has one or two.
const MEMORIES_MAX: usize = 32;

/// What an allocator asks for at least, of which the smallest object needs a part: one page, or two.
const SMALL_GROWTH_BYTES: usize = 2 << 16;

/// After so much more fuel, a quarter of a millisecond of it, code has got over a refusal: whatever ends it then is
/// something else. To give up takes a panic's message a hundredth of that. It is several reports of a meter.
const REFUSAL_FUEL: u64 = 4_000_000;

/// Counts an instance's linear memory and what its meters report, and refuses what exceeds a limit.
pub(super) struct InstanceLimiter {
    pub(super) allowance: Allowance,
    bytes_max: u64,
    bytes: u64,
    denied: bool,
    exhausted: bool,
    /// The fuel that had been used when memory was last refused in this call.
    refused_at: Option<u64>,
    table_elements: usize,
}

impl InstanceLimiter {
    pub(super) fn new(limits: &RunLimits) -> Self {
        Self {
            allowance: Allowance::new(limits),
            bytes_max: limits.memory_bytes_max,
            bytes: 0,
            denied: false,
            exhausted: false,
            refused_at: None,
            table_elements: 0,
        }
    }

    /// A call begins: what was refused to earlier ones is nothing to it.
    pub(super) fn begin(&mut self, stopwatch: &Stopwatch) {
        self.allowance.begin(stopwatch);
        self.refused_at = None;
    }

    /// Whether memory was refused so lately that what ended the call may well be a consequence.
    pub(super) fn refused_lately(&self) -> bool {
        self.refused_at.is_some_and(|refused_at| self.allowance.used() - refused_at <= REFUSAL_FUEL)
    }

    /// The limit.
    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Linear memory now. It never shrinks, so this is also the most there was.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether so little was refused that there was no memory for anything: not one large array more than there is.
    pub(super) fn exhausted(&self) -> bool {
        self.exhausted
    }

    /// Whether growth was refused.
    pub(super) fn denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for InstanceLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes + desired.saturating_sub(current) as u64;
        if bytes > self.bytes_max {
            self.denied = true;
            self.refused_at = Some(self.allowance.used());
            self.exhausted |= desired.saturating_sub(current) <= SMALL_GROWTH_BYTES;
            return Ok(false);
        }
        // The engine refuses growth beyond the memory's own maximum; it must not count.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.bytes = bytes;
        }
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| maximum as u64 == METER_TABLE_MAX) {
            self.allowance.report(desired.saturating_sub(current) as u64)?;
            // The engine also asks whether the table may begin, with no elements.
            return Ok(desired == 0);
        }
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if elements > TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        // The engine refuses growth beyond the table's own maximum; it must not count.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.table_elements = elements;
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::LimitReached;
    use hilora_contract::plugin::LimitKind;

    const LIMITS: RunLimits = RunLimits {
        fuel: 50,
        cpu_time_ms: 0,
        wall_time_ms: 0,
        memory_bytes_max: 100,
        output_bytes_max: 0,
        reproducible: true,
    };

    #[test]
    fn a_meters_table_reports_and_never_grows() -> wasmtime::Result<()> {
        let mut limiter = InstanceLimiter::new(&LIMITS);
        let meter = usize::try_from(METER_TABLE_MAX).ok();
        assert!(limiter.table_growing(0, 0, meter)?);
        assert!(!limiter.table_growing(0, 50, meter)?);
        assert_eq!(limiter.allowance.used(), 50);
        let ended = limiter.table_growing(0, 1, meter).err();
        assert!(matches!(ended.and_then(|error| error.downcast().ok()), Some(LimitReached(LimitKind::Fuel))));
        assert!(limiter.table_growing(0, 1, None)?);
        Ok(())
    }

    #[test]
    fn elements_are_counted_over_all_tables() -> wasmtime::Result<()> {
        let mut limiter = InstanceLimiter::new(&LIMITS);
        let half = TABLE_ELEMENTS_MAX / 2;
        assert!(limiter.table_growing(0, half, None)?);
        assert!(limiter.table_growing(half, half + 9, Some(half))?, "the engine refuses that by itself");
        assert!(limiter.table_growing(0, half, None)?);
        assert!(!limiter.table_growing(0, 1, None)?);
        Ok(())
    }

    #[test]
    fn a_refusal_is_the_cause_for_a_while_and_of_its_call_alone() -> wasmtime::Result<()> {
        let mut limiter = InstanceLimiter::new(&RunLimits { fuel: u64::MAX, ..LIMITS });
        assert!(!limiter.refused_lately());
        assert!(!limiter.memory_growing(0, 1 << 30, None)?);
        limiter.allowance.report(REFUSAL_FUEL)?;
        assert!(limiter.refused_lately());
        limiter.allowance.report(1)?;
        assert!(!limiter.refused_lately(), "it has done much since");
        assert!(!limiter.memory_growing(0, 1 << 30, None)?);
        limiter.begin(&Stopwatch::start());
        assert!(!limiter.refused_lately() && limiter.denied(), "that was an earlier call");
        Ok(())
    }

    #[test]
    fn refuses_and_remembers() -> wasmtime::Result<()> {
        let mut limiter = InstanceLimiter::new(&LIMITS);
        assert!(limiter.memory_growing(0, 60, None)?);
        assert!(limiter.memory_growing(60, 70, Some(65))?);
        assert!(!limiter.memory_growing(60, 1 << 30, None)?);
        assert_eq!((limiter.denied(), limiter.exhausted()), (true, false));
        limiter.denied = false;
        assert_eq!((limiter.bytes(), limiter.denied()), (60, false));
        assert!(!limiter.memory_growing(0, 60, None)?);
        assert_eq!((limiter.bytes(), limiter.denied(), limiter.exhausted()), (60, true, true));
        Ok(())
    }
}
