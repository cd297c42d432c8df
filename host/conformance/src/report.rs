//! The report: what was asked, what failed by name, and what a record costs.

use hilora_contract::plugin::PluginIdentity;
use serde::Serialize;

/// The most characters of what a check tells of a failure.
const FAILURE_CHARACTERS_MAX: usize = 600;

/// One thing that a plugin must hold, asked over several inputs.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    /// How many inputs it was asked over.
    pub inputs: usize,
    /// How many of them it does not hold for.
    pub failed: usize,
    /// The first of them, and what happened.
    pub first_failure: Option<String>,
    /// Why it could not be asked.
    pub skipped: Option<String>,
}

impl Check {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, inputs: 0, failed: 0, first_failure: None, skipped: None }
    }

    /// A check that cannot be asked of this plugin.
    pub(crate) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::new(name) }
    }

    /// One more input.
    pub(crate) fn count(&mut self) {
        self.inputs += 1;
    }

    /// Remembers what went wrong with this input, if anything did.
    pub(crate) fn hold(&mut self, input: &str, outcome: Result<(), String>) {
        let Err(why) = outcome else { return };
        self.failed += 1;
        if self.first_failure.is_none() {
            let told = format!("{input}: {why}");
            self.first_failure = Some(told.chars().take(FAILURE_CHARACTERS_MAX).collect());
        }
    }

    /// Counts an input and remembers what went wrong with it.
    pub(crate) fn ask(&mut self, input: &str, outcome: Result<(), String>) {
        self.count();
        self.hold(input, outcome);
    }

    /// Whether it holds, or could not be asked.
    pub fn passed(&self) -> bool {
        self.failed == 0
    }
}

/// What calls used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel.
    pub fuel: u64,
    /// Processor time, in microseconds.
    pub cpu_time_us: u64,
    /// The most linear memory, in bytes.
    pub memory_bytes: u64,
}

/// The middle and the end of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Half are at most this.
    pub median: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
}

impl Quantiles {
    fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { median: at(50)?, p99: at(99)? })
    }
}

/// What a record costs that is asked alone: with the instance that the host makes for it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Costs {
    /// How many records were measured.
    pub records: usize,
    /// Fuel units.
    pub fuel: Quantiles,
    /// Processor time, in microseconds.
    pub cpu_time_us: Quantiles,
    /// Linear memory, in bytes.
    pub memory_bytes: Quantiles,
}

/// Everything that was asked of a plugin.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which plugin.
    pub plugin: PluginIdentity,
    /// What was asked, in order.
    pub checks: Vec<Check>,
    /// What a record costs.
    pub costs: Option<Costs>,
}

impl Report {
    pub(crate) fn new(plugin: &PluginIdentity) -> Self {
        Self { plugin: plugin.clone(), checks: Vec::new(), costs: None }
    }

    pub(crate) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub(crate) fn measured(&mut self, records: &[Usage]) {
        let quantiles = |part: fn(&Usage) -> u64| Quantiles::of(records.iter().map(part).collect());
        let parts = (quantiles(|it| it.fuel), quantiles(|it| it.cpu_time_us), quantiles(|it| it.memory_bytes));
        if let (Some(fuel), Some(cpu_time_us), Some(memory_bytes)) = parts {
            self.costs = Some(Costs { records: records.len(), fuel, cpu_time_us, memory_bytes });
        }
    }

    /// The checks that do not hold.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(Quantiles::of((1..=200).rev().collect()), Some(Quantiles { median: 100, p99: 198 }));
        assert_eq!(Quantiles::of(vec![7]), Some(Quantiles { median: 7, p99: 7 }));
        assert_eq!(Quantiles::of(vec![]), None);
    }
}
