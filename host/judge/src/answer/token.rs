//! Tokens of a mathematical text: LaTeX and plain signs mixed, as models write them. Signs that only lay a formula out
//! (`$`, `\left`, `\,`) are no tokens.

use super::ratio::Ratio;
use super::unit::LETTERS;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Digits with at most one point; thousands stand without their commas.
    Number(String),
    /// A decimal whose last digits repeat for ever.
    Repeating(Ratio),
    /// A decimal and the power of ten that it is multiplied by.
    Scientific(String, i128),
    /// Digits and the base that they are written in.
    Based(String, u32),
    /// The sign of a currency, which stands before a number or behind it.
    Currency(char),
    /// A letter, or a letter's command such as `\alpha`.
    Symbol(String),
    /// A word of a language: a unit, a name.
    Word(String),
    /// A command that takes arguments or names a function: `frac`, `sqrt`, `sin`.
    Command(String),
    /// Every other sign, relations under one spelling: `<`, `≤`, `±`, `∪`, `∞`.
    Sign(char),
    /// The beginning of a matrix; its rows end with `;;`, its cells with `&`.
    MatrixBegin,
    /// Its end.
    MatrixEnd,
    /// The end of a row.
    RowEnd,
}

/// Commands that lay out and mean nothing.
const LAYOUT: [&str; 26] = [
    "left",
    "right",
    "big",
    "Big",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "bigg",
    "Bigg",
    "biggl",
    "biggr",
    "Biggl",
    "Biggr",
    "quad",
    "qquad",
    "displaystyle",
    "textstyle",
    "limits",
    "mathbf",
    "boldsymbol",
    "mathit",
    "boxed",
    "fbox",
    "rm",
    "bf",
];

/// Commands that are letters.
const LETTER_COMMANDS: [&str; 41] = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "varrho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Upsilon",
    "Phi",
    "Psi",
    "Omega",
    "ell",
    "angle",
    "triangle",
];

/// Commands whose argument is a text.
const TEXTS: [&str; 8] = ["text", "mathrm", "textbf", "textit", "mbox", "operatorname", "textrm", "hbox"];

/// Functions of one argument, with or without a backslash.
pub(super) const FUNCTIONS: [&str; 13] =
    ["arcsin", "arccos", "arctan", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "lg", "exp"];

/// Units, and words before units, of fewer letters than words have.
const SHORT_UNITS: [&str; 24] = [
    "cm", "mm", "km", "kg", "mg", "ft", "mi", "hr", "lb", "oz", "ml", "mL", "am", "pm", "yd", "sq", "cu", "mph", "kph",
    "lbs", "hrs", "min", "sec", "yrs",
];

/// Signs of currencies beside the dollar's, which is LaTeX's sign of formulas, too.
const CURRENCIES: &str = "€£¥₹¢";

/// Words between two answers, which are as good as a comma.
const BETWEEN: [&str; 2] = ["and", "or"];

/// How one letter behind a number and a space is read, as in `5 m`: it has two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters {
    /// As a factor.
    Symbols,
    /// As a unit, where it is one.
    Units,
}

/// The tokens of a text; `None` if it has a sign that is none of a formula.
pub(super) fn tokens(text: &str, letters: Letters) -> Option<Vec<Token>> {
    let has_odd_dollar = unescaped_dollars(text) % 2 == 1;
    let mut scanner =
        Scanner { text, rest: text, tokens: Vec::new(), open: Vec::new(), is_spaced: false, letters, has_odd_dollar };
    while scanner.next()? {}
    Some(with_temperatures(scanner.tokens))
}

/// The dollar signs that are not escaped. In pairs they are LaTeX's.
fn unescaped_dollars(text: &str) -> usize {
    text.matches('$').count() - text.matches("\\$").count()
}

