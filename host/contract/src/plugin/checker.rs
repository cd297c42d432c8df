//! An output checker: decides whether an answer is right where several are.

use super::{PluginError, PluginIdentity};
use crate::dataset::TestCase;

/// What a checker says of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The answer is right.
    Accepted,
    /// The answer is wrong, and why.
    Rejected(String),
}

/// Judges answers.
pub trait OutputChecker: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// Judges what a program wrote for this test.
    fn check(&self, test: &TestCase, actual: &[u8]) -> Result<Decision, PluginError>;
}
