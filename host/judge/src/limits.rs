//! The limits of a run, from what a problem's dataset says of time and memory, and from what its reference solution
//! needs.
//!
//! A second of a problem's limit becomes `FUEL_PER_SECOND` units, which decide; the two clocks are backstops that only
//! a program that the fuel does not measure (one huge instruction in C) or a starved machine can reach.
//!
//! Fuel is a weak clock: a nanosecond of one program is twenty times the fuel of another's. Where a problem has a
//! solution that is known to be right, what it needs says more than the dataset's seconds: a program may then use
//! `REFERENCE_FACTOR` times as much, where that is more.

use std::ops::RangeInclusive;

use hilora_contract::plugin::{FUEL_PER_SECOND, RunLimits};

/// The limit of a problem that states none, in milliseconds.
const TIME_LIMIT_MS_DEFAULT: u64 = 2_000;
/// Time limits of real datasets lie within these bounds, in milliseconds; what is outside is a slip of the dataset.
pub const TIME_LIMIT_MS_BOUNDS: RangeInclusive<u64> = 500..=20_000;
/// A second of fuel takes up to 6 s of a busy machine, and machines differ.
const CPU_TIME_FACTOR: u64 = 12;
/// Other work on the machine must not turn a pass into a time-out.
const WALL_TIME_FACTOR: u64 = 30;

/// A program may use so many times the fuel of a reference solution; contests give as much over their own.
const REFERENCE_FACTOR: u64 = 3;
/// No reference solution makes a problem's limits larger than so many times what the dataset says.
const CALIBRATION_FACTOR_MAX: u64 = 3;

/// The limit of a problem that states none, in bytes.
const MEMORY_BYTES_DEFAULT: u64 = 256 << 20;
/// What the interpreter itself takes of its linear memory, above what a native one takes.
const INTERPRETER_BYTES: u64 = 64 << 20;
/// The least and the most that a problem's own limit gives, in bytes: a 32-bit memory ends at 4 GiB, and one run may
/// have a quarter of it.
pub const MEMORY_BYTES_BOUNDS: RangeInclusive<u64> = 64 << 20..=1 << 30;

/// Standard output and standard error, each. The largest expected output of the real datasets is below 8 MB.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;

/// The limits for a problem with these limits of its own. What is out of bounds becomes the nearest bound; a limit that
/// a person gave is refused before.
pub fn run_limits(time_limit_ms: Option<u64>, memory_limit_bytes: Option<u64>) -> RunLimits {
    let within = |value: u64, bounds: RangeInclusive<u64>| value.clamp(*bounds.start(), *bounds.end());
    let time_ms = within(time_limit_ms.unwrap_or(TIME_LIMIT_MS_DEFAULT), TIME_LIMIT_MS_BOUNDS);
    let memory_bytes = within(memory_limit_bytes.unwrap_or(MEMORY_BYTES_DEFAULT), MEMORY_BYTES_BOUNDS);
    RunLimits {
        fuel: time_ms * (FUEL_PER_SECOND / 1_000),
        cpu_time_ms: time_ms * CPU_TIME_FACTOR,
        wall_time_ms: time_ms * WALL_TIME_FACTOR,
        memory_bytes_max: memory_bytes + INTERPRETER_BYTES,
        output_bytes_max: OUTPUT_BYTES_MAX,
        reproducible: false,
    }
}

/// The limits under which a reference solution itself runs: the largest that it could earn.
pub fn reference_limits(limits: RunLimits) -> RunLimits {
    with_fuel(limits, limits.fuel.saturating_mul(CALIBRATION_FACTOR_MAX))
}

/// The limits of a program where a reference solution used `reference_fuel` on its costliest test. They are never
/// smaller than `limits`.
pub fn calibrated(limits: RunLimits, reference_fuel: Option<u64>) -> RunLimits {
    let earned = reference_fuel.unwrap_or(0).saturating_mul(REFERENCE_FACTOR);
    with_fuel(limits, earned.clamp(limits.fuel, limits.fuel.saturating_mul(CALIBRATION_FACTOR_MAX)))
}

/// The limits with more fuel, and with clocks that remain backstops of it.
fn with_fuel(limits: RunLimits, fuel: u64) -> RunLimits {
    let scaled = |milliseconds: u64| {
        let scaled = u128::from(milliseconds) * u128::from(fuel) / u128::from(limits.fuel.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    RunLimits { fuel, cpu_time_ms: scaled(limits.cpu_time_ms), wall_time_ms: scaled(limits.wall_time_ms), ..limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_solution_earns_more_and_never_less() {
        let limits = run_limits(Some(1_000), None);
        assert_eq!(calibrated(limits, None), limits);
        assert_eq!(calibrated(limits, Some(FUEL_PER_SECOND / 3)), limits);
        let earned = calibrated(limits, Some(FUEL_PER_SECOND / 2));
        assert_eq!(earned.fuel, FUEL_PER_SECOND / 2 * 3);
        assert_eq!((earned.cpu_time_ms, earned.wall_time_ms), (18_000, 45_000));
        assert_eq!(earned.memory_bytes_max, limits.memory_bytes_max);
        assert_eq!(calibrated(limits, Some(u64::MAX)), reference_limits(limits));
        assert_eq!(reference_limits(limits).fuel, 3 * FUEL_PER_SECOND);
    }

    #[test]
    fn a_second_is_a_second_of_fuel() {
        let limits = run_limits(Some(1_000), Some(128 << 20));
        assert_eq!(limits.fuel, FUEL_PER_SECOND);
        assert_eq!(limits.memory_bytes_max, 192 << 20);
        assert!(limits.cpu_time_ms < limits.wall_time_ms);
    }

    #[test]
    fn a_slip_of_the_dataset_stays_within_bounds() {
        assert_eq!(run_limits(Some(0), Some(0)), run_limits(Some(500), Some(64 << 20)));
        assert_eq!(run_limits(Some(u64::MAX), Some(u64::MAX)), run_limits(Some(20_000), Some(1 << 30)));
        assert_eq!(run_limits(None, None), run_limits(Some(2_000), Some(256 << 20)));
    }
}
