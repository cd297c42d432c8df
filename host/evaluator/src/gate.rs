//! The gate: four rules that an adapter must pass before it is registered. Each compares one measured value with one
//! threshold, strictly; a value that is not a number passes nothing.
//!
//! Rates are fractions of 1, the improvement is in points (hundredths of pass@1). The gate measures nothing itself and
//! has no override.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::latency::Latency;

/// The thresholds: the `gate` section of a run's config.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// The adapter's pass@1 must be above this.
    pub pass_at_1_min: f64,
    /// Its pass@1 must be more points above the base's than this.
    pub improvement_points_min: f64,
    /// Its decode time a token may exceed the base's by less than this fraction.
    pub latency_increase_max: f64,
    /// Its answers without runnable code, or that crash, must be a smaller fraction than this.
    pub error_rate_max: f64,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { pass_at_1_min: 0.35, improvement_points_min: 5.0, latency_increase_max: 0.10, error_rate_max: 0.05 }
    }
}

impl GateConfig {
    /// Every threshold that cannot be used; empty where all can.
    pub fn validate(&self) -> Vec<String> {
        let bounds = [
            ("pass_at_1_min", self.pass_at_1_min, 0.0, 1.0, "a fraction from 0 to 1"),
            ("improvement_points_min", self.improvement_points_min, -100.0, 100.0, "points from -100 to 100"),
            ("latency_increase_max", self.latency_increase_max, 0.0, 10.0, "a fraction from 0 to 10 (0.10 is 10 %)"),
            ("error_rate_max", self.error_rate_max, 0.0, 1.0, "a fraction from 0 to 1 (0.05 is 5 %)"),
        ];
        bounds
            .iter()
            .filter(|(_, value, low, high, _)| !(low..=high).contains(&value))
            .map(|(key, value, _, _, expected)| format!("gate.{key}: expected {expected}, got {value}"))
            .collect()
    }

    /// Holds the measured values to the thresholds.
    pub fn decide(&self, measured: &GateMeasurements) -> GateDecision {
        let rules = [
            (GateRuleName::PassAt1, measured.pass_at_1, self.pass_at_1_min),
            (GateRuleName::Improvement, measured.improvement_points, self.improvement_points_min),
            (GateRuleName::LatencyIncrease, measured.latency_increase, self.latency_increase_max),
            (GateRuleName::ErrorRate, measured.error_rate, self.error_rate_max),
        ]
        .map(|(rule, measured, threshold)| GateRule {
            rule,
            measured,
            threshold,
            passed: if rule.is_minimum() { measured > threshold } else { measured < threshold },
        });
        GateDecision { passed: rules.iter().all(|rule| rule.passed), rules: rules.to_vec() }
    }
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateMeasurements {
    /// The adapter's pass@1.
    pub pass_at_1: f64,
    /// Its improvement over the base, in points.
    pub improvement_points: f64,
    /// How much longer it decodes a token, as a fraction of the base's time; not a number where it was not measured.
    pub latency_increase: f64,
    /// Its answers without runnable code, or that crash, as a fraction.
    pub error_rate: f64,
}

impl GateMeasurements {
    /// The four values of a comparison and its timing.
    pub fn of(comparison: &Comparison, latency: &Latency) -> Self {
        Self {
            pass_at_1: comparison.adapter.pass_at_1().value,
            improvement_points: comparison.improvement_points.value,
            latency_increase: latency.increase,
            error_rate: comparison.adapter.error_rate.value,
        }
    }
}

/// Which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateRuleName {
    /// The adapter's pass@1.
    #[serde(rename = "pass-at-1")]
    PassAt1,
    /// The improvement over the base.
    Improvement,
    /// The decode time.
    LatencyIncrease,
    /// The answers that do not run.
    ErrorRate,
}

impl GateRuleName {
    /// Whether the measured value must be above the threshold; otherwise below.
    fn is_minimum(self) -> bool {
        matches!(self, Self::PassAt1 | Self::Improvement)
    }

