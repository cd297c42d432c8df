//! A verdict: the one word that is said of a test or of a whole submission.

use std::fmt;

use serde::{Deserialize, Serialize};

use hilora_contract::plugin::{LimitKind, Termination};

/// What is said of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It ended with exit code 0 and wrote what was expected.
    Accepted,
    /// It ended with exit code 0 and wrote something else.
    WrongAnswer,
    /// It used up its fuel, or slept past its time.
    TimeLimit,
    /// It failed where it was refused more memory.
    MemoryLimit,
    /// It wrote more than it may.
    OutputLimit,
    /// It ended with an exception, with another exit code, or trapped.
    RuntimeError,
    /// It needs a module that the runner does not have.
    Unsupported,
    /// The runner, the host or the machine failed; nothing is said of the program.
    InternalError,
}

impl Verdict {
    /// Every verdict, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::WrongAnswer,
        Self::TimeLimit,
        Self::MemoryLimit,
        Self::OutputLimit,
        Self::RuntimeError,
        Self::Unsupported,
        Self::InternalError,
    ];

    /// The verdict on a run that ended otherwise than by itself with exit code 0; of such a one a checker decides, and
    /// without it nothing is accepted.
    pub fn of(termination: &Termination) -> Self {
        match termination {
            Termination::Exited(0) => Self::WrongAnswer,
            Termination::LimitExceeded(LimitKind::Memory) => Self::MemoryLimit,
            Termination::LimitExceeded(LimitKind::Fuel | LimitKind::VirtualClock) => Self::TimeLimit,
            Termination::OutputLimitExceeded => Self::OutputLimit,
            Termination::Exited(_) | Termination::Raised { .. } | Termination::Trapped { .. } => Self::RuntimeError,
            Termination::Unsupported { .. } => Self::Unsupported,
            // A runner that calls a clock of the machine a limit says nothing of the program.
            Termination::LimitExceeded(LimitKind::CpuTime | LimitKind::WallClock) | Termination::Unfinished { .. } => {
                Self::InternalError
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::WrongAnswer => "wrong-answer",
            Self::TimeLimit => "time-limit",
            Self::MemoryLimit => "memory-limit",
            Self::OutputLimit => "output-limit",
            Self::RuntimeError => "runtime-error",
            Self::Unsupported => "unsupported",
            Self::InternalError => "internal-error",
        })
    }
}

impl std::str::FromStr for Verdict {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.to_string() == word)
            .ok_or_else(|| format!("expected a verdict, got `{word}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ending_alone_is_accepted() {
        assert_eq!(Verdict::of(&Termination::Exited(0)), Verdict::WrongAnswer, "that is for a checker to say");
        assert_eq!(Verdict::of(&Termination::Exited(1)), Verdict::RuntimeError);
        assert_eq!(Verdict::of(&Termination::OutputLimitExceeded), Verdict::OutputLimit);
    }

    #[test]
    fn its_words_are_those_of_its_json() -> Result<(), Box<dyn std::error::Error>> {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_string(&verdict)?, format!("\"{verdict}\""));
            assert_eq!(verdict.to_string().parse(), Ok(verdict));
        }
        Ok(())
    }
}
