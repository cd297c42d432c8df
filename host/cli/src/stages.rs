//! Driving stages from the command line: one subcommand is a list of one stage, the main job a list of all.

use hilora_run::{AnyStage, Run, StageResult, StageState, drive};

use super::console::Console;
use super::failure::{ExitStatus, Result};
use super::signal::Signal;
use super::stage_summary::summary;

/// Runs one stage, prints what became of it and gives the exit status.
pub(crate) fn run_stage(run: &Run, stage: Box<dyn AnyStage>, console: &Console) -> Result<ExitStatus> {
    let observer = console.observer()?;
    for result in drive(run, &[stage], &observer)? {
        console.result(&result, &summary(&result).unwrap_or_default())?;
        if is_interrupted(&result) {
            return Ok(interrupted(observer.signal()));
        }
    }
    Ok(ExitStatus::Done)
}

/// Whether a stage was asked to stop.
pub(crate) fn is_interrupted(result: &StageResult) -> bool {
    matches!(result.state, StageState::Interrupted(_))
}

/// The exit status of work that was asked to stop.
pub(crate) fn interrupted(signal: Option<Signal>) -> ExitStatus {
    ExitStatus::Interrupted(signal.unwrap_or(Signal::Interrupt))
}
