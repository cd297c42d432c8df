//! The type of a checkpoint's floats, as its configuration says it.

use std::path::Path;

use serde_json::Value;

use super::ModelError;

/// The type of a checkpoint's floats, as `dtype` in config.json names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredType {
    /// 32 bits.
    F32,
    /// 16 bits, of which 8 are the exponent.
    Bf16,
    /// 16 bits, of which 5 are the exponent.
    F16,
}

impl StoredType {
    /// What a model's `config.json` says: `dtype`, or `torch_dtype` as it was called before; f32 if it says nothing.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| ModelError::reading(&path, e))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|e| ModelError::config(&path, format!("not valid JSON: {e}")))?;
        let named = value.get("dtype").or_else(|| value.get("torch_dtype")).and_then(Value::as_str);
        Ok(match named {
            Some("bfloat16") => Self::Bf16,
            Some("float16") => Self::F16,
            _ => Self::F32,
        })
    }
}
