//! A domain classifier: which domain a problem belongs to, and how surely.

use super::{PluginError, PluginIdentity};
use crate::dataset::{Domain, ProblemText};

/// A domain that a classifier may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its name.
    pub domain: Domain,
    /// What belongs to it.
    pub description: String,
}

/// How strongly a problem belongs to a domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The domain.
    pub domain: Domain,
    /// Higher is stronger; only the order has a meaning.
    pub score: f32,
    /// The tags and keywords that were found.
    pub signals: Vec<String>,
}

/// The answer for one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// The chosen domain.
    pub domain: Domain,
    /// Domains with a score above 0, best first.
    pub scores: Vec<Score>,
}

/// Sorts problems into domains.
pub trait DomainClassifier: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// Every domain it may answer.
    fn domains(&self) -> Result<Vec<DomainInfo>, PluginError>;

    /// One classification per problem, in the same order.
    fn classify(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError>;
}
