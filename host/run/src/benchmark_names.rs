//! The names of the benchmarks, for whoever reads a config.

use hilora_evaluator::BenchmarkConfig;

/// Each benchmark's name, in the order of the table (`benchmark`).
pub(crate) const BENCHMARK_NAMES: [&str; 10] = [
    "livecodebench",
    "humaneval",
    "humaneval-plus",
    "mbpp",
    "mbpp-plus",
    "codecontests",
    "taco",
    "apps",
    "gsm8k",
    "math",
];

/// Every name that is no benchmark's.
pub(crate) fn wrong_names(benchmarks: &[BenchmarkConfig]) -> Vec<String> {
    let unknown = benchmarks.iter().map(|benchmark| benchmark.name.as_str());
    let unknown = unknown.filter(|name| !BENCHMARK_NAMES.contains(name));
    let words =
        |name| format!("evaluation.benchmarks.name: expected one of {}, got `{name}`", BENCHMARK_NAMES.join(", "));
    unknown.map(words).collect()
}
