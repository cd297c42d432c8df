//! Equality: when two answers say the same.

use super::expression::Expression;
use super::parser::parse;
use super::token::Letters;
use super::unit::Unit;
use super::value::{Bracket, Quantity, Value};

/// The longest answer that is read as a formula, in bytes; longer ones are compared as text.
const BYTES_MAX: usize = 4_096;

/// Whether an answer says what is expected.
pub fn answers_match(expected: &str, answer: &str) -> bool {
    let (expected, answer) = (expected.trim(), answer.trim());
    if answer.is_empty() {
        return false;
    }
    if as_written(expected) == as_written(answer) {
        return true;
    }
    if words(expected).is_some_and(|expected| words(answer) == Some(expected)) {
        return true;
    }
    if expected.len().max(answer.len()) > BYTES_MAX {
        return false;
    }
    readings(expected).iter().any(|expected| readings(answer).iter().any(|answer| equal(expected, answer)))
}

/// Whether a text is wholly a number or a formula, so that it can be an answer without a mark.
pub(super) fn is_formula(text: &str) -> bool {
    text.len() <= BYTES_MAX
        && text.contains(|c: char| c.is_ascii_digit() || c == '\\')
        && matches!(
            parse(text, Letters::Symbols),
            Some(
                Value::Quantity(_)
                    | Value::Based(..)
                    | Value::Ratio(_)
                    | Value::Ordered { .. }
                    | Value::Set(_)
                    | Value::List(_)
                    | Value::Union(_)
            )
        )
}

/// What a text may say: `5 m` is a product, and five metres as well.
fn readings(text: &str) -> Vec<Value> {
    let mut readings: Vec<Value> = parse(text, Letters::Symbols).into_iter().collect();
    if has_spaced_letter(text) {
        readings.extend(parse(text, Letters::Units));
    }
    readings
}

/// Whether a letter stands alone behind a space.
fn has_spaced_letter(text: &str) -> bool {
    text.split_whitespace().skip(1).any(|word| word.chars().take_while(|c| c.is_alphabetic()).count() == 1)
}

/// A text without the marks of a formula around it, and without the command that says that it is a text.
fn unwrapped(text: &str) -> &str {
    let mut bare = text.trim_end_matches('.').trim_matches('$').trim();
    for command in ["\\text", "\\textbf", "\\textit", "\\mathrm", "\\mbox"] {
        let inner = bare.strip_prefix(command).and_then(|inner| inner.trim().strip_prefix('{')?.strip_suffix('}'));
        bare = inner.filter(|inner| !inner.contains(['{', '}'])).map_or(bare, str::trim);
    }
    bare.trim_end_matches('.')
}

/// A text that is nothing but words, in lower case and without the commands around them. Letters are no words: side by side
/// they are a product.
fn words(text: &str) -> Option<String> {
    let bare = unwrapped(text);
    let is_letter = |c: char| c.is_alphabetic() || c.is_whitespace() || "-'’,".contains(c);
    let has_word = bare.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 2);
    (has_word && bare.chars().all(is_letter))
        .then(|| bare.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase())
}

/// A text without what has no meaning: the marks around a formula, the point of a sentence, LaTeX's sizes of brackets,
/// and white space but where it parts digits or letters. Braces stay: `\frac{1}{23}` is not `\frac{12}{3}`.
fn as_written(text: &str) -> String {
    let text = unwrapped(text);
    let text = without_command(&without_command(text, "\\left"), "\\right");
    let mut written = String::with_capacity(text.len());
    let mut is_parted = false;
    for c in text.chars() {
        if c.is_whitespace() {
            is_parted = true;
            continue;
        }
        if is_parted && c.is_alphanumeric() && written.ends_with(char::is_alphanumeric) {
            written.push(' ');
        }
        is_parted = false;
        written.push(c);
    }
    // Words are the same in any case; letters side by side are a product, and those are not.
    let is_word = written.chars().count() > 2 && written.chars().all(char::is_alphabetic);
    if is_word { written.to_lowercase() } else { written }
}

