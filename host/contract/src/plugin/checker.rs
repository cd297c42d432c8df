//! An output checker: decides whether an answer is right where several are.

use std::sync::Arc;

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

/// What a checker is told beside an answer.
pub type CheckerOptions = serde_json::Map<String, serde_json::Value>;

/// Judges answers.
pub trait OutputChecker: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// Judges what a program wrote for this test. `options` are the problem's own.
    fn check(&self, test: &TestCase, actual: &[u8], options: &CheckerOptions) -> Result<Decision, PluginError>;
}

/// Finds output checkers by the names that problems give them.
pub trait OutputCheckers: Send + Sync {
    /// The checker of this name; `None` if there is no such plugin.
    fn find(&self, name: &str) -> Result<Option<Arc<dyn OutputChecker>>, PluginError>;
}

/// So that a function can stand for a folder of plugins.
impl<F> OutputCheckers for F
where
    F: Fn(&str) -> Result<Option<Arc<dyn OutputChecker>>, PluginError> + Send + Sync,
{
    fn find(&self, name: &str) -> Result<Option<Arc<dyn OutputChecker>>, PluginError> {
        self(name)
    }
}
