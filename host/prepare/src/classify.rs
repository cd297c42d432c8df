//! Classifying: a domain for every problem, asked in batches. An answer outside the classifier's own list is refused, and
//! so is one that is another in another batch: some problems of each batch are asked about twice.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use hilora_contract::artifact::JsonRow;
use hilora_contract::dataset::{Domain, ProblemText};
use hilora_contract::plugin::{Classification, DomainClassifier, PluginError, second_look};

/// The most texts that one call of the classifier gets.
const TEXTS_PER_CALL: usize = 128;
/// Unless it is one alone, so many bytes of text.
const BYTES_PER_CALL: usize = 8 << 20;
/// Texts of the first batch that are asked about twice: of a small data set there is no other.
const SECOND_LOOKS_FIRST: usize = 16;
/// The same of every other batch.
const SECOND_LOOKS: usize = 2;

/// A problem's domain and those whose score was as high.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ChosenDomain {
    pub(super) domain: Domain,
    pub(super) tied_with: Vec<Domain>,
}

impl JsonRow for ChosenDomain {
    const EXPECTED: &'static str = "a domain";
}

impl ChosenDomain {
    /// What stands there while the classifier was not asked yet.
    pub(super) fn pending() -> Self {
        Self { domain: Domain(String::new()), tied_with: Vec::new() }
    }
}

/// Texts that one call gets. Which they are depends on the rows and their order alone, and not on how the rows came: by
/// the loader's batches, or from a file.
#[derive(Debug, PartialEq)]
pub(super) struct TextBatch {
    /// The source that all of them are of.
    pub(super) source: usize,
    pub(super) texts: Vec<ProblemText>,
    /// Whether no batch was before it.
    is_first: bool,
}

/// Collects texts into batches.
#[derive(Default)]
pub(super) struct Batching {
    batch: Option<TextBatch>,
    bytes: usize,
    has_begun: bool,
}

impl Batching {
    /// Adds a text. Gives the batch before it, where that is full.
    pub(super) fn add(&mut self, source: usize, text: ProblemText) -> Option<TextBatch> {
        let bytes = bytes_of(&text);
        let is_full = self.batch.as_ref().is_some_and(|batch| {
            batch.texts.len() == TEXTS_PER_CALL || batch.source != source || self.bytes + bytes > BYTES_PER_CALL
        });
        let full = if is_full { self.end() } else { None };
        let is_first = !self.has_begun;
        self.has_begun = true;
        let batch = self.batch.get_or_insert_with(|| TextBatch { source, texts: Vec::new(), is_first });
        batch.texts.push(text);
        self.bytes += bytes;
        full
    }

    /// The last batch.
    pub(super) fn end(&mut self) -> Option<TextBatch> {
        self.bytes = 0;
        self.batch.take()
    }
}

