//! How a checkpoint holds its linear layers: as floats, or quantized by bitsandbytes, AutoAWQ, GPTQ's tools,
//! compressed-tensors or as float8.
//!
//! `quantization_config` in config.json says so. Other methods, widths and layouts are refused by name. Which layers were
//! left as floats, each layer's tensors tell.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ModelError;
use super::awq::AwqVersion;
use super::stored_float8::ScaleBlock;

/// The quantization of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "quant_method", rename_all = "kebab-case")]
pub enum Quantization {
    /// Floats.
    None,
    /// bitsandbytes in 4 bits; each tensor tells its own details.
    #[serde(rename = "bitsandbytes")]
    BitsAndBytes {
        /// Whether block maxima are quantized, too.
        double_quant: bool,
    },
    /// AutoAWQ in 4 bits.
    Awq {
        /// How words are laid out.
        version: AwqVersion,
        /// Inputs that share a scale; `None` is all of them.
        group_size: Option<usize>,
    },
    /// GPTQ.
    Gptq {
        /// 4 or 8.
        bits: u8,
        /// Inputs that share a scale; `None` is all of them.
        group_size: Option<usize>,
        /// Whether zero points are stored less one (`checkpoint_format: gptq`).
        zeros_less_one: bool,
        /// Whether groups are of inputs that do not follow one another.
        desc_act: bool,
    },
    /// compressed-tensors' `pack-quantized`.
    #[serde(rename = "compressed-tensors")]
    PackQuantized {
        /// 4 or 8.
        bits: u8,
        /// Inputs that share a scale; `None` is all of them.
        group_size: Option<usize>,
        /// Whether there are no zero points.
        symmetric: bool,
    },
    /// Float8 with scales.
    #[serde(rename = "fp8")]
    Float8 {
        /// Which weights share a scale.
        scales: ScaleBlock,
    },
}

/// A section of config.json, with the place that errors name.
#[derive(Clone)]
struct Section<'a> {
    path: &'a Path,
    place: String,
    value: &'a Value,
}

impl<'a> Section<'a> {
    fn wrong(&self, field: &str, expected: &str) -> ModelError {
        let got = self.value.get(field).map_or_else(|| "nothing".to_owned(), Value::to_string);
        ModelError::config(self.path, format!("{}.{field}: expected {expected}, got {got}", self.place))
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
        self.value.get(field).filter(|value| !value.is_null())
    }

    fn flag(&self, field: &str) -> bool {
        self.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A field's text in lower case.
    fn text(&self, field: &str) -> Option<String> {
        self.get(field).and_then(Value::as_str).map(str::to_lowercase)
    }

    fn section(&self, field: &str) -> Option<Section<'a>> {
        let value = self.get(field)?;
        Some(Section { path: self.path, place: format!("{}.{field}", self.place), value })
    }

    /// Refuses a field that says anything.
    fn absent(&self, field: &str) -> Result<(), ModelError> {
        match self.get(field) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(value) if value.as_object().is_some_and(serde_json::Map::is_empty) => Ok(()),
            Some(value) if value.as_array().is_some_and(Vec::is_empty) => Ok(()),
            Some(_) => Err(self.wrong(field, "nothing")),
        }
    }

    fn bits(&self, field: &str, allowed: &[u64]) -> Result<u8, ModelError> {
        let expected = allowed.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ");
        let bits = self.get(field).and_then(Value::as_u64).filter(|bits| allowed.contains(bits));
        bits.map(|bits| bits as u8).ok_or_else(|| self.wrong(field, &expected))
    }

    /// `None` is all inputs, which is written as -1.
    fn group_size(&self) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get("group_size") else { return Ok(Some(128)) };
        match value.as_i64() {
            Some(-1) => Ok(None),
            Some(size) if size > 0 => Ok(Some(size as usize)),
            _ => Err(self.wrong("group_size", "a positive number or -1")),
        }
    }

    /// Two positive numbers.
    fn pair(&self, field: &str) -> Result<ScaleBlock, ModelError> {
        let sizes: Vec<u64> =
            self.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect();
        match sizes[..] {
            [down, across] if down > 0 && across > 0 => Ok(ScaleBlock::Block(down as usize, across as usize)),
            _ => Err(self.wrong(field, "two positive numbers")),
        }
    }
}

