//! The parameters of rotary position embedding: a base, and how its frequencies are scaled for longer sequences.
//!
//! Pair i of a head of width d turns by theta^(−2 i / d) a position. `linear` divides every frequency by its factor.
//! `llama3` divides those whose wavelength is above original_max_position_embeddings / low_freq_factor, leaves those
//! below original_max_position_embeddings / high_freq_factor, and blends in between. `yarn` divides the slow ones and
//! blends by how often a pair turns within the original length; it and `longrope` also multiply cosines and sines.
//!
//! `dynamic` divides beyond max_position_embeddings alone, which no sequence here is. `longrope` has one list of divisors
//! up to original_max_position_embeddings and another beyond; longer sequences are refused.

use std::f64::consts::PI;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ModelError;

/// Base and scaling of the rotary frequencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeParameters {
    /// Base of the frequencies.
    pub rope_theta: f64,
    /// How they are scaled.
    #[serde(flatten)]
    pub scaling: RopeScaling,
}

/// How the frequencies are scaled, in transformers' words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// All divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// As in Llama 3.1: long wavelengths are divided, short ones stay.
    Llama3 {
        /// The divisor of long wavelengths.
        factor: f64,
        /// Sets the wavelength above which frequencies are divided.
        low_freq_factor: f64,
        /// Sets the wavelength below which they stay.
        high_freq_factor: f64,
        /// The length the model was first trained with.
        original_max_position_embeddings: usize,
    },
    /// By the length of the sequence, once that is beyond the model's own.
    Dynamic {
        /// The divisor.
        factor: f64,
    },
    /// By how often a pair turns within the original length: slow pairs are divided, fast ones stay.
    Yarn {
        /// The divisor of slow pairs.
        factor: f64,
        /// Turns above which a pair stays.
        beta_fast: f64,
        /// Turns below which it is divided.
        beta_slow: f64,
        /// Whether the bounds are rounded outwards to whole pairs.
        truncate: bool,
        /// What cosines and sines are multiplied with.
        attention_factor: f64,
        /// The length the model was first trained with.
        original_max_position_embeddings: usize,
    },
    /// Each pair by its own divisor.
    LongRope {
        /// The divisors of sequences up to the original length.
        short_factor: Vec<f64>,
        /// What cosines and sines are multiplied with.
        attention_factor: f64,
        /// The length the model was first trained with.
        original_max_position_embeddings: usize,
    },
}

impl RopeParameters {
    /// Reads them from a `config.json`. Newer files hold `rope_parameters: {rope_theta, rope_type, …}`, older ones
    /// `rope_theta` and `rope_scaling`, where `rope_type` was once `type`.
    /// `default_theta` is the base where nothing says it; `head_dim` is checked against lists of divisors.
    pub(crate) fn parse(path: &Path, config: &Value, default_theta: f64, head_dim: usize) -> Result<Self, ModelError> {
        let given = |name: &'static str| {
            let value = config.get(name).filter(|value| !value.is_null())?;
            Some(Section { path, name, value, config, pairs: head_dim / 2 })
        };
        let sections: Vec<_> = [given("rope_parameters"), given("rope_scaling")].into_iter().flatten().collect();
        let mut scaling = RopeScaling::Default;
        for (index, section) in sections.iter().enumerate() {
            let this = section.scaling()?;
            if index > 0 && this != scaling {
                return Err(ModelError::config(
                    path,
                    format!("rope_scaling: expected what rope_parameters says, {scaling:?}, got {this:?}"),
                ));
            }
            scaling = this;
        }
        let nested = sections.iter().find_map(|section| section.value.get("rope_theta").filter(|v| !v.is_null()));
        let rope_theta = match nested.or_else(|| config.get("rope_theta")).filter(|value| !value.is_null()) {
            // Hugging Face's own default, for files that leave it out.
            None => default_theta,
            Some(value) => value.as_f64().filter(|theta| *theta > 0.0).ok_or_else(|| {
                ModelError::config(path, format!("rope_theta: expected a positive number, got {value}"))
            })?,
        };
        Ok(Self { rope_theta, scaling })
    }

    /// The turn of each pair of a head per position, in radians; computed in f32 like transformers.
    pub(crate) fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        let plain = (0..head_dim / 2).map(|i| 1.0 / (self.rope_theta as f32).powf(2.0 * i as f32 / head_dim as f32));
        match self.scaling {
            RopeScaling::Default | RopeScaling::Dynamic { .. } => plain.collect(),
            RopeScaling::LongRope { ref short_factor, .. } => {
                plain.zip(short_factor).map(|(frequency, factor)| frequency / *factor as f32).collect()
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_max_position_embeddings, .. } => {
                // The pair that turns this often within the original length.
                let pair = |turns: f64| {
                    let length = original_max_position_embeddings as f64;
                    head_dim as f64 * (length / (turns * 2.0 * PI)).ln() / (2.0 * self.rope_theta.ln())
                };
                let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let blend = |(index, frequency): (usize, f32)| {
                    let divided = ((index as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    frequency / factor as f32 * divided + frequency * (1.0 - divided)
                };
                plain.enumerate().map(blend).collect()
            }
            RopeScaling::Linear { factor } => plain.map(|frequency| frequency / factor as f32).collect(),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => {
                let original = original as f64;
                let (longest, shortest) = ((original / low_freq_factor) as f32, (original / high_freq_factor) as f32);
                plain
                    .map(|frequency| {
                        let wavelength = (2.0 * PI) as f32 / frequency;
                        let divided = frequency / factor as f32;
                        if wavelength > longest {
                            divided
                        } else if wavelength < shortest {
                            frequency
                        } else {
                            let share = (original as f32 / wavelength - low_freq_factor as f32)
                                / (high_freq_factor - low_freq_factor) as f32;
                            (1.0 - share) * frequency / factor as f32 + share * frequency
                        }
                    })
                    .collect()
            }
        }
    }
}

