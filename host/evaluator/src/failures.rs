//! Failures of a formatter on single completions. Such an answer is counted as an error, by its cause, because no answer of
//! a model may end the measurement of all others. If many fail, it is not the answers' doing, and the measurement ends.

use hilora_contract::plugin::PluginError;

/// At most one answer in so many may be one that something else failed on; one always may.
const ANSWERS_PER_FAILURE: usize = 20;

/// The cause of a text in which no final answer is found; its verdict is that of a wrong one.
pub(crate) const WITHOUT_ANSWER: &str = "no-answer";

/// What is counted where the formatter failed on a completion.
pub(crate) const FORMATTER_FAILED: &str = "not-extracted";

/// The failures over a number of answers.
pub(crate) struct Failures {
    left: usize,
}

impl Failures {
    /// None yet.
    pub(crate) fn of(answers: usize) -> Self {
        Self { left: (answers / ANSWERS_PER_FAILURE).max(1) }
    }

    /// Counts one more; false if that is one too many.
    pub(crate) fn tolerates(&mut self) -> bool {
        let tolerates = self.left > 0;
        self.left = self.left.saturating_sub(1);
        tolerates
    }
}

/// Whether a plugin failed on what it was given, and may do its work on what it is given next.
pub(crate) fn is_of_one_answer(error: &PluginError) -> bool {
    match error {
        PluginError::Refused { .. } | PluginError::Contract { .. } | PluginError::Trap { .. } => true,
        // What a clock of the machine ended would end otherwise another time.
        PluginError::Limit { limit, .. } => !limit.is_of_machine(),
        PluginError::Unreadable { .. }
        | PluginError::NotAPlugin { .. }
        | PluginError::OtherVersion { .. }
        | PluginError::WrongKind { .. }
        | PluginError::Manifest { .. }
        | PluginError::CapabilityDenied { .. }
        | PluginError::UnknownImport { .. }
        | PluginError::SourceFile { .. }
        | PluginError::Options { .. }
        | PluginError::CompileLimit { .. }
        | PluginError::Promise { .. }
        | PluginError::Engine { .. }
        | PluginError::Resources { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_always_may_fail_and_one_in_twenty() {
        for (answers, tolerated) in [(0, 1), (1, 1), (39, 1), (40, 2), (1_525, 76)] {
            let mut failures = Failures::of(answers);
            assert_eq!((0..).take_while(|_| failures.tolerates()).count(), tolerated, "{answers}");
        }
    }
}
