//! How a checkpoint holds the linear layers of its blocks: as floats, or in 4 bits by bitsandbytes or AutoAWQ.
//!
//! `quantization_config` in config.json says so. Other methods and widths are refused by name.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ModelError;

/// The quantization of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "quant_method", rename_all = "lowercase")]
pub enum Quantization {
    /// Floats.
    None,
    /// bitsandbytes in 4 bits; each tensor tells its own details.
    BitsAndBytes,
    /// AutoAWQ in 4 bits with zero points.
    Awq {
        /// Inputs that share a scale; `None` is all of them.
        group_size: Option<usize>,
    },
}

impl Quantization {
    /// Reads `quantization_config` of a `config.json`.
    pub(crate) fn parse(path: &Path, config: &Value) -> Result<Self, ModelError> {
        let Some(section) = config.get("quantization_config").filter(|value| !value.is_null()) else {
            return Ok(Self::None);
        };
        let wrong = |field: &str, expected: &str| {
            let got = section.get(field).map_or_else(|| "nothing".to_owned(), Value::to_string);
            ModelError::config(path, format!("quantization_config.{field}: expected {expected}, got {got}"))
        };
        let is_set = |field: &str| section.get(field).and_then(Value::as_bool).unwrap_or(false);
        let method = section.get("quant_method").and_then(Value::as_str).unwrap_or("bitsandbytes");
        match method {
            "bitsandbytes" | "bitsandbytes_4bit" => {
                if !(is_set("load_in_4bit") || is_set("_load_in_4bit")) {
                    return Err(wrong("load_in_4bit", "true"));
                }
                Ok(Self::BitsAndBytes)
            }
            "awq" => {
                if section.get("bits").and_then(Value::as_u64) != Some(4) {
                    return Err(wrong("bits", "4"));
                }
                let version = section.get("version").and_then(Value::as_str).unwrap_or("gemm");
                if !version.eq_ignore_ascii_case("gemm") {
                    return Err(wrong("version", "\"gemm\""));
                }
                if section.get("zero_point").and_then(Value::as_bool) == Some(false) {
                    return Err(wrong("zero_point", "true"));
                }
                let group_size = match section.get("group_size").and_then(Value::as_i64) {
                    None => Some(128),
                    Some(-1) => None,
                    Some(size) if size > 0 => Some(size as usize),
                    Some(_) => return Err(wrong("group_size", "a positive number or -1")),
                };
                Ok(Self::Awq { group_size })
            }
            _ => Err(wrong("quant_method", "\"bitsandbytes\" or \"awq\"")),
        }
    }

    /// Its name, as people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::BitsAndBytes => "bitsandbytes 4-bit",
            Self::Awq { .. } => "AWQ 4-bit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(section: &str) -> Result<Quantization, String> {
        let value: Value =
            serde_json::from_str(&format!(r#"{{"quantization_config":{section}}}"#)).map_err(|e| e.to_string())?;
        Quantization::parse(Path::new("config.json"), &value).map_err(|e| e.to_string())
    }

    #[test]
    fn knows_two_methods_and_refuses_others_by_name() {
        assert_eq!(parse("null"), Ok(Quantization::None));
        assert_eq!(parse(r#"{"load_in_4bit":true,"quant_method":"bitsandbytes"}"#), Ok(Quantization::BitsAndBytes));
        let awq = r#"{"bits":4,"group_size":128,"quant_method":"awq","version":"gemm","zero_point":true}"#;
        assert_eq!(parse(awq), Ok(Quantization::Awq { group_size: Some(128) }));
        let refusal = |section: &str| parse(section).err().unwrap_or_default();
        assert_eq!(
            refusal(r#"{"quant_method":"gptq","bits":4}"#),
            r#"config.json: quantization_config.quant_method: expected "bitsandbytes" or "awq", got "gptq""#
        );
        assert_eq!(
            refusal(r#"{"quant_method":"bitsandbytes","load_in_8bit":true}"#),
            "config.json: quantization_config.load_in_4bit: expected true, got nothing"
        );
        assert_eq!(
            refusal(&awq.replace("gemm", "gemv")),
            r#"config.json: quantization_config.version: expected "gemm", got "gemv""#
        );
        assert_eq!(refusal(&awq.replace('4', "3")), "config.json: quantization_config.bits: expected 4, got 3");
    }
}
