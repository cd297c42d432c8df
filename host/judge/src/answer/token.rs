//! Tokens of a mathematical text: LaTeX and plain signs mixed, as models write them. Signs that only lay a formula out
//! (`$`, `\left`, `\,`) are no tokens.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Digits with at most one point; thousands stand without their commas.
    Number(String),
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
const LAYOUT: [&str; 19] = [
    "left",
    "right",
    "big",
    "Big",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "quad",
    "qquad",
    "displaystyle",
    "textstyle",
    "limits",
    "mathbf",
    "boldsymbol",
    "mathit",
    "boxed",
    "rm",
    "bf",
];

/// Commands whose argument is a text.
const TEXTS: [&str; 8] = ["text", "mathrm", "textbf", "textit", "mbox", "operatorname", "textrm", "hbox"];

/// Functions of one argument, with or without a backslash.
pub(super) const FUNCTIONS: [&str; 12] =
    ["arcsin", "arccos", "arctan", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp"];

/// Units of fewer than three letters; longer runs of letters are words anyway.
const SHORT_UNITS: [&str; 14] = ["cm", "mm", "km", "kg", "mg", "ft", "mi", "hr", "lb", "oz", "ml", "mL", "am", "pm"];

/// Words between two answers, which are as good as a comma.
const BETWEEN: [&str; 2] = ["and", "or"];

/// The tokens of a text; `None` if it has a sign that is none of a formula.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut scanner = Scanner { rest: text, tokens: Vec::new(), depth: 0 };
    while scanner.next()? {}
    Some(scanner.tokens)
}

struct Scanner<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
    /// Brackets that are open: between them a comma separates, outside it may mark thousands.
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// Reads one token or some white space; false at the end.
    fn next(&mut self) -> Option<bool> {
        let Some(first) = self.rest.chars().next() else { return Some(false) };
        if first.is_whitespace() || first == '$' || first == '~' {
            self.skip(first.len_utf8());
        } else if first == '\\' {
            self.command()?;
        } else if first.is_ascii_digit() || (first == '.' && self.rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            self.number();
        } else if first.is_alphabetic() && !is_math_letter(first) {
            self.letters();
        } else {
            self.sign(first)?;
        }
        Some(true)
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (read, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        read
    }

    fn push(&mut self, sign: char) {
        match sign {
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.tokens.push(Token::Sign(sign));
    }

    /// Digits, with thousands where they are marked as such: `1,234,567`, `1{,}234`, `1,\!234`.
    fn number(&mut self) {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut number = self.skip(digits(self.rest)).to_owned();
        if (1..=3).contains(&number.len()) {
            loop {
                let marks: &[&str] = if self.depth == 0 { &["{,}", ",\\!", ","] } else { &["{,}", ",\\!"] };
                let group = marks.iter().find_map(|mark| {
                    let rest = self.rest.strip_prefix(mark)?;
                    (digits(rest) == 3).then_some(mark.len())
                });
                let Some(mark) = group else { break };
                self.skip(mark);
                number.push_str(self.skip(3));
            }
        }
        if self.rest.starts_with('.') {
            let fraction = digits(&self.rest[1..]);
            // A point without digits behind it ends a sentence.
            if fraction > 0 {
                number.push_str(self.skip(1 + fraction));
            }
        }
        self.tokens.push(Token::Number(number));
    }

    /// A run of letters: a function, a word, or symbols that are multiplied.
    fn letters(&mut self) {
        let length: usize = self.rest.chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
        let run = &self.rest[..length];
        let follows_number = matches!(self.tokens.last(), Some(Token::Number(_)));
        let least = if follows_number { 4 } else { 3 };
        if BETWEEN.contains(&run) {
            self.tokens.push(Token::Sign(','));
        } else if let Some(name) = FUNCTIONS.iter().chain(&["sqrt"]).find(|name| run == **name) {
            self.tokens.push(Token::Command((*name).to_owned()));
        } else if run == "pi" {
            self.tokens.push(Token::Symbol("pi".to_owned()));
        } else if run == "infinity" || run == "inf" {
            self.push('∞');
        } else if run.chars().count() >= least || SHORT_UNITS.contains(&run) || !run.is_ascii() {
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
                // Spaces, and the sign of dollars.
                '!' | ',' | ';' | ':' | ' ' | '$' | '(' | ')' | '[' | ']' => {}
                _ => return None,
            }
            return Some(());
        }
        let name = self.skip(letters);
        match name {
            layout if LAYOUT.contains(&layout) => {}
            text if TEXTS.contains(&text) => self.text()?,
            "frac" | "dfrac" | "tfrac" | "cfrac" => self.tokens.push(Token::Command("frac".to_owned())),
            "binom" | "dbinom" | "tbinom" => self.tokens.push(Token::Command("binom".to_owned())),
            "sqrt" => self.tokens.push(Token::Command(name.to_owned())),
            function if FUNCTIONS.contains(&function) => self.tokens.push(Token::Command(name.to_owned())),
            "cdot" | "times" | "ast" => self.push('*'),
            "div" => self.push('/'),
            "pm" => self.push('±'),
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
            letter => self.tokens.push(Token::Symbol(letter.to_owned())),
        }
        Some(())
    }

    /// The argument of `\begin` and `\end`, which is some kind of matrix.
    fn matrix(&mut self) -> Option<()> {
        let name = self.braced()?;
        name.ends_with("matrix").then_some(())
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
        } else if bare.chars().count() == 1 || text.starts_with(|c: char| c.is_ascii_digit() || "+-.$\\".contains(c)) {
            let inner = if bare.chars().count() == 1 { bare } else { text };
            self.tokens.extend(tokens(inner)?);
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
            '&' | '+' | '-' | '*' | '/' | '^' | '_' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';' | '='
            | '<' | '>' | '≤' | '≥' | '≠' | '!' | '%' | '±' | '∪' | '∞' | '∈' | '°' => self.push(sign),
            // The point of a sentence.
            '.' if self.rest.trim().is_empty() => {}
            _ => return None,
        }
        Some(())
    }
}

/// Letters by their class that are signs of formulas.
fn is_math_letter(letter: char) -> bool {
    letter == 'π'
}
