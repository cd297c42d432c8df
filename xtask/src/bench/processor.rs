//! The processor that figures were taken on: without its name they say nothing.

use std::fs;
use std::thread;

use anyhow::Result;
use serde::Serialize;

/// The instructions whose presence decides which kernels run.
const INSTRUCTIONS: [(&str, &str); 4] =
    [("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_bf16", "AVX512-BF16"), ("amx_bf16", "AMX-BF16")];

/// Figures with the processor that they were taken on.
#[derive(Debug, Serialize)]
struct OnProcessor<'a, T> {
    processor: String,
    #[serde(flatten)]
    figures: &'a T,
}

/// The figures as one JSON object, with the processor that they were taken on.
pub(super) fn json_with_processor(figures: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(&OnProcessor { processor: processor(), figures })?)
}

/// Its name, what of its vector instructions the kernels know, and the threads that it has for us.
pub(super) fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    described(&told, threads)
}

fn described(told: &str, threads: usize) -> String {
    let field = |name: &str| {
        let mut lines = told.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let flags: Vec<&str> = field("flags").unwrap_or_default().split_whitespace().collect();
    let known = INSTRUCTIONS.iter().filter(|(flag, _)| flags.contains(flag)).map(|(_, name)| *name);
    let known = known.collect::<Vec<_>>().join(", ");
    format!("{} ({known}), {threads} threads", field("model name").unwrap_or("an unknown processor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_told_by_its_name_and_vectors() {
        let told = "processor\t: 0\nmodel name\t: Some 9000\nflags\t\t: fpu avx2 avx512_bf16x\n\nmodel name : other\n";
        assert_eq!(described(told, 2), "Some 9000 (AVX2), 2 threads");
        assert_eq!(described("", 1), "an unknown processor (), 1 threads");
    }
}
