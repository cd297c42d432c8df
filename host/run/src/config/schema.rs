//! The JSON Schema of a run's configuration, from the types that read it: editors complete and check configs with it,
//! and reading a file asks it for every key that nobody reads and every key that is missing, at once.

use serde_json::Value;

use super::RunConfig;

/// The JSON Schema (draft 2020-12) of a run's configuration.
pub fn run_config_schema() -> Value {
    schemars::schema_for!(RunConfig).to_value()
}

/// Keys of PEFT and TRL that are known here and not computed, and why.
const NOT_COMPUTED: [(&str, &str); 2] =
    [("lora.use_dora", "DoRA is not computed"), ("lora.layers_to_transform", "every layer gets an update")];

/// Every unknown and every missing key of a configuration, by its path.
pub(super) fn wrong_keys(schema: &Value, config: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    walk(schema, schema, config, "", &mut problems);
    problems
}

fn walk(root: &Value, schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        walk(root, &root["$defs"][name], value, path, problems);
    }
    // An optional section: either of its type or null.
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        walk(root, alternative, value, path, problems);
    }
    if let (Some(items), Some(elements)) = (schema.get("items"), value.as_array()) {
        for (index, element) in elements.iter().enumerate() {
            walk(root, items, element, &format!("{path}[{index}]"), problems);
        }
    }
    let (Some(properties), Some(keys)) = (schema["properties"].as_object(), value.as_object()) else { return };
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, value) in keys {
        match properties.get(key) {
            Some(schema) => walk(root, schema, value, &at(key), problems),
            None if schema["additionalProperties"] == false => {
                if let Some((key, reason)) = NOT_COMPUTED.iter().find(|(known, _)| *known == at(key)) {
                    problems.push(format!("{key}: leave it out: {reason}"));
                    continue;
                }
                let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                problems.push(format!("{}: nobody reads this key, expected one of {}", at(key), known.join(", ")));
            }
            None => {}
        }
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !keys.contains_key(key) {
            problems.push(format!("{}: missing", at(key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrong_key_is_named_at_once() {
        let config = json!({
            "adapter_name": "x-lora", "base_model": "base", "sed": 1,
            "lora": {"r": 4, "alpha": 8, "use_dora": true},
            "training": {"num_epochs": 1, "batch_size": 1, "learning_rate": 1e-3, "max_seq_length": 8, "lr": 2},
            "data": {"domains": ["math"], "decontaminate": [{"name": "a", "source": "s", "files": [], "path": 1}]},
            "validation": {"eval_step": 1},
        });
        let problems = wrong_keys(&run_config_schema(), &config);
        let keys: Vec<&str> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(
            keys,
            [
                "data.decontaminate[0].path",
                "lora.alpha",
                "lora.use_dora",
                "lora.lora_alpha",
                "sed",
                "training.lr",
                "validation.eval_step",
                "validation.eval_steps"
            ]
        );
        assert!(problems[2].contains("DoRA is not computed"), "{problems:?}");
        assert!(problems[4].contains("expected one of adapter_name, base_model"), "{problems:?}");
    }
}
