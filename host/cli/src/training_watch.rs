//! Watching a training: the progress bar, `metrics.jsonl`, TensorBoard's events, and the answer to Ctrl-C.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::Console;
use super::interrupt::InterruptGuard;
use hilora_run::metrics::{LateStage, MetricsFile, Progress, Stage, TensorBoardFile, resident_bytes};
use hilora_trainer::{
    AfterStep, EvaluationReport, Preparation, StepReport, TrainingObserver, TrainingOutcome, TrainingRun, train,
};

/// Where a run's measurements are kept.
pub(super) struct WatchFiles {
    /// One JSON object per step and per evaluation.
    pub(super) metrics: PathBuf,
    /// The folder of TensorBoard's events.
    pub(super) tensorboard: PathBuf,
}

/// One training under watch.
struct TrainingWatch<'a> {
    label: &'a str,
    files: &'a WatchFiles,
    interrupt: InterruptGuard,
    progress: &'a Progress,
    /// What comes before the first step, while it goes on.
    preparation: Option<(Preparation, LateStage<'a>)>,
    bar: Option<Stage>,
    metrics: Option<MetricsFile>,
    tensorboard: Option<TensorBoardFile>,
    /// The clock and the tokens since this process began to train.
    started: Instant,
    tokens: usize,
    last_step: Instant,
    /// What went wrong while writing; the run is stopped at the next step.
    failure: Option<anyhow::Error>,
}

/// Trains with a progress bar, files of measurements and an answer to Ctrl-C.
pub(super) fn observed_training(
    run: &TrainingRun<'_>,
    label: &str,
    files: &WatchFiles,
    console: Console,
) -> Result<TrainingOutcome> {
    let progress = console.progress();
    let mut watch = TrainingWatch {
        label,
        files,
        interrupt: InterruptGuard::arm()?,
        progress: &progress,
        preparation: None,
        bar: None,
        metrics: None,
        tensorboard: None,
        started: Instant::now(),
        tokens: 0,
        last_step: Instant::now(),
        failure: None,
    };
    let outcome = train(run, &mut watch)?;
    if let Some(bar) = watch.bar {
        bar.finish();
    }
    watch.failure.map_or(Ok(outcome), Err)
}

impl TrainingWatch<'_> {
    /// Opens the files where a resumed run stands: lines of later steps are of a lost future.
    fn open(&mut self, step: usize) -> Result<()> {
        let cannot_write = |path: &Path| format!("cannot write {}", path.display());
        let WatchFiles { metrics, tensorboard } = self.files;
        self.metrics = Some(MetricsFile::resume_after(metrics, step as u64).with_context(|| cannot_write(metrics))?);
        self.tensorboard =
            Some(TensorBoardFile::resume_after(tensorboard, step as u64).with_context(|| cannot_write(tensorboard))?);
        Ok(())
    }

    /// Keeps one record in both files.
    fn keep(&mut self, step: usize, record: &impl serde::Serialize, scalars: &[(&str, f64)]) {
        let mut write = || -> Result<()> {
            if let Some(file) = &mut self.metrics {
                file.append(record)?;
            }
            if let Some(file) = &mut self.tensorboard {
                file.append(step as u64, scalars)?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            self.failure.get_or_insert(error.context("cannot keep the measurements"));
        }
    }
}

impl TrainingObserver for TrainingWatch<'_> {
    fn preparing(&mut self, what: Preparation, done: usize, total: usize) {
        if self.preparation.as_ref().is_none_or(|(begun, _)| *begun != what) {
            let (name, unit) = match what {
                Preparation::LoadingBase => ("load the base", "matrices"),
                Preparation::Audit => ("audit", "parts"),
            };
            let before = self.preparation.replace((what, self.progress.late_stage(name, unit)));
            if let Some((_, stage)) = before {
                stage.finish();
            }
        }
        if let Some((_, stage)) = &mut self.preparation {
            stage.set(done as u64, total as u64);
        }
    }

    fn begun(&mut self, step: usize, steps_total: usize, warnings: &[String]) {
        if let Some((_, stage)) = self.preparation.take() {
            stage.finish();
        }
        for warning in warnings {
            let text = format!("{}: a damaged checkpoint is passed over: {warning}", self.label);
            self.progress.say(&text);
        }
        if let Err(error) = self.open(step) {
            self.failure = Some(error);
        }
        let bar = self.progress.stage(self.label, steps_total as u64, "steps");
        bar.set_position(step as u64);
        self.bar = Some(bar);
        (self.started, self.last_step) = (Instant::now(), Instant::now());
    }

    fn stepped(&mut self, report: &StepReport) -> AfterStep {
        self.tokens += report.tokens;
        let rate = self.tokens as f64 / self.started.elapsed().as_secs_f64();
        let rate_of_step = report.tokens as f64 / self.last_step.elapsed().as_secs_f64();
        self.last_step = Instant::now();
        let scalars = [
            ("train/loss", report.loss),
            ("train/learning_rate", report.learning_rate),
            ("train/grad_norm", report.gradient_norm),
            ("train/tokens_per_second", rate_of_step),
        ];
        self.keep(report.step, report, &scalars);
        if let Some(bar) = &self.bar {
            bar.set_position(report.step as u64);
            let memory = resident_bytes().map(|bytes| format!(", {} MiB", bytes >> 20)).unwrap_or_default();
            bar.set_message(&format!("loss {:.4}, {rate:.0} tokens/s{memory}", report.loss));
        }
        if self.interrupt.requested() || self.failure.is_some() { AfterStep::SaveAndStop } else { AfterStep::Continue }
    }

    fn evaluated(&mut self, report: &EvaluationReport) {
        let mut scalars = vec![("eval/loss", report.eval_loss)];
        scalars.extend(report.pass_at_1.map(|value| ("eval/pass@1", value)));
        self.keep(report.step, report, &scalars);
        let pass = report.pass_at_1.map(|value| format!(", pass@1 {value:.3}")).unwrap_or_default();
        let best = if report.is_best { ", the best so far" } else { "" };
        self.progress
            .say(&format!("{}: step {}: eval loss {:.4}{pass}{best}", self.label, report.step, report.eval_loss));
        // Measuring is no part of the next step's time.
        self.last_step = Instant::now();
    }
}
