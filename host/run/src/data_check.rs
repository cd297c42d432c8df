//! The check of the rows that an adapter learned from against the problems that it is measured on: a measurement on
//! problems that stand in the training data could be one of memory.
//!
//! What `prepare` made was checked there, and the manifest says against what. Rows that were prepared elsewhere are checked
//! here, when they are to be measured and before anything is trained.

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{EvaluationProblem, Lesson};
use hilora_contract::fault::BadInput;
use hilora_prepare::{PrepareManifest, contaminated_rows};
use serde::Serialize;

use super::data_files::DataFile;
use super::enrich_stage::training_rows;
use super::error::RunError;
use super::observer::{RunObserver, Task};
use super::rows::read_rows_watched;
use super::run::Run;
use super::stage_key::{InputName, StageName};
use super::train_stage::Answers;

/// Where the check of rows that were prepared elsewhere is kept.
const GIVEN_RECORD: &str = "data_check.json";

/// How the training data was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DataCheck {
    /// By `prepare`: the manifest says against what.
    Manifest,
    /// Rows that were prepared elsewhere, and share nothing with the held-out problems.
    Given,
    /// Rows that were prepared elsewhere, and were not checked because the user said so.
    Unchecked,
    /// The rows of an adapter that the user named, which nobody here knows.
    Unknown,
}

/// The record of a check of rows that were prepared elsewhere; the registry keeps its hash in the manifest's place.
#[derive(Debug, Serialize)]
struct GivenRecord {
    check: DataCheck,
    training_data: ContentHash,
    evaluation_problems: ContentHash,
}

impl DataCheck {
    /// What the evaluation says of it; nothing if the manifest does.
    pub(crate) fn words(self) -> Option<&'static str> {
        match self {
            Self::Manifest => None,
            Self::Given => Some("checked against the evaluation problems when it was measured"),
            Self::Unchecked => Some("unchecked"),
            Self::Unknown => Some("unchecked: nothing here says what the adapter was trained on"),
        }
    }

    /// The check of this run's data; an error if it is not clean.
    pub(crate) fn of(run: &Run, observer: &dyn RunObserver) -> Result<Self, RunError> {
        if run.named_adapter.is_some() {
            return Ok(Self::Unknown);
        }
        let check = if run.data.are_given() { Self::of_given(run, observer)? } else { Self::by_manifest(run)? };
        let trained = run.ledger().recorded_input(Answers::Own.stage().as_str(), &InputName::TrainingData.to_string());
        if run.data.are_given() && trained != Some(run.hash_of(&training_rows(run)?)?) {
            let message = format!("the adapter was not trained on {}", run.data.path(DataFile::Train).display());
            return Err(
                BadInput::with_hint(message, "`hilora-host train` trains it on the rows that stand there").into()
            );
        }
        if run.data.are_given() {
            check.keep(run)?;
        }
        Ok(check)
    }

    /// Checks rows that were prepared elsewhere, and writes nothing.
    pub(crate) fn of_given(run: &Run, observer: &dyn RunObserver) -> Result<Self, RunError> {
        let (train, tests) = (run.prepared(DataFile::Train)?, run.prepared(DataFile::Tests)?);
        Ok(if run.is_unchecked {
            Self::Unchecked
        } else {
            let lessons: Vec<Lesson> = read_rows_watched(&train, observer)?;
            let problems: Vec<EvaluationProblem> = read_rows_watched(&tests, observer)?;
            let task = observer.begin(Task::brief("check the rows", "rows"));
            let found = contaminated_rows(&lessons, &problems)?;
            task.finish();
            if let Some(first) = found.first() {
                let (count, of, train, tests) = (found.len(), lessons.len(), train.display(), tests.display());
                let (row, reason) = (first.row, &first.reason);
                return Err(BadInput::with_hint(
                    format!(
                        "{count} of {of} rows of {train} share too much with {tests}, which the adapter is measured on; \
                         the first is row {row}: {reason}"
                    ),
                    "leave those rows out, or measure all the same with `--unchecked`, which the evaluation records",
                )
                .into());
            }
            Self::Given
        })
    }

    /// Keeps what was found for the registry.
    fn keep(self, run: &Run) -> Result<(), RunError> {
        if !run.is_dry() {
            let (train, tests) = (run.prepared(DataFile::Train)?, run.prepared(DataFile::Tests)?);
            let (training_data, evaluation_problems) = (run.hash_of(&train)?, run.hash_of(&tests)?);
            let record = GivenRecord { check: self, training_data, evaluation_problems };
            let text = serde_json::to_vec_pretty(&record).map_err(|error| RunError::record("the data check", error))?;
            run.folder.write(GIVEN_RECORD, &text)?;
        }
        Ok(())
    }

    /// The file that says how the data was checked.
    pub(crate) fn record_file(run: &Run) -> std::path::PathBuf {
        run.folder.file(if run.data.are_given() { GIVEN_RECORD } else { "manifest.json" })
    }

    fn by_manifest(run: &Run) -> Result<Self, RunError> {
        let path = run.folder.file("manifest.json");
        let refuse = |message: String| {
            let hint =
                "`hilora-host prepare`, then `train`: the manifest names what the training data was checked against";
            RunError::from(BadInput::with_hint(message, hint))
        };
        let text = std::fs::read(&path).map_err(|error| refuse(format!("cannot read {}: {error}", path.display())))?;
        let written = run.ledger().recorded_output(StageName::Prepare.as_str(), "manifest.json");
        if written.is_some_and(|written| written != ContentHash::of(&text)) {
            return Err(refuse(format!("{} is not what preparing has written", path.display())));
        }
        let manifest: PrepareManifest =
            serde_json::from_slice(&text).map_err(|error| refuse(format!("{}: {error}", path.display())))?;
        let tests = run.data.path(DataFile::Tests);
        if !manifest.is_clean_of(run.hash_of(&tests)?) {
            let tests = tests.display();
            let message = format!("the training data was not checked against {tests}, which it is measured on");
            return Err(refuse(message));
        }
        // What was trained on is what was checked, or what `enrich` made of it.
        let prepared = run.hash_of(&run.data.path(DataFile::Train))?;
        let checked = manifest.outputs.iter().any(|output| output.content == prepared);
        let data = InputName::TrainingData.to_string();
        let trained = run.ledger().recorded_input(Answers::Own.stage().as_str(), &data);
        let enriched = run.ledger().recorded_input(StageName::Enrich.as_str(), &data) == Some(prepared);
        if checked && (trained == Some(prepared) || (enriched && trained == Some(run.hash_of(&training_rows(run)?)?))) {
            return Ok(Self::Manifest);
        }
        Err(refuse("the adapter was trained on other data than the manifest says was checked".to_owned()))
    }
}
