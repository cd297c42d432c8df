//! Training: a run in, an adapter or a model out.
//!
//! The same base, samples, configuration and seed give the same bytes, whether the run was stopped and resumed or not.

use std::time::{Duration, Instant};

use super::audit::packed_equals_alone;
use super::batches::{Batches, pack_fitted};
use super::checkpoint::{Checkpoints, MadeBy};
use super::evaluation::Evaluations;
use super::learner::{Learner, StepOptions};
use super::observer::{AfterStep, Preparation, StepReport, TrainingObserver};
use super::outcome::TrainingOutcome;
use super::run::TrainingRun;
use super::sample::FittedSamples;
use super::save_schedule::SaveSchedule;
use super::validation::EarlyStopping;
use super::{TrainingError, schedule};
use hilora_kernels::scratch;
use hilora_model::Model;

/// Trains. The observer sees every step and may ask to stop.
pub fn train(run: &TrainingRun<'_>, observer: &mut dyn TrainingObserver) -> Result<TrainingOutcome, TrainingError> {
    let begun = Instant::now();
    train_by_clock(run, observer, &|| begun.elapsed())
}

/// Trains by a clock, which says how much time has passed. It decides when a checkpoint is saved, and nothing else.
pub(crate) fn train_by_clock(
    run: &TrainingRun<'_>,
    observer: &mut dyn TrainingObserver,
    clock: &dyn Fn() -> Duration,
) -> Result<TrainingOutcome, TrainingError> {
    let config = run.config;
    run.check()?;
    let samples = FittedSamples::new(run.samples, config.max_seq_length)?;
    let batches = Batches::new(&samples, config, run.seed);
    let steps_total = batches.steps();
    let evaluations = run
        .validation
        .as_ref()
        .map(|validation| Evaluations::new(validation, config.max_seq_length, config.batch_size))
        .transpose()?;
    let mut learner = run.learner(&mut |done, total| observer.preparing(Preparation::LoadingBase, done, total))?;
    check_samples(learner.model(), &samples)?;
    let made_by = MadeBy { run: run.fingerprint()?, program: run.program };
    let checkpoints = Checkpoints::new(run.checkpoints, made_by, config.save_total_limit);
    let resumed = checkpoints.resume(&mut learner)?;
    if resumed.step.is_none() {
        observer.preparing(Preparation::Audit, 0, 2);
        learner.audit(&batches.for_gradient_audit(), config.gradient_checkpointing)?;
        observer.preparing(Preparation::Audit, 1, 2);
        packed_equals_alone(&learner, &samples, &batches.for_isolation_audit())?;
        observer.preparing(Preparation::Audit, 2, 2);
    }
    observer.begun(learner.steps(), steps_total, &resumed.passed_over);
    let mut progress = RunInProgress {
        run,
        batches,
        learner,
        checkpoints,
        evaluations,
        early_stopping: resumed.early_stopping,
        saves: SaveSchedule::new(config.save_steps, clock),
        steps_total,
        last_loss: f64::NAN,
    };
    let stopped = progress.go_on(observer)?;
    let mut outcome = TrainingOutcome {
        steps: progress.learner.steps(),
        steps_total,
        finished: false,
        resumed_from: resumed.step,
        final_loss: progress.last_loss,
        trained_parameters: progress.learner.trained_parameters(),
        rows: progress.batches.rows(),
        best: progress.early_stopping.best,
        stopped_early: progress.is_out_of_patience(),
        held_out_without_targets: progress.evaluations.as_ref().map_or(0, Evaluations::rows_left_out),
        samples_cut: samples.cut.clone(),
        samples_without_targets: samples.without_targets.clone(),
    };
    if stopped == Ended::OnRequest {
        return Ok(outcome);
    }
    progress.restore_best()?;
    run.base_files.check()?;
    match progress.learner.adapter() {
        Some(adapter) => adapter.save(run.output, run.base_model)?,
        None => progress.learner.model().save_as_trained_from(run.folder(), run.output)?,
    }
    outcome.finished = true;
    Ok(outcome)
}

/// Refuses a token or a length that the model cannot take, before the first step meets it.
fn check_samples(model: &Model, samples: &FittedSamples<'_>) -> Result<(), TrainingError> {
    for sample in &samples.used {
        model
            .check(&pack_fitted(samples, &[*sample]))
            .map_err(|error| TrainingError::Sample { sample: *sample, problem: error.to_string() })?;
    }
    Ok(())
}

/// What measuring a step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    /// The best step so far.
    Best,
    /// No new best, or nothing was due.
    Nothing,
    /// It was asked to stop before it knew.
    Stopped,
}