/// `°C` and `°F` are units of their own.
fn with_temperatures(tokens: Vec<Token>) -> Vec<Token> {
    let (power, open, close, degree) = (Token::Sign('^'), Token::Sign('{'), Token::Sign('}'), Token::Sign('°'));
    let mut found = Vec::with_capacity(tokens.len());
    let mut rest = &tokens[..];
    while let Some((first, others)) = rest.split_first() {
        let behind = rest
            .strip_prefix(&[power.clone(), open.clone(), degree.clone(), close.clone()])
            .or_else(|| rest.strip_prefix(&[power.clone(), degree.clone()]))
            .or_else(|| rest.strip_prefix(std::slice::from_ref(&degree)));
        let scale = behind.and_then(|behind| match behind.first()? {
            Token::Symbol(name) if name == "C" => Some("celsius"),
            Token::Symbol(name) if name == "F" => Some("fahrenheit"),
            _ => None,
        });
        match (scale, behind) {
            (Some(scale), Some(behind)) => {
                found.push(Token::Word(scale.to_owned()));
                rest = &behind[1..];
            }
            _ => {
                found.push(first.clone());
                rest = others;
            }
        }
    }
    found
}

struct Scanner<'a> {
    text: &'a str,
    rest: &'a str,
    tokens: Vec<Token>,
    /// Brackets that are open: between those of tuples and sets a comma separates, elsewhere it may mark thousands.
    open: Vec<char>,
    /// Whether white space stands before what is read next.
    is_spaced: bool,
    letters: Letters,
    /// Whether a dollar sign stands alone, as a currency's does.
    has_odd_dollar: bool,
}

impl<'a> Scanner<'a> {
    /// Reads one token or some white space; false at the end.
    fn next(&mut self) -> Option<bool> {
        let Some(first) = self.rest.chars().next() else { return Some(false) };
        if first.is_whitespace() || first == '~' {
            self.skip(first.len_utf8());
            self.is_spaced = true;
            return Some(true);
        }
        if first == '$' {
            self.skip(1);
            let before_number = self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            let behind_number = self.rest.is_empty() && matches!(self.tokens.last(), Some(Token::Number(_)));
            if self.has_odd_dollar && (before_number || behind_number) {
                self.tokens.push(Token::Currency('$'));
            }
            return Some(true);
        }
        if first == '\\' {
            self.command()?;
        } else if first.is_ascii_digit() || (first == '.' && self.rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            self.number();
        } else if first.is_alphabetic() && !is_math_letter(first) {
            self.letters();
        } else {
            self.sign(first)?;
        }
        self.is_spaced = false;
        Some(true)
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (read, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        read
    }

    fn push(&mut self, sign: char) {
        match sign {
            '(' | '[' | '{' | '⦃' => self.open.push(sign),
            ')' | ']' | '}' | '⦄' => _ = self.open.pop(),
            _ => {}
        }
        self.tokens.push(Token::Sign(sign));
    }

    /// A number in any of its forms.
    fn number(&mut self) {
        let whole = self.whole();
        if let Some(token) = self.based(&whole) {
            self.tokens.push(token);
            return;
        }
        let mut fraction = "";
        if let Some(rest) = self.rest.strip_prefix('.') {
            let length = digits(rest);
            // A point without digits behind it ends a sentence.
            if length > 0 || period(rest).is_some() {
                self.skip(1);
                fraction = self.skip(length);
                if let Some((repeated, length)) = period(self.rest)
                    && let Some(value) = Ratio::repeating(&whole, fraction, repeated)
                {
                    self.skip(length);
                    self.tokens.push(Token::Repeating(value));
                    return;
                }
            }
        }
        let number = if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") };
        // `2.6e1`
        if let Some(rest) = self.rest.strip_prefix(['e', 'E']) {
            let signs = usize::from(rest.starts_with(['+', '-']));
            let length = digits(&rest[signs..]);
            if (1..=3).contains(&length)
                && let Ok(exponent) = rest[..signs + length].parse()
            {
                self.skip(1 + signs + length);
                self.tokens.push(Token::Scientific(number, exponent));
                return;
            }
        }
        self.tokens.push(Token::Number(number));
    }

    /// Digits, with thousands where they are marked as such: `1,234,567`, `1{,}234`, `1,\!234`, `1\,234`. A comma alone marks
    /// them if all that stand between these digits do, and no bracket of a tuple or a set is open: `1,2,345` is a list.
    fn whole(&mut self) -> String {
        let read = &self.text[..self.text.len() - self.rest.len()];
        let goes_on = read.strip_suffix(',').is_some_and(|read| read.ends_with(|c: char| c.is_ascii_digit()));
        let in_list = matches!(self.open.last(), Some('(' | '[' | '⦃'));
        let by_comma = if in_list || goes_on { None } else { thousands(self.rest) };
        let mut number = self.skip(digits(self.rest)).to_owned();
        if let Some(groups) = by_comma {
            for _ in 0..groups {
                self.skip(1);
                number.push_str(self.skip(3));
            }
        } else if (1..=3).contains(&number.len()) {
            loop {
                let group = ["{,}", ",\\!", "\\,"].iter().find_map(|mark| {
                    let rest = self.rest.strip_prefix(mark)?;
                    (digits(rest) == 3).then_some(mark.len())
                });
                let Some(mark) = group else { break };
                self.skip(mark);
                number.push_str(self.skip(3));
            }
        }
        number
    }

    /// The digits that begin here in the base that stands below their end: `12_8`, `1A_{16}`.
    fn based(&mut self, whole: &str) -> Option<Token> {
        let letters =
            self.rest.bytes().take_while(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte)).count();
        let rest = self.rest[letters..].strip_prefix('_')?;
        let (inner, is_braced) = rest.strip_prefix('{').map_or((rest, false), |inner| (inner, true));
        let length = digits(inner);
        let base: u32 = inner[..length].parse().ok().filter(|base| (2..=36).contains(base))?;
        let end = length + usize::from(is_braced);
        if is_braced && !inner[length..].starts_with('}') {
            return None;
        }
        let written = format!("{whole}{}", &self.rest[..letters]);
        let is_written = written.chars().all(|digit| digit.is_digit(base));
        let shown = written.trim_start_matches('0');
        let shown = if shown.is_empty() { "0" } else { shown }.to_owned();
        self.skip(letters + 1 + usize::from(is_braced) + end);
        // Digits that the base does not have make no number, and equal nothing but themselves as they are written.
        Some(if is_written { Token::Based(shown, base) } else { Token::Word(format!("{written}_{base}")) })
    }

