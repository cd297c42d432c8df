//! A stage: one step of a job, as a value. It says what must be there before anything runs, what decides the bytes that it
//! writes, and does its work on inputs that were resolved before.
//!
//! The driver is the only place that knows the states of a stage and the order in which stages run; a dry run is the same
//! loop. Every stage's check comes before the first stage, and nothing is written before the last check.

use std::collections::BTreeMap;

use hilora_contract::artifact::ContentHash;
use hilora_contract::fault::{Blame, Fault};

use super::error::RunError;
use super::observer::RunObserver;
use super::run::Run;
use super::stage_key::{StageKey, StageName};
use super::stage_result::{StageReport, StageResult, StageState};

/// How a stage's work ended.
pub struct StageEnd {
    /// What it did.
    pub report: StageReport,
    /// Whether it came to its end; otherwise it has saved what it had, and the next call goes on.
    pub is_finished: bool,
    /// Rows or answers of which nothing is known, because the machine kept their programs from being judged. With any, the
    /// stage does not count as done: the next call asks for them again.
    pub undecided: u64,
    /// The files and folders that it wrote, relative to the run folder, with their hashes where they are known.
    pub outputs: BTreeMap<String, Option<ContentHash>>,
}

impl StageEnd {
    /// The end of a stage that wrote these files and folders.
    pub fn finished(report: StageReport, outputs: &[&str]) -> Self {
        let outputs = outputs.iter().map(|path| ((*path).to_owned(), None)).collect();
        Self { report, is_finished: true, undecided: 0, outputs }
    }

    /// Whether the ledger is to count the stage as done.
    fn is_recorded(&self) -> bool {
        self.is_finished && self.undecided == 0
    }

    /// The end of a stage that was asked to stop.
    pub fn interrupted(report: StageReport) -> Self {
        Self { report, is_finished: false, undecided: 0, outputs: BTreeMap::new() }
    }
}

/// One step of a job.
pub trait Stage {
    /// What it works on: plain values, open plugins, paths.
    type Inputs;

    /// Its name.
    fn name(&self) -> StageName;

    /// Everything that can be known to be missing or wrong before the first stage of a job runs. What one of the stages
    /// `ahead` will write is not asked for.
    fn check(&self, run: &Run, ahead: &[StageName], observer: &dyn RunObserver) -> Result<(), RunError>;

    /// Whether this run has something for the stage to do. `would_run` are the stages before it that a dry run left out.
    fn is_needed(&self, run: &Run, would_run: &[StageName]) -> Result<bool, RunError> {
        let _ = (run, would_run);
        Ok(true)
    }

    /// What decides the bytes that it writes; `None` for a stage that is cheap and runs each time.
    fn key(&self, run: &Run, observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError>;

    /// Resolves what it works on. `key` is what [`Stage::key`] gave: what is hashed there is not hashed again here.
    fn inputs(&self, run: &Run, key: Option<&StageKey>, observer: &dyn RunObserver) -> Result<Self::Inputs, RunError>;

    /// What a dry run can tell of the work without writing anything.
    fn rehearse(&self, inputs: Self::Inputs, observer: &dyn RunObserver) -> Result<StageReport, RunError>;

    /// Does the work.
    fn run(&self, inputs: Self::Inputs, observer: &dyn RunObserver) -> Result<StageEnd, RunError>;

    /// Tidies up once the ledger knows that the stage is done.
    fn settle(&self, run: &Run) -> Result<(), RunError> {
        let _ = run;
        Ok(())
    }
}

/// A stage whose inputs are nobody's business: what the driver runs.
pub trait AnyStage {
    /// See [`Stage::name`].
    fn name(&self) -> StageName;
    /// See [`Stage::check`].
    fn check(&self, run: &Run, ahead: &[StageName], observer: &dyn RunObserver) -> Result<(), RunError>;
    /// Runs the stage, unless nothing that it reads has changed; in a dry run tells whether it would run.
    fn drive(&self, run: &Run, would_run: &[StageName], observer: &dyn RunObserver) -> Result<StageState, RunError>;
}

impl<S: Stage> AnyStage for S {
    fn name(&self) -> StageName {
        Stage::name(self)
    }