/// Why the steps ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// All were taken, or the patience was used up.
    Finished,
    /// The observer asked for it, and a checkpoint was saved.
    OnRequest,
}

/// A run that has begun.
struct RunInProgress<'a> {
    run: &'a TrainingRun<'a>,
    batches: Batches<'a>,
    learner: Learner,
    checkpoints: Checkpoints<'a>,
    evaluations: Option<Evaluations<'a>>,
    early_stopping: EarlyStopping,
    saves: SaveSchedule<'a>,
    steps_total: usize,
    last_loss: f64,
}

impl RunInProgress<'_> {
    /// Takes the steps that are left.
    fn go_on(&mut self, observer: &mut dyn TrainingObserver) -> Result<Ended, TrainingError> {
        // A run that was stopped at a step that is measured has the measurement before it.
        match self.measure_if_due(observer)? {
            Measured::Best => self.save()?,
            Measured::Nothing => {}
            Measured::Stopped => return self.stop(),
        }
        while self.learner.steps() < self.steps_total && !self.is_out_of_patience() {
            let step = self.learner.steps() + 1;
            let Some(report) = self.step(observer)? else { return self.stop() };
            let after = observer.stepped(&report);
            if after == AfterStep::SaveAndStop && step < self.steps_total {
                return self.stop();
            }
            match self.measure_if_due(observer)? {
                Measured::Best => self.save()?,
                Measured::Nothing if self.saves.is_due(step) => self.save()?,
                Measured::Nothing => {}
                Measured::Stopped => return self.stop(),
            }
        }
        Ok(Ended::Finished)
    }

    /// Takes one step; `None` if it was abandoned because the observer asked to stop.
    fn step(&mut self, observer: &mut dyn TrainingObserver) -> Result<Option<StepReport>, TrainingError> {
        let (config, step) = (self.run.config, self.learner.steps());
        let warmup = config.warmup(self.steps_total);
        let options = StepOptions {
            learning_rate: config.learning_rate * schedule::factor(config.lr_scheduler, step, warmup, self.steps_total),
            weight_decay: config.weight_decay,
            max_grad_norm: config.max_grad_norm,
            gradient_checkpointing: config.gradient_checkpointing,
        };
        let batches = self.batches.step(step);
        let numbers = self.learner.step_packed(&batches, &options, &mut || observer.stop_requested())?;
        let Some(numbers) = numbers else { return Ok(None) };
        self.last_loss = numbers.loss;
        Ok(Some(StepReport {
            step: step + 1,
            steps_total: self.steps_total,
            loss: numbers.loss,
            learning_rate: options.learning_rate,
            gradient_norm: numbers.gradient_norm,
            tokens: numbers.tokens,
            target_tokens: numbers.target_tokens,
        }))
    }

    /// Measures if this step is to be measured and was not.
    fn measure_if_due(&mut self, observer: &mut dyn TrainingObserver) -> Result<Measured, TrainingError> {
        let Some(evaluations) = &self.evaluations else { return Ok(Measured::Nothing) };
        let step = self.learner.steps();
        if !evaluations.config().is_due(step, self.steps_total) || self.early_stopping.last_evaluated == step {
            return Ok(Measured::Nothing);
        }
        let measured = match evaluations.measure(&self.learner, &mut self.early_stopping) {
            Err(error @ TrainingError::Measurement { .. }) => {
                // The steps up to here are taken: the next call begins with this measurement.
                self.save()?;
                return Err(error);
            }
            measured => measured?,
        };
        let Some(report) = measured else { return Ok(Measured::Stopped) };
        observer.evaluated(&report);
        Ok(if report.is_best { Measured::Best } else { Measured::Nothing })
    }

    /// Saves what a later run goes on from, and ends.
    fn stop(&mut self) -> Result<Ended, TrainingError> {
        self.save()?;
        Ok(Ended::OnRequest)
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.evaluations.as_ref().and_then(|e| e.config().early_stopping_patience);
        self.early_stopping.stops(patience)
    }

    fn save(&mut self) -> Result<(), TrainingError> {
        // A checkpoint is put together in memory: in the place of a step's results, not beside them.
        scratch::let_go();
        // A checkpoint of steps over other weights would be gone on from for ever.
        self.run.base_files.check()?;
        self.checkpoints.save(&self.learner, &self.early_stopping)?;
        self.saves.saved();
        Ok(())
    }

    /// Gives the learner the weights of the best step, if that is not the last.
    fn restore_best(&mut self) -> Result<(), TrainingError> {
        match self.early_stopping.best {
            Some(best) if best.step != self.learner.steps() => {
                self.checkpoints.restore_best(best.step, &mut self.learner)
            }
            _ => Ok(()),
        }
    }
}