impl Quantization {
    /// Reads `quantization_config` of a `config.json`.
    pub(crate) fn parse(path: &Path, config: &Value) -> Result<Self, ModelError> {
        let root = Section { path, place: "quantization_config".to_owned(), value: config };
        let Some(value) = root.get("quantization_config") else { return Ok(Self::None) };
        let section = Section { value, ..root };
        match section.text("quant_method").as_deref().unwrap_or("bitsandbytes") {
            "bitsandbytes" | "bitsandbytes_4bit" => bitsandbytes(&section),
            "awq" => awq(&section),
            "gptq" => gptq(&section),
            "compressed-tensors" => compressed_tensors(&section),
            "fp8" => match section.get("weight_block_size") {
                None => Ok(Self::Float8 { scales: ScaleBlock::Tensor }),
                Some(_) => Ok(Self::Float8 { scales: section.pair("weight_block_size")? }),
            },
            "fbgemm_fp8" => Ok(Self::Float8 { scales: ScaleBlock::Channel }),
            _ => {
                let known = r#""bitsandbytes", "awq", "gptq", "compressed-tensors", "fp8" or "fbgemm_fp8""#;
                Err(section.wrong("quant_method", known))
            }
        }
    }

    /// Its name, as people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::BitsAndBytes { .. } => "bitsandbytes 4-bit",
            Self::Awq { .. } => "AWQ 4-bit",
            Self::Gptq { bits: 8, .. } => "GPTQ 8-bit",
            Self::Gptq { .. } => "GPTQ 4-bit",
            Self::PackQuantized { bits: 8, .. } => "compressed-tensors 8-bit",
            Self::PackQuantized { .. } => "compressed-tensors 4-bit",
            Self::Float8 { .. } => "FP8",
        }
    }
}

fn bitsandbytes(section: &Section<'_>) -> Result<Quantization, ModelError> {
    if !(section.flag("load_in_4bit") || section.flag("_load_in_4bit")) {
        return Err(section.wrong("load_in_4bit", "true"));
    }
    Ok(Quantization::BitsAndBytes { double_quant: section.flag("bnb_4bit_use_double_quant") })
}

