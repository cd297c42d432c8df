//! A report: one evaluation as a person reads it, as a closing table for the terminal (its `Display`) and as one HTML
//! file that needs nothing from elsewhere. A report computes no figure; it shows what was measured, with its interval.

mod closing_table;
mod contents;
mod examples;
mod html;
mod training_curves;
mod verdict_bars;

use std::fmt;
use std::path::Path;

use super::error::EvaluatorError;
use hilora_contract::artifact::write_atomic;

pub(crate) use closing_table::{fraction, p_value, points};
pub use contents::Report;
pub use training_curves::TrainingCurves;

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
