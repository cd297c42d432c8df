//! Python's statements, as far as it takes to tell them from prose, sample data and other languages.
//!
//! A statement is accepted by its first keyword and by the order of operands and operators: two names without an operator
//! between them are prose. Indentation is held against the headers above it. What CPython refuses for other reasons (an
//! assignment to a literal, a `return` outside a function) is accepted.

use super::tokens::{Flaw, LogicalLine, Token, logical_lines};

/// What a statement does, as far as it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `def` or `class`.
    Definition,
    /// `import` or `from`.
    Import,
    /// `if`, `for`, `while`, `with`, `try`, `match` and their further clauses.
    Header,
    Assert,
    Assignment,
    /// An expression that calls something.
    Call,
    /// What leaves a function or a loop: `return`, `break`, `continue`, `yield`.
    Jump,
    /// What has no effect by itself: a name, a number, a string, an annotation, `pass`, `...`, a decorator, `global`.
    Idle,
}

/// One statement; a logical line may hold several.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    pub(crate) kind: Kind,
    /// Where its line begins in the text, in bytes.
    pub(crate) start: usize,
    pub(crate) tokens: Vec<Token<'a>>,
    /// Whether it is in a function or a class.
    pub(crate) in_definition: bool,
    /// Whether it is in nothing.
    pub(crate) top_level: bool,
}

/// Text read as Python.
#[derive(Debug)]
pub(crate) struct Module<'a> {
    /// Up to the first line that is none.
    pub(crate) statements: Vec<Statement<'a>>,
    /// Where the first line that is no Python begins, in bytes.
    pub(crate) broken_at: Option<usize>,
    /// Whether the text ends within a string, a bracket or before the body of a header.
    pub(crate) is_unfinished: bool,
}

impl<'a> Module<'a> {
    /// Reads the text up to its first line that is no Python.
    pub(crate) fn of(text: &'a str) -> Self {
        let mut module = Self { statements: Vec::new(), broken_at: None, is_unfinished: false };
        let mut blocks = vec![Enclosing { indent: 0, header: Header::None }];
        let mut awaits_body: Option<Header> = None;
        for line in logical_lines(text) {
            if line.flaw == Some(Flaw::Unfinished) {
                module.is_unfinished = true;
                // What is there of it counts: a program that was cut off is no prose.
                if !is_plausible_beginning(&line) {
                    module.broken_at = Some(line.start);
                }
                return module;
            }
            let indented = Enclosing::enter(&mut blocks, &line, awaits_body.take());
            let statements = indented.then(|| statements_of(&line.tokens)).flatten();
            let (true, Some(statements)) = (line.flaw.is_none(), statements) else {
                module.broken_at = Some(line.start);
                return module;
            };
            let in_definition = blocks.iter().any(|block| block.header == Header::Definition);
            let top_level = blocks.len() == 1;
            if matches!(line.tokens.last(), Some(Token::Sign(":"))) {
                awaits_body = Some(Header::of(&line.tokens));
            }
            let header = Header::of(&line.tokens);
            for (index, (kind, tokens)) in statements.into_iter().enumerate() {
                module.statements.push(Statement {
                    kind,
                    start: line.start,
                    tokens: tokens.to_vec(),
                    in_definition: in_definition || index > 0 && header == Header::Definition,
                    top_level: top_level && index == 0,
                });
            }
        }
        module.is_unfinished = awaits_body.is_some();
        module
    }

    /// Whether all of it is Python and some of it does something.
    pub(crate) fn is_program(&self) -> bool {
        self.broken_at.is_none() && self.has_effect()
    }

    /// Whether something in it has an effect.
    pub(crate) fn has_effect(&self) -> bool {
        self.statements.iter().any(|statement| !matches!(statement.kind, Kind::Idle | Kind::Jump))
    }
}

/// What a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    None,
    Definition,
    Other,
}