    /// A run of letters: a function, a word, or symbols that are multiplied.
    fn letters(&mut self) {
        let length: usize = self.rest.chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
        let run = &self.rest[..length];
        let follows_number = matches!(self.tokens.last(), Some(Token::Number(_)));
        let least = if follows_number && !self.is_spaced { 4 } else { 3 };
        let is_letter_unit = self.letters == Letters::Units && self.is_spaced && LETTERS.contains(&run);
        let is_unit = SHORT_UNITS.contains(&run) || follows_number && (is_letter_unit || run == "in");
        if BETWEEN.contains(&run) {
            self.tokens.push(Token::Sign(','));
        } else if let Some(name) = FUNCTIONS.iter().chain(&["sqrt"]).find(|name| run == **name && !is_unit) {
            self.tokens.push(Token::Command((*name).to_owned()));
        } else if run == "pi" {
            self.tokens.push(Token::Symbol("pi".to_owned()));
        } else if run == "infinity" || run == "inf" {
            self.push('∞');
        } else if run.chars().count() >= least || is_unit || !run.is_ascii() {
            self.tokens.push(Token::Word(run.to_owned()));
        } else {
            self.tokens.extend(run.chars().map(|letter| Token::Symbol(letter.to_string())));
        }
        self.skip(length);
    }

