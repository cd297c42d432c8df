//! The conformance kit: what a plugin of each kind is asked, and what it must answer.
//!
//! Every kind is asked ordinary and hostile inputs, one at a time and in batches of several sizes and orders, and its golden
//! cases where there are some. A plugin that refuses an input in its interface's own words has answered; one that traps,
//! goes over a limit or breaks its contract has not. The kit knows no WebAssembly: it asks the traits of `contract::plugin`, so
//! that its own tests ask plugins that are written natively and wrong in one way each.

use std::path::Path;
use std::sync::Arc;

use hilora_contract::plugin::{
    DatasetLoader, DomainClassifier, OutputChecker, PluginError, PluginIdentity, PromptFormatter, SolutionRunner,
};

mod report;

mod cases;
mod inputs;

mod checker;
mod classifier;
mod formatter;
mod loader;
mod runner;

pub use cases::{Case, CaseError, answer, read_cases};
pub use report::{Check, Costs, Quantiles, Report, Usage};

/// A plugin of one kind.
pub enum Plugin {
    /// A dataset loader.
    Loader(Box<dyn DatasetLoader>),
    /// A domain classifier.
    Classifier(Box<dyn DomainClassifier>),
    /// A prompt formatter.
    Formatter(Box<dyn PromptFormatter>),
    /// An output checker.
    Checker(Box<dyn OutputChecker>),
    /// A solution runner.
    Runner(Arc<dyn SolutionRunner>),
}

impl Plugin {
    /// Which plugin it is.
    pub fn identity(&self) -> &PluginIdentity {
        match self {
            Self::Loader(loader) => loader.identity(),
            Self::Classifier(classifier) => classifier.identity(),
            Self::Formatter(formatter) => formatter.identity(),
            Self::Checker(checker) => checker.identity(),
            Self::Runner(runner) => runner.identity(),
        }
    }
}

/// What the calls into a plugin have used.
pub trait Meter {
    /// What all calls since the last time used together; of memory the most that there was.
    fn take(&self) -> Usage;
}

/// Asks the plugin everything that its kind is asked. An error is the kit's: cases that cannot be read, a machine that
/// fails. What the plugin does wrong stands in the report.
pub fn examine(plugin: &Plugin, cases: &[Case], meter: &dyn Meter) -> Result<Report, CaseError> {
    let mut report = Report::new(plugin.identity());
    match plugin {
        Plugin::Loader(loader) => loader::examine(loader.as_ref(), cases, meter, &mut report)?,
        Plugin::Classifier(classifier) => classifier::examine(classifier.as_ref(), meter, &mut report),
        Plugin::Formatter(formatter) => formatter::examine(formatter.as_ref(), meter, &mut report),
        Plugin::Checker(checker) => checker::examine(checker.as_ref(), cases, meter, &mut report)?,
        Plugin::Runner(runner) => runner::examine(runner.as_ref(), meter, &mut report),
    }
    if !cases.is_empty() {
        let mut golden = Check::new("golden cases are answered as they say");
        for case in cases {
            golden.count();
            let got = match answer(plugin, case) {
                Err(CaseError::Plugin(error)) => Err(error.to_string()),
                Err(error) => return Err(error),
                Ok(got) => Ok(got),
            };
            golden.hold(&case.place, got.and_then(|got| case.compare(plugin.identity().kind, &got)));
        }
        report.add(golden);
    }
    Ok(report)
}

/// What a plugin made of an input: an answer, or a refusal in its interface's own words. Everything else that can go wrong
/// is told in words.
fn answered<T>(answer: Result<T, PluginError>) -> Result<Option<T>, String> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(PluginError::Refused { .. } | PluginError::Options { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// A temporary folder, or what the machine says.
fn folder() -> Result<tempfile::TempDir, CaseError> {
    tempfile::tempdir().map_err(|error| CaseError::Folder { path: std::env::temp_dir(), error })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CaseError> {
    std::fs::write(path, bytes).map_err(|error| CaseError::Folder { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests;
