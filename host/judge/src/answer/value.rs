//! A value: what an answer says.

use super::expression::Expression;
use super::formula::Formula;
use super::unit::Unit;

/// What stands around values in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    /// `(`, `[` and their counterparts: a tuple, or an interval.
    Sign(char),
    /// A matrix, whose items are rows.
    Matrix,
    /// A row of a matrix.
    Row,
}

/// What an answer says.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number or a formula, perhaps with a unit.
    Quantity(Box<Quantity>),
    /// Words: a name, yes or no.
    Words(String),
    /// A number in another base than ten: its digits without leading zeros, and the base.
    Based(String, u32),
    /// A ratio, `1:2`.
    Ratio(Proportion),
    /// A tuple, an interval or a matrix.
    Ordered { open: Bracket, close: Bracket, items: Vec<Value> },
    /// A set: in any order, and each item counts once.
    Set(Vec<Value>),
    /// Values with commas between them: in any order.
    List(Vec<Value>),
    /// A union of intervals.
    Union(Vec<Value>),
    /// An equation, an inequality or a chain of them: the sides, with a sign between each two.
    Relation { signs: Vec<char>, sides: Vec<Value> },
}

/// A number or a formula with what stands behind it.
#[derive(Debug, Clone)]
pub(super) struct Quantity {
    /// As it is written.
    pub(super) formula: Formula,
    /// The number without a unit that it is: of percents the hundredth, of degrees the radians.
    pub(super) plain: Option<Formula>,
    pub(super) unit: Option<String>,
}

/// A ratio of two numbers or more.
#[derive(Debug, Clone)]
pub(super) struct Proportion {
    /// Its terms, as they are written.
    terms: Vec<Formula>,
    /// Each of them but the last, divided by the last.
    quotients: Vec<Formula>,
    /// Whether it may be a time of day, 10:30.
    is_clock: bool,
    unit: Option<String>,
}

impl Proportion {
    pub(super) fn of(terms: Vec<Expression>, is_clock: bool, unit: Option<String>) -> Option<Self> {
        let (last, others) = terms.split_last()?;
        let quotients = others.iter().map(|term| Formula::of(term.clone().over(last.clone()))).collect();
        Some(Self { quotients, terms: terms.into_iter().map(Formula::of).collect(), is_clock, unit })
    }

    /// Whether both are the same ratio; times are the same where each part is.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let same_unit = self.unit.is_none() || other.unit.is_none() || self.unit == other.unit;
        let is_clock = self.is_clock || other.is_clock;
        let (these, those) = match is_clock {
            true => (&self.terms, &other.terms),
            false => (&self.quotients, &other.quotients),
        };
        same_unit && these.len() == those.len() && these.iter().zip(those).all(|(this, that)| this.equals(that))
    }

    /// Whether a number is the quotient of two terms.
    pub(super) fn is_quotient(&self, quantity: &Quantity) -> bool {
        let [quotient] = &self.quotients[..] else { return false };
        !self.is_clock && self.unit.is_none() && quantity.unit.is_none() && quotient.equals(&quantity.formula)
    }
}

impl Quantity {
    /// The quantity of an expression and its unit.
    pub(super) fn of(expression: Expression, unit: Unit) -> Self {
        let scaled = match unit.scale {
            1 => expression,
            scale => expression.times(Expression::integer(scale)),
        };
        if scaled.is_angle() {
            let degrees = scaled.in_degrees();
            let unit = Some(unit.name.map_or("degree".to_owned(), |unit| format!("degree {unit}")));
            return Self { formula: Formula::of(degrees), plain: Some(Formula::of(scaled)), unit };
        }
        let plain = if unit.is_percent {
            Some(Formula::of(scaled.clone().over(Expression::integer(100))))
        } else if unit.name.as_deref() == Some("degree") {
            Some(Formula::of(Expression::Degrees(Box::new(scaled.clone()))))
        } else {
            None
        };
        // What is counted in percent is told by its plain value.
        let name = if unit.is_percent { Some("percent".to_owned()) } else { unit.name };
        Self { formula: Formula::of(scaled), plain, unit: name }
    }

    /// Whether both are the same: of one unit, or one of them without a unit.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (&self.unit, &other.unit) {
            (Some(unit), Some(other_unit)) => unit == other_unit && self.formula.equals(&other.formula),
            (None, None) => self.formula.equals(&other.formula),
            (Some(_), None) => self.equals_number(&other.formula),
            (None, Some(_)) => other.equals_number(&self.formula),
        }
    }

    /// `50\%` is what a question after percents calls 50, and it is 0.5; so with degrees.
    fn equals_number(&self, number: &Formula) -> bool {
        self.formula.equals(number) || self.plain.as_ref().is_some_and(|plain| plain.equals(number))
    }
}

impl Expression {
    /// The number of degrees that an angle has.
    fn in_degrees(&self) -> Self {
        match self {
            Self::Degrees(of) => (**of).clone(),
            Self::Negate(of) if of.is_angle() => of.in_degrees().negated(),
            Self::Sum(left, right) if left.is_angle() && right.is_angle() => left.in_degrees().plus(right.in_degrees()),
            angle => angle.clone().over(Self::Degrees(Box::new(Self::integer(1)))),
        }
    }
}
