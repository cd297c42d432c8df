//! What a piece of Python does: the names it binds and uses, and whether it reads input, writes, runs or only tests.

use std::collections::BTreeSet;

use super::statements::{Kind, Module, Statement, is_keyword};
use super::tokens::Token;

/// What a piece of Python does.
#[derive(Debug, Default)]
pub(crate) struct Features<'a> {
    /// Functions and classes of the top level.
    pub(crate) defines: BTreeSet<&'a str>,
    /// Names that imports bind on the top level.
    imports: BTreeSet<&'a str>,
    /// Other names that the top level binds.
    assigns: BTreeSet<&'a str>,
    /// Names that are used and bound nowhere in it, without builtins.
    free: BTreeSet<&'a str>,
    /// Whether it reads standard input.
    pub(crate) reads: bool,
    /// Whether its top level calls what the piece itself or another one defines, or writes.
    pub(crate) runs: bool,
    /// Whether it does more than import, assign and assert.
    pub(crate) is_strong: bool,
    /// Whether all it does is to test something: asserts, test functions, a test framework.
    pub(crate) is_test: bool,
    /// Whether its top level is one call without arguments, or hides behind `__name__`.
    pub(crate) starts_main: bool,
    /// Whether a function's whole body is `...` or `pass`, as in a sketch.
    pub(crate) is_sketch: bool,
}

/// Builtins that programs use by their names; what else is free is held against the names that other pieces bind.
const BUILTINS: [&str; 66] = [
    "abs",
    "all",
    "any",
    "bin",
    "bool",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "complex",
    "dict",
    "dir",
    "divmod",
    "enumerate",
    "eval",
    "exec",
    "exit",
    "filter",
    "float",
    "format",
    "frozenset",
    "getattr",
    "globals",
    "hasattr",
    "hash",
    "hex",
    "id",
    "input",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "list",
    "locals",
    "map",
    "max",
    "min",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "pow",
    "print",
    "property",
    "quit",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "setattr",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "vars",
    "zip",
    "None",
    "True",
    "False",
];

/// What a test imports.
const TEST_MODULES: [&str; 6] = ["unittest", "pytest", "doctest", "timeit", "hypothesis", "cProfile"];

/// Calls that prepare and do nothing else.
const SETTINGS: [&str; 5] = ["setrecursionlimit", "set_int_max_str_digits", "stack_size", "seed", "filterwarnings"];

impl<'a> Features<'a> {
    /// What the statements of a module do.
    pub(crate) fn of(module: &Module<'a>) -> Self {
        let mut features = Self::default();
        let mut bound = BTreeSet::new();
        let mut used = BTreeSet::new();
        let mut asserts = false;
        let mut acts = false;
        for statement in &module.statements {
            features.add_names(statement, &mut bound, &mut used);
            features.reads |= statement.kind != Kind::Definition && reads_input(&statement.tokens);
            asserts |= statement.kind == Kind::Assert;
            let is_call = statement.kind == Kind::Call && !is_setting(&statement.tokens);
            acts |= statement.kind == Kind::Definition || is_call;
            features.is_strong |= acts || statement.kind == Kind::Header;
        }
        for statement in module.statements.iter().filter(|statement| !statement.in_definition) {
            features.runs |= statement.kind == Kind::Call && features.runs_something(&statement.tokens);
        }
        features.is_strong |= features.reads;
        features.is_test = features.tests_only(module, asserts);
        features.starts_main = starts_main(module);
        features.is_sketch = is_sketch(module);
        let builtins = |name: &&&str| !BUILTINS.contains(*name);
        features.free = used.difference(&bound).filter(builtins).copied().collect();
        features
    }

    /// Whether it uses a name that the other binds.
    pub(crate) fn needs(&self, other: &Self) -> bool {
        self.needs_more_than_imports(other) || !self.free.is_disjoint(&other.imports)
    }

    /// Whether it uses a name that the other binds otherwise than by an import.
    pub(crate) fn needs_more_than_imports(&self, other: &Self) -> bool {
        !self.free.is_disjoint(&other.defines) || !self.free.is_disjoint(&other.assigns)
    }

    /// Whether it imports a name that the other defines, as from a file of that program.
    pub(crate) fn imports_from(&self, other: &Self) -> bool {
        !self.imports.is_disjoint(&other.defines)
    }

