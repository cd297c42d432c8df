//! The parser of answers, by descent: lists, unions, relations, sums, products, factors. What it does not know, or could be
//! read in two ways (`1/2x`), is no value, and the answer is compared as text.

use super::expression::Expression;
use super::ratio::Ratio;
use super::token::{FUNCTIONS, Token, tokens};
use super::value::{Bracket, Value};

/// How deep brackets may lie within each other.
const DEPTH_MAX: usize = 48;
/// The most tokens that are read.
const TOKENS_MAX: usize = 2_000;

/// The value that a text says, if it is one.
pub(super) fn parse(text: &str) -> Option<Value> {
    let tokens = tokens(text)?;
    if tokens.is_empty() || tokens.len() > TOKENS_MAX {
        return None;
    }
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let value = parser.list(&[])?;
    (parser.at == tokens.len()).then_some(value)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

/// Words behind a number that make it another one, or none.
const NO_UNITS: [&str; 18] = [
    "hundred",
    "hundreds",
    "thousand",
    "thousands",
    "million",
    "millions",
    "billion",
    "billions",
    "trillion",
    "trillions",
    "dozen",
    "dozens",
    "negative",
    "minus",
    "plus",
    "less",
    "more",
    "wrong",
];

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    fn takes(&mut self, sign: char) -> bool {
        let takes = self.is_sign(sign);
        self.at += usize::from(takes);
        takes
    }

    fn takes_any(&mut self, signs: &[char]) -> Option<char> {
        signs.iter().copied().find(|sign| self.takes(*sign))
    }

    /// Goes one bracket deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Values with commas between them, up to one of these signs or the end.
    fn list(&mut self, ends: &[char]) -> Option<Value> {
        let mut items = self.items(ends)?;
        if items.len() == 1 { items.pop() } else { Some(Value::Unordered(items)) }
    }

    fn items(&mut self, ends: &[char]) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            items.push(self.union()?);
            let mut commas = 0;
            // `1, 2, and 3`.
            while self.takes_any(&[',', ';']).is_some() {
                commas += 1;
            }
            let is_end = match self.peek() {
                None => ends.is_empty(),
                Some(Token::Sign(sign)) => ends.contains(sign),
                Some(_) => false,
            };
            match commas {
                0 if is_end => return Some(items),
                1 | 2 if !is_end => {}
                _ => return None,
            }
        }
    }

    fn union(&mut self) -> Option<Value> {
        let mut parts = vec![self.relation()?];
        while self.takes('∪') {
            parts.push(self.relation()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Value::Union(parts)) }
    }

    fn relation(&mut self) -> Option<Value> {
        let left = self.term()?;
        let Some(sign) = self.takes_any(&['=', '<', '>', '≤', '≥', '≠', '∈']) else { return Some(left) };
        let right = self.term()?;
        // Chains are compared as text.
        let goes_on = ['=', '<', '>', '≤', '≥', '≠', '∈'].iter().any(|sign| self.is_sign(*sign));
        (!goes_on).then(|| Value::Relation { sign, sides: Box::new((left, right)) })
    }

    /// A word, something in brackets, or an expression with what stands behind it: a percent sign or a unit.
    fn term(&mut self) -> Option<Value> {
        if let Some(Token::Word(_)) = self.peek() {
            let mut words = Vec::new();
            while let Some(Token::Word(word)) = self.peek() {
                words.push(word.to_lowercase());
                self.at += 1;
            }
            return Some(Value::Words(words.join(" ")));
        }
        if let Some(bracketed) = self.bracketed()? {
            return Some(bracketed);
        }
        let (first, second) = self.plus_minus()?;
        let is_percent = self.takes('%');
        let mut unit = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Word(word)) => unit.push(word.to_lowercase()),
                Some(Token::Sign('°')) => unit.push("degrees".to_owned()),
                _ => break,
            }
            self.at += 1;
            // Square metres: the power is the unit's.
            if self.takes('^') {
                unit.push(format!("^{:?}", self.exponent()?));
            }
        }
        // What changes the number is no unit, and who reads past it guesses.
        if unit.iter().any(|word| NO_UNITS.contains(&word.as_str())) {
            return None;
        }
        let unit = (!unit.is_empty()).then(|| unit.join(" "));
        let value = |expression| Value::Expression { expression, is_percent, unit: unit.clone() };
        Some(match second {
            None => value(first),
            Some(second) => Value::Unordered(vec![value(first), value(second)]),
        })
    }

    /// A tuple, an interval, a set or a matrix; `None` inside where the brackets are those of an expression.
    fn bracketed(&mut self) -> Option<Option<Value>> {
        let begin = self.at;
        if self.peek() == Some(&Token::MatrixBegin) {
            self.at += 1;
            return self.deeper(Self::matrix).map(Some);
        }
        let Some(open) = self.takes_any(&['(', '[', '⦃']) else { return Some(None) };
        let ends: &[char] = if open == '⦃' { &['⦄'] } else { &[')', ']'] };
        let items = self.deeper(|parser| parser.items(ends));
        let close = self.takes_any(ends);
        let is_followed = match self.peek() {
            None => false,
            Some(Token::Sign(sign)) => !matches!(sign, ')' | ']' | '}' | '⦄' | ',' | ';' | '∪' | '=' | '∈'),
            Some(Token::RowEnd | Token::MatrixEnd) => false,
            Some(_) => true,
        };
        match (items, close) {
            (Some(items), Some(_)) if open == '⦃' && !is_followed => Some(Some(Value::Unordered(items))),
            (Some(items), Some(close)) if items.len() > 1 && !is_followed => {
                Some(Some(Value::Ordered { open: Bracket::Sign(open), close: Bracket::Sign(close), items }))
            }
            // A single value in brackets is that value; so is every part of an expression.
            _ => {
                self.at = begin;
                Some(None)
            }
        }
    }

    fn matrix(&mut self) -> Option<Value> {
        let mut rows = vec![Vec::new()];
        loop {
            let cell = self.term()?;
            rows.last_mut()?.push(cell);
            if self.takes('&') {
                continue;
            }
            let ends_row = self.peek() == Some(&Token::RowEnd);
            self.at += usize::from(ends_row);
            if self.peek() == Some(&Token::MatrixEnd) {
                self.at += 1;
                break;
            }
            if !ends_row {
                return None;
            }
            rows.push(Vec::new());
        }
        let row = |items| Value::Ordered { open: Bracket::Row, close: Bracket::Row, items };
        let items = rows.into_iter().map(row).collect();
        Some(Value::Ordered { open: Bracket::Matrix, close: Bracket::Matrix, items })
    }

    /// A sum; with `±` in it, the two that it stands for.
    fn plus_minus(&mut self) -> Option<(Expression, Option<Expression>)> {
        if self.takes('±') {
            let value = self.sum()?;
            return Some((value.clone(), Some(Expression::Negate(Box::new(value)))));
        }
        let first = self.sum()?;
        if !self.takes('±') {
            return Some((first, None));
        }
        let second = self.sum()?;
        let negated = Expression::Negate(Box::new(second.clone()));
        let sum = |right| Expression::Sum(Box::new(first.clone()), Box::new(right));
        Some((sum(second), Some(sum(negated))))
    }

    fn sum(&mut self) -> Option<Expression> {
        let mut sum = self.signed_product()?;
        while let Some(sign) = self.takes_any(&['+', '-']) {
            let term = self.product()?;
            let term = if sign == '-' { Expression::Negate(Box::new(term)) } else { term };
            sum = Expression::Sum(Box::new(sum), Box::new(term));
        }
        Some(sum)
    }

    fn signed_product(&mut self) -> Option<Expression> {
        match self.takes_any(&['+', '-']) {
            Some('-') => Some(Expression::Negate(Box::new(self.product()?))),
            _ => self.product(),
        }
    }

    fn product(&mut self) -> Option<Expression> {
        let mut product = self.power()?;
        let mut divides = false;
        loop {
            if let Some(sign) = self.takes_any(&['*', '/']) {
                let is_negative = self.takes('-');
                let factor = self.power()?;
                let factor = if is_negative { Expression::Negate(Box::new(factor)) } else { factor };
                product = match sign {
                    '*' => Expression::Product(Box::new(product), Box::new(factor)),
                    _ => Expression::Quotient(Box::new(product), Box::new(factor)),
                };
                divides |= sign == '/';
            } else if self.begins_factor() {
                // `1/2x` has two readings.
                if divides {
                    return None;
                }
                let is_mixed = self.is_mixed_number(&product);
                let factor = self.power()?;
                product = match is_mixed {
                    true => Expression::Sum(Box::new(product), Box::new(factor)),
                    false => Expression::Product(Box::new(product), Box::new(factor)),
                };
            } else {
                return Some(product);
            }
        }
    }

    /// Whether what follows is multiplied without a sign. A number is not: `2 3` is no product.
    fn begins_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Symbol(_) | Token::Command(_)) => true,
            Some(Token::Sign(sign)) => *sign == '(' || *sign == '{',
            Some(Token::Number(_) | Token::Word(_) | Token::MatrixBegin | Token::MatrixEnd | Token::RowEnd) | None => {
                false
            }
        }
    }

    /// Whether a whole number stands before a fraction of whole numbers that is less than one: 1½.
    fn is_mixed_number(&self, before: &Expression) -> bool {
        if !matches!(before, Expression::Number(whole) if whole.as_integer().is_some()) {
            return false;
        }
        let (open, close) = (Token::Sign('{'), Token::Sign('}'));
        // Only what stands there is looked at: to read ahead at every level would take for ever.
        match &self.tokens[self.at..] {
            [Token::Command(frac), Token::Number(digits), ..] if frac == "frac" => {
                matches!(digits.as_bytes(), [above, below] if above < below)
            }
            [Token::Command(frac), a, Token::Number(above), b, c, Token::Number(below), d, ..]
                if frac == "frac" && [a, c] == [&open; 2] && [b, d] == [&close; 2] =>
            {
                Ratio::decimal(above).zip(Ratio::decimal(below)).is_some_and(|(a, b)| a.as_f64() < b.as_f64())
            }
            _ => false,
        }
    }

    fn power(&mut self) -> Option<Expression> {
        let mut base = self.factor()?;
        loop {
            if self.takes('!') {
                base = Expression::Factorial(Box::new(base));
            } else if self.is_sign('^') {
                // Degrees are a unit.
                let begin = self.at;
                self.at += 1;
                if self.takes('°') || self.takes_braced_degree() {
                    continue;
                }
                self.at = begin + 1;
                let exponent = self.exponent()?;
                // `2^2^2` has two readings.
                if self.is_sign('^') {
                    return None;
                }
                base = Expression::Power(Box::new(base), Box::new(exponent));
            } else {
                return Some(base);
            }
        }
    }

    fn takes_braced_degree(&mut self) -> bool {
        let is_degree = self.tokens[self.at..].starts_with(&[Token::Sign('{'), Token::Sign('°'), Token::Sign('}')]);
        self.at += if is_degree { 3 } else { 0 };
        is_degree
    }

    fn exponent(&mut self) -> Option<Expression> {
        let is_negative = self.takes('-');
        let exponent = self.argument()?;
        Some(if is_negative { Expression::Negate(Box::new(exponent)) } else { exponent })
    }

    /// The argument of a command: what stands in braces, or one factor. Without braces LaTeX takes one digit: `\frac12`.
    fn argument(&mut self) -> Option<Expression> {
        if self.is_sign('{') {
            return self.group('{', '}');
        }
        self.factor()
    }

    fn group(&mut self, open: char, close: char) -> Option<Expression> {
        if !self.takes(open) {
            return None;
        }
        let inner = self.deeper(Self::sum)?;
        self.takes(close).then_some(inner)
    }

    fn factor(&mut self) -> Option<Expression> {
        let token = self.peek()?.clone();
        match token {
            Token::Number(digits) => {
                self.at += 1;
                Some(Expression::Number(Ratio::decimal(&digits)?))
            }
            Token::Symbol(name) => {
                self.at += 1;
                self.subscripted(name)
            }
            Token::Command(name) => {
                self.at += 1;
                self.deeper(|parser| parser.command(&name))
            }
            Token::Sign('∞') => {
                self.at += 1;
                Some(Expression::Infinity)
            }
            Token::Sign('(') => self.group('(', ')'),
            Token::Sign('[') => self.group('[', ']'),
            Token::Sign('{') => self.group('{', '}'),
            Token::Sign('|') => {
                self.at += 1;
                let inner = self.deeper(Self::sum)?;
                self.takes('|').then(|| Expression::Absolute(Box::new(inner)))
            }
            Token::Sign(_) | Token::Word(_) | Token::MatrixBegin | Token::MatrixEnd | Token::RowEnd => None,
        }
    }

    /// A symbol with its index: `x_1`, `a_{n}`.
    fn subscripted(&mut self, name: String) -> Option<Expression> {
        if !self.takes('_') {
            return Some(Expression::Symbol(name));
        }
        let is_braced = self.takes('{');
        let (Token::Number(index) | Token::Symbol(index)) = self.peek()?.clone() else { return None };
        self.at += 1;
        (!is_braced || self.takes('}')).then(|| Expression::Symbol(format!("{name}_{index}")))
    }

    fn command(&mut self, name: &str) -> Option<Expression> {
        match name {
            "frac" | "binom" => {
                let (above, below) = match self.digits_of_frac() {
                    Some(pair) => pair,
                    None => (self.argument()?, self.argument()?),
                };
                let (above, below) = (Box::new(above), Box::new(below));
                Some(if name == "frac" {
                    Expression::Quotient(above, below)
                } else {
                    Expression::Binomial(above, below)
                })
            }
            "sqrt" => {
                let degree = if self.is_sign('[') { self.group('[', ']')? } else { Expression::integer(2) };
                let of = self.argument_of_root()?;
                Some(Expression::Root(Box::new(degree), Box::new(of)))
            }
            function if FUNCTIONS.contains(&function) => self.function(function),
            _ => None,
        }
    }

    /// `\frac12` and `\frac{a}2`: without braces an argument is one digit.
    fn digits_of_frac(&mut self) -> Option<(Expression, Expression)> {
        let Some(Token::Number(digits)) = self.peek() else { return None };
        let mut each = digits.chars().map(|digit| digit.to_digit(10).map(|digit| Expression::integer(digit.into())));
        match (each.next(), each.next(), each.next()) {
            (Some(Some(above)), Some(Some(below)), None) => {
                self.at += 1;
                Some((above, below))
            }
            _ => None,
        }
    }

    fn argument_of_root(&mut self) -> Option<Expression> {
        if self.is_sign('(') { self.group('(', ')') } else { self.argument() }
    }

    fn function(&mut self, name: &str) -> Option<Expression> {
        let base = if name == "log" && self.takes('_') { Some(self.argument()?) } else { None };
        let power = if self.takes('^') { Some(self.exponent()?) } else { None };
        // `\sin^{-1}` is a function and no quotient.
        if power.as_ref().is_some_and(|power| power.exact().is_none_or(|power| !power.is_positive())) {
            return None;
        }
        let of = Box::new(match self.peek()? {
            Token::Sign('(') => self.group('(', ')')?,
            Token::Sign('{') => self.group('{', '}')?,
            _ => self.argument_of_function()?,
        });
        let value = match name {
            "log" => Expression::Logarithm { base: Box::new(base.unwrap_or(Expression::integer(10))), of },
            _ => Expression::Function(name.to_owned(), of),
        };
        Some(match power {
            Some(power) => Expression::Power(Box::new(value), Box::new(power)),
            None => value,
        })
    }

    /// What a function without brackets is of: `\sin 2x`, `\ln x^2`.
    fn argument_of_function(&mut self) -> Option<Expression> {
        let mut argument = self.power()?;
        while matches!(self.peek(), Some(Token::Symbol(_))) {
            let factor = self.power()?;
            argument = Expression::Product(Box::new(argument), Box::new(factor));
        }
        Some(argument)
    }
}