    fn check(&self, run: &Run, ahead: &[StageName], observer: &dyn RunObserver) -> Result<(), RunError> {
        Stage::check(self, run, ahead, observer)
    }

    fn drive(&self, run: &Run, would_run: &[StageName], observer: &dyn RunObserver) -> Result<StageState, RunError> {
        let name = Stage::name(self);
        if !self.is_needed(run, would_run)? {
            return Ok(StageState::NotNeeded);
        }
        // What an earlier stage would write is not there yet, so this one's inputs cannot be known.
        if !would_run.is_empty() {
            return Ok(StageState::WouldRun(StageReport::Nothing {}));
        }
        let key = self.key(run, observer)?;
        if key.as_ref().is_some_and(|key| run.ledger().is_current(name.as_str(), key.inputs())) {
            if !run.is_dry() {
                // A kill may have come between the ledger and this.
                self.settle(run)?;
            }
            return Ok(StageState::Unchanged);
        }
        let inputs = self.inputs(run, key.as_ref(), observer)?;
        if run.is_dry() {
            return Ok(StageState::WouldRun(self.rehearse(inputs, observer)?));
        }
        // The outputs that it writes now are not those that the ledger tells of, whether they will be recorded or not.
        let forgotten = run.ledger().forget(name.as_str())?;
        let end = self.run(inputs, observer);
        if !end.as_ref().is_ok_and(StageEnd::is_recorded)
            && let Some(forgotten) = forgotten
        {
            run.ledger().remember(forgotten)?;
        }
        let StageEnd { report, is_finished, undecided, outputs } = end?;
        if !is_finished {
            return Ok(StageState::Interrupted(report));
        }
        if undecided > 0 {
            observer.note(&format!("{name}: {undecided} could not be judged; the next call asks for them again"));
            return Ok(StageState::Ran(report));
        }
        if let Some(key) = key {
            run.record(name, key, outputs)?;
        }
        self.settle(run)?;
        Ok(StageState::Ran(report))
    }
}

/// Runs stages in their order: every check first, then each stage whose inputs have changed. It ends early, without an
/// error, at a stage that was asked to stop.
pub fn drive(
    run: &Run,
    stages: &[Box<dyn AnyStage>],
    observer: &dyn RunObserver,
) -> Result<Vec<StageResult>, RunError> {
    let mut ahead = Vec::new();
    for stage in stages {
        stage.check(run, &ahead, observer)?;
        ahead.push(stage.name());
    }
    let mut earlier = if run.is_dry() { None } else { Some(run.describe()?) };
    let mut would_run = Vec::new();
    let mut results = Vec::new();
    for stage in stages {
        let name = stage.name();
        let state = if observer.stop_requested() {
            StageState::Interrupted(StageReport::Nothing {})
        } else {
            match stage.drive(run, &would_run, observer) {
                Ok(state) => state,
                Err(error) => {
                    // A stage that refuses what it was given has made nothing, and neither has one before it.
                    if matches!(error.blame(), Blame::User | Blame::Plugin)
                        && let Some(earlier) = earlier.take()
                    {
                        run.put_back(earlier)?;
                    }
                    return Err(error);
                }
            }
        };
        if matches!(state, StageState::Ran(_) | StageState::Interrupted(_)) {
            earlier = None;
        }
        match state {
            StageState::WouldRun(_) => would_run.push(name),
            StageState::Unchanged | StageState::NotNeeded | StageState::Ran(_) | StageState::Interrupted(_) => {}
        }
        let result = StageResult { name, state };
        observer.stage_ended(&result);
        let is_interrupted = matches!(result.state, StageState::Interrupted(_));
        results.push(result);
        if is_interrupted {
            break;
        }
    }
    Ok(results)
}