    /// A value in this rule's unit.
    fn show(self, value: f64) -> String {
        match self {
            Self::LatencyIncrease if value.is_nan() => "not measured".to_owned(),
            Self::PassAt1 => format!("{value:.3}"),
            Self::Improvement => format!("{value:+.1} points"),
            Self::LatencyIncrease => format!("{:+.1} %", 100.0 * value),
            Self::ErrorRate => format!("{:.1} %", 100.0 * value),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::PassAt1 => "pass@1",
            Self::Improvement => "improvement over the base",
            Self::LatencyIncrease => "decode time over the base",
            Self::ErrorRate => "answers that do not run",
        }
    }
}

/// One rule, measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRule {
    /// Which rule.
    pub rule: GateRuleName,
    /// What was measured.
    pub measured: f64,
    /// What it was held to.
    pub threshold: f64,
    /// Whether it passed.
    pub passed: bool,
}

impl GateRule {
    /// What the rule asks for: `pass@1 above 0.350`.
    pub fn demand(&self) -> String {
        let side = if self.rule.is_minimum() { "above" } else { "below" };
        format!("{} {side} {}", self.rule.words(), self.rule.show(self.threshold))
    }

    /// The measured value in the rule's unit.
    pub fn measured_text(&self) -> String {
        self.rule.show(self.measured)
    }
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateDecision {
    /// Whether every rule passed.
    pub passed: bool,
    /// Each rule.
    pub rules: Vec<GateRule>,
}

impl GateDecision {
    /// The closing line.
    pub fn summary(&self) -> String {
        let failed: Vec<&str> = self.rules.iter().filter(|rule| !rule.passed).map(|rule| rule.rule.words()).collect();
        if self.passed { "the gate says yes".to_owned() } else { format!("the gate says no: {}", failed.join(", ")) }
    }
}

impl fmt::Display for GateDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            let verdict = if rule.passed { "passed" } else { "FAILED" };
            writeln!(f, "  {:<42} {:>14}   {verdict}", rule.demand(), rule.measured_text())?;
        }
        f.write_str(&self.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: GateMeasurements =
        GateMeasurements { pass_at_1: 0.36, improvement_points: 5.1, latency_increase: 0.099, error_rate: 0.049 };

    #[test]
    fn every_rule_is_strict_and_alone_enough_to_refuse() {
        let gate = GateConfig::default();
        assert!(gate.decide(&GOOD).passed);
        for refused in [
            GateMeasurements { pass_at_1: 0.35, ..GOOD },
            GateMeasurements { improvement_points: 5.0, ..GOOD },
            GateMeasurements { latency_increase: 0.10, ..GOOD },
            GateMeasurements { error_rate: 0.05, ..GOOD },
            GateMeasurements { latency_increase: f64::NAN, ..GOOD },
        ] {
            let decision = gate.decide(&refused);
            assert!(!decision.passed, "{refused:?}");
            assert_eq!(decision.rules.iter().filter(|rule| !rule.passed).count(), 1);
        }
    }

    #[test]
    fn a_percentage_in_place_of_a_fraction_is_refused() {
        let gate = GateConfig { error_rate_max: 5.0, pass_at_1_min: f64::NAN, ..GateConfig::default() };
        assert_eq!(
            gate.validate(),
            [
                "gate.pass_at_1_min: expected a fraction from 0 to 1, got NaN",
                "gate.error_rate_max: expected a fraction from 0 to 1 (0.05 is 5 %), got 5"
            ]
        );
        assert!(GateConfig::default().validate().is_empty());
    }

    #[test]
    fn says_what_was_measured_and_what_was_asked() {
        let decision = GateConfig::default().decide(&GateMeasurements { latency_increase: 0.27, ..GOOD });
        assert_eq!(
            decision.to_string(),
            "  pass@1 above 0.350                                  0.360   passed\n\
             \x20 improvement over the base above +5.0 points    +5.1 points   passed\n\
             \x20 decode time over the base below +10.0 %           +27.0 %   FAILED\n\
             \x20 answers that do not run below 5.0 %                 4.9 %   passed\n\
             the gate says no: decode time over the base"
        );
        let decision = GateConfig::default().decide(&GateMeasurements { latency_increase: f64::NAN, ..GOOD });
        let rule = "  decode time over the base below +10.0 %      not measured   FAILED\n";
        assert!(decision.to_string().contains(rule), "{decision}");
    }
}
