//! Shared tests: the tests of one problem, which every program that is run on them shares, as a list of a JSON row.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TestCase;

/// Writes them as a list.
pub fn serialize<S: Serializer>(tests: &Arc<[TestCase]>, serializer: S) -> Result<S::Ok, S::Error> {
    tests[..].serialize(serializer)
}

/// Reads them from a list.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[TestCase]>, D::Error> {
    Vec::deserialize(deserializer).map(Arc::from)
}
