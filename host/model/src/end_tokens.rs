//! End tokens: the ids at which a model ends a text by itself, as `eos_token_id` of `config.json` and of
//! `generation_config.json` names them, one or several.
//!
//! All of both count. transformers stops at those of `generation_config.json` alone where there is one, and the two
//! files of a checkpoint often name different ones; each is a token after which the model was made to say no more.

use std::path::Path;

use serde_json::Value;

use super::ModelError;

const FIELD: &str = "eos_token_id";

/// The end tokens that a `config.json` names; a wrapper of several models has them with its text model.
pub(crate) fn of_config(path: &Path, config: &Value) -> Result<Vec<u32>, ModelError> {
    let of_text = config.get("text_config").and_then(|text| text.get(FIELD));
    named(path, config.get(FIELD).filter(|value| !value.is_null()).or(of_text))
}

/// The end tokens that the `generation_config.json` in a model's folder names; none if there is no such file.
pub(crate) fn of_generation_config(folder: &Path) -> Result<Vec<u32>, ModelError> {
    let path = folder.join("generation_config.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ModelError::reading(&path, error)),
    };
    let config: Value = serde_json::from_str(&text).map_err(|error| ModelError::config(&path, error.to_string()))?;
    named(&path, config.get(FIELD))
}

/// One id, several, or none, each once. A negative one is how some configurations write none.
fn named(path: &Path, value: Option<&Value>) -> Result<Vec<u32>, ModelError> {
    let ids = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(ids)) => ids.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let mut tokens = Vec::new();
    for id in ids {
        match id.as_i64() {
            Some(negative) if negative < 0 => {}
            Some(id) if u32::try_from(id).is_ok_and(|id| tokens.contains(&id)) => {}
            Some(id) if u32::try_from(id).is_ok() => tokens.push(id as u32),
            _ => {
                return Err(ModelError::config(
                    path,
                    format!("{FIELD}: expected a token's id or a list of them, got {id}"),
                ));
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_several_or_none() -> Result<(), ModelError> {
        let of = |value: Value| of_config(Path::new("config.json"), &value);
        assert_eq!(of(json!({}))?, [0_u32; 0]);
        assert_eq!(of(json!({"eos_token_id": null}))?, [0_u32; 0]);
        assert_eq!(of(json!({"eos_token_id": -1}))?, [0_u32; 0]);
        assert_eq!(of(json!({"eos_token_id": 0}))?, [0]);
        assert_eq!(of(json!({"eos_token_id": [128_001, 128_008, 128_001]}))?, [128_001, 128_008]);
        assert_eq!(of(json!({"eos_token_id": null, "text_config": {"eos_token_id": 7}}))?, [7]);
        for wrong in [json!("</s>"), json!(2.5), json!([1, "</s>"]), json!(1_u64 << 40)] {
            let refused = of(json!({ "eos_token_id": wrong })).expect_err("it is no id").to_string();
            let expected = "config.json: eos_token_id: expected a token's id or a list of them, got ";
            assert!(refused.starts_with(expected), "{refused}");
        }
        Ok(())
    }

    #[test]
    fn the_generation_configuration_may_be_missing_and_not_damaged() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        assert_eq!(of_generation_config(folder.path())?, [0_u32; 0]);
        let file = folder.path().join("generation_config.json");
        std::fs::write(&file, r#"{"eos_token_id": [0, 2], "temperature": 0.7}"#)?;
        assert_eq!(of_generation_config(folder.path())?, [0, 2]);
        std::fs::write(&file, "{")?;
        assert!(of_generation_config(folder.path()).is_err());
        Ok(())
    }
}
