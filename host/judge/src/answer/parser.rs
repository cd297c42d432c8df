//! The parser of answers, by descent: lists, unions, relations, ratios, sums, products, factors. What it does not know, or
//! could be read in two ways (`1/2x`), is no value, and the answer is compared as text.

use super::expression::Expression;
use super::ratio::Ratio;
use super::token::{FUNCTIONS, Letters, Token, tokens};
use super::unit::{LETTERS, Unit, UnitPart};
use super::value::{Bracket, Proportion, Quantity, Value};

/// How deep brackets may lie within each other.
const DEPTH_MAX: usize = 48;
/// The most tokens that are read.
const TOKENS_MAX: usize = 1_000;

/// The value that a text says, if it is one.
pub(super) fn parse(text: &str, letters: Letters) -> Option<Value> {
    let tokens = tokens(text, letters)?;
    if tokens.is_empty() || tokens.len() > TOKENS_MAX {
        return None;
    }
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, is_minus: false, has_plus_minus: false };
    let value = parser.list(&[])?;
    (parser.at == tokens.len()).then_some(value)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Whether `±` is read as minus now.
    is_minus: bool,
    /// Whether one was read.
    has_plus_minus: bool,
}

/// The signs between the sides of a relation.
const RELATIONS: [char; 7] = ['=', '<', '>', '≤', '≥', '≠', '∈'];

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
        if items.len() == 1 { items.pop() } else { Some(Value::List(items)) }
    }

    fn items(&mut self, ends: &[char]) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            items.extend(self.item(ends)?);
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

    /// The values that one place of a list holds: two where `±` is in it. It is read again for the second, so this is asked
    /// only of a whole answer's list and of its sets, and not at every depth.
    fn item(&mut self, ends: &[char]) -> Option<Vec<Value>> {
        if !(self.depth == 0 || self.depth == 1 && ends == ['⦄']) {
            return Some(vec![self.union()?]);
        }
        let begin = self.at;
        let outer = (self.is_minus, std::mem::take(&mut self.has_plus_minus));
        self.is_minus = false;
        let mut values = vec![self.union()?];
        if self.has_plus_minus {
            (self.at, self.is_minus) = (begin, true);
            values.push(self.union()?);
        }
        (self.is_minus, self.has_plus_minus) = outer;
        Some(values)
    }

    fn union(&mut self) -> Option<Value> {
        let mut parts = vec![self.relation()?];
        while self.takes('∪') {
            parts.push(self.relation()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Value::Union(parts)) }
    }

    fn relation(&mut self) -> Option<Value> {
        let mut sides = vec![self.ratio()?];
        let mut signs = Vec::new();
        while let Some(sign) = self.takes_any(&RELATIONS) {
            signs.push(sign);
            sides.push(self.ratio()?);
        }
        if signs.is_empty() { sides.pop() } else { Some(Value::Relation { signs, sides }) }
    }

    /// `1:2`, or what has no colon.
    fn ratio(&mut self) -> Option<Value> {
        let begin = self.at;
        let first = self.term()?;
        if !self.is_sign(':') {
            return Some(first);
        }
        self.at = begin;
        let mut terms = vec![self.sum()?];
        while self.takes(':') {
            terms.push(self.sum()?);
        }
        let numbers: Vec<&str> = match &self.tokens[begin..self.at] {
            [Token::Number(hours), _, Token::Number(minutes)] => vec![hours, minutes],
            _ => Vec::new(),
        };
        // Two digits below sixty may be minutes, and times are not shortened.
        let is_clock = matches!(numbers[..], [hours, minutes]
            if hours.len() <= 2 && minutes.len() == 2 && minutes.as_bytes()[0] < b'6');
        let Unit { name: unit, scale: 1, is_percent: false } = self.unit()? else { return None };
        Some(Value::Ratio(Proportion::of(terms, is_clock, unit)?))
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
        if self.takes('∅') {
            return Some(Value::Set(Vec::new()));
        }
        match self.peek() {
            Some(Token::Based(digits, base)) => {
                let value = Value::Based(digits.clone(), *base);
                self.at += 1;
                return Some(value);
            }
            // The real numbers.
            Some(Token::Symbol(name)) if name == "mathbbR" => {
                self.at += 1;
                let end = |sign: Expression| Value::Quantity(Box::new(Quantity::of(sign, Unit::NONE)));
                let items = vec![end(Expression::Infinity.negated()), end(Expression::Infinity)];
                return Some(Value::Ordered { open: Bracket::Sign('('), close: Bracket::Sign(')'), items });
            }
            _ => {}
        }
        if let Some(bracketed) = self.bracketed()? {
            return Some(bracketed);
        }
        // `-$5`: the sign is the number's.
        let begin = self.at;
        let is_negative = self.takes('-') && matches!(self.peek(), Some(Token::Currency(_)));
        if !is_negative {
            self.at = begin;
        }
        let currency = self.currency();
        let expression = self.sum()?;
        let unit = match currency {
            None => self.unit()?,
            Some(currency) => self.unit_behind(vec![currency])?,
        };
        let expression = if is_negative { expression.negated() } else { expression };
        Some(Value::Quantity(Box::new(Quantity::of(expression, unit))))
    }

    fn currency(&mut self) -> Option<UnitPart> {
        let Some(Token::Currency(sign)) = self.peek() else { return None };
        let word = UnitPart::Word(sign.to_string());
        self.at += 1;
        Some(word)
    }

    /// The unit that stands here, if one does; `None` inside where a word changes the number.
    fn unit(&mut self) -> Option<Unit> {
        self.unit_behind(Vec::new())
    }

    /// The unit that stands here behind these parts of it.
    fn unit_behind(&mut self, before: Vec<UnitPart>) -> Option<Unit> {
        let mut behind: Vec<UnitPart> = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Word(word)) => behind.push(UnitPart::Word(word.clone())),
                // `km/h`
                Some(Token::Symbol(letter))
                    if behind.last() == Some(&UnitPart::Per) && LETTERS.contains(&letter.as_str()) =>
                {
                    behind.push(UnitPart::Word(letter.clone()));
                }
                Some(Token::Currency(sign)) => behind.push(UnitPart::Word(sign.to_string())),
                Some(Token::Sign('%')) => behind.push(UnitPart::Word("percent".to_owned())),
                Some(Token::Sign('/')) if !behind.is_empty() || !before.is_empty() => behind.push(UnitPart::Per),
                // Square metres: the power is the unit's.
                Some(Token::Sign('^')) if !behind.is_empty() => {
                    self.at += 1;
                    behind.push(UnitPart::Power(self.exponent()?.exact()?.as_integer()?));
                    continue;
                }
                _ => break,
            }
            self.at += 1;
        }
        // `$5 million`: the scale is the number's, so the currency is named behind it.
        let scales = behind.iter().take_while(|part| Unit::is_scale(part)).count();
        let rest = behind.split_off(scales);
        Unit::of(&[behind, before, rest].concat())
    }

    /// A tuple, an interval, a set or a matrix; `None` inside where the brackets are those of an expression.
    fn bracketed(&mut self) -> Option<Option<Value>> {
        let begin = self.at;
        if self.peek() == Some(&Token::MatrixBegin) {
            self.at += 1;
            return self.deeper(Self::matrix).map(Some);
        }
        let Some(open) = self.takes_any(&['(', '[', '⦃', '{']) else { return Some(None) };
        let ends: &[char] = match open {
            '⦃' => &['⦄'],
            '{' => &['}'],
            _ => &[')', ']'],
        };
        if open == '⦃' && self.takes('⦄') {
            return Some(Some(Value::Set(Vec::new())));
        }
        let items = self.deeper(|parser| parser.items(ends));
        let close = self.takes_any(ends);
        let is_followed = match self.peek() {
            None => false,
            Some(Token::Sign(sign)) => !")]}⦄,;∪&".contains(*sign) && !RELATIONS.contains(sign),
            Some(Token::RowEnd | Token::MatrixEnd) => false,
            Some(_) => true,
        };
        match (items, close) {
            (Some(items), Some(_)) if open == '⦃' && !is_followed => Some(Some(Value::Set(items))),
            // Braces without a backslash are not seen: `{1, 2}` is a list, or a set of one who writes no LaTeX.
            (Some(items), Some(_)) if open == '{' && items.len() > 1 && !is_followed => Some(Some(Value::List(items))),
            (Some(_), Some(_)) if open == '{' => {
                self.at = begin;
                Some(None)
            }
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

    fn sum(&mut self) -> Option<Expression> {
        let first = self.takes_addition();
        let mut sum = self.product()?;
        if first == Some('-') {
            sum = sum.negated();
        }
        while let Some(sign) = self.takes_addition() {
            let term = self.product()?;
            sum = sum.plus(if sign == '-' { term.negated() } else { term });
        }
        Some(sum)
    }

    /// Plus or minus, and what `±` stands for now.
    fn takes_addition(&mut self) -> Option<char> {
        let sign = self.takes_any(&['+', '-', '±', '∓'])?;
        self.has_plus_minus |= matches!(sign, '±' | '∓');
        Some(match (sign, self.is_minus) {
            ('±', false) | ('∓', true) => '+',
            ('±', true) | ('∓', false) => '-',
            (sign, _) => sign,
        })
    }

    fn product(&mut self) -> Option<Expression> {
        let mut product = self.power()?;
        let mut divides = false;
        if let Some(fraction) = self.fraction_of_mixed_number(&product) {
            product = product.plus(fraction);
        }
        loop {
            // Behind a unit, `/` is the unit's; before one, a number is none.
            if self.is_sign('/') && matches!(self.tokens.get(self.at + 1), Some(Token::Word(_))) {
                return Some(product);
            }
            if let Some(sign) = self.takes_any(&['*', '/']) {
                let is_negative = self.takes('-');
                let factor = self.power()?;
                let factor = if is_negative { factor.negated() } else { factor };
                product = if sign == '*' { product.times(factor) } else { product.over(factor) };
                divides |= sign == '/';
            } else if self.begins_factor() {
                // `1/2x` has two readings.
                if divides {
                    return None;
                }
                let is_mixed = self.is_mixed_number(&product);
                let factor = self.power()?;
                product = if is_mixed { product.plus(factor) } else { product.times(factor) };
            } else {
                return Some(product);
            }
        }
    }

    /// The fraction that stands behind a whole number with a space between them: `3 1/2`.
    fn fraction_of_mixed_number(&mut self, before: &Expression) -> Option<Expression> {
        let [Token::Number(_), Token::Number(above), Token::Sign('/'), Token::Number(below), ..] =
            self.tokens.get(self.at.checked_sub(1)?..)?
        else {
            return None;
        };
        let (above, below) = (Ratio::decimal(above)?, Ratio::decimal(below)?);
        let are_whole =
            above.as_integer().is_some() && below.as_integer().is_some() && before.exact()?.as_integer().is_some();
        if !are_whole || above.as_f64() >= below.as_f64() {
            return None;
        }
        self.at += 3;
        Some(Expression::Number(above).over(Expression::Number(below)))
    }

    /// Whether what follows is multiplied without a sign. A number is not: `2 3` is no product.
    fn begins_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Symbol(_) | Token::Command(_)) => true,
            Some(Token::Sign(sign)) => *sign == '(' || *sign == '{',
            _ => false,
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
                // `5!!` is no factorial of a factorial.
                if self.is_sign('!') {
                    return None;
                }
                base = Expression::Factorial(Box::new(base));
            } else if self.takes_degree() {
                base = Expression::Degrees(Box::new(base));
            } else if self.takes('^') {
                let exponent = self.exponent()?;
                // `2^2^2` has two readings.
                if self.is_sign('^') {
                    return None;
                }
                base = base.raised(exponent);
            } else {
                return Some(base);
            }
        }
    }

    fn takes_degree(&mut self) -> bool {
        let rest = &self.tokens[self.at..];
        let length = match rest {
            [Token::Sign('°'), ..] => 1,
            [Token::Sign('^'), Token::Sign('°'), ..] => 2,
            [Token::Sign('^'), Token::Sign('{'), Token::Sign('°'), Token::Sign('}'), ..] => 4,
            _ => 0,
        };
        self.at += length;
        length > 0
    }

    fn exponent(&mut self) -> Option<Expression> {
        let is_negative = self.takes('-');
        let exponent = self.argument()?;
        Some(if is_negative { exponent.negated() } else { exponent })
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
            Token::Repeating(value) => {
                self.at += 1;
                Some(Expression::Number(value))
            }
            Token::Scientific(digits, exponent) => {
                self.at += 1;
                let power = Expression::integer(10).raised(Expression::integer(exponent));
                Some(Expression::Number(Ratio::decimal(&digits)?).times(power))
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
            Token::Sign(_)
            | Token::Word(_)
            | Token::Based(..)
            | Token::Currency(_)
            | Token::MatrixBegin
            | Token::MatrixEnd
            | Token::RowEnd => None,
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
                Some(match name {
                    "frac" => above.over(below),
                    _ => Expression::Binomial(Box::new(above), Box::new(below)),
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
            "log" | "lg" => Expression::Logarithm { base: Box::new(base.unwrap_or(Expression::integer(10))), of },
            _ => Expression::Function(name.to_owned(), of),
        };
        Some(match power {
            Some(power) => value.raised(power),
            None => value,
        })
    }

    /// What a function without brackets is of: `\sin 2x`, `\ln x^2`.
    fn argument_of_function(&mut self) -> Option<Expression> {
        let mut argument = self.power()?;
        while matches!(self.peek(), Some(Token::Symbol(_))) {
            let factor = self.power()?;
            argument = argument.times(factor);
        }
        Some(argument)
    }
}
