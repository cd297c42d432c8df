//! The tests of one training problem: a row of `data/<specialist>_train_tests.jsonl`. A training row holds no test, so
//! that none is learned by mistake; what must be held against the tests finds them here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{TestCase, shared_tests};
use crate::artifact::ContentHash;

/// A problem's tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemTests {
    /// The hash of the problem's statement, as it stands in the training row.
    pub problem: ContentHash,
    /// Its tests.
    #[serde(with = "shared_tests")]
    pub tests: Arc<[TestCase]>,
}
