//! The JSON Schema of a run's configuration, from the types that read it: editors complete and check configs with it,
//! and reading a file asks it for every key that nobody reads, every key that is missing and every value of a wrong type,
//! at once.

use serde_json::Value;

use super::RunConfig;

/// The JSON Schema (draft 2020-12) of a run's configuration.
pub fn run_config_schema() -> Value {
    schemars::schema_for!(RunConfig).to_value()
}

/// Keys of PEFT and TRL that are known here and not computed, and why.
const NOT_COMPUTED: [(&str, &str); 1] = [("lora.use_qalora", "QA-LoRA is not computed")];

/// Every unknown and every missing key of a configuration and every value of a wrong type, by its path.
pub(super) fn wrong_keys(schema: &Value, config: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    walk(schema, schema, config, "", &mut problems);
    problems
}

fn walk(root: &Value, schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    if schema["$ref"].is_string() {
        walk(root, resolved(root, schema), value, path, problems);
    }
    // An optional section: either of its type or null.
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        // The alternatives of another type are not meant.
        if expected_instead(resolved(root, alternative), value).is_none() {
            walk(root, alternative, value, path, problems);
        }
    }
    if let Some(expected) = expected_instead(schema, value) {
        problems.push(format!("{path}: expected {expected}, got {value}"));
        return;
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

/// A schema, or what it refers to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        Some(name) => &root["$defs"][name],
        None => schema,
    }
}

/// What a schema asks for in place of a value of another type. Whatever the parser might make of a word, which may stand
/// without quotation marks, is left to the parser.
fn expected_instead(schema: &Value, value: &Value) -> Option<&'static str> {
    let kind = match &schema["type"] {
        Value::String(kind) => kind,
        // A key that may be left out has its own type and null.
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null")?.as_str()?,
        _ => return None,
    };
    let text = value.as_str();
    let may_be_number = text.is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)));
    let may_be_boolean = text.is_some_and(|text| {
        ["y", "yes", "true", "on", "n", "no", "false", "off"].contains(&text.to_ascii_lowercase().as_str())
    });
    let is_negative = value.as_f64().is_some_and(|number| number < 0.0);
    let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let (is_of_kind, expected) = match kind {
        "integer" if schema["minimum"] == 0 => {
            (is_whole && !is_negative || may_be_number, "a whole number that is not negative")
        }
        "integer" => (is_whole || may_be_number, "a whole number"),
        "number" => (value.is_number() || may_be_number, "a number"),
        "boolean" => (value.is_boolean() || may_be_boolean, "true or false"),
        "string" => (!value.is_array() && !value.is_object(), "a text"),
        "array" => (value.is_array(), "a list"),
        "object" => (value.is_object(), "a section"),
        _ => return None,
    };
    (!is_of_kind && !value.is_null()).then_some(expected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrong_key_is_named_at_once() {
        let config = json!({
            "adapter_name": "x-lora", "base_model": "base", "sed": 1,
            "lora": {"r": 4, "alpha": 8, "use_qalora": true},
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
                "lora.use_qalora",
                "lora.lora_alpha",
                "sed",
                "training.lr",
                "validation.eval_step",
                "validation.eval_steps"
            ]
        );
        assert!(problems[2].contains("QA-LoRA is not computed"), "{problems:?}");
        assert!(problems[4].contains("expected one of adapter_name, base_model"), "{problems:?}");
    }

    #[test]
    fn every_value_of_a_wrong_type_is_named_at_once() {
        let config = json!({
            "adapter_name": 7, "base_model": "base", "controls": {"nearest_copy": "maybe"},
            "lora": {"r": "four", "lora_alpha": [8], "target_modules": "all-linear"}, "validation": null,
            "training": {"num_epochs": 1, "batch_size": -4, "learning_rate": "fast", "max_seq_length": 8},
            "data": ["math"],
        });
        assert_eq!(
            wrong_keys(&run_config_schema(), &config),
            [
                "controls.nearest_copy: expected true or false, got \"maybe\"",
                "data: expected a section, got [\"math\"]",
                "lora.lora_alpha: expected a number, got [8]",
                "lora.r: expected a whole number that is not negative, got \"four\"",
                "training.batch_size: expected a whole number that is not negative, got -4",
                "training.learning_rate: expected a number, got \"fast\"",
            ]
        );
    }
}
