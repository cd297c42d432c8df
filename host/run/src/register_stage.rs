//! The last stage: the gate decides, the report is written, and an adapter that passed becomes a version in the registry.

use std::path::{Path, PathBuf};

use hilora_contract::artifact::ContentHash;
use hilora_contract::fault::BadInput;
use hilora_evaluator::{GateConfig, GateMeasurements, GateRecord, Report};
use hilora_registry::{Registry, VersionContent};

use super::data_check::DataCheck;
use super::error::RunError;
use super::evaluate_stage::{Measured, has_problems, require_judged};
use super::metrics::training_curves;
use super::observer::RunObserver;
use super::registration::{RegisteredVersion, Registration};
use super::run::Run;
use super::stage::{Stage, StageEnd};
use super::stage_key::{InputName, StageKey, StageName};
use super::stage_result::StageReport;
use super::train_stage::Answers;

const REPORT: &str = "report.html";
const DECISION: &str = "gate.json";

/// Holds the measurement to the gate and registers the adapter.
#[derive(Debug, Clone, Copy)]
pub struct RegisterStage;

/// What registering works on.
pub struct RegisterWork {
    measured: Measured,
    gate: GateConfig,
    registry: PathBuf,
    adapter_folder: PathBuf,
    report: PathBuf,
    decision_file: PathBuf,
    /// What the decision stands on: the measurement, its timings and the config.
    read: Vec<PathBuf>,
    metrics: PathBuf,
    name: String,
    adapter: ContentHash,
    base_model: ContentHash,
    dataset_manifest: ContentHash,
    config: ContentHash,
    evaluation: ContentHash,
}

impl Stage for RegisterStage {
    type Inputs = RegisterWork;

    fn name(&self) -> StageName {
        StageName::Register
    }

    /// What is not measured is not registered, and the gate cannot say yes.
    fn is_needed(&self, run: &Run, would_run: &[StageName]) -> Result<bool, RunError> {
        Ok(!would_run.is_empty() || has_problems(run))
    }

    fn check(&self, run: &Run, ahead: &[StageName], _observer: &dyn RunObserver) -> Result<(), RunError> {
        if run.registry.exists() {
            Registry::open_existing(&run.registry)?;
        }
        if !ahead.contains(&StageName::Evaluate) {
            require_judged(&Measured::read(run)?.record)?;
        }
        Ok(())
    }