/// A text without a command, where that is not the beginning of a longer one.
fn without_command(text: &str, command: &str) -> String {
    let mut parts = text.split(command);
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if part.starts_with(|c: char| c.is_ascii_alphabetic()) {
            left.push_str(command);
        }
        left.push_str(part);
    }
    left
}

fn equal(expected: &Value, answer: &Value) -> bool {
    match (expected, answer) {
        (Value::Quantity(expected), Value::Quantity(answer)) => expected.equals(answer),
        (Value::Words(expected), Value::Words(answer)) => expected == answer,
        (Value::Based(digits, base), Value::Based(other_digits, other_base)) => {
            digits == other_digits && base == other_base
        }
        (Value::Ratio(expected), Value::Ratio(answer)) => expected.equals(answer),
        (Value::Ratio(ratio), Value::Quantity(quantity)) | (Value::Quantity(quantity), Value::Ratio(ratio)) => {
            ratio.is_quotient(quantity)
        }
        (
            Value::Ordered { open, close, items },
            Value::Ordered { open: other_open, close: other_close, items: others },
        ) => open == other_open && close == other_close && all_equal(items, others),
        (Value::Union(expected), Value::Union(answer)) | (Value::List(expected), Value::List(answer)) => {
            equal_in_any_order(expected, answer)
        }
        // In a set each item counts once.
        (Value::Set(expected), Value::Set(answer) | Value::List(answer))
        | (Value::List(expected), Value::Set(answer)) => all_among(expected, answer) && all_among(answer, expected),
        (Value::Relation { signs, sides }, Value::Relation { signs: other_signs, sides: other_sides }) => {
            let turned_signs: Option<Vec<char>> = other_signs.iter().rev().copied().map(turned).collect();
            let turned_sides = || other_sides.iter().rev();
            let is_turned = turned_signs.is_some_and(|turned| turned == *signs)
                && sides.len() == other_sides.len()
                && sides.iter().zip(turned_sides()).all(|(side, other)| equal(side, other));
            signs == other_signs && all_equal(sides, other_sides) || is_turned || equal_solutions(expected, answer)
        }
        // `x = 5` is 5, and `x \in [0, 1]` is [0, 1].
        (relation @ Value::Relation { .. }, value) | (value, relation @ Value::Relation { .. }) => {
            match named_value(relation) {
                Some(named) => equal(named, value),
                None => equal_solutions(relation, value),
            }
        }
        _ => false,
    }
}

/// What an equation says of a name: `x = 5`, `5 = x`, `x = 10/2 = 5`; or of its set.
fn named_value(relation: &Value) -> Option<&Value> {
    let Value::Relation { signs, sides } = relation else { return None };
    if signs[..] == ['∈'] {
        return is_name(&sides[0]).then_some(&sides[1]);
    }
    if signs.iter().any(|sign| *sign != '=') {
        return None;
    }
    let (first, last) = (&sides[0], &sides[sides.len() - 1]);
    let values = if is_name(first) {
        &sides[1..]
    } else if is_name(last) {
        &sides[..sides.len() - 1]
    } else {
        return None;
    };
    let value = values.last()?;
    values.iter().all(|other| equal(other, value)).then_some(value)
}

/// Whether both are one interval: `1 < x < 3`, `x \in (1, 3)` and `(1, 3)`.
fn equal_solutions(expected: &Value, answer: &Value) -> bool {
    let (Some(expected), Some(answer)) = (Solutions::of(expected), Solutions::of(answer)) else { return false };
    let same_name = match (expected.name, answer.name) {
        (Some(name), Some(other)) => equal(name, other),
        _ => true,
    };
    same_name
        && expected.brackets == answer.brackets
        && expected.low.equals(&answer.low)
        && expected.high.equals(&answer.high)
}

/// The numbers that an interval or an inequality holds.
struct Solutions<'a> {
    name: Option<&'a Value>,
    brackets: (char, char),
    low: Quantity,
    high: Quantity,
}

