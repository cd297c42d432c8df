//! The curves of a training, read from its `metrics.jsonl`.

use std::path::Path;

use serde::Deserialize;

use super::jsonl::MetricsError;
use hilora_contract::artifact::FileError;
use hilora_evaluator::TrainingCurves;

/// What a line may have that makes a point of a curve.
#[derive(Deserialize)]
struct Line {
    step: u64,
    loss: Option<f64>,
    learning_rate: Option<f64>,
    eval_loss: Option<f64>,
    #[serde(rename = "eval_pass@1")]
    eval_pass_at_1: Option<f64>,
}

/// Reads the curves. A torn last line is passed over, as resuming does.
pub fn training_curves(path: &Path) -> Result<TrainingCurves, MetricsError> {
    let bytes = std::fs::read(path).map_err(|error| FileError::reading(path, error))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut curves = TrainingCurves::default();
    for (index, line) in text.split_inclusive('\n').enumerate().filter(|(_, line)| line.ends_with('\n')) {
        let parsed: Line = serde_json::from_str(line).map_err(|_| MetricsError::BadLine {
            path: path.to_owned(),
            line: index + 1,
            got: line.trim_end().chars().take(60).collect(),
        })?;
        let point = |value: Option<f64>| value.map(|value| (parsed.step as f64, value));
        curves.loss.extend(point(parsed.loss));
        curves.learning_rate.extend(point(parsed.learning_rate));
        curves.validation_loss.extend(point(parsed.eval_loss));
        curves.validation_pass_at_1.extend(point(parsed.eval_pass_at_1));
    }
    Ok(curves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_makes_points_of_what_it_measured() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("metrics.jsonl");
        let lines = "{\"step\":1,\"loss\":2.5,\"learning_rate\":0.1,\"tokens\":7}\n\
                     {\"step\":1,\"eval_loss\":2.0,\"eval_pass@1\":0.25,\"is_best\":true}\n{\"step\":2,\"lo";
        std::fs::write(&path, lines)?;
        let curves = training_curves(&path)?;
        let one = |value| vec![(1.0, value)];
        let expected = TrainingCurves {
            loss: one(2.5),
            learning_rate: one(0.1),
            validation_loss: one(2.0),
            validation_pass_at_1: one(0.25),
        };
        assert_eq!(curves, expected);
        std::fs::write(&path, "{\"loss\":1}\n")?;
        let refused = training_curves(&path).err().ok_or("it has no step")?.to_string();
        assert!(refused.ends_with("line 1: expected a JSON object with a `step`, got `{\"loss\":1}`"), "{refused}");
        Ok(())
    }
}
