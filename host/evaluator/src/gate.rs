//! The gate: five rules that an adapter must pass before it is registered. Each compares one measured value with one
//! threshold, strictly; a value that is not a number passes nothing.
//!
//! The improvement is taken at the lower end of its interval, unless the config asks for the measured value. A domain has
//! lost if the whole interval of its improvement lies below the threshold: of a few problems more cannot be said.
//!
//! Rates are fractions of 1, the improvement is in points (hundredths of pass@1). The gate measures nothing itself and
//! has no override.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::interval::Estimate;
use super::latency::Latency;

/// The thresholds: the `gate` section of a run's config.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// The adapter's pass@1 must be above this.
    pub pass_at_1_min: f64,
    /// Its pass@1 must be more points above the base's than this.
    pub improvement_points_min: f64,
    /// What of the improvement must be above: the lower end of its 95 % interval, or the measured value.
    pub improvement_taken_at: ImprovementEnd,
    /// In no domain may the whole 95 % interval of its improvement lie at or below so many points.
    pub domain_improvement_points_min: f64,
    /// Its decode time a token may exceed the base's by less than this fraction.
    pub latency_increase_max: f64,
    /// Its answers without runnable code, or that crash, must be a smaller fraction than this.
    pub error_rate_max: f64,
}

/// What of the improvement is held to the threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImprovementEnd {
    /// The lower end of its 95 % interval.
    #[default]
    Low,
    /// The measured value.
    Value,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            pass_at_1_min: 0.35,
            improvement_points_min: 5.0,
            improvement_taken_at: ImprovementEnd::Low,
            domain_improvement_points_min: 0.0,
            latency_increase_max: 0.10,
            error_rate_max: 0.05,
        }
    }
}

impl GateConfig {
    /// Every threshold that cannot be used; empty where all can.
    pub fn validate(&self) -> Vec<String> {
        let bounds = [
            ("pass_at_1_min", self.pass_at_1_min, 0.0, 1.0, "a fraction from 0 to 1"),
            ("improvement_points_min", self.improvement_points_min, -100.0, 100.0, "points from -100 to 100"),
            (
                "domain_improvement_points_min",
                self.domain_improvement_points_min,
                -100.0,
                100.0,
                "points from -100 to 100",
            ),
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
        let improvement = match self.improvement_taken_at {
            ImprovementEnd::Low => (GateRuleName::ImprovementLow, measured.improvement_points.low),
            ImprovementEnd::Value => (GateRuleName::Improvement, measured.improvement_points.value),
        };
        let rules = [
            (GateRuleName::PassAt1, measured.pass_at_1, self.pass_at_1_min),
            (improvement.0, improvement.1, self.improvement_points_min),
            (GateRuleName::LatencyIncrease, measured.latency_increase, self.latency_increase_max),
            (GateRuleName::ErrorRate, measured.error_rate, self.error_rate_max),
            (GateRuleName::DomainImprovement, measured.domain_points_high, self.domain_improvement_points_min),
        ]
        .map(|(rule, measured, threshold)| GateRule {
            rule,
            measured,
            threshold,
            passed: if rule.is_minimum() { measured > threshold } else { measured < threshold },
        });
        let passed = rules.iter().all(|rule| rule.passed);
        let weakest_domain = Some(measured.weakest_domain.clone()).filter(|domain| !domain.is_empty());
        GateDecision { passed, rules: rules.to_vec(), weakest_domain, unsupported: measured.unsupported }
    }
}

/// What the gate looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct GateMeasurements {
    /// The adapter's pass@1.
    pub pass_at_1: f64,
    /// Its improvement over the base, in points.
    pub improvement_points: Estimate,
    /// The least upper end of a domain's improvement, in points.
    pub domain_points_high: f64,
    /// Whose it is.
    pub weakest_domain: String,
    /// How much longer it decodes a token, as a fraction of the base's time; not a number where it was not measured.
    pub latency_increase: f64,
    /// Its answers without runnable code, or that crash, as a fraction.
    pub error_rate: f64,
    /// How many of its answers need a module that the sandbox lacks.
    pub unsupported: u64,
}

