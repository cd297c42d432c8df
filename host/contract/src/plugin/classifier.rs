//! A domain classifier: which domain a problem belongs to, and how surely.

use std::collections::BTreeSet;

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

impl Classification {
    /// What is wrong with it as an answer of a classifier that lists these domains. Nobody could see a tie, or say why a
    /// domain was chosen, if the scores were not those of the choice.
    pub fn check(&self, listed: &BTreeSet<Domain>) -> Result<(), String> {
        let named = self.scores.iter().map(|score| &score.domain).chain([&self.domain]);
        if let Some(unknown) = named.into_iter().find(|domain| !listed.contains(*domain)) {
            return Err(format!("the domain `{unknown}` is not one that `domains` lists"));
        }
        if let Some(Score { domain, score, .. }) =
            self.scores.iter().find(|score| !(score.score.is_finite() && score.score > 0.0))
        {
            return Err(format!("expected scores above 0, got {score} for `{domain}`"));
        }
        if !self.scores.is_sorted_by(|a, b| a.score >= b.score) {
            return Err("expected the scores with the best first".to_owned());
        }
        let mut scored = BTreeSet::new();
        if let Some(twice) = self.scores.iter().map(|score| &score.domain).find(|domain| !scored.insert(*domain)) {
            return Err(format!("expected one score for each domain, got two for `{twice}`"));
        }
        let Some(best) = self.scores.first() else { return Ok(()) };
        match self.scores.iter().find(|score| score.domain == self.domain) {
            Some(chosen) if chosen.score >= best.score => Ok(()),
            Some(chosen) => Err(format!(
                "expected a domain with the best score, got `{}` with {} where `{}` has {}",
                self.domain, chosen.score, best.domain, best.score
            )),
            None => Err(format!(
                "expected a domain with the best score, got `{}` without one where `{}` has {}",
                self.domain, best.domain, best.score
            )),
        }
    }

    /// Domains whose score is as high as that of the chosen one.
    pub fn tied_with(&self) -> Vec<Domain> {
        let best = self.scores.first().map(|score| score.score);
        let tied = self.scores.iter().filter(|score| Some(score.score) == best && score.domain != self.domain);
        tied.map(|score| score.domain.clone()).collect()
    }

    /// The choice and what spoke for it, for a message.
    pub fn words(&self) -> String {
        let scores: Vec<String> = self.scores.iter().map(|score| format!("{} {}", score.domain, score.score)).collect();
        match scores.is_empty() {
            true => format!("`{}` without scores", self.domain),
            false => format!("`{}` of {}", self.domain, scores.join(", ")),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(domain: &str, scores: &[(&str, f32)]) -> Classification {
        let named = |name: &str| Domain(name.to_owned());
        let score = |(domain, score): &(&str, f32)| Score { domain: named(domain), score: *score, signals: Vec::new() };
        Classification { domain: named(domain), scores: scores.iter().map(score).collect() }
    }

    #[test]
    fn scores_must_be_those_of_the_choice() {
        let listed: BTreeSet<Domain> = ["python", "math", "proofs"].map(|name| Domain(name.to_owned())).into();
        for (domain, scores) in
            [("python", &[][..]), ("python", &[("python", 1.0)]), ("math", &[("python", 2.0), ("math", 2.0)])]
        {
            assert_eq!(answer(domain, scores).check(&listed), Ok(()), "{domain} {scores:?}");
        }
        for (domain, scores, part) in [
            ("poetry", &[][..], "`poetry` is not one"),
            ("math", &[("poetry", 1.0)], "`poetry` is not one"),
            ("math", &[("math", f32::NAN)], "scores above 0, got NaN"),
            ("math", &[("math", f32::INFINITY)], "scores above 0, got inf"),
            ("math", &[("math", -1.0)], "scores above 0, got -1"),
            ("math", &[("math", 0.0)], "scores above 0, got 0"),
            ("math", &[("math", 1.0), ("python", 2.0)], "the best first"),
            ("math", &[("math", 2.0), ("math", 2.0)], "got two for `math`"),
            ("python", &[("math", 5.0), ("python", 2.0)], "got `python` with 2 where `math` has 5"),
            ("python", &[("math", 5.0)], "got `python` without one where `math` has 5"),
        ] {
            let refused = answer(domain, scores).check(&listed).expect_err("it is no answer");
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn a_tie_is_seen_from_either_side() {
        let tied = |domain: &str| {
            let tied = answer(domain, &[("python", 2.0), ("math", 2.0), ("proofs", 1.0)]).tied_with();
            tied.into_iter().map(|domain| domain.0).collect::<Vec<_>>()
        };
        assert_eq!((tied("python"), tied("math")), (vec!["math".to_owned()], vec!["python".to_owned()]));
        assert_eq!(answer("python", &[]).tied_with(), []);
        assert_eq!(answer("python", &[("python", 2.5)]).words(), "`python` of python 2.5");
    }
}
