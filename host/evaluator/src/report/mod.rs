//! A report: one evaluation as a person reads it, as a closing table for the terminal (its `Display`) and as one HTML
//! file that needs nothing from elsewhere. A report computes no figure; it shows what was measured, with its interval.

mod closing_table;
mod html;

use std::fmt;
use std::path::Path;

use super::error::EvaluatorError;
use super::gate::GateDecision;
use super::latency::Latency;
use super::record::EvaluationRecord;
use hilora_contract::artifact::write_atomic;
use hilora_contract::dataset::EvaluationProblem;

/// Everything a report shows.
pub struct Report<'a> {
    /// The measurement.
    pub record: &'a EvaluationRecord,
    /// The decode times.
    pub latency: &'a Latency,
    /// The gate's decision, where the measurement is held to one.
    pub decision: Option<&'a GateDecision>,
    /// The problems' statements, for the page; a problem that is not here shows its title alone.
    pub problems: &'a [EvaluationProblem],
}

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// Writes the page atomically.
    pub fn write_html(&self, path: &Path) -> Result<(), EvaluatorError> {
        Ok(write_atomic(path, self.html().as_bytes())?)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&closing_table::render(self))
    }
}
