//! Classifying: a domain for every problem, asked in batches. An answer outside the classifier's own list is refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use hilora_contract::artifact::JsonRow;
use hilora_contract::dataset::{Domain, ProblemText};
use hilora_contract::plugin::{Classification, DomainClassifier, PluginError};

/// A problem's domain and those whose score was as high.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChosenDomain {
    pub(super) domain: Domain,
    pub(super) tied_with: Vec<Domain>,
}

impl JsonRow for ChosenDomain {
    const EXPECTED: &'static str = "a domain";
}

/// A classifier with the list of its domains.
pub(super) struct Classifier<'a> {
    plugin: &'a dyn DomainClassifier,
    domains: BTreeSet<Domain>,
}

impl<'a> Classifier<'a> {
    pub(super) fn new(plugin: &'a dyn DomainClassifier) -> Result<Self, PluginError> {
        let domains = plugin.domains()?.into_iter().map(|info| info.domain).collect();
        Ok(Self { plugin, domains })
    }

    /// One domain per problem, in the same order.
    pub(super) fn choose(&self, problems: &[ProblemText]) -> Result<Vec<ChosenDomain>, PluginError> {
        if problems.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.plugin.classify(problems)?;
        if answers.len() != problems.len() {
            let message = format!("expected {} classifications, got {}", problems.len(), answers.len());
            return Err(self.broken(None, message));
        }
        answers.into_iter().zip(problems).map(|(answer, problem)| self.check(answer, problem)).collect()
    }

    fn check(&self, answer: Classification, problem: &ProblemText) -> Result<ChosenDomain, PluginError> {
        if !self.domains.contains(&answer.domain) {
            let listed: Vec<&str> = self.domains.iter().map(|domain| domain.0.as_str()).collect();
            let message = format!("expected a domain of {}, got `{}`", listed.join(", "), answer.domain);
            return Err(self.broken(Some(problem.id.clone()), message));
        }
        let best = answer.scores.iter().map(|score| score.score).reduce(f32::max);
        let tied = answer.scores.iter().filter(|score| Some(score.score) == best && score.domain != answer.domain);
        let tied_with = tied.map(|score| score.domain.clone()).collect();
        Ok(ChosenDomain { domain: answer.domain, tied_with })
    }

    fn broken(&self, row: Option<String>, message: String) -> PluginError {
        PluginError::Contract { plugin: self.plugin.identity().clone(), call: "classify", row, message }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{FakeClassifier, problem};
    use super::*;

    fn texts(ids: &[&str]) -> Vec<ProblemText> {
        ids.iter().map(|id| problem(id, "1").text).collect()
    }

    #[test]
    fn a_tie_is_seen() -> Result<(), PluginError> {
        let plugin = FakeClassifier::answering(&[("python", 2.0), ("proofs", 2.0), ("data_structures", 1.0)]);
        let chosen = Classifier::new(&plugin)?.choose(&texts(&["a"]))?;
        assert_eq!(chosen[0].domain, Domain("python".to_owned()));
        assert_eq!(chosen[0].tied_with, [Domain("proofs".to_owned())]);
        Ok(())
    }

    #[test]
    fn an_unlisted_domain_and_a_wrong_count_are_refused() -> Result<(), PluginError> {
        let plugin = FakeClassifier::answering(&[("poetry", 1.0)]);
        let error = Classifier::new(&plugin)?.choose(&texts(&["a"])).expect_err("poetry is not listed");
        assert!(error.to_string().contains("at a: expected a domain of"), "{error}");
        let plugin = FakeClassifier::dropping_the_last();
        let error = Classifier::new(&plugin)?.choose(&texts(&["a", "b"])).expect_err("an answer is missing");
        assert!(error.to_string().contains("expected 2 classifications, got 1"), "{error}");
        Ok(())
    }
}
