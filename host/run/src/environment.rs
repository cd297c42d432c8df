//! The environment of a run: the machine, the versions and the seed that its numbers come from. It stands beside the
//! resolved config as `environment.json` and enters no hash.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use hilora_model::ModelError;
use hilora_trainer::ComputePrecision;

use super::config::RunConfig;

/// The lock file that this program was built with.
const LOCK_FILE: &str = include_str!("../../../Cargo.lock");

/// The libraries whose versions can change a number.
const LIBRARIES: [&str; 8] =
    ["candle-core", "gemm", "half", "minijinja", "rayon", "safetensors", "tokenizers", "wasmtime"];

/// What a run's numbers come from, beside its config and data.
#[derive(Debug, Serialize)]
pub struct Environment {
    /// This program's version.
    program: &'static str,
    /// The seed that split, data order, dropout and sampling derive from.
    seed: u64,
    /// The type of activations and products.
    precision: ComputePrecision,
    /// Where they are computed.
    device: &'static str,
    processor: Processor,
    /// The machine's memory in bytes.
    memory_bytes: Option<u64>,
    operating_system: String,
    libraries: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Processor {
    model: Option<String>,
    architecture: &'static str,
    /// Those that a kernel here may use.
    instruction_sets: Vec<&'static str>,
    /// Cores that this process may use.
    cores: usize,
}

impl Environment {
    /// The environment of a run on this machine.
    pub fn of_run(config: &RunConfig) -> Result<Self, ModelError> {
        Ok(Self {
            program: env!("CARGO_PKG_VERSION"),
            seed: config.seed,
            precision: config.training.precision()?,
            device: config.training.device.choose()?.name(),
            processor: Processor {
                model: line_of("/proc/cpuinfo", "model name"),
                architecture: std::env::consts::ARCH,
                instruction_sets: instruction_sets(),
                cores: available_cores(),
            },
            memory_bytes: memory_bytes(),
            operating_system: operating_system(),
            libraries: libraries(),
        })
    }
}

/// How many programs run at once by default.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map(usize::from).unwrap_or(1)
}

/// The value of the first `key: value` line of a file of the kernel's.
fn line_of(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The machine's memory in bytes.
pub fn memory_bytes() -> Option<u64> {
    let kibibytes: u64 = line_of("/proc/meminfo", "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

fn operating_system() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let release = read("/etc/os-release");
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or(std::env::consts::OS);
    format!("{}, kernel {}", name.trim_matches('"'), read("/proc/sys/kernel/osrelease").trim())
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

/// The versions of the libraries, as the lock file has them.
fn libraries() -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let mut lines = LOCK_FILE.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("name = ").map(|name| name.trim_matches('"')) else { continue };
        let version = lines.next().and_then(|line| line.strip_prefix("version = "));
        if let (true, Some(version)) = (LIBRARIES.contains(&name), version) {
            versions.insert(name.to_owned(), version.trim_matches('"').to_owned());
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_has_a_version() {
        let found = libraries();
        assert_eq!(found.keys().collect::<Vec<_>>(), LIBRARIES);
        assert!(found.values().all(|version| version.split('.').count() == 3), "{found:?}");
    }
}
