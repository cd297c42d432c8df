//! An outcome: what running a problem's programs has found. It is remembered, so that nothing runs twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use hilora_contract::artifact::ContentHash;
use hilora_judge::Verdict;

/// What was found of one problem's programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// The programs that passed all tests, by their index among the problem's solutions.
    pub(super) passed: Vec<usize>,
    /// The fuel that the most frugal of them used on its costliest test.
    #[serde(default)]
    pub(super) reference_fuel: Option<u64>,
    /// Programs that ran, the incorrect ones too.
    pub(super) judged: u64,
    /// Solutions that did not run, because one that passed resembles them.
    pub(super) near_duplicates: usize,
    /// How many solutions failed with which verdict.
    pub(super) failed: BTreeMap<Verdict, usize>,
    /// How the first of them failed.
    pub(super) first_failure: Option<String>,
    /// Weak tests: by index, how many programs each accepted that other tests or the dataset refuse.
    pub(super) weak_tests: BTreeMap<usize, u64>,
    /// Programs that the dataset calls incorrect and that all tests accepted.
    pub(super) incorrect_accepted: u64,
    /// The plugin that decided on the outputs, if the problem names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checker: Option<(String, ContentHash)>,
}