    fn key(&self, _run: &Run, _observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError> {
        Ok(None)
    }

    fn inputs(&self, run: &Run, _key: Option<&StageKey>, observer: &dyn RunObserver) -> Result<RegisterWork, RunError> {
        let adapter_folder = run.folder.file(Answers::Own.adapter());
        Ok(RegisterWork {
            measured: Measured::read(run)?,
            gate: run.config.gate,
            registry: run.registry.clone(),
            report: run.folder.file(REPORT),
            decision_file: run.folder.file(DECISION),
            read: vec![Measured::record_file(run), Measured::latency_file(run), run.folder.file("config.yaml")],
            metrics: Answers::Own.watch_files(run).metrics,
            name: run.config.adapter_name.clone(),
            adapter: run.hash_of(&adapter_folder)?,
            adapter_folder,
            base_model: run.base.hash(observer)?,
            dataset_manifest: run.hash_of(&DataCheck::record_file(run))?,
            config: run.hash_of(&run.folder.file("config.yaml"))?,
            evaluation: run.hash_of(&Measured::record_file(run))?,
        })
    }

    fn rehearse(&self, _work: RegisterWork, _observer: &dyn RunObserver) -> Result<StageReport, RunError> {
        Ok(StageReport::Nothing {})
    }

    fn run(&self, work: RegisterWork, _observer: &dyn RunObserver) -> Result<StageEnd, RunError> {
        let Measured { record, latency, problems } = &work.measured;
        require_judged(record)?;
        let decision = work.gate.decide(&GateMeasurements::of(&record.comparison, latency));
        let measured = record.made_from.get(&InputName::Adapter.to_string());
        let of_endpoint = record.config.generator.is_some();
        if of_endpoint && decision.passed {
            let message = "the evaluation is of an endpoint's answers, which prove nothing of the adapter's files";
            let hint = "without `evaluation.generator`, `hilora-host evaluate` measures the adapter itself";
            return Err(BadInput::with_hint(message, hint).into());
        }
        if !of_endpoint && measured.is_none_or(|measured| *measured != work.adapter.to_string()) {
            let (folder, got) = (work.adapter_folder.display(), work.adapter);
            let expected = measured.map_or("none", String::as_str);
            let message =
                format!("{folder} is not the adapter that was measured: expected the hash {expected}, got {got}");
            return Err(BadInput::with_hint(message, "`hilora-host evaluate` measures what is there now").into());
        }
        let read: Vec<&Path> = work.read.iter().map(PathBuf::as_path).collect();
        GateRecord::new(record, work.gate, decision.clone(), &read, Some(work.adapter).filter(|_| !of_endpoint))?
            .write(&work.decision_file)?;
        let mut registered = None;
        if decision.passed {
            let content = VersionContent {
                name: work.name,
                adapter: work.adapter,
                base_model: work.base_model,
                dataset_manifest: work.dataset_manifest,
                config: work.config,
                evaluation: work.evaluation,
                code_version: env!("CARGO_PKG_VERSION").to_owned(),
                summary: record.summary(),
                gate: serde_json::to_value(&decision).map_err(|error| RunError::record("the gate", error))?,
                gate_passed: decision.passed,
            };
            let registration = Registry::open(&work.registry)?.register(&content, &work.adapter_folder)?;
            registered = Some(RegisteredVersion {
                name: content.name,
                version: registration.version.version,
                already_there: registration.already_there,
            });
        }
        // The page lacks the curves rather than the run its version.
        let training = match training_curves(&work.metrics) {
            Ok(training) => Some(training),
            Err(error) => {
                tracing::warn!("the report has no training curves: {error}");
                None
            }
        };
        let report = Report { record, latency, decision: Some(&decision), problems, training: training.as_ref() };
        report.write_html(&work.report)?;
        let table = report.to_string();
        let registration = Registration { decision, registered, report: work.report, table };
        Ok(StageEnd::finished(StageReport::Register(Box::new(registration)), &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use hilora_contract::dataset::Domain;
    use hilora_contract::fault::{Blame, Fault};
    use hilora_evaluator::{
        Comparison, Controls, Evaluation, EvaluationConfig, EvaluationRecord, EvaluatorError, Latency, ProblemOutcome,
        STATISTICS, SampleOutcome,
    };
    use hilora_judge::Verdict;

    use crate::observer::Unwatched;

    /// An adapter that solves a problem, over a base whose answer has this verdict.
    fn work(folder: &Path, of_base: Verdict) -> Result<RegisterWork, EvaluatorError> {
        let hash = ContentHash::of(b"adapter");
        let evaluation = |verdict| {
            let completion = "print(1)".to_owned();
            let samples = vec![SampleOutcome {
                completion,
                tokens: 3,
                cut: false,
                verdict: Some(verdict),
                error: None,
                program: None,
                failed_test: None,
                log_probability: None,
            }];
            let (name, domain) = ("one".to_owned(), Domain("python".to_owned()));
            Evaluation::of_outcomes(vec![ProblemOutcome { id: name.clone(), title: name, domain, samples }], &[1])
        };
        let record = EvaluationRecord {
            benchmarks: Vec::new(),
            statistics: STATISTICS,
            adapter_name: "python-lora".to_owned(),
            made_from: BTreeMap::from([(InputName::Adapter.to_string(), hash.to_string())]),
            seed: 7,
            config: EvaluationConfig::default(),
            comparison: Comparison::of(evaluation(of_base)?, evaluation(Verdict::Accepted)?)?,
            breakdowns: Vec::new(),
            controls: Controls::default(),
        };
        let latency = Latency { base_us: 100.0, adapter_us: 100.0, increase: 0.0, tokens: 10 };
        Ok(RegisterWork {
            measured: Measured { record, latency, problems: Vec::new() },
            gate: GateConfig::default(),
            registry: folder.join("registry.sqlite"),
            adapter_folder: folder.join("adapter"),
            report: folder.join(REPORT),
            decision_file: folder.join(DECISION),
            read: Vec::new(),
            metrics: folder.join("metrics.jsonl"),
            name: "python-lora".to_owned(),
            adapter: hash,
            base_model: hash,
            dataset_manifest: hash,
            config: hash,
            evaluation: hash,
        })
    }

    #[test]
    fn nothing_is_registered_by_answers_that_were_not_judged() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let register = |of_base| RegisterStage.run(work(folder.path(), of_base)?, &Unwatched);
        // Counted as wrong, the base's unknown answer would carry the adapter through the gate.
        let refused = register(Verdict::InternalError).err().ok_or("it was decided")?;
        assert_eq!((refused.to_string().as_str(), refused.blame()), ("1 answers could not be judged", Blame::Machine));
        assert_eq!(refused.hints(), ["`hilora-host evaluate` asks for them again"]);
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "no report, no registry");
        Ok(())
    }
}
