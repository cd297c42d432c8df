//! A formula: an expression with what it takes to hold it against others, computed once.
//!
//! Two formulas are the same where they are written alike, or else by the first of these that both have: the exact rational
//! value; residues, which decide of numbers of any size and of polynomials without rounding; approximations at several
//! points, which must agree within the error that they can have, of ten digits at the least. A decimal is never taken for a
//! number that is not rational, with however many digits it is written.

use super::approximation::Approximation;
use super::expression::Expression;
use super::ratio::Ratio;
use super::residue::residue;

/// Points at which residues are compared.
const RESIDUES: usize = 2;
/// Points at which approximations are compared.
const POINTS: usize = 6;
/// At so many of them both must have a value.
const POINTS_MIN: usize = 3;
/// A rational number with a larger denominator equals no formula whose value is not computed exactly.
const DENOMINATOR_MAX: i128 = 1_000_000;

/// An expression and its values.
#[derive(Debug, Clone)]
pub(super) struct Formula {
    expression: Expression,
    exact: Option<Ratio>,
    residues: Option<[u64; RESIDUES]>,
    points: [Option<Approximation>; POINTS],
}

impl Formula {
    pub(super) fn of(expression: Expression) -> Self {
        let exact = expression.exact();
        let residues = || {
            let mut found = [0; RESIDUES];
            for (point, value) in found.iter_mut().enumerate() {
                *value = residue(&expression, point as u64)?;
            }
            Some(found)
        };
        let residues = residues();
        let points = std::array::from_fn(|point| Approximation::of(&expression, point as u64));
        Self { exact, residues, points, expression }
    }

    pub(super) fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Whether both are the same.
    pub(super) fn equals(&self, other: &Self) -> bool {
        if let (Some(this), Some(that)) = (self.exact, other.exact) {
            return this == that;
        }
        if let (Some(this), Some(that)) = (self.residues, other.residues) {
            return this == that;
        }
        if self.is_long_decimal() || other.is_long_decimal() {
            return false;
        }
        self.agrees(other) || self.expression == other.expression
    }

    fn is_long_decimal(&self) -> bool {
        self.exact.is_some_and(|exact| exact.parts().1 > DENOMINATOR_MAX)
    }

    fn agrees(&self, other: &Self) -> bool {
        let mut compared = 0;
        for (this, that) in self.points.iter().zip(&other.points) {
            match (this, that) {
                (None, None) => {}
                (Some(this), Some(that)) if this.agrees(*that) == Some(true) => compared += 1,
                _ => return false,
            }
        }
        compared >= POINTS_MIN
    }
}