fn awq(section: &Section<'_>) -> Result<Quantization, ModelError> {
    section.bits("bits", &[4])?;
    // What AutoAWQ calls the version, later tools call the format.
    let field = if section.get("version").is_some() { "version" } else { "format" };
    let version = match section.text(field).as_deref().unwrap_or("gemm") {
        "gemm" => AwqVersion::Gemm,
        "gemv" => AwqVersion::Gemv,
        _ => return Err(section.wrong(field, r#""gemm" or "gemv""#)),
    };
    Ok(Quantization::Awq { version, group_size: section.group_size()? })
}

fn gptq(section: &Section<'_>) -> Result<Quantization, ModelError> {
    let bits = section.bits("bits", &[4, 8])?;
    let field = if section.get("checkpoint_format").is_some() { "checkpoint_format" } else { "format" };
    let zeros_less_one = match section.text(field).as_deref().unwrap_or("gptq") {
        "gptq" => true,
        "gptq_v2" => false,
        _ => return Err(section.wrong(field, r#""gptq" or "gptq_v2""#)),
    };
    for field in ["modules_in_block_to_quantize", "dynamic", "is_marlin_format"] {
        section.absent(field)?;
    }
    if section.text("pack_dtype").is_some_and(|dtype| dtype != "int32") {
        return Err(section.wrong("pack_dtype", r#""int32""#));
    }
    let desc_act = section.flag("desc_act");
    Ok(Quantization::Gptq { bits, group_size: section.group_size()?, zeros_less_one, desc_act })
}

fn compressed_tensors(section: &Section<'_>) -> Result<Quantization, ModelError> {
    section.absent("transform_config")?;
    if let Some(sparsity) = section.section("sparsity_config")
        && sparsity.text("format").is_some_and(|format| format != "dense")
    {
        return Err(sparsity.wrong("format", r#""dense""#));
    }
    let groups = section.section("config_groups").ok_or_else(|| section.wrong("config_groups", "an object"))?;
    let mut found = None;
    for name in groups.value.as_object().into_iter().flatten().map(|(name, _)| name) {
        let group = groups.section(name).ok_or_else(|| groups.wrong(name, "an object"))?;
        let field = if group.get("format").is_some() { &group } else { section };
        let quantization = match field.text("format").as_deref() {
            Some("pack-quantized") => pack_quantized(&group)?,
            Some("float-quantized" | "naive-quantized") => float_quantized(&group)?,
            _ => return Err(field.wrong("format", r#""pack-quantized" or "float-quantized""#)),
        };
        if found.is_some_and(|found| found != quantization) {
            return Err(groups.wrong(name, "the weights of the other groups"));
        }
        found = Some(quantization);
    }
    found.ok_or_else(|| section.wrong("config_groups", "a group"))
}

/// The section of a group that says how its weights are quantized.
fn weights<'a>(group: &Section<'a>, kind: &str) -> Result<Section<'a>, ModelError> {
    let weights = group.section("weights").ok_or_else(|| group.wrong("weights", "an object"))?;
    match weights.text("type").as_deref() {
        Some(found) if found == kind => Ok(weights),
        _ => Err(weights.wrong("type", &format!("{kind:?}"))),
    }
}

fn pack_quantized(group: &Section<'_>) -> Result<Quantization, ModelError> {
    let weights = weights(group, "int")?;
    let group_size = match weights.text("strategy").as_deref() {
        Some("group") => weights.group_size()?,
        Some("channel" | "tensor") => None,
        _ => return Err(weights.wrong("strategy", r#""group", "channel" or "tensor""#)),
    };
    let symmetric = weights.get("symmetric").and_then(Value::as_bool).unwrap_or(true);
    Ok(Quantization::PackQuantized { bits: weights.bits("num_bits", &[4, 8])?, group_size, symmetric })
}

fn float_quantized(group: &Section<'_>) -> Result<Quantization, ModelError> {
    let weights = weights(group, "float")?;
    weights.bits("num_bits", &[8])?;
    let scales = match weights.text("strategy").as_deref() {
        Some("tensor") => ScaleBlock::Tensor,
        Some("channel") => ScaleBlock::Channel,
        Some("block") => weights.pair("block_structure")?,
        Some("group") => weights.group_size()?.map_or(ScaleBlock::Channel, |size| ScaleBlock::Block(1, size)),
        _ => return Err(weights.wrong("strategy", r#""tensor", "channel", "group" or "block""#)),
    };
    Ok(Quantization::Float8 { scales })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(section: &str) -> Result<Quantization, String> {
        let value: Value =
            serde_json::from_str(&format!(r#"{{"quantization_config":{section}}}"#)).map_err(|e| e.to_string())?;
        Quantization::parse(Path::new("config.json"), &value).map_err(|e| e.to_string())
    }

    fn refusal(section: &str) -> String {
        parse(section).err().unwrap_or_default().replace("config.json: quantization_config", "")
    }

    #[test]
    fn knows_bitsandbytes_and_awq_and_refuses_others_by_name() {
        assert_eq!(parse("null"), Ok(Quantization::None));
        let bitsandbytes = r#"{"load_in_4bit":true,"quant_method":"bitsandbytes"}"#;
        assert_eq!(parse(bitsandbytes), Ok(Quantization::BitsAndBytes { double_quant: false }));
        let awq = r#"{"bits":4,"group_size":128,"quant_method":"awq","version":"gemm","zero_point":true}"#;
        let expected = |version, group_size| Ok(Quantization::Awq { version, group_size });
        assert_eq!(parse(awq), expected(AwqVersion::Gemm, Some(128)));
        assert_eq!(parse(&awq.replace("gemm", "gemv").replace("128", "-1")), expected(AwqVersion::Gemv, None));
        assert_eq!(parse(&awq.replace("true", "false")), parse(awq));
        assert_eq!(
            refusal(&awq.replace("gemm", "gemv_fast")),
            r#".version: expected "gemm" or "gemv", got "gemv_fast""#
        );
        assert_eq!(refusal(&awq.replace('4', "3")), ".bits: expected 4, got 3");
        assert_eq!(
            refusal(r#"{"quant_method":"hqq","bits":4}"#),
            r#".quant_method: expected "bitsandbytes", "awq", "gptq", "compressed-tensors", "fp8" or "fbgemm_fp8", got "hqq""#
        );
        let eight = r#"{"quant_method":"bitsandbytes","load_in_8bit":true}"#;
        assert_eq!(refusal(eight), ".load_in_4bit: expected true, got nothing");
    }

    #[test]
    fn knows_gptq_and_refuses_what_differs_between_layers() {
        let gptq = r#"{"bits":4,"group_size":32,"quant_method":"gptq","desc_act":true,"sym":false,"lm_head":false,"dynamic":null}"#;
        let expected = |bits, zeros_less_one| {
            Ok(Quantization::Gptq { bits, group_size: Some(32), zeros_less_one, desc_act: true })
        };
        assert_eq!(parse(gptq), expected(4, true));
        let second = gptq.replace(r#""bits":4"#, r#""bits":8,"checkpoint_format":"gptq_v2""#);
        assert_eq!(parse(&second), expected(8, false));
        assert_eq!(refusal(&gptq.replace(":4", ":3")), ".bits: expected 4 or 8, got 3");
        assert_eq!(
            refusal(&second.replace("gptq_v2", "marlin")),
            r#".checkpoint_format: expected "gptq" or "gptq_v2", got "marlin""#
        );
        assert_eq!(refusal(&gptq.replace("null", r#"{"+:x":{}}"#)), r#".dynamic: expected nothing, got {"+:x":{}}"#);
        let some = gptq.replace("dynamic", "modules_in_block_to_quantize").replace("null", r#"[["a"]]"#);
        assert_eq!(refusal(&some), r#".modules_in_block_to_quantize: expected nothing, got [["a"]]"#);
        assert_eq!(refusal(&gptq.replace("32", "0")), ".group_size: expected a positive number or -1, got 0");
    }

    #[test]
    fn knows_compressed_tensors_with_one_kind_of_weights() {
        let packed = r#"{"quant_method":"compressed-tensors","format":"pack-quantized","ignore":["lm_head"],"config_groups":{
            "group_0":{"targets":["Linear"],"input_activations":null,"weights":{"num_bits":4,"type":"int","symmetric":false,
            "strategy":"group","group_size":64,"actorder":null}}}}"#;
        let expected = |group_size, symmetric| Ok(Quantization::PackQuantized { bits: 4, group_size, symmetric });
        assert_eq!(parse(packed), expected(Some(64), false));
        let channel = packed.replace(r#""group","group_size":64"#, r#""channel","group_size":null"#);
        assert_eq!(parse(&channel.replace("false", "true")), expected(None, true));
        assert_eq!(
            refusal(&packed.replace("num_bits\":4", "num_bits\":3")),
            ".config_groups.group_0.weights.num_bits: expected 4 or 8, got 3"
        );
        let marlin = packed.replace("pack-quantized", "marlin-24");
        assert_eq!(refusal(&marlin), r#".format: expected "pack-quantized" or "float-quantized", got "marlin-24""#);
        let float =
            packed.replace("pack-", "float-").replace("\"int\"", "\"float\"").replace("num_bits\":4", "num_bits\":8");
        assert_eq!(parse(&float), Ok(Quantization::Float8 { scales: ScaleBlock::Block(1, 64) }));
        let of_tensor = float.replace("\"group\"", "\"tensor\"");
        assert_eq!(parse(&of_tensor), Ok(Quantization::Float8 { scales: ScaleBlock::Tensor }));
        let two = packed.replace(
            r#""group_0":"#,
            r#""other":{"weights":{"num_bits":8,"type":"int","strategy":"channel"}},"group_0":"#,
        );
        assert!(refusal(&two).contains("expected the weights of the other groups"), "{}", refusal(&two));
    }

    #[test]
    fn knows_float8_by_its_blocks() {
        let fp8 = r#"{"quant_method":"fp8","activation_scheme":"dynamic","weight_block_size":[128,64]}"#;
        assert_eq!(parse(fp8), Ok(Quantization::Float8 { scales: ScaleBlock::Block(128, 64) }));
        assert_eq!(parse(&fp8.replace("[128,64]", "null")), Ok(Quantization::Float8 { scales: ScaleBlock::Tensor }));
        assert_eq!(refusal(&fp8.replace("128", "0")), ".weight_block_size: expected two positive numbers, got [0,64]");
    }
}
