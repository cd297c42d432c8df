//! The samples of both models as a table of commas, as RFC 4180 has it: a field with a comma, a quote or a line break
//! stands in quotes.

use super::{Export, ExportedModel};
use crate::evaluation::{ProblemOutcome, SampleOutcome, verdict_word};

const HEAD: [&str; 17] = [
    "model",
    "problem",
    "title",
    "domain",
    "sample",
    "verdict",
    "error",
    "cut",
    "tokens",
    "log_probability",
    "failed_test",
    "detail",
    "line",
    "column",
    "expected",
    "output",
    "completion",
];

pub(super) fn table(export: &Export<'_>) -> String {
    let mut table = String::new();
    push_row(&mut table, HEAD.map(str::to_owned));
    for (name, model) in [("base", ExportedModel::Base), ("adapter", ExportedModel::Adapter)] {
        for outcome in &export.evaluation(model).outcomes {
            for (index, sample) in outcome.samples.iter().enumerate() {
                push_row(&mut table, row(name, outcome, index, sample));
            }
        }
    }
    table
}

fn row(model: &str, outcome: &ProblemOutcome, index: usize, sample: &SampleOutcome) -> [String; 17] {
    let failed = sample.failed_test.as_ref();
    let mismatch = failed.and_then(|failed| failed.mismatch.as_ref());
    let of_failed = |text: &dyn Fn(&crate::FailedTest) -> String| failed.map(text).unwrap_or_default();
    let of_output = |text: &dyn Fn(&hilora_judge::Mismatch) -> String| mismatch.map(text).unwrap_or_default();
    [
        model.to_owned(),
        outcome.id.clone(),
        outcome.title.clone(),
        outcome.domain.0.clone(),
        (index + 1).to_string(),
        verdict_word(sample.verdict),
        sample.error.clone().unwrap_or_default(),
        sample.cut.to_string(),
        sample.tokens.to_string(),
        sample.log_probability.map(|sum| sum.to_string()).unwrap_or_default(),
        of_failed(&|failed| failed.test.to_string()),
        of_failed(&|failed| failed.detail.clone()),
        of_output(&|mismatch| mismatch.actual.line.to_string()),
        of_output(&|mismatch| mismatch.actual.column.to_string()),
        of_output(&|mismatch| mismatch.expected.to_string()),
        of_output(&|mismatch| mismatch.actual.to_string()),
        sample.completion.clone(),
    ]
}

fn push_row(table: &mut String, fields: [String; 17]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            table.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            table.push('"');
            table.push_str(&field.replace('"', "\"\""));
            table.push('"');
        } else {
            table.push_str(field);
        }
    }
    table.push_str("\r\n");
}
