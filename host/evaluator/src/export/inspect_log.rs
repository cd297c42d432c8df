//! One model's samples as a log of inspect_ai in JSON: the evaluation, its figures, and a sample per answer, whose epoch is
//! the answer's number. A timestamp is asked for and none is recorded, so it is the beginning of time.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Export, ExportedModel};
use crate::evaluation::{ProblemOutcome, SampleOutcome, verdict_word};
use hilora_judge::Verdict;

/// The record holds no time.
const CREATED: &str = "1970-01-01T00:00:00+00:00";
/// What the samples are scored by.
const SCORER: &str = "tests";

/// The log. Its fields stand in the order of inspect_ai's own logs: whoever reads a header alone stops at the samples.
#[derive(Serialize)]
struct Log {
    version: u32,
    status: &'static str,
    eval: Value,
    plan: Value,
    results: Value,
    stats: Value,
    samples: Vec<Value>,
}

pub(super) fn log(export: &Export<'_>, model: ExportedModel) -> String {
    let record = export.record;
    let evaluation = export.evaluation(model);
    let name = export.model_name(model);
    let id = record.made_from.get("evaluation problems").map_or("none", String::as_str);
    let metrics: serde_json::Map<String, Value> = evaluation
        .pass_at
        .iter()
        .map(|(k, estimate)| {
            let name = format!("pass@{k}");
            let value = json!({
                "name": name, "value": estimate.value, "params": {},
                "metadata": {"low": estimate.low, "high": estimate.high},
            });
            (name, value)
        })
        .collect();
    let samples: Vec<Value> = evaluation
        .outcomes
        .iter()
        .flat_map(|outcome| {
            let number = outcome.samples.iter().enumerate();
            number.map(|(index, sample)| log_sample(export, &name, outcome, index, sample))
        })
        .collect();
    let config = &record.config;
    let log = Log {
        version: 2,
        status: "success",
        eval: json!({
            "eval_id": id, "run_id": id, "created": CREATED, "task": "programs", "task_id": id, "task_version": 0,
            "dataset": {
                "name": "held-out problems",
                "samples": evaluation.problems,
                "sample_ids": evaluation.outcomes.iter().map(|outcome| &outcome.id).collect::<Vec<_>>(),
            },
            "model": name,
            "model_generate_config": {
                "temperature": config.temperature, "top_p": config.top_p, "max_tokens": config.max_new_tokens,
                "seed": record.seed, "top_k": (config.top_k > 0).then_some(config.top_k),
                "stop_seqs": (!config.stop.is_empty()).then_some(&config.stop),
            },
            "config": {"epochs": evaluation.samples_per_problem},
            "metadata": record.made_from,
        }),
        // No solver of inspect_ai's drew the answers; a header without a plan is refused.
        plan: json!({"name": "plan", "steps": [], "config": {}}),
        results: json!({
            "total_samples": samples.len(),
            "completed_samples": samples.len(),
            "scores": [{"name": SCORER, "scorer": SCORER, "params": {}, "metrics": metrics}],
        }),
        stats: json!({"started_at": CREATED, "completed_at": CREATED, "model_usage": {}}),
        samples,
    };
    let mut text = serde_json::to_string_pretty(&log).expect("plain values always serialize");
    text.push('\n');
    text
}

fn log_sample(
    export: &Export<'_>,
    model: &str,
    outcome: &ProblemOutcome,
    index: usize,
    sample: &SampleOutcome,
) -> Value {
    let input = export.statement(&outcome.id);
    let is_right = sample.verdict == Some(Verdict::Accepted);
    let mut explanation = verdict_word(sample.verdict);
    if let Some(failed) = &sample.failed_test {
        explanation.push_str(&format!(" at test {}", failed.test));
        if !failed.detail.is_empty() {
            explanation.push_str(&format!(": {}", failed.detail));
        }
        if let Some(mismatch) = &failed.mismatch {
            explanation.push_str(&format!("\n{mismatch}"));
        }
    }
    let answer = json!({"role": "assistant", "content": sample.completion, "source": "generate", "model": model});
    json!({
        "id": outcome.id,
        "epoch": index + 1,
        "input": input,
        "target": "",
        "messages": [{"role": "user", "content": input, "source": "input"}, answer],
        "output": {
            "model": model,
            "choices": [{"message": answer, "stop_reason": if sample.cut { "max_tokens" } else { "stop" }}],
            "completion": sample.completion,
        },
        "scores": {
            SCORER: {
                "value": if is_right { "C" } else { "I" }, "answer": sample.completion, "explanation": explanation,
                "metadata": {"verdict": verdict_word(sample.verdict), "error": sample.error},
            },
        },
        "metadata": {
            "title": outcome.title, "domain": outcome.domain.0, "tokens": sample.tokens,
            "log_probability": sample.log_probability,
        },
    })
}