impl RopeParameters {
    /// What cosines and sines are multiplied with.
    pub(crate) fn amplitude(&self) -> f32 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
                attention_factor as f32
            }
            _ => 1.0,
        }
    }

    /// The length beyond which other frequencies hold.
    pub(crate) fn length_max(&self) -> Option<usize> {
        match self.scaling {
            RopeScaling::LongRope { original_max_position_embeddings, .. } => Some(original_max_position_embeddings),
            _ => None,
        }
    }
}

/// One of the two objects that may hold a scaling.
struct Section<'a> {
    path: &'a Path,
    name: &'static str,
    value: &'a Value,
    config: &'a Value,
    /// Pairs of a head.
    pairs: usize,
}

impl Section<'_> {
    fn wrong(&self, field: &str, expected: &str, got: Option<&Value>) -> ModelError {
        let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
        ModelError::config(self.path, format!("{}.{field}: expected {expected}, got {got}", self.name))
    }

    fn positive(&self, field: &str) -> Result<f64, ModelError> {
        let got = self.value.get(field);
        let number = got.and_then(Value::as_f64).filter(|number| number.is_finite() && *number > 0.0);
        number.ok_or_else(|| self.wrong(field, "a positive number", got))
    }

    /// A number that may be missing, null or, for PyTorch's sake, zero, all of which mean the default.
    fn positive_or(&self, field: &str, default: f64) -> Result<f64, ModelError> {
        match self.value.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(number) if number.as_f64() == Some(0.0) => Ok(default),
            Some(_) => self.positive(field),
        }
    }

    /// The length that the model was first trained with, or else its own.
    fn original_length(&self) -> Result<usize, ModelError> {
        let field = "original_max_position_embeddings";
        let original = [self.config.get(field), self.value.get(field)].into_iter().flatten();
        let original = original.chain(self.config.get("max_position_embeddings")).find(|v| !v.is_null());
        let length = original.and_then(Value::as_u64).filter(|length| *length > 0);
        Ok(length.ok_or_else(|| self.wrong(field, "a positive whole number", original))? as usize)
    }

    /// `factor`, or where it is null the model's length by the original one.
    fn factor_or_ratio(&self, original: usize) -> Result<f64, ModelError> {
        match self.value.get("factor") {
            None | Some(Value::Null) => {
                let longest = self.config.get("max_position_embeddings").and_then(Value::as_f64);
                longest
                    .map(|longest| longest / original as f64)
                    .ok_or_else(|| self.wrong("factor", "a positive number", None))
            }
            Some(_) => self.positive("factor"),
        }
    }

    fn yarn(&self) -> Result<RopeScaling, ModelError> {
        let original = self.original_length()?;
        let factor = self.factor_or_ratio(original)?;
        let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
        let (mscale, of_all) = (self.positive_or("mscale", 0.0)?, self.positive_or("mscale_all_dim", 0.0)?);
        let default = if mscale > 0.0 && of_all > 0.0 { scale(mscale) / scale(of_all) } else { scale(1.0) };
        let truncate = match self.value.get("truncate") {
            None => true,
            Some(truncate) => {
                truncate.as_bool().ok_or_else(|| self.wrong("truncate", "true or false", Some(truncate)))?
            }
        };
        Ok(RopeScaling::Yarn {
            factor,
            beta_fast: self.positive_or("beta_fast", 32.0)?,
            beta_slow: self.positive_or("beta_slow", 1.0)?,
            truncate,
            attention_factor: self.attention_factor(default)?,
            original_max_position_embeddings: original,
        })
    }

    fn long_rope(&self) -> Result<RopeScaling, ModelError> {
        let original = self.original_length()?;
        let factor = self.factor_or_ratio(original)?;
        let default = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() };
        let list = self.value.get("short_factor");
        let numbers: Option<Vec<f64>> = list.and_then(Value::as_array).and_then(|list| {
            list.iter().map(|number| number.as_f64().filter(|number| number.is_finite() && *number > 0.0)).collect()
        });
        let short_factor = numbers.filter(|numbers| numbers.len() == self.pairs);
        Ok(RopeScaling::LongRope {
            short_factor: short_factor.ok_or_else(|| {
                self.wrong("short_factor", &format!("{} positive numbers, one for each pair", self.pairs), list)
            })?,
            attention_factor: self.attention_factor(default)?,
            original_max_position_embeddings: original,
        })
    }

    fn attention_factor(&self, default: f64) -> Result<f64, ModelError> {
        match self.value.get("attention_factor") {
            None | Some(Value::Null) => Ok(default),
            Some(_) => self.positive("attention_factor"),
        }
    }

    fn scaling(&self) -> Result<RopeScaling, ModelError> {
        let partial = self.value.get("partial_rotary_factor").or_else(|| self.config.get("partial_rotary_factor"));
        if let Some(partial) = partial.filter(|value| !value.is_null() && value.as_f64() != Some(1.0)) {
            return Err(self.wrong("partial_rotary_factor", "1", Some(partial)));
        }
        let kind = self.value.get("rope_type").or_else(|| self.value.get("type")).filter(|kind| !kind.is_null());
        Ok(match kind.map_or(Some("default"), Value::as_str) {
            Some("default") => RopeScaling::Default,
            Some("linear") => RopeScaling::Linear { factor: self.positive("factor")? },
            Some("llama3") => {
                let (low, high) = (self.positive("low_freq_factor")?, self.positive("high_freq_factor")?);
                if high <= low {
                    let expected = format!("a number above low_freq_factor {low}");
                    return Err(self.wrong("high_freq_factor", &expected, self.value.get("high_freq_factor")));
                }
                RopeScaling::Llama3 {
                    factor: self.positive("factor")?,
                    low_freq_factor: low,
                    high_freq_factor: high,
                    original_max_position_embeddings: self.original_length()?,
                }
            }
            Some("dynamic") => RopeScaling::Dynamic { factor: self.positive("factor")? },
            Some("yarn") => self.yarn()?,
            Some("longrope") => self.long_rope()?,
            _ => {
                let known = "\"default\", \"linear\", \"llama3\", \"dynamic\", \"yarn\" or \"longrope\"";
                return Err(self.wrong("rope_type", known, kind));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<RopeParameters, ModelError> {
        let value: Value = serde_json::from_str(json).map_err(|e| ModelError::input(e.to_string()))?;
        RopeParameters::parse(Path::new("config.json"), &value, 1e4, 8)
    }

    fn message(json: &str) -> String {
        parse(json).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn reads_both_spellings() -> Result<(), ModelError> {
        assert_eq!(parse(r#"{"rope_theta":1e6}"#)?.rope_theta, 1e6);
        assert_eq!(parse(r#"{"rope_parameters":{"rope_theta":5e5,"rope_type":"default"}}"#)?.rope_theta, 5e5);
        assert_eq!(parse("{}")?.rope_theta, 1e4);
        let old = parse(r#"{"rope_theta":7e5,"rope_scaling":{"type":"linear","factor":4}}"#)?;
        let new = parse(r#"{"rope_parameters":{"rope_theta":7e5,"rope_type":"linear","factor":4.0}}"#)?;
        assert_eq!(old, new);
        assert_eq!(old.frequencies(8)[0], 0.25);
        Ok(())
    }

    #[test]
    fn refuses_what_it_does_not_compute() {
        assert_eq!(
            message(r#"{"rope_theta":1e6,"rope_scaling":{"rope_type":"ntk","factor":4.0}}"#),
            r#"config.json: rope_scaling.rope_type: expected "default", "linear", "llama3", "dynamic", "yarn" or "longrope", got "ntk""#
        );
        assert_eq!(
            message(
                r#"{"rope_scaling":{"type":"longrope","short_factor":[1,2],"original_max_position_embeddings":16,"factor":2}}"#
            ),
            "config.json: rope_scaling.short_factor: expected 4 positive numbers, one for each pair, got [1,2]"
        );
        assert_eq!(
            message(r#"{"rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}}"#),
            "config.json: rope_parameters.partial_rotary_factor: expected 1, got 0.5"
        );
        assert_eq!(
            message(r#"{"rope_scaling":{"rope_type":"linear"}}"#),
            "config.json: rope_scaling.factor: expected a positive number, got nothing"
        );
        assert_eq!(
            message(r#"{"rope_parameters":{"rope_type":"default"},"rope_scaling":{"type":"linear","factor":2}}"#),
            "config.json: rope_scaling: expected what rope_parameters says, Default, got Linear { factor: 2.0 }"
        );
    }
}
