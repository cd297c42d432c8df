//! Resident memory: how much of this process stands in the machine's memory, as the kernel counts it.

/// Bytes that are resident now; none where the kernel does not say (it is asked through /proc).
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_becomes_resident() {
        const BYTES: usize = 64 << 20;
        let block = std::hint::black_box(vec![1u8; BYTES]);
        let resident = resident_bytes().expect("the kernel says");
        assert!(resident >= block.len() as u64, "{resident}");
    }
}
