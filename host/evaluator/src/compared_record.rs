//! A compared record: one of the two things that a comparison takes, the record of a run's evaluation or that of given
//! completions. The figures of either are computed again from its samples when it is read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::completions_record::CompletionsRecord;
use super::error::EvaluatorError;
use super::evaluation::Evaluation;
use super::json_file::GIVEN_COMPLETIONS;
use super::record::EvaluationRecord;

/// Which model of each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparedSide {
    /// The adapters.
    Adapter,
    /// The bases without an adapter.
    Base,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum ComparedRecord {
    /// A run: a base and its adapter.
    Run(Box<EvaluationRecord>),
    /// What some model answered.
    Completions(Box<CompletionsRecord>),
}

impl ComparedRecord {
    /// Reads `evaluation.json`, or what `evaluate --completions` has written.
    pub fn read(path: &Path) -> Result<Self, EvaluatorError> {
        match EvaluationRecord::read(path) {
            Ok(record) => Ok(Self::Run(Box::new(record))),
            Err(EvaluatorError::NotTheFile { wrong, .. }) if wrong.got == GIVEN_COMPLETIONS => {
                Ok(Self::Completions(Box::new(CompletionsRecord::read(path)?)))
            }
            Err(error) => Err(error),
        }
    }

    /// What was measured of this side. `name` is what the user calls the record.
    pub(crate) fn evaluation(&self, name: &str, side: ComparedSide) -> Result<&Evaluation, EvaluatorError> {
        match (self, side) {
            (Self::Run(record), ComparedSide::Adapter) => Ok(&record.comparison.adapter),
            (Self::Run(record), ComparedSide::Base) => Ok(&record.comparison.base),
            (Self::Completions(record), ComparedSide::Adapter) => Ok(&record.evaluation),
            (Self::Completions(_), ComparedSide::Base) => Err(EvaluatorError::NoBase { name: name.to_owned() }),
        }
    }

    /// What it calls itself.
    pub(crate) fn title(&self) -> &str {
        match self {
            Self::Run(record) => &record.adapter_name,
            Self::Completions(record) => &record.benchmark,
        }
    }

    /// What made it, by name.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        match self {
            Self::Run(record) => {
                let config = serde_json::to_value(&record.config).expect("a plain struct always serializes");
                let config = config.as_object().cloned().unwrap_or_default();
                let sampling = config.into_iter().map(|(key, value)| (format!("evaluation.{key}"), value.to_string()));
                let made_from = record.made_from.iter().map(|(name, value)| (name.clone(), value.clone()));
                sampling.chain(made_from).chain([("seed".to_owned(), record.seed.to_string())]).collect()
            }
            Self::Completions(record) => record.made_from.clone(),
        }
    }
}