impl GateMeasurements {
    /// The values of a comparison and its timing.
    pub fn of(comparison: &Comparison, latency: &Latency) -> Self {
        let domains = comparison.improvement_by_domain();
        let weakest = domains.into_iter().min_by(|(_, left), (_, right)| left.high.total_cmp(&right.high));
        let (weakest_domain, domain_points_high) =
            weakest.map_or((String::new(), f64::NAN), |(domain, improvement)| (domain, improvement.high));
        Self {
            pass_at_1: comparison.adapter.pass_at_1().value,
            improvement_points: comparison.improvement_points,
            domain_points_high,
            weakest_domain,
            latency_increase: latency.increase,
            error_rate: comparison.adapter.error_rate.value,
            unsupported: comparison.adapter.unsupported,
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
    /// The lower end of its interval.
    ImprovementLow,
    /// The decode time.
    LatencyIncrease,
    /// The answers that do not run.
    ErrorRate,
    /// The least upper end of a domain's improvement.
    DomainImprovement,
}

impl GateRuleName {
    /// Whether the measured value must be above the threshold; otherwise below.
    fn is_minimum(self) -> bool {
        matches!(self, Self::PassAt1 | Self::Improvement | Self::ImprovementLow | Self::DomainImprovement)
    }

    /// A value in this rule's unit.
    fn show(self, value: f64) -> String {
        match self {
            Self::LatencyIncrease if value.is_nan() => "not measured".to_owned(),
            Self::PassAt1 => format!("{value:.3}"),
            Self::Improvement | Self::ImprovementLow | Self::DomainImprovement => format!("{value:+.1} points"),
            Self::LatencyIncrease => format!("{:+.1} %", 100.0 * value),
            Self::ErrorRate => format!("{:.1} %", 100.0 * value),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::PassAt1 => "pass@1",
            Self::Improvement => "improvement over the base",
            Self::ImprovementLow => "improvement, lower end",
            Self::DomainImprovement => "each domain's upper end",
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
    /// The domain whose improvement has the least upper end.
    #[serde(default)]
    pub weakest_domain: Option<String>,
    /// How many answers of the adapter need a module that the sandbox lacks. They count as not right and as errors.
    #[serde(default)]
    pub unsupported: u64,
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
            let of_domain = (rule.rule == GateRuleName::DomainImprovement && !rule.passed)
                .then(|| self.weakest_domain.as_ref().map(|domain| format!(" ({domain})")))
                .flatten()
                .unwrap_or_default();
            writeln!(f, "  {:<42} {:>14}   {verdict}{of_domain}", rule.demand(), rule.measured_text())?;
        }
        if self.unsupported > 0 {
            writeln!(f, "  {} answers need a module that the sandbox lacks; they count as errors", self.unsupported)?;
        }
        f.write_str(&self.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EvaluatorError;
    use crate::evaluation::{Evaluation, ProblemOutcome};
    use crate::fakes::outcome;
    use hilora_contract::dataset::Domain;

    fn good() -> GateMeasurements {
        GateMeasurements {
            pass_at_1: 0.36,
            improvement_points: Estimate { value: 9.0, low: 5.1, high: 13.0 },
            domain_points_high: 0.1,
            weakest_domain: "math".to_owned(),
            latency_increase: 0.099,
            error_rate: 0.049,
            unsupported: 0,
        }
    }

    #[test]
    fn every_rule_is_strict_and_alone_enough_to_refuse() {
        let gate = GateConfig::default();
        assert!(gate.decide(&good()).passed);
        let low = |low| Estimate { low, ..good().improvement_points };
        for refused in [
            GateMeasurements { pass_at_1: 0.35, ..good() },
            GateMeasurements { improvement_points: low(5.0), ..good() },
            GateMeasurements { latency_increase: 0.10, ..good() },
            GateMeasurements { error_rate: 0.05, ..good() },
            GateMeasurements { domain_points_high: 0.0, ..good() },
            GateMeasurements { latency_increase: f64::NAN, ..good() },
        ] {
            let decision = gate.decide(&refused);
            assert!(!decision.passed, "{refused:?}");
            assert_eq!(decision.rules.iter().filter(|rule| !rule.passed).count(), 1);
        }
        let by_value = GateConfig { improvement_taken_at: ImprovementEnd::Value, ..gate };
        let uncertain = GateMeasurements { improvement_points: low(-3.0), ..good() };
        assert_eq!((gate.decide(&uncertain).passed, by_value.decide(&uncertain).passed), (false, true));
    }

    #[test]
    fn a_domain_that_lost_refuses_what_gained_as_a_whole() -> Result<(), EvaluatorError> {
        let evaluation = |right_of_math: usize, right_of_python: usize| {
            let outcome = |index: usize| {
                let (domain, right) =
                    if index < 20 { ("math", index < right_of_math) } else { ("python", index < 20 + right_of_python) };
                let outcome = outcome(&index.to_string(), usize::from(right), 1);
                ProblemOutcome { domain: Domain(domain.to_owned()), ..outcome }
            };
            Evaluation::of_outcomes((0..60).map(outcome).collect(), &[1])
        };
        let latency = Latency { base_us: 1.0, adapter_us: 1.0, increase: 0.0, tokens: 1 };
        let decide = |base, adapter| -> Result<GateDecision, EvaluatorError> {
            let measured = GateMeasurements::of(&Comparison::of(base, adapter)?, &latency);
            Ok(GateConfig::default().decide(&measured))
        };
        let lost = decide(evaluation(10, 0)?, evaluation(2, 39)?)?;
        assert_eq!(lost.summary(), "the gate says no: each domain's upper end");
        assert!(lost.to_string().contains("FAILED (math)"), "{lost}");
        // One problem less of twenty shows nothing.
        assert!(decide(evaluation(10, 0)?, evaluation(9, 39)?)?.passed);
        Ok(())
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
        let decision =
            GateConfig::default().decide(&GateMeasurements { latency_increase: 0.27, unsupported: 2, ..good() });
        assert_eq!(
            decision.to_string(),
            "  pass@1 above 0.350                                  0.360   passed\n\
             \x20 improvement, lower end above +5.0 points      +5.1 points   passed\n\
             \x20 decode time over the base below +10.0 %           +27.0 %   FAILED\n\
             \x20 answers that do not run below 5.0 %                 4.9 %   passed\n\
             \x20 each domain's upper end above +0.0 points     +0.1 points   passed\n\
             \x20 2 answers need a module that the sandbox lacks; they count as errors\n\
             the gate says no: decode time over the base"
        );
        let decision = GateConfig::default().decide(&GateMeasurements { latency_increase: f64::NAN, ..good() });
        let rule = "  decode time over the base below +10.0 %      not measured   FAILED\n";
        assert!(decision.to_string().contains(rule), "{decision}");
    }
}
