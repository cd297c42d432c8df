//! `hilora-host report`: shows a finished evaluation again, as a page or in the layouts of other tools, without measuring
//! anything. It believes no figure that does not follow from the samples in the same file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use hilora_contract::artifact::Output;
use hilora_contract::dataset::EvaluationProblem;
use hilora_evaluator::{
    EvaluationRecord, Export, ExportedModel, GateConfig, GateMeasurements, Latency, Report, TrainingCurves,
};
use hilora_run::config::RunConfig;
use hilora_run::metrics::training_curves;
use hilora_run::{InputName, read_rows};

/// Which evaluation, and how it is shown.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["page", "csv", "inspect", "lm_eval"]))]
pub(super) struct ReportCommand {
    /// The `evaluation.json` of a run; its timings, config, metrics and problems are looked for beside it
    #[arg(long, value_name = "FILE")]
    evaluation: PathBuf,
    /// The held-out problems, for their statements and inputs [default: the file data/*_tests.jsonl beside the evaluation,
    /// if there is one]
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    /// Write the report as one HTML page (of any output `-` is standard output)
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Write every sample of both models as a row of a CSV table
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write one model's samples as a JSON log of inspect_ai
    #[arg(long, value_name = "FILE")]
    inspect: Option<PathBuf>,
    /// Write one model's samples as lm-evaluation-harness writes them, a line per problem
    #[arg(long, value_name = "FILE")]
    lm_eval: Option<PathBuf>,
    /// Whose samples `--inspect` and `--lm-eval` write
    #[arg(long, value_name = "MODEL", value_enum, default_value = "adapter")]
    model: Model,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Model {
    Base,
    Adapter,
}

/// What a machine reads.
#[derive(Serialize)]
struct Answer {
    adapter_name: String,
    written: Vec<PathBuf>,
}

impl ReportCommand {
    /// Writes all that was asked for, or nothing.
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let record = EvaluationRecord::read(&self.evaluation)?;
        let problems_file = self.problems_file()?;
        let problems: Vec<EvaluationProblem> = match &problems_file {
            Some(path) => read_rows(path)?,
            None => Vec::new(),
        };
        let export = Export { record: &record, problems: &problems };
        let model = match self.model {
            Model::Base => ExportedModel::Base,
            Model::Adapter => ExportedModel::Adapter,
        };
        let mut texts: Vec<(&Path, String)> = Vec::new();
        if let Some(path) = &self.page {
            texts.push((path, self.html(&record, &problems)?));
        }
        if let Some(path) = &self.csv {
            texts.push((path, export.csv()));
        }
        if let Some(path) = &self.inspect {
            texts.push((path, export.inspect_log(model)));
        }
        if let Some(path) = &self.lm_eval {
            texts.push((path, export.lm_eval_samples(model)));
        }
        let beside = ["latency.json", "config.yaml", "metrics.jsonl"].map(|name| self.evaluation.with_file_name(name));
        let beside = beside.iter().map(PathBuf::as_path);
        let inputs: Vec<&Path> =
            [self.evaluation.as_path()].into_iter().chain(problems_file.as_deref()).chain(beside).collect();
        let mut paths: Vec<&Path> =
            texts.iter().map(|(path, _)| *path).filter(|path| *path != Path::new("-")).collect();
        paths.sort_unstable();
        if let Some(twice) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("two outputs have the name {}", twice[0].display());
            return Err(Failure::bad_input(message, "name a file for each"));
        }
        let (mut files, mut standard) = (Vec::new(), Vec::new());
        for (path, text) in &texts {
            let output = Output::create(path, &inputs)?;
            if output.is_standard() { standard.push((output, text)) } else { files.push((output, text)) }
        }
        if standard.len() > 1 {
            let hint = "name a file for all but one";
            return Err(Failure::bad_input("expected one output on standard output, got several", hint));
        }
        for (output, text) in &mut files {
            output.append(text.as_bytes())?;
        }
        for (output, _) in files {
            output.commit()?;
        }
        if let Some((mut output, text)) = standard.pop() {
            // What was asked for stands on standard output, and nothing else.
            output.append(text.as_bytes())?;
            output.commit()?;
            return Ok(ExitStatus::Done);
        }
        let written: Vec<PathBuf> = texts.iter().map(|(path, _)| path.to_path_buf()).collect();
        let text: Vec<String> = written.iter().map(|path| format!("{} written", path.display())).collect();
        console.result(&Answer { adapter_name: record.adapter_name.clone(), written }, &text.join("\n"))?;
        Ok(ExitStatus::Done)
    }

    fn html(&self, record: &EvaluationRecord, problems: &[EvaluationProblem]) -> Result<String> {
        let latency = Latency::read(&self.beside("latency.json"))?;
        let config = self.beside("config.yaml");
        let gate = if config.is_file() { RunConfig::load(&config)?.gate } else { GateConfig::default() };
        // An evaluation with answers that were not judged is held to no gate.
        let decision =
            (record.undecided() == 0).then(|| gate.decide(&GateMeasurements::of(&record.comparison, &latency)));
        let training = self.training(record)?;
        let (decision, training) = (decision.as_ref(), training.as_ref());
        Ok(Report { record, latency: &latency, decision, problems, training }.html())
    }

    /// The training's curves, if it was the run's own adapter that was measured.
    fn training(&self, record: &EvaluationRecord) -> Result<Option<TrainingCurves>> {
        let metrics = self.beside("metrics.jsonl");
        let is_own = !record.made_from.contains_key(&InputName::NamedAdapter.to_string());
        Ok((is_own && metrics.is_file())
            .then(|| training_curves(&metrics))
            .transpose()
            .map_err(hilora_run::RunError::from)?)
    }

    fn problems_file(&self) -> Result<Option<PathBuf>> {
        if self.problems.is_some() {
            return Ok(self.problems.clone());
        }
        let Ok(folder) = std::fs::read_dir(self.beside("data")) else { return Ok(None) };
        let names = folder.filter_map(std::result::Result::ok).map(|entry| entry.path());
        let mut tests: Vec<PathBuf> = names.filter(|path| path.to_string_lossy().ends_with("_tests.jsonl")).collect();
        // Of several nobody knows which were measured.
        Ok(tests.pop().filter(|_| tests.is_empty()))
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.evaluation.with_file_name(name)
    }
}