    fn command(&mut self) -> Option<()> {
        self.skip(1);
        let letters = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        if letters == 0 {
            let sign = self.rest.chars().next()?;
            self.skip(sign.len_utf8());
            match sign {
                '{' => self.push('⦃'),
                '}' => self.push('⦄'),
                '%' => self.push('%'),
                '\\' => self.tokens.push(Token::RowEnd),
                '|' => self.push('|'),
                '$' => self.tokens.push(Token::Currency('$')),
                // Spaces, and the marks of formulas.
                '!' | ',' | ';' | ':' | ' ' | '(' | ')' | '[' | ']' => {}
                _ => return None,
            }
            return Some(());
        }
        let name = self.skip(letters);
        match name {
            layout if LAYOUT.contains(&layout) => {}
            text if TEXTS.contains(&text) => self.text()?,
            "frac" | "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac" => {
                self.tokens.push(Token::Command("frac".to_owned()))
            }
            "binom" | "dbinom" | "tbinom" => self.tokens.push(Token::Command("binom".to_owned())),
            // `\sqrt23` is √2 · 3 to LaTeX, and hardly to who wrote it.
            "sqrt" if digits(self.rest.trim_start()) > 1 => return None,
            "sqrt" => self.tokens.push(Token::Command(name.to_owned())),
            function if FUNCTIONS.contains(&function) => self.tokens.push(Token::Command(name.to_owned())),
            "cdot" | "times" | "ast" => self.push('*'),
            "div" => self.push('/'),
            "pm" => self.push('±'),
            "mp" => self.push('∓'),
            "infty" => self.push('∞'),
            "cup" => self.push('∪'),
            "in" => self.push('∈'),
            "lt" => self.push('<'),
            "gt" => self.push('>'),
            "le" | "leq" | "leqslant" => self.push('≤'),
            "ge" | "geq" | "geqslant" => self.push('≥'),
            "ne" | "neq" => self.push('≠'),
            "circ" | "degree" => self.push('°'),
            "lbrace" => self.push('⦃'),
            "rbrace" => self.push('⦄'),
            "lvert" | "rvert" | "vert" | "mid" => self.push('|'),
            "begin" => {
                self.matrix()?;
                self.tokens.push(Token::MatrixBegin);
            }
            "end" => {
                self.matrix()?;
                self.tokens.push(Token::MatrixEnd);
            }
            "emptyset" | "varnothing" => self.push('∅'),
            "colon" => self.push(':'),
            "pounds" => self.tokens.push(Token::Currency('£')),
            "euro" => self.tokens.push(Token::Currency('€')),
            "mathbb" => {
                let set = self.braced()?;
                self.tokens.push(Token::Symbol(format!("mathbb{set}")));
            }
            letter if LETTER_COMMANDS.contains(&letter) => self.tokens.push(Token::Symbol(letter.to_owned())),
            _ => return None,
        }
        Some(())
    }

    /// The argument of `\begin` and `\end`, which is some kind of matrix.
    fn matrix(&mut self) -> Option<()> {
        let name = self.braced()?;
        // A matrix between bars is its determinant.
        ["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix"].contains(&name).then_some(())
    }

    /// The argument of `\text`: a number or a letter in brackets is what it would be outside, other words are words.
    fn text(&mut self) -> Option<()> {
        let text = self.braced()?.trim();
        let bare = text.trim_matches(|c: char| "().".contains(c));
        if text.is_empty() {
            return Some(());
        }
        if BETWEEN.contains(&text) {
            self.tokens.push(Token::Sign(','));
        } else if matches!(self.tokens.last(), Some(Token::Number(_) | Token::Sign('}' | ')' | '/')))
            && LETTERS.contains(&text)
        {
            self.tokens.push(Token::Word(text.to_owned()));
        } else if bare.chars().count() == 1 || text.starts_with(|c: char| c.is_ascii_digit() || "+-.$\\".contains(c)) {
            let inner = if bare.chars().count() == 1 { bare } else { text };
            self.tokens.extend(tokens(inner, self.letters)?);
        } else {
            self.tokens.push(Token::Word(text.to_owned()));
        }
        Some(())
    }

