//! The memory limit of one instance. It refuses growth and remembers that it did, because a program that sees an
//! allocation fail may end in many ways.

use wasmtime::ResourceLimiter;

/// Elements over all tables of an instance: function pointers, far fewer in any real component.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;

/// Counts an instance's linear memory and refuses what exceeds the limit.
pub(super) struct MemoryLimiter {
    bytes_max: u64,
    bytes: u64,
    denied: bool,
}

impl MemoryLimiter {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, denied: false }
    }

    /// The limit.
    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Linear memory now. It never shrinks, so this is also the most there was.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether growth was refused.
    pub(super) fn denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes + desired.saturating_sub(current) as u64;
        if bytes > self.bytes_max {
            self.denied = true;
            return Ok(false);
        }
        // The engine refuses growth beyond the memory's own maximum; it must not count.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.bytes = bytes;
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_and_remembers() -> wasmtime::Result<()> {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None)?);
        assert!(limiter.memory_growing(60, 70, Some(65))?);
        assert_eq!((limiter.bytes(), limiter.denied()), (60, false));
        assert!(!limiter.memory_growing(0, 60, None)?);
        assert_eq!((limiter.bytes(), limiter.denied()), (60, true));
        Ok(())
    }
}
