//! The limits of the plugins of a run. Programs that runners run have limits of their own.

use std::ops::RangeInclusive;

use hilora_contract::plugin::RunLimits;
use hilora_wasm::{CompileLimits, HostOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a call of a plugin may take, and what compiling it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLimitsConfig {
    /// The processor time of one call of a loader, classifier, formatter or checker, in milliseconds (a minute); five times
    /// as long on the clock. A formatter and a checker, which take what a model wrote, have a sixth of it in fuel, which
    /// is the same on every machine.
    pub cpu_time_ms: u64,
    /// The linear memory of one instance, in bytes (1 GiB).
    pub memory_bytes_max: u64,
    /// The most rows, problems or lessons that one call is about (256).
    pub batch_size: u32,
    /// The processor time of compiling one plugin, in milliseconds (two minutes).
    pub compile_cpu_time_ms: u64,
    /// The memory of compiling one plugin, in bytes (4 GiB).
    pub compile_memory_bytes_max: u64,
}

const CPU_TIME_MS: RangeInclusive<u64> = 100..=3_600_000;
/// From what an interpreter needs to what 32 bits address.
const MEMORY_BYTES_MAX: RangeInclusive<u64> = 16 << 20..=4 << 30;
const BATCH_SIZE: RangeInclusive<u64> = 1..=256;
const COMPILE_CPU_TIME_MS: RangeInclusive<u64> = 1_000..=3_600_000;
/// From what the threads of a large machine take before anything is compiled.
const COMPILE_MEMORY_BYTES_MAX: RangeInclusive<u64> = 512 << 20..=256 << 30;

impl Default for PluginLimitsConfig {
    fn default() -> Self {
        let options = HostOptions::default();
        Self {
            cpu_time_ms: options.call_limits.cpu_time_ms,
            memory_bytes_max: options.call_limits.memory_bytes_max,
            batch_size: options.items_per_call_max,
            compile_cpu_time_ms: options.compile_limits.cpu_time_ms,
            compile_memory_bytes_max: options.compile_limits.memory_bytes_max,
        }
    }
}

impl PluginLimitsConfig {
    /// Every value that cannot be used; empty where all can.
    pub fn validate(&self) -> Vec<String> {
        let values = [
            ("cpu_time_ms", self.cpu_time_ms, CPU_TIME_MS),
            ("memory_bytes_max", self.memory_bytes_max, MEMORY_BYTES_MAX),
            ("batch_size", u64::from(self.batch_size), BATCH_SIZE),
            ("compile_cpu_time_ms", self.compile_cpu_time_ms, COMPILE_CPU_TIME_MS),
            ("compile_memory_bytes_max", self.compile_memory_bytes_max, COMPILE_MEMORY_BYTES_MAX),
        ];
        let wrong = values.into_iter().filter(|(_, value, bounds)| !bounds.contains(value));
        wrong
            .map(|(key, value, bounds)| {
                let (least, most) = bounds.into_inner();
                format!("plugins.limits.{key}: expected {least} to {most}, got {value}")
            })
            .collect()
    }

    /// How plugins are run under these limits.
    pub fn host_options(&self) -> HostOptions {
        let options = HostOptions::default();
        HostOptions {
            call_limits: RunLimits {
                cpu_time_ms: self.cpu_time_ms,
                wall_time_ms: 5 * self.cpu_time_ms,
                memory_bytes_max: self.memory_bytes_max,
                ..options.call_limits
            },
            items_per_call_max: self.batch_size,
            compile_limits: CompileLimits {
                cpu_time_ms: self.compile_cpu_time_ms,
                memory_bytes_max: self.compile_memory_bytes_max,
            },
            ..options
        }
    }

    /// Whether nothing was set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_the_hosts_own_and_every_wrong_value_is_named() -> Result<(), serde_json::Error> {
        let (default, own) = (PluginLimitsConfig::default().host_options(), HostOptions::default());
        assert_eq!(default.call_limits, own.call_limits);
        assert_eq!((default.compile_limits, default.items_per_call_max), (own.compile_limits, own.items_per_call_max));
        let set: PluginLimitsConfig = serde_json::from_str(r#"{"cpu_time_ms": 1, "batch_size": 0}"#)?;
        assert_eq!(
            set.validate(),
            [
                "plugins.limits.cpu_time_ms: expected 100 to 3600000, got 1",
                "plugins.limits.batch_size: expected 1 to 256, got 0"
            ]
        );
        Ok(())
    }
}