fn bytes_of(text: &ProblemText) -> usize {
    let tags: usize = text.tags.iter().map(String::len).sum();
    text.id.len() + text.title.len() + text.statement.len() + tags
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
    pub(super) fn choose(&self, batch: &TextBatch) -> Result<Vec<ChosenDomain>, PluginError> {
        let problems = &batch.texts;
        let answers = self.ask(problems)?;
        let looks = if batch.is_first { SECOND_LOOKS_FIRST } else { SECOND_LOOKS };
        let differs = second_look(problems, &answers, looks, |problem| &problem.id, |again| self.ask(again))?;
        if let Some((place, got)) = differs {
            return Err(PluginError::Promise {
                plugin: self.plugin.identity().clone(),
                call: "classify",
                row: Some(format!("`{}`", problems[place].id)),
                expected: format!("the same answer in every batch, {}", answers[place].words()),
                got: got.map_or_else(|| "none".to_owned(), |answer| format!("{} in another batch", answer.words())),
                hint: "a classification may depend on its problem alone: not on its place, its batch or what came before",
            });
        }
        let chosen = |answer: Classification| ChosenDomain { tied_with: answer.tied_with(), domain: answer.domain };
        Ok(answers.into_iter().map(chosen).collect())
    }

    fn ask(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        let answers = self.plugin.classify(problems)?;
        if answers.len() != problems.len() {
            let message = format!("expected {} classifications, got {}", problems.len(), answers.len());
            return Err(self.broken(None, message));
        }
        for (answer, problem) in answers.iter().zip(problems) {
            let wrong = |message| self.broken(Some(format!("`{}`", problem.id)), message);
            answer.check(&self.domains).map_err(wrong)?;
        }
        Ok(answers)
    }

    fn broken(&self, row: Option<String>, message: String) -> PluginError {
        PluginError::Contract { plugin: self.plugin.identity().clone(), call: "classify", row, message }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{FakeClassifier, problem};
    use super::*;

    fn batch(ids: &[&str]) -> TextBatch {
        let texts = ids.iter().map(|id| problem(id, "1").text).collect();
        TextBatch { source: 0, texts, is_first: true }
    }

    #[test]
    fn a_tie_is_seen() -> Result<(), PluginError> {
        let plugin = FakeClassifier::answering(&[("python", 2.0), ("proofs", 2.0), ("data_structures", 1.0)]);
        let chosen = Classifier::new(&plugin)?.choose(&batch(&["a"]))?;
        assert_eq!(chosen[0].domain, Domain("python".to_owned()));
        assert_eq!(chosen[0].tied_with, [Domain("proofs".to_owned())]);
        Ok(())
    }

    #[test]
    fn an_unlisted_domain_and_a_wrong_count_are_refused() -> Result<(), PluginError> {
        let plugin = FakeClassifier::answering(&[("poetry", 1.0)]);
        let error = Classifier::new(&plugin)?.choose(&batch(&["a"])).expect_err("poetry is not listed");
        assert!(error.to_string().contains("at `a`: the domain `poetry` is not one that `domains` lists"), "{error}");
        let plugin = FakeClassifier::dropping_the_last();
        let error = Classifier::new(&plugin)?.choose(&batch(&["a", "b"])).expect_err("an answer is missing");
        assert!(error.to_string().contains("expected 2 classifications, got 1"), "{error}");
        Ok(())
    }

    #[test]
    fn an_answer_that_depends_on_its_batch_is_refused() -> Result<(), PluginError> {
        let ids: Vec<String> = (0..100).map(|id| format!("p{id}")).collect();
        let all: Vec<&str> = ids.iter().map(String::as_str).collect();
        for plugin in [FakeClassifier::by_place(), FakeClassifier::by_size()] {
            for ids in [&all[..1], &all[..5], &all] {
                let error =
                    Classifier::new(&plugin)?.choose(&batch(ids)).expect_err("it is no function of the problem");
                let said = error.to_string();
                assert!(said.contains("broke a promise of its interface in `classify` at `p"), "{said}");
                assert!(
                    said.contains("expected the same answer in every batch, `") && said.contains("got `"),
                    "{said}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn batches_do_not_depend_on_how_rows_come() {
        let text = |id: usize| {
            let mut text = problem(&id.to_string(), "1").text;
            if id > 900 && id.is_multiple_of(10) {
                text.statement = "x".repeat(BYTES_PER_CALL / 3);
            }
            text
        };
        let mut batching = Batching::default();
        let mut batches: Vec<TextBatch> = Vec::new();
        for id in 0..1_000 {
            batches.extend(batching.add(id / 600, text(id)));
        }
        batches.extend(batching.end());
        assert!(batching.end().is_none());
        let ids: Vec<String> = batches.iter().flat_map(|batch| &batch.texts).map(|text| text.id.clone()).collect();
        assert_eq!(ids, (0..1_000).map(|id| id.to_string()).collect::<Vec<_>>());
        let lengths: Vec<usize> = batches.iter().map(|batch| batch.texts.len()).collect();
        assert!(lengths.iter().all(|length| (1..=TEXTS_PER_CALL).contains(length)), "{lengths:?}");
        assert_eq!(lengths.iter().take_while(|length| **length == TEXTS_PER_CALL).count(), 4, "{lengths:?}");
        assert_eq!(batches.iter().filter(|batch| batch.is_first).count(), 1);
        assert!(batches.iter().all(|batch| batch.texts.iter().map(bytes_of).sum::<usize>() <= BYTES_PER_CALL));
        assert_eq!(batches.iter().filter(|batch| batch.source == 0).map(|batch| batch.texts.len()).sum::<usize>(), 600);
    }
}
