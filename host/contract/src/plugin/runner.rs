//! A solution runner: one untrusted program, once, in a fresh instance, under the host's limits.

use serde::{Deserialize, Serialize};

use super::{LimitKind, PluginError, PluginIdentity};
use crate::dataset::Language;

/// What a runner runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerInfo {
    /// The language.
    pub language: Language,
    /// What a program's file ends with, without the dot.
    pub file_extension: String,
    /// The interpreter and its version.
    pub interpreter: String,
    /// Whether it can call a function of a program.
    pub calls_functions: bool,
}

impl RunnerInfo {
    /// Whether tests can call a function of this name: a letter or `_`, and then letters, digits and `_`.
    pub fn can_call(&self, entry_point: &str) -> bool {
        let begins = entry_point.starts_with(|c: char| c.is_alphabetic() || c == '_');
        self.calls_functions && begins && entry_point.chars().all(|c| c.is_alphanumeric() || c == '_')
    }
}

/// Fuel units that stand for one second: the rate of a program's virtual clock and the measure of its time limit.
///
/// A unit is about one WebAssembly instruction on a path that repeats; `wasm::metering` says what is charged. Measured
/// with CPython in a component (`cargo xtask verdicts`): of 2,622 accepted tests of real programs all but 21 stay within
/// one second of fuel, all but 11 within two, all but 8 within three. The 246 tests of more than 25 ms charge 3.8 to 9.8
/// units per nanosecond of the sandbox's processor time (median 5.2) on a busy machine, so that a second of fuel is
/// about 1.5 to 4 s there.
pub const FUEL_PER_SECOND: u64 = 15_000_000_000;

/// The limits of one run. Each is absolute; none depends on the machine's load except the two clocks, which only protect
/// the machine: a run that they end is `Unfinished`, and nothing is said of its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Instructions, in fuel units: the only limit whose verdict is the same on every machine.
    pub fuel: u64,
    /// Thread CPU time, in milliseconds.
    pub cpu_time_ms: u64,
    /// Wall-clock time, in milliseconds; the candidate's virtual clock ends here too, and that is a limit like the others.
    pub wall_time_ms: u64,
    /// Linear memory, in bytes.
    pub memory_bytes_max: u64,
    /// Standard output and standard error, each, in bytes.
    pub output_bytes_max: u64,
    /// Whether the machine's two clocks are left out, so that nothing protects it from a program that its fuel does not
    /// measure. The virtual clock still ends where it does.
    pub reproducible: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Termination {
    /// The program ended by itself with this exit code.
    Exited(u8),
    /// An exception that nobody caught.
    Raised {
        /// Its type.
        exception: String,
        /// Its message.
        message: String,
    },
    /// It needs a module that the runner does not have.
    Unsupported {
        /// The module's name.
        module: String,
    },
    /// A limit that is the same on every machine ended it.
    LimitExceeded(LimitKind),
    /// It wrote more than it may.
    OutputLimitExceeded,
    /// The instance trapped: `abort`, a stack overflow in C, a deadlock.
    Trapped {
        /// The engine's words.
        message: String,
    },
    /// The machine ended it, however often it was begun: the engine's process died, or a clock that protects the machine
    /// ran out. Nothing is known of the program.
    Unfinished {
        /// How it ended the last time.
        message: String,
    },
}

/// What the host saw of one run. Everything but `termination`'s texts is measured outside the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// How it ended.
    pub termination: Termination,
    /// What it wrote to standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// Fuel used.
    pub fuel: u64,
    /// Thread CPU time, in microseconds.
    pub cpu_time_us: u64,
    /// Wall-clock time, in microseconds.
    pub wall_time_us: u64,
    /// The most linear memory it had, in bytes.
    pub memory_bytes: u64,
}

/// Runs untrusted programs.
pub trait SolutionRunner: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// What it runs.
    fn describe(&self) -> Result<RunnerInfo, PluginError>;

    /// Runs `code` with `stdin` in an instance that no other program has touched: as a whole program, or to call the
    /// function `entry_point` of it, with an argument in each line of `stdin` and what it returns on standard output,
    /// all as JSON values. An error is the host's or the runner's fault, never the program's.
    fn run(
        &self,
        code: &str,
        entry_point: Option<&str>,
        stdin: &[u8],
        limits: &RunLimits,
    ) -> Result<RunReport, PluginError>;

    /// Ends the runs that are under way, each with an error; runs that begin later are not touched. A runner that cannot
    /// end a run lets it come to its limits.
    fn stop(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_point_is_an_identifier_and_nothing_else() {
        let info = RunnerInfo {
            language: Language::PYTHON3,
            file_extension: "py".to_owned(),
            interpreter: String::new(),
            calls_functions: true,
        };
        assert!(["twoSum", "_f1", "größe"].into_iter().all(|name| info.can_call(name)));
        for forged in ["", "a b", "a');import os#", "1a", "a.b", "a$b"] {
            assert!(!info.can_call(forged), "{forged}");
        }
        assert!(!RunnerInfo { calls_functions: false, ..info }.can_call("twoSum"));
    }
}