    fn add_names(&mut self, statement: &Statement<'a>, bound: &mut BTreeSet<&'a str>, used: &mut BTreeSet<&'a str>) {
        let tokens = &statement.tokens;
        match statement.kind {
            Kind::Import => {
                for name in imported(tokens) {
                    bound.insert(name);
                    if !statement.in_definition {
                        self.imports.insert(name);
                    }
                }
                return;
            }
            Kind::Definition => {
                let mut names = tokens.iter().filter_map(name);
                let defined = names.find(|name| !matches!(*name, "def" | "class" | "async"));
                bound.extend(defined);
                if !statement.in_definition {
                    self.defines.extend(defined);
                }
                if tokens.contains(&Token::Name("def")) {
                    // Parameters, and names in annotations and defaults with them.
                    bound.extend(parameters(tokens));
                    return;
                }
            }
            _ => {}
        }
        for binding in bindings(tokens) {
            bound.insert(binding);
            if !statement.in_definition && matches!(statement.kind, Kind::Assignment | Kind::Header) {
                self.assigns.insert(binding);
            }
        }
        let mut previous = None;
        for token in tokens {
            if let (Some(name), false) = (name(token), previous == Some(Token::Sign("."))) {
                used.insert(name);
            }
            previous = Some(*token);
        }
    }

    /// Whether a call of the top level is more than a step of the program.
    fn runs_something(&self, tokens: &[Token<'a>]) -> bool {
        let names: Vec<&str> = tokens.iter().filter_map(name).collect();
        let first = match tokens {
            [Token::Name(first), Token::Sign("("), ..] => Some(*first),
            _ => None,
        };
        let writes = names.iter().any(|name| matches!(*name, "print" | "write" | "writelines" | "stdout" | "exit"));
        let own = names.iter().any(|name| self.defines.contains(name));
        let unknown = first.is_some_and(|name| !BUILTINS.contains(&name) && !SETTINGS.contains(&name));
        writes || own || unknown
    }

    fn tests_only(&self, module: &Module<'a>, asserts: bool) -> bool {
        if TEST_MODULES.iter().any(|name| self.imports.contains(name)) {
            return true;
        }
        let is_test = |name: &&str| name.to_ascii_lowercase().starts_with("test");
        let tests = self.defines.iter().filter(|name| is_test(name)).count();
        let calls_only = |statement: &&Statement<'_>| {
            !statement.in_definition && matches!(statement.kind, Kind::Call | Kind::Header | Kind::Assert)
        };
        let acting = module.statements.iter().filter(calls_only).count();
        match self.defines.len() {
            0 => asserts && acting > 0 && !self.reads,
            defines => tests == defines,
        }
    }
}

fn name<'a>(token: &Token<'a>) -> Option<&'a str> {
    match token {
        Token::Name(name) if !is_keyword(name) => Some(name),
        _ => None,
    }
}

/// The names that an import binds; of `from x import *` none are known.
fn imported<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let from = tokens.iter().position(|token| *token == Token::Name("import")).map_or(tokens.len(), |at| at + 1);
    let parts = tokens[from..].split(|token| *token == Token::Sign(","));
    parts
        .filter_map(|part| {
            let alias = part.iter().position(|token| *token == Token::Name("as")).and_then(|at| part.get(at + 1));
            alias.or_else(|| part.iter().find(|token| matches!(token, Token::Name(_)))).and_then(name)
        })
        .collect()
}

fn parameters<'a>(tokens: &[Token<'a>]) -> impl Iterator<Item = &'a str> {
    tokens.iter().filter_map(name)
}

/// The names that a statement binds: targets of assignments, loops and aliases, and keyword arguments, which are no use.
fn bindings<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut statement_start = 0;
    let mut in_targets = false;
    let mut in_lambda = false;
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        match token {
            Token::Sign("(" | "[" | "{") => depth += 1,
            Token::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            Token::Sign("=") if depth == 0 => {
                // `a, (b, *c) = …`; of `a.b = …` and `a[b] = …` nothing.
                let targets = &tokens[statement_start..index];
                let plain = |token: &Token<'_>| !matches!(token, Token::Sign("." | "["));
                if targets.iter().all(plain) {
                    names.extend(targets.iter().filter_map(name));
                } else {
                    names.extend(targets.split(|token| *token == Token::Sign(",")).filter_map(|target| match target {
                        [single] => name(single),
                        _ => None,
                    }));
                }
                statement_start = index + 1;
            }
            Token::Name("for") => in_targets = true,
            Token::Name("in") => in_targets = false,
            Token::Name("lambda") => in_lambda = true,
            Token::Sign(":") if in_lambda => in_lambda = false,
            Token::Name("as" | "global" | "nonlocal" | "case") => names.extend(next.and_then(name)),
            Token::Name(_) if in_targets || in_lambda => names.extend(name(token)),
            Token::Name(_) if matches!(next, Some(Token::Sign(":="))) => names.extend(name(token)),
            Token::Name(_) if depth > 0 && matches!(next, Some(Token::Sign("="))) => names.extend(name(token)),
            Token::Name(_) if index == 0 && matches!(next, Some(Token::Sign(":"))) => names.extend(name(token)),
            _ => {}
        }
    }
    names
}