impl Header {
    fn of(tokens: &[Token<'_>]) -> Self {
        let second = if tokens.first() == Some(&Token::Name("async")) { tokens.get(1) } else { tokens.first() };
        match second {
            Some(Token::Name("def" | "class")) => Self::Definition,
            _ => Self::Other,
        }
    }
}

/// A block that a line is in.
#[derive(Debug, Clone, Copy)]
struct Enclosing {
    indent: usize,
    header: Header,
}

impl Enclosing {
    /// Leaves the blocks that the line is not in and enters the one that it begins; false if it stands nowhere.
    fn enter(blocks: &mut Vec<Self>, line: &LogicalLine<'_>, awaits_body: Option<Header>) -> bool {
        let indent = blocks.last().map_or(0, |block| block.indent);
        match awaits_body {
            Some(header) if line.indent > indent => {
                blocks.push(Self { indent: line.indent, header });
                return true;
            }
            Some(_) => return false,
            None => {}
        }
        while blocks.len() > 1 && blocks.last().is_some_and(|block| block.indent > line.indent) {
            blocks.pop();
        }
        blocks.last().is_some_and(|block| block.indent == line.indent)
    }
}

/// Whether the line that the end of the text cut off begins as Python does.
fn is_plausible_beginning(line: &LogicalLine<'_>) -> bool {
    match line.tokens[..] {
        // A string that is not closed.
        [] => true,
        [Token::Name(first), Token::Name(second), ..] => is_keyword(first) || is_keyword(second),
        _ => true,
    }
}

/// Keywords of CPython that are no values.
pub(crate) fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 32] = [
        "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
        "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass",
        "raise", "return", "try", "while", "with", "yield",
    ];
    KEYWORDS.contains(&word)
}

type Part<'t, 'a> = (Kind, &'t [Token<'a>]);

/// The statements of a logical line; `None` if it is no Python.
fn statements_of<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<Vec<Part<'t, 'a>>> {
    let mut statements = Vec::new();
    let mut rest = tokens;
    loop {
        if let Some(header) = header_length(rest) {
            statements.push((header.0, &rest[..header.1]));
            rest = &rest[header.1..];
            if rest.is_empty() {
                return Some(statements);
            }
            // The body on the header's line has no headers itself.
            if header_length(rest).is_some() {
                return None;
            }
        }
        let end = at_depth_0(rest, ";").unwrap_or(rest.len());
        statements.push((simple(&rest[..end])?, &rest[..end]));
        rest = rest.get(end + 1..).unwrap_or(&[]);
        if rest.is_empty() {
            return Some(statements);
        }
    }
}

