//! Watching a training: progress, `metrics.jsonl`, TensorBoard's events, and the answer to a request to stop.

use std::path::PathBuf;
use std::time::Instant;

use hilora_trainer::{
    AfterStep, EvaluationReport, Preparation, StepReport, TrainingObserver, TrainingOutcome, TrainingRun, train,
};

use super::error::RunError;
use super::metrics::{MetricsFile, TensorBoardFile, resident_bytes};
use super::observer::{RunObserver, Task, TaskProgress};

/// Where a run's measurements are kept.
#[derive(Debug, Clone)]
pub struct WatchFiles {
    /// One JSON object per step and per evaluation.
    pub metrics: PathBuf,
    /// The folder of TensorBoard's events.
    pub tensorboard: PathBuf,
}

/// One training under watch.
struct TrainingWatch<'a> {
    label: &'a str,
    files: &'a WatchFiles,
    observer: &'a dyn RunObserver,
    /// What comes before the first step, while it goes on.
    preparation: Option<(Preparation, Box<dyn TaskProgress>)>,
    task: Option<Box<dyn TaskProgress>>,
    metrics: Option<MetricsFile>,
    tensorboard: Option<TensorBoardFile>,
    /// The clock and the tokens since this process began to train.
    started: Instant,
    tokens: usize,
    last_step: Instant,
    /// What went wrong while writing; the run is stopped at the next step.
    failure: Option<RunError>,
}

/// Trains, keeps the measurements and stops when the observer asks for it.
pub fn watched_training(
    run: &TrainingRun<'_>,
    label: &str,
    files: &WatchFiles,
    observer: &dyn RunObserver,
) -> Result<TrainingOutcome, RunError> {
    let mut watch = TrainingWatch {
        label,
        files,
        observer,
        preparation: None,
        task: None,
        metrics: None,
        tensorboard: None,
        started: Instant::now(),
        tokens: 0,
        last_step: Instant::now(),
        failure: None,
    };
    let outcome = train(run, &mut watch)?;
    if let Some(task) = watch.task {
        task.finish();
    }
    match watch.failure {
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

impl TrainingWatch<'_> {
    /// Opens the files where a resumed run stands: lines of later steps are of a lost future.
    fn open(&mut self, step: usize) -> Result<(), RunError> {
        let WatchFiles { metrics, tensorboard } = self.files;
        self.metrics = Some(MetricsFile::resume_after(metrics, step as u64)?);
        self.tensorboard = Some(TensorBoardFile::resume_after(tensorboard, step as u64)?);
        Ok(())
    }

    /// Keeps one record in both files.
    fn keep(&mut self, step: usize, record: &impl serde::Serialize, scalars: &[(&str, f64)]) {
        let mut write = || -> Result<(), RunError> {
            if let Some(file) = &mut self.metrics {
                file.append(record)?;
            }
            if let Some(file) = &mut self.tensorboard {
                file.append(step as u64, scalars)?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            self.failure.get_or_insert(error);
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
            let before = self.preparation.replace((what, self.observer.begin(Task::brief(name, unit))));
            if let Some((_, task)) = before {
                task.finish();
            }
        }
        if let Some((_, task)) = &self.preparation {
            task.set_total(total as u64);
            task.set_done(done as u64);
        }
    }

    fn begun(&mut self, step: usize, steps_total: usize, warnings: &[String]) {
        if let Some((_, task)) = self.preparation.take() {
            task.finish();
        }
        for warning in warnings {
            tracing::warn!("{}: a checkpoint is passed over: {warning}", self.label);
        }
        if let Err(error) = self.open(step) {
            self.failure = Some(error);
        }
        let task = self.observer.begin(Task::counted(self.label, "steps", steps_total as u64));
        task.set_done(step as u64);
        self.task = Some(task);
        (self.started, self.last_step) = (Instant::now(), Instant::now());
    }

    fn stop_requested(&mut self) -> bool {
        self.observer.stop_requested()
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
        if let Some(task) = &self.task {
            task.set_done(report.step as u64);
            let memory = resident_bytes().map(|bytes| format!(", {} MiB", bytes >> 20)).unwrap_or_default();
            task.set_message(&format!("loss {:.4}, {rate:.0} tokens/s{memory}", report.loss));
        }
        if self.observer.stop_requested() || self.failure.is_some() {
            AfterStep::SaveAndStop
        } else {
            AfterStep::Continue
        }
    }

    fn evaluated(&mut self, report: &EvaluationReport) {
        let mut scalars = vec![("eval/loss", report.eval_loss)];
        scalars.extend(report.pass_at_1.map(|value| ("eval/pass@1", value)));
        self.keep(report.step, report, &scalars);
        let pass = report.pass_at_1.map(|value| format!(", pass@1 {value:.3}")).unwrap_or_default();
        let best = if report.is_best { ", the best so far" } else { "" };
        let EvaluationReport { step, eval_loss, .. } = report;
        self.observer.note(&format!("{}: step {step}: eval loss {eval_loss:.4}{pass}{best}", self.label));
        // Measuring is no part of the next step's time.
        self.last_step = Instant::now();
    }
}
