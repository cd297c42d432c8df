//! A value: what an answer says.

use super::expression::Expression;

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
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number or a formula, perhaps with a unit.
    Expression { expression: Expression, is_percent: bool, unit: Option<String> },
    /// Words: a name, yes or no.
    Words(String),
    /// A tuple, an interval or a matrix.
    Ordered { open: Bracket, close: Bracket, items: Vec<Value> },
    /// A set, or values with commas between them.
    Unordered(Vec<Value>),
    /// A union of intervals.
    Union(Vec<Value>),
    /// An equation or an inequality.
    Relation { sign: char, sides: Box<(Value, Value)> },
}
