//! One model's samples in the layout of lm-evaluation-harness' `samples_<task>_<date>.jsonl`: a line per problem with all of
//! its answers under `resps`, and pass@k of that problem.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Export, ExportedModel};
use crate::evaluation::{ProblemOutcome, verdict_word};
use crate::pass_at_k::pass_at_k;
use hilora_contract::artifact::ContentHash;

pub(super) fn samples(export: &Export<'_>, model: ExportedModel) -> String {
    let evaluation = export.evaluation(model);
    let every_k: Vec<u32> = evaluation.pass_at.keys().copied().collect();
    let mut lines = String::new();
    for (index, outcome) in evaluation.outcomes.iter().enumerate() {
        lines.push_str(&line(export, index, outcome, &every_k).to_string());
        lines.push('\n');
    }
    lines
}

fn line(export: &Export<'_>, index: usize, outcome: &ProblemOutcome, every_k: &[u32]) -> Value {
    let config = &export.record.config;
    let prompt = export.statement(&outcome.id);
    let doc = json!({"id": outcome.id, "title": outcome.title, "domain": outcome.domain.0, "statement": prompt});
    let completions: Vec<&str> = outcome.samples.iter().map(|sample| sample.completion.as_str()).collect();
    let verdicts: Vec<String> = outcome.samples.iter().map(|sample| verdict_word(sample.verdict)).collect();
    let scores: BTreeMap<String, f64> = every_k
        .iter()
        .filter_map(|k| {
            let score = pass_at_k(outcome.samples.len() as u64, outcome.correct(), u64::from(*k))?;
            Some((format!("pass@{k}"), score))
        })
        .collect();
    let hash = |text: &str| ContentHash::of(text.as_bytes()).to_string();
    let mut line = json!({
        "doc_id": index,
        "doc_hash": hash(&doc.to_string()),
        "prompt_hash": hash(prompt),
        "target_hash": hash(""),
        "doc": doc,
        "target": "",
        "arguments": {
            "gen_args_0": {
                "arg_0": prompt,
                "arg_1": {
                    "temperature": config.temperature, "top_p": config.top_p, "max_gen_toks": config.max_new_tokens,
                    "do_sample": config.temperature > 0.0, "top_k": config.top_k, "min_p": config.min_p,
                    "repetition_penalty": config.repetition_penalty, "until": config.stop,
                },
            },
        },
        "resps": [completions],
        "filtered_resps": [completions],
        "filter": "none",
        "verdicts": verdicts,
        "metrics": scores.keys().collect::<Vec<_>>(),
    });
    for (name, score) in scores {
        line[name] = score.into();
    }
    line
}
