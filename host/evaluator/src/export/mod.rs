//! Exports: a measurement's samples in the layouts of other tools. They say what `evaluation.json` says and nothing that it
//! does not; what a layout asks for and the record lacks is left out.

mod csv;
mod inspect_log;
mod lm_eval;

use super::evaluation::Evaluation;
use super::record::EvaluationRecord;
use hilora_contract::dataset::EvaluationProblem;

/// The model whose samples are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportedModel {
    /// The base.
    Base,
    /// The adapter over it.
    Adapter,
}

/// A measurement as other tools read it.
#[derive(Clone, Copy)]
pub struct Export<'a> {
    /// The measurement.
    pub record: &'a EvaluationRecord,
    /// Its problems, for their statements; a problem that is not here has its id alone.
    pub problems: &'a [EvaluationProblem],
}

impl Export<'_> {
    /// A row per sample of both models.
    pub fn csv(&self) -> String {
        csv::table(self)
    }

    /// The log of one model as inspect_ai's `read_eval_log` reads it from JSON.
    pub fn inspect_log(&self, model: ExportedModel) -> String {
        inspect_log::log(self, model)
    }

    /// The samples of one model as lm-evaluation-harness writes them with `--log_samples`: a line per problem.
    pub fn lm_eval_samples(&self, model: ExportedModel) -> String {
        lm_eval::samples(self, model)
    }

    fn evaluation(&self, model: ExportedModel) -> &Evaluation {
        match model {
            ExportedModel::Base => &self.record.comparison.base,
            ExportedModel::Adapter => &self.record.comparison.adapter,
        }
    }

    /// What the model is called.
    fn model_name(&self, model: ExportedModel) -> String {
        match model {
            ExportedModel::Base => format!("{}-base", self.record.adapter_name),
            ExportedModel::Adapter => self.record.adapter_name.clone(),
        }
    }

    /// What is asked for a problem: its statement, or its id where nothing more is known.
    fn statement<'a>(&'a self, id: &'a str) -> &'a str {
        let problem = self.problems.iter().find(|problem| problem.text.id == id);
        problem.map_or(id, |problem| problem.text.statement.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{doubling_problem, outcome};
    use crate::{Comparison, Controls, EvaluationConfig, EvaluatorError, FailedTest};
    use hilora_judge::Mismatch;
    use serde_json::Value;

    fn record() -> Result<EvaluationRecord, EvaluatorError> {
        let mut base = vec![outcome("a,\"b\"", 1, 2), outcome("c", 0, 2)];
        base[1].samples[0].completion = "x\ny".to_owned();
        let mismatch = Some(Mismatch::at((b"1 2", 2), (b"1 3", 2)));
        base[1].samples[0].failed_test = Some(FailedTest { test: 3, detail: String::new(), mismatch });
        let adapter = vec![outcome("a,\"b\"", 2, 2), outcome("c", 1, 2)];
        let of = |outcomes| Evaluation::of_outcomes(outcomes, &[1, 2]);
        Ok(EvaluationRecord {
            benchmarks: Vec::new(),
            statistics: crate::STATISTICS,
            adapter_name: "lora".to_owned(),
            made_from: [("base model".to_owned(), "ab12".to_owned())].into(),
            seed: 5,
            config: EvaluationConfig { samples_per_problem: 2, k: vec![1, 2], ..EvaluationConfig::default() },
            breakdowns: Vec::new(),
            comparison: Comparison::of(of(base)?, of(adapter)?)?,
            controls: Controls::default(),
        })
    }

    #[test]
    fn a_table_has_a_row_for_every_sample_of_both() -> Result<(), EvaluatorError> {
        let record = record()?;
        let csv = Export { record: &record, problems: &[] }.csv();
        assert_eq!(csv.matches("\r\n").count(), 9, "a head and eight samples: {csv}");
        let row = "base,c,c,python,1,wrong-answer,,false,5,,3,,1,3,1 2,1 3,\"x\ny\"\r\n";
        assert!(csv.contains(row), "{csv}");
        assert!(csv.contains("adapter,\"a,\"\"b\"\"\",\"a,\"\"b\"\"\",python,2,accepted,"), "{csv}");
        Ok(())
    }

    #[test]
    fn a_log_has_a_sample_for_every_answer_with_its_score() -> Result<(), Box<dyn std::error::Error>> {
        let record = record()?;
        let problems = [doubling_problem("c")];
        let export = Export { record: &record, problems: &problems };
        let text = export.inspect_log(ExportedModel::Base);
        // Whoever reads the header alone stops at the samples.
        let places = ["version", "status", "eval", "plan", "results", "stats", "samples"]
            .map(|key| text.find(&format!("\n  \"{key}\"")));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
        let log: Value = serde_json::from_str(&text)?;
        let samples = log["samples"].as_array().ok_or("samples")?;
        assert_eq!((samples.len(), &log["status"]), (4, &Value::from("success")));
        assert_eq!(samples[2]["input"], problems[0].text.statement);
        assert_eq!((&samples[2]["id"], &samples[2]["epoch"]), (&Value::from("c"), &Value::from(1)));
        assert_eq!(samples[2]["scores"]["tests"]["value"], "I");
        assert_eq!(samples[0]["scores"]["tests"]["value"], "C");
        let accuracy = &log["results"]["scores"][0]["metrics"]["pass@1"]["value"];
        assert_eq!(accuracy.as_f64(), Some(0.25));
        Ok(())
    }

    #[test]
    fn samples_have_a_line_for_every_problem_with_its_pass_at_k() -> Result<(), Box<dyn std::error::Error>> {
        let record = record()?;
        let export = Export { record: &record, problems: &[] };
        let text = export.lm_eval_samples(ExportedModel::Adapter);
        let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[1]["pass@1"].as_f64(), lines[1]["pass@2"].as_f64()), (Some(0.5), Some(1.0)));
        assert_eq!(lines[1]["resps"], serde_json::json!([["answer 0 to c", "answer 1 to c"]]));
        assert_eq!(lines[1]["doc"]["id"], "c");
        Ok(())
    }
}