impl<'a> Solutions<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Ordered { open: Bracket::Sign(open), close: Bracket::Sign(close), items } => match &items[..] {
                [Value::Quantity(low), Value::Quantity(high)] => {
                    Some(Self { name: None, brackets: (*open, *close), low: (**low).clone(), high: (**high).clone() })
                }
                _ => None,
            },
            Value::Relation { signs, sides } => match (&signs[..], &sides[..]) {
                (['∈'], [name, set]) if is_name(name) => Some(Self { name: Some(name), ..Self::of(set)? }),
                ([sign], [name, Value::Quantity(end)]) if is_name(name) => Self::on_one_side(name, *sign, end),
                ([sign], [Value::Quantity(end), name]) if is_name(name) => Self::on_one_side(name, turned(*sign)?, end),
                ([first @ ('<' | '≤'), second @ ('<' | '≤')], [Value::Quantity(low), name, Value::Quantity(high)]) => {
                    Self::between((*first, *second), low, name, high)
                }
                ([first @ ('>' | '≥'), second @ ('>' | '≥')], [Value::Quantity(high), name, Value::Quantity(low)]) => {
                    Self::between((turned(*second)?, turned(*first)?), low, name, high)
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn on_one_side(name: &'a Value, sign: char, end: &Quantity) -> Option<Self> {
        let end = end.clone();
        let infinity = Quantity::of(Expression::Infinity, Unit::NONE);
        let below_all = Quantity::of(Expression::Infinity.negated(), Unit::NONE);
        let name = Some(name);
        match sign {
            '<' | '≤' => Some(Self { name, brackets: ('(', bracket(sign)?.1), low: below_all, high: end }),
            '>' | '≥' => Some(Self { name, brackets: (bracket(turned(sign)?)?.0, ')'), low: end, high: infinity }),
            _ => None,
        }
    }

    fn between(signs: (char, char), low: &Quantity, name: &'a Value, high: &Quantity) -> Option<Self> {
        let brackets = (bracket(signs.0)?.0, bracket(signs.1)?.1);
        is_name(name).then(|| Self { name: Some(name), brackets, low: low.clone(), high: high.clone() })
    }
}

/// The brackets of an interval whose end is less than, or at most, the rest.
fn bracket(sign: char) -> Option<(char, char)> {
    match sign {
        '<' => Some(('(', ')')),
        '≤' => Some(('[', ']')),
        _ => None,
    }
}

/// The sign of a relation whose sides changed places.
fn turned(sign: char) -> Option<char> {
    Some(match sign {
        '=' | '≠' => sign,
        '<' => '>',
        '>' => '<',
        '≤' => '≥',
        '≥' => '≤',
        _ => return None,
    })
}

/// Whether a side of an equation only names what is asked for: `x`, `f(x)`.
fn is_name(value: &Value) -> bool {
    let Value::Quantity(quantity) = value else {
        return matches!(value, Value::Words(_));
    };
    match quantity.formula.expression() {
        Expression::Symbol(_) => quantity.unit.is_none() && quantity.formula.expression().has_variable(),
        Expression::Product(name, of) => {
            matches!((&**name, &**of), (Expression::Symbol(_), Expression::Symbol(_)))
        }
        _ => false,
    }
}

fn all_among(values: &[Value], others: &[Value]) -> bool {
    values.iter().all(|value| others.iter().any(|other| equal(value, other)))
}

fn all_equal(expected: &[Value], answer: &[Value]) -> bool {
    expected.len() == answer.len() && expected.iter().zip(answer).all(|(expected, answer)| equal(expected, answer))
}

fn equal_in_any_order(expected: &[Value], answer: &[Value]) -> bool {
    if expected.len() != answer.len() {
        return false;
    }
    let mut left: Vec<&Value> = answer.iter().collect();
    expected.iter().all(|expected| match left.iter().position(|answer| equal(expected, answer)) {
        Some(place) => {
            left.swap_remove(place);
            true
        }
        None => false,
    })
}