/// The first place of a sign outside all brackets, in the first statement of these.
fn at_depth_0(tokens: &[Token<'_>], sign: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign(here) if depth == 0 && *here == sign => return Some(index),
            // What follows is asked for itself: a line of many statements is read once.
            Token::Sign(";") if depth == 0 => return None,
            Token::Sign("(" | "[" | "{") => depth += 1,
            Token::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The kind and length of the header that these tokens begin with, its colon with it.
fn header_length(tokens: &[Token<'_>]) -> Option<(Kind, usize)> {
    let colon = header_colon(tokens)?;
    let head = &tokens[..colon];
    let (kind, head) = match head {
        [Token::Name("async"), rest @ ..] => (Kind::Header, rest),
        _ => (Kind::Header, head),
    };
    let is_header = match head {
        [Token::Name("def"), Token::Name(name), Token::Sign("(" | "["), ..] if !is_keyword(name) => {
            return matches!(tokens[colon - 1], Token::Sign(")" | "]") | Token::Name(_) | Token::Text)
                .then_some((Kind::Definition, colon + 1));
        }
        [Token::Name("class"), Token::Name(name), rest @ ..] if !is_keyword(name) => {
            let is_class = rest.is_empty() || matches!(rest[0], Token::Sign("(" | "[")) && is_expression(&head[1..]);
            return is_class.then_some((Kind::Definition, colon + 1));
        }
        [Token::Name("else" | "try" | "finally")] => true,
        [Token::Name("except")] => true,
        [Token::Name("except"), Token::Sign("*"), rest @ ..] | [Token::Name("except"), rest @ ..] => {
            is_expression(without_alias(rest))
        }
        [Token::Name("if" | "elif" | "while" | "match"), rest @ ..] => !rest.is_empty() && is_expression(rest),
        [Token::Name("for"), rest @ ..] => {
            let inside = rest.iter().position(|token| *token == Token::Name("in"));
            inside.is_some_and(|at| at > 0 && is_expression(&rest[..at]) && is_filled(&rest[at + 1..]))
        }
        // Their items and patterns have `as` and more in them.
        [Token::Name("with"), rest @ ..] => is_filled(rest),
        [Token::Name("case"), rest @ ..] => is_filled(rest),
        _ => false,
    };
    is_header.then_some((kind, colon + 1))
}

/// The colon that ends a header: the first outside all brackets and lambdas.
fn header_colon(tokens: &[Token<'_>]) -> Option<usize> {
    let mut from = 0;
    let mut lambdas = 0_usize;
    loop {
        let at = from + at_depth_0(&tokens[from..], ":")?;
        lambdas += count_at_depth_0(&tokens[from..at], "lambda");
        if lambdas == 0 {
            return Some(at);
        }
        lambdas -= 1;
        from = at + 1;
    }
}

fn count_at_depth_0(tokens: &[Token<'_>], word: &str) -> usize {
    let mut depth = 0_usize;
    let mut count = 0;
    for token in tokens {
        match token {
            Token::Sign("(" | "[" | "{") => depth += 1,
            Token::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            Token::Name(here) if depth == 0 && *here == word => count += 1,
            _ => {}
        }
    }
    count
}

/// The expression before `as name`.
fn without_alias<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    match tokens {
        [rest @ .., Token::Name("as"), Token::Name(_)] => rest,
        _ => tokens,
    }
}

/// Whether these are expressions, some of them with an alias.
fn is_filled(tokens: &[Token<'_>]) -> bool {
    let mut plain = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        match token {
            Token::Name("as") => {
                // A name, or names in brackets.
                if matches!(tokens.next(), Some(Token::Sign("(" | "["))) {
                    tokens.by_ref().find(|token| matches!(token, Token::Sign(")" | "]")));
                }
            }
            token => plain.push(*token),
        }
    }
    !plain.is_empty() && is_expression(&plain)
}

/// The kind of a simple statement; `None` if it is no Python.
fn simple(tokens: &[Token<'_>]) -> Option<Kind> {
    let optional = |rest: &[Token<'_>]| rest.is_empty() || is_expression(rest);
    let (kind, is_python) = match tokens {
        [Token::Name("import"), rest @ ..] => (Kind::Import, is_import(rest)),
        [Token::Name("from"), rest @ ..] => {
            let at = rest.iter().position(|token| *token == Token::Name("import"))?;
            let (module, names) = (&rest[..at], &rest[at + 1..]);
            let names = match names {
                [Token::Sign("("), names @ .., Token::Sign(")")] => names,
                names => names,
            };
            let module = module.iter().all(|token| matches!(token, Token::Name(_) | Token::Sign("." | "...")));
            (Kind::Import, module && at > 0 && (names == [Token::Sign("*")] || is_import(names)))
        }
        [Token::Name("pass" | "..."), rest @ ..] => (Kind::Idle, rest.is_empty()),
        [Token::Name("break" | "continue"), rest @ ..] => (Kind::Jump, rest.is_empty()),
        [Token::Name("return" | "yield"), rest @ ..] => {
            let rest = if rest.first() == Some(&Token::Name("from")) { &rest[1..] } else { rest };
            (Kind::Jump, optional(rest))
        }
        [Token::Name("raise"), rest @ ..] => {
            let mut parts = rest.split(|token| *token == Token::Name("from"));
            (Kind::Call, parts.all(optional))
        }
        [Token::Name("assert"), rest @ ..] => (Kind::Assert, !rest.is_empty() && is_expression(rest)),
        [Token::Name("del"), rest @ ..] => (Kind::Assignment, !rest.is_empty() && is_expression(rest)),
        [Token::Name("global" | "nonlocal"), rest @ ..] => (Kind::Idle, is_import(rest)),
        [Token::Sign("@"), rest @ ..] => (Kind::Idle, !rest.is_empty() && is_expression(rest)),
        [Token::Name("type"), Token::Name(_), Token::Sign("=" | "["), ..] => {
            (Kind::Assignment, is_expression(&tokens[1..]))
        }
        [] => return None,
        _ => return assignment_or_expression(tokens),
    };
    is_python.then_some(kind)
}

fn is_import(names: &[Token<'_>]) -> bool {
    let names = if let [names @ .., Token::Sign(",")] = names { names } else { names };
    !names.is_empty()
        && names.split(|token| *token == Token::Sign(",")).all(|name| {
            let name = without_alias(name);
            !name.is_empty()
                && name.iter().enumerate().all(|(index, token)| match token {
                    Token::Name(word) => index % 2 == 0 && !is_keyword(word),
                    Token::Sign(".") => index % 2 == 1,
                    _ => false,
                })
        })
}

fn assignment_or_expression(tokens: &[Token<'_>]) -> Option<Kind> {
    const ASSIGNMENTS: [&str; 14] =
        ["=", "+=", "-=", "*=", "/=", "//=", "%=", "**=", "&=", "|=", "^=", ">>=", "<<=", "@="];
    let assigns = ASSIGNMENTS.iter().filter_map(|sign| at_depth_0(tokens, sign)).min();
    if let Some(colon) = header_colon(tokens).filter(|colon| assigns.is_none_or(|at| *colon < at)) {
        // An annotation: of a name, an attribute or an element.
        let (target, rest) = (&tokens[..colon], &tokens[colon + 1..]);
        let is_target = matches!(target.first(), Some(Token::Name(_))) && is_expression(target);
        let kind = if assigns.is_some() { Kind::Assignment } else { Kind::Idle };
        return (is_target && !rest.is_empty() && is_expression(rest)).then_some(kind);
    }
    if !is_expression(tokens) {
        return None;
    }
    Some(match assigns {
        Some(_) => Kind::Assignment,
        None if calls(tokens) => Kind::Call,
        None => Kind::Idle,
    })
}

/// Whether something is called.
fn calls(tokens: &[Token<'_>]) -> bool {
    tokens.windows(2).any(|pair| match pair {
        [Token::Name(word), Token::Sign("(")] => !is_keyword(word),
        [Token::Sign(")" | "]"), Token::Sign("(")] => true,
        _ => false,
    })
}

/// Whether operands and operators follow each other as in an expression, with assignments and further commas.
fn is_expression(tokens: &[Token<'_>]) -> bool {
    let mut open = Vec::new();
    let mut lambdas: Vec<usize> = Vec::new();
    let mut wants_operand = true;
    let mut previous: Option<Token<'_>> = None;
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        let starts = matches!(
            previous,
            None | Some(Token::Sign("(" | "[" | "{" | "," | "=" | ":" | "**" | "*") | Token::Name(_))
        );
        let accepted = match token {
            Token::Name("and" | "or" | "in" | "is" | "if" | "else" | "for" | "as") => {
                // `not` stands before `in` in `x not in y`, and after `is`.
                let follows = !wants_operand || *token == Token::Name("in") && previous == Some(Token::Name("not"));
                let begins = *token == Token::Name("for") && previous == Some(Token::Name("async"));
                wants_operand = true;
                follows || begins
            }
            Token::Name("async") => !wants_operand && next == Some(&Token::Name("for")),
            Token::Name("not") => {
                let follows = wants_operand || next == Some(&Token::Name("in"));
                wants_operand = true;
                follows
            }
            Token::Name("await") => wants_operand,
            Token::Name("yield") => wants_operand,
            Token::Name("from") => previous == Some(Token::Name("yield")),
            Token::Name("lambda") => {
                lambdas.push(open.len());
                wants_operand
            }
            Token::Name(word) if is_keyword(word) => false,
            Token::Name(_) | Token::Number | Token::Sign("...") => {
                let follows = wants_operand;
                wants_operand = false;
                follows
            }
            Token::Text => {
                let follows = wants_operand || previous == Some(Token::Text);
                wants_operand = false;
                follows
            }
            Token::Sign(sign @ ("(" | "[" | "{")) => {
                let follows = wants_operand || *sign != "{";
                open.push(*sign);
                wants_operand = true;
                follows
            }
            Token::Sign(")" | "]" | "}") => {
                let empty = matches!(previous, Some(Token::Sign("(" | "[" | "{" | "," | ":")))
                    || previous == Some(Token::Name("yield"));
                open.pop();
                let follows = !wants_operand || empty;
                wants_operand = false;
                follows
            }
            Token::Sign(",") => {
                // `x[:, 0]`, and `lambda *, a: a`.
                let follows = !wants_operand || matches!(previous, Some(Token::Sign(":" | "*" | "/")));
                wants_operand = true;
                follows
            }
            Token::Sign(".") => {
                !wants_operand && matches!(next, Some(Token::Name(_))) && {
                    wants_operand = true;
                    true
                }
            }
            Token::Sign("=") => {
                // `*a, = b`
                let ends = !wants_operand || previous == Some(Token::Sign(","));
                let follows = ends && (open.is_empty() || open.last() == Some(&"(") || !lambdas.is_empty());
                wants_operand = true;
                // `f"{x=}"` is within a string.
                follows
            }
            Token::Sign(":") => {
                let in_lambda = lambdas.last() == Some(&open.len());
                let follows = match open.last() {
                    _ if in_lambda => !wants_operand || previous == Some(Token::Name("lambda")),
                    Some(&"[") => true,
                    Some(&"{") => !wants_operand,
                    // Between parameters and their annotations.
                    _ => false,
                };
                if in_lambda {
                    lambdas.pop();
                }
                wants_operand = true;
                follows
            }
            Token::Sign("-" | "+" | "~") => {
                let follows = *token != Token::Sign("~") || wants_operand;
                wants_operand = true;
                follows
            }
            Token::Sign("*" | "**") => {
                let follows = !wants_operand || starts;
                wants_operand = true;
                follows
            }
            Token::Sign("->" | ";") => false,
            Token::Sign(_) => {
                let follows = !wants_operand || *token == Token::Sign("/") && previous == Some(Token::Sign(","));
                wants_operand = true;
                follows
            }
        };
        if !accepted {
            return false;
        }
        previous = Some(*token);
    }
    open.is_empty() && (!wants_operand || matches!(previous, Some(Token::Sign(",") | Token::Name("yield"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_every_kind_are_python() {
        for text in [
            "import os.path as p, sys",
            "from . import (a as b, c,)",
            "from math import *",
            "x: int = 3",
            "a, *b = c[1:], d[::2], e[:, 0]",
            "x = y if z else lambda a, *b, c=1, **d: a",
            "def f(a: int = 1, *, b=2, **c) -> list[int]: return a",
            "class A(B, metaclass=C): pass",
            "class A:\n    def f(self):\n        return 1",
            "if (n := f()) and not x not in y: print(n); n += 1",
            "for i, (a, b) in enumerate(x): pass",
            "while True:\n    break\nelse:\n    pass",
            "try:\n    f()\nexcept (A, B) as e:\n    raise C from e\nfinally:\n    g()",
            "with open(0) as f, g() as (h, i):\n    f.read()",
            "match x:\n    case [1, *y] if y:\n        pass\n    case {'a': 1} | None:\n        pass",
            "print(*a, sep='', **b)",
            "x = [i for i in range(3) if i is not None]",
            "async def f():\n    async for x in g(): await x",
            "def f():\n    x = yield\n    yield from x\n    return",
            "x = {**a, 'b': 1, **{}}; y = {1, 2}; z = {}",
            "x = -1 if ~y else +z ** -2 @ w",
            "assert f(1) == 2, 'no'",
            "@cache\ndef f(): ...",
            "sort(key=lambda x: (x[0], -x[1]))",
            "key = lambda: 0",
            "x = 1if y else 2",
            "if x: y\nelse: z",
            "x = 'a' f'b' \"c\"",
            "del x[0], y",
            "print(\n  1,\n)",
            "global a, b",
            "*a, = b",
            "return",
        ] {
            let module = Module::of(text);
            assert_eq!((module.broken_at, module.is_unfinished), (None, false), "{text:?}");
        }
    }

    #[test]
    fn prose_data_and_other_languages_are_not() {
        for text in [
            "This works.",
            "This solution runs in O(n).",
            "Done.",
            "Solution:",
            "for all",
            "if you want more",
            "import the module",
            "from the start",
            "1 2 3",
            "- a point of a list",
            "1. First",
            "It's so",
            "int main() {}",
            "x = 1;;",
            "print 'a'",
            "$ python3 a.py",
            "YES NO",
            "  x = 1",
            "def f(x)",
            "def f(x):\nreturn 1",
            "if x:\n    y\n  z",
            "x = 1 +",
            "class the answer:",
            "while it holds:",
            ">>> f()",
        ] {
            assert!(Module::of(text).broken_at.is_some() || Module::of(text).is_unfinished, "{text:?}");
        }
        for idle in ["3", "YES", "'text'", "x", "(1, 2)", "Output: 5", "...", "-a\n+b", "# nothing"] {
            assert!(!Module::of(idle).is_program(), "{idle:?}");
        }
    }

    #[test]
    fn a_program_that_was_cut_off_is_unfinished() {
        for text in ["def f():", "print(", "x = '''a", "if x:\n    y = [1,\n", "for i in range("] {
            let module = Module::of(text);
            assert_eq!((module.broken_at, module.is_unfinished), (None, true), "{text:?}");
        }
    }
}