/// Whether standard input is read.
fn reads_input(tokens: &[Token<'_>]) -> bool {
    let has_number = tokens.contains(&Token::Number);
    tokens.windows(2).any(|pair| match pair {
        [Token::Name("input" | "raw_input"), _] | [_, Token::Name("input" | "raw_input")] => {
            pair[0] != Token::Sign(".") && !matches!(pair[1], Token::Sign("="))
        }
        [_, Token::Name("stdin" | "fileinput")] | [Token::Name("stdin" | "fileinput"), _] => true,
        [Token::Name("open"), Token::Sign("(")] => has_number,
        _ => false,
    })
}

fn is_setting(tokens: &[Token<'_>]) -> bool {
    tokens.iter().filter_map(name).any(|name| SETTINGS.contains(&name))
}

/// Whether the top level is `main()`, or begins with `if __name__`.
fn starts_main(module: &Module<'_>) -> bool {
    let top: Vec<_> = module.statements.iter().filter(|statement| statement.top_level).collect();
    let guarded = top.iter().any(|statement| statement.tokens.contains(&Token::Name("__name__")));
    let is_bare = |statement: &&&Statement<'_>| matches!(statement.tokens[..], [Token::Name(name), Token::Sign("("), Token::Sign(")")] if !BUILTINS.contains(&name));
    guarded || matches!(top[..], [single] if is_bare(&&single))
}

/// Whether all functions have no body but `...` or `pass`.
fn is_sketch(module: &Module<'_>) -> bool {
    let has_functions = module.statements.iter().any(|statement| statement.kind == Kind::Definition);
    let does_something = module.statements.iter().any(|statement| {
        statement.in_definition && !matches!(statement.kind, Kind::Definition | Kind::Idle)
            || !statement.in_definition && matches!(statement.kind, Kind::Call | Kind::Header)
    });
    let is_class_of_fields =
        module.statements.iter().all(|statement| statement.tokens.first() != Some(&Token::Name("def")));
    has_functions && !does_something && !is_class_of_fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, ask: impl FnOnce(&Features<'_>) -> T) -> T {
        let module = Module::of(text);
        assert_eq!(module.broken_at, None, "{text:?}");
        ask(&Features::of(&module))
    }

    #[test]
    fn free_names_are_those_that_nothing_binds() {
        for (text, free) in [
            ("x = y", vec!["y"]),
            ("for a, b in z: print(a, b)", vec!["z"]),
            ("def f(a, b=1):\n    c = a\n    return c + d", vec!["d"]),
            ("import a.b, c as d\nfrom e import f as g\na; d; g; c; f", vec!["c", "f"]),
            ("x = [i for i in w if (v := i)]\nv.u", vec!["w"]),
            ("f(key=lambda q: q)", vec!["f"]),
            ("a.b = c[0] = 1", vec!["a", "c"]),
            ("try:\n    x()\nexcept E as e:\n    e", vec!["E", "x"]),
            ("with o() as p: p", vec!["o"]),
        ] {
            with(text, |features| assert_eq!(features.free.iter().copied().collect::<Vec<_>>(), free, "{text:?}"));
        }
    }

    #[test]
    fn what_a_piece_does_is_seen() {
        for (text, reads, runs, is_test) in [
            ("print(int(input()) * 2)", true, true, false),
            ("import sys\nn = sys.stdin.read()", true, false, false),
            ("def f():\n    return input()", true, false, false),
            ("def main(): print(1)\nmain()", false, true, false),
            ("def main(): print(1)\nif __name__ == '__main__':\n    main()", false, true, false),
            ("import sys\nsys.setrecursionlimit(10)", false, false, false),
            ("a = []\na.append(1)", false, false, false),
            ("assert f(1) == 2", false, false, true),
            ("def test_f():\n    assert f() == 1\ntest_f()", false, true, true),
            ("import unittest\nclass T(unittest.TestCase): pass", false, false, true),
            ("def f(data, input): return data", false, false, false),
        ] {
            with(text, |features| {
                let got = (features.reads, features.runs, features.is_test);
                assert_eq!(got, (reads, runs, is_test), "{text:?}");
            });
        }
    }

    #[test]
    fn a_sketch_has_no_bodies() {
        with("def f(a):\n    ...", |features| assert!(features.is_sketch));
        with("class S:\n    def f(self):\n        pass", |features| assert!(features.is_sketch));
        with("class S:\n    x: int\n", |features| assert!(!features.is_sketch));
        with("def f(a):\n    return 1", |features| assert!(!features.is_sketch));
    }
}
