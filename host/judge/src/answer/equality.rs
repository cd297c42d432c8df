//! Equality: when two answers say the same.

use super::expression::Expression;
use super::parser::parse;
use super::value::Value;

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
            parse(text),
            Some(Value::Expression { .. } | Value::Ordered { .. } | Value::Unordered(_) | Value::Union(_))
        )
}

/// What a text may say: `1,234` is a number, and two numbers as well.
fn readings(text: &str) -> Vec<Value> {
    let mut readings: Vec<Value> = parse(text).into_iter().collect();
    let listed = text.replace(',', ", ");
    if text.contains(',') && !text.contains("{,}") && !text.contains(",\\!") {
        readings.extend(parse(&listed).filter(|listed| !readings.contains(listed)));
    }
    readings
}

/// A text without what has no meaning: the marks around a formula, the point of a sentence, LaTeX's sizes of brackets,
/// and white space but where it parts digits or letters. Braces stay: `\frac{1}{23}` is not `\frac{12}{3}`.
fn as_written(text: &str) -> String {
    let text = text.trim_end_matches('.').trim_matches('$');
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
        (
            Value::Expression { expression: expected, is_percent, unit },
            Value::Expression { expression: answer, is_percent: other_percent, unit: other_unit },
        ) => {
            let unit_fits = match (unit, other_unit) {
                (Some(unit), Some(other)) => same_unit(unit, other),
                _ => true,
            };
            unit_fits && equal_with_percent(expected, *is_percent, answer, *other_percent)
        }
        (Value::Words(expected), Value::Words(answer)) => expected == answer,
        (
            Value::Ordered { open, close, items },
            Value::Ordered { open: other_open, close: other_close, items: others },
        ) => open == other_open && close == other_close && all_equal(items, others),
        (Value::Unordered(expected), Value::Unordered(answer)) | (Value::Union(expected), Value::Union(answer)) => {
            equal_in_any_order(expected, answer)
        }
        (Value::Relation { sign, sides }, Value::Relation { sign: other, sides: others }) => {
            let straight = *sign == *other && equal(&sides.0, &others.0) && equal(&sides.1, &others.1);
            straight || (turned(*sign) == Some(*other) && equal(&sides.0, &others.1) && equal(&sides.1, &others.0))
        }
        // `x = 5` is 5, and `x \in [0, 1]` is [0, 1].
        (Value::Relation { sign: '=' | '∈', sides }, answer) if is_name(&sides.0) => equal(&sides.1, answer),
        (expected, Value::Relation { sign: '=' | '∈', sides }) if is_name(&sides.0) => equal(expected, &sides.1),
        _ => false,
    }
}

/// `50\%` is what a question after percents calls 50, and it is 0.5.
fn equal_with_percent(expected: &Expression, is_percent: bool, answer: &Expression, other_percent: bool) -> bool {
    let hundredth = |of: &Expression| Expression::Quotient(Box::new(of.clone()), Box::new(Expression::integer(100)));
    expected.equals(answer)
        || match (is_percent, other_percent) {
            (true, false) => hundredth(expected).equals(answer),
            (false, true) => expected.equals(&hundredth(answer)),
            (true, true) | (false, false) => false,
        }
}

/// Whether both are one unit, in the singular or the plural.
fn same_unit(unit: &str, other: &str) -> bool {
    unit.trim_end_matches('s') == other.trim_end_matches('s')
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
    let Value::Expression { expression, is_percent: false, unit: None } = value else {
        return matches!(value, Value::Words(_));
    };
    match expression {
        Expression::Symbol(_) => true,
        Expression::Product(name, of) => {
            matches!((&**name, &**of), (Expression::Symbol(_), Expression::Symbol(_)))
        }
        _ => false,
    }
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
