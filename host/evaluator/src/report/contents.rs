//! What a report shows: a measurement, its timing and, if it was held to one, the gate's decision.

use super::training_curves::TrainingCurves;
use crate::gate::GateDecision;
use crate::latency::Latency;
use crate::record::EvaluationRecord;
use hilora_contract::dataset::EvaluationProblem;

/// Everything a report shows.
pub struct Report<'a> {
    /// The measurement.
    pub record: &'a EvaluationRecord,
    /// The decode times.
    pub latency: &'a Latency,
    /// The gate's decision, if the measurement is held to one.
    pub decision: Option<&'a GateDecision>,
    /// The problems' statements, for the page; a problem that is not here shows its title alone.
    pub problems: &'a [EvaluationProblem],
    /// What the training measured of itself, for the page.
    pub training: Option<&'a TrainingCurves>,
}