    /// What stands between a pair of braces, which hold none.
    fn braced(&mut self) -> Option<&'a str> {
        let inner = self.rest.trim_start().strip_prefix('{')?;
        let end = inner.find(['{', '}']).filter(|end| inner[*end..].starts_with('}'))?;
        let begin = self.rest.len() - inner.len();
        self.skip(begin);
        let inner = self.skip(end);
        self.skip(1);
        Some(inner)
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        self.skip(sign.len_utf8());
        match sign {
            '−' | '–' => self.push('-'),
            '×' | '·' | '⋅' => self.push('*'),
            '*' if self.rest.starts_with('*') => {
                self.skip(1);
                self.push('^');
            }
            '÷' => self.push('/'),
            'π' => self.tokens.push(Token::Symbol("pi".to_owned())),
            '√' => self.tokens.push(Token::Command("sqrt".to_owned())),
            currency if CURRENCIES.contains(currency) => self.tokens.push(Token::Currency(currency)),
            '∅' => self.push('∅'),
            '½' | '⅓' | '⅔' | '¼' | '¾' | '⅕' | '⅖' | '⅗' | '⅘' | '⅙' | '⅚' | '⅛' | '⅜' | '⅝' | '⅞' =>
            {
                let fraction = match sign {
                    '½' => "12",
                    '⅓' => "13",
                    '⅔' => "23",
                    '¼' => "14",
                    '¾' => "34",
                    '⅕' => "15",
                    '⅖' => "25",
                    '⅗' => "35",
                    '⅘' => "45",
                    '⅙' => "16",
                    '⅚' => "56",
                    '⅛' => "18",
                    '⅜' => "38",
                    '⅝' => "58",
                    _ => "78",
                };
                self.tokens.extend([Token::Command("frac".to_owned()), Token::Number(fraction.to_owned())]);
            }
            '²' => self.tokens.extend([Token::Sign('^'), Token::Number("2".to_owned())]),
            '³' => self.tokens.extend([Token::Sign('^'), Token::Number("3".to_owned())]),
            '⟨' | '⟩' | '"' | '\'' | '`' | '?' | '#' | '@' => return None,
            '<' if self.rest.starts_with('=') => {
                self.skip(1);
                self.push('≤');
            }
            '>' if self.rest.starts_with('=') => {
                self.skip(1);
                self.push('≥');
            }
            '&' | ':' | '+' | '-' | '*' | '/' | '^' | '_' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';'
            | '=' | '<' | '>' | '≤' | '≥' | '≠' | '!' | '%' | '±' | '∓' | '∪' | '∞' | '∈' | '°' => {
                self.push(sign)
            }
            // The point of a sentence.
            '.' if self.rest.trim().is_empty() => {}
            _ => return None,
        }
        Some(())
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// How many groups of three digits follow the first ones behind commas, where each comma between these digits marks one.
fn thousands(text: &str) -> Option<usize> {
    let first = digits(text);
    if !(1..=3).contains(&first) || text.starts_with('0') {
        return None;
    }
    let (mut rest, mut groups) = (&text[first..], 0);
    while let Some(group) = rest.strip_prefix(',').filter(|group| digits(group) > 0) {
        if digits(group) != 3 {
            return None;
        }
        rest = &group[3..];
        groups += 1;
    }
    (groups > 0).then_some(groups)
}

/// The digits that repeat for ever where they begin here, and the length of the command around them.
fn period(text: &str) -> Option<(&str, usize)> {
    let inner = ["\\overline{", "\\bar{", "\\dot{"].iter().find_map(|begin| text.strip_prefix(begin))?;
    let length = digits(inner);
    let is_closed = length > 0 && inner[length..].starts_with('}');
    is_closed.then(|| (&inner[..length], text.len() - inner.len() + length + 1))
}

/// Letters by their class that are signs of formulas.
fn is_math_letter(letter: char) -> bool {
    letter == 'π'
}
