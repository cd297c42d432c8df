//! A domain classifier: says which domain a problem belongs to. It sees a problem's text, never its tests.
//!
//! ```
//! use hilora_plugin_sdk::classifier::{Classification, DomainClassifier, DomainInfo};
//! use hilora_plugin_sdk::types::ProblemText;
//!
//! /// Sorts problems by the first letter of their statement.
//! pub struct FirstLetter;
//!
//! impl DomainClassifier for FirstLetter {
//!     fn domains() -> Vec<DomainInfo> {
//!         vec![DomainInfo::new("vowel", "A, E, I, O, U"), DomainInfo::new("consonant", "All others")]
//!     }
//!
//!     fn classify(problem: &ProblemText) -> Result<Classification, String> {
//!         let is_vowel = problem.statement.starts_with(['A', 'E', 'I', 'O', 'U']);
//!         Ok(Classification::of(if is_vowel { "vowel" } else { "consonant" }))
//!     }
//! }
//!
//! hilora_plugin_sdk::export_classifier!(FirstLetter);
//!
//! # fn main() {
//! # use hilora_plugin_sdk::harness;
//! let answers = harness::classify::<FirstLetter>(&[ProblemText::new("p1", "Apples"), ProblemText::new("p2", "Pears")]);
//! assert_eq!(answers.iter().map(|answer| answer.domain.as_str()).collect::<Vec<_>>(), ["vowel", "consonant"]);
//! # }
//! ```

use std::marker::PhantomData;

use crate::bindings::domain_classifier::exports::hilora::plugin::classifier as world;
use crate::types::ProblemText;

pub use world::{Classification, ClassifyError, DomainInfo, Score};

/// A classifier. The host makes a fresh instance of the component for every call.
pub trait DomainClassifier: 'static {
    /// Every domain that it may answer. Pure.
    fn domains() -> Vec<DomainInfo>;

    /// The domain of one problem; an error says why it cannot be classified, and ends the run. Because it sees one problem
    /// at a time, its answer cannot depend on the others.
    fn classify(problem: &ProblemText) -> Result<Classification, String>;

    /// One classification for each problem, in order. Only a classifier that has something to prepare for many problems
    /// writes its own; no answer may depend on the other problems.
    fn classify_batch(problems: Vec<ProblemText>) -> Result<Vec<Classification>, ClassifyError> {
        let classified = |(index, problem): (usize, &ProblemText)| {
            Self::classify(problem).map_err(|why| ClassifyError::Rejected((index as u32, why)))
        };
        problems.iter().enumerate().map(classified).collect()
    }
}

impl DomainInfo {
    /// A domain's name in snake case, and what belongs to it.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self { name: name.into(), description: description.into() }
    }
}

impl Classification {
    /// This domain, for want of any score.
    pub fn of(domain: impl Into<String>) -> Self {
        Self { domain: domain.into(), scores: Vec::new() }
    }

    /// The domain with the highest score; of equal ones the first. Scores that are not above 0 are left out, and
    /// `default` is answered where none is left.
    ///
    /// ```
    /// use hilora_plugin_sdk::classifier::{Classification, Score};
    ///
    /// let score = |domain: &str, score| Score { domain: domain.to_owned(), score, signals: vec![] };
    /// let best = Classification::best(vec![score("a", 0.0), score("b", 1.0), score("c", 2.0)], "a");
    /// assert_eq!((best.domain.as_str(), best.scores.len()), ("c", 2));
    /// assert_eq!(Classification::best(vec![], "a"), Classification::of("a"));
    /// ```
    pub fn best(mut scores: Vec<Score>, default: &str) -> Self {
        scores.retain(|score| score.score > 0.0);
        scores.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self { domain: scores.first().map_or(default, |best| &best.domain).to_owned(), scores }
    }
}

/// Binds a [`DomainClassifier`] to the generated world.
#[doc(hidden)]
pub struct Exported<C>(PhantomData<C>);

impl<C: DomainClassifier> world::Guest for Exported<C> {
    fn domains() -> Vec<DomainInfo> {
        C::domains()
    }

    fn classify(problems: Vec<ProblemText>) -> Result<Vec<Classification>, ClassifyError> {
        C::classify_batch(problems)
    }
}

/// Exports a [`DomainClassifier`] from the component; nothing on a native target.
#[macro_export]
macro_rules! export_classifier {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::classifier::Exported<$plugin>;
            $crate::bindings::domain_classifier::export_domain_classifier_world!(
                Exported with_types_in $crate::bindings::domain_classifier
            );
        };
    };
}
