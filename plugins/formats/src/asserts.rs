//! Tests that are asserts in Python, as HumanEval, MBPP and EvalPlus have them: code that is put behind a program and calls
//! what it defines.
//!
//! Each test is one call of a function that this code brings. It runs the test in the program's own names and returns
//! `passed` with a number that depends on all tests, which a program that ends early does not write. An assert that fails is
//! an answer that differs; any other exception is the program's own. A program may have names like those of builtins, which
//! the function therefore asks of `builtins` itself.

use std::borrow::Cow;

use hilora_plugin_sdk::types::TestCase;

/// The function that the tests call. A program that defines it too is overruled.
pub const ENTRY_POINT: &str = "run_assert_test";

/// How EvalPlus' scripts ask for numpy, of which they take two types and a comparison.
const NUMPY: &str = "import numpy as np";
const NUMPY_NAMES: [&str; 4] = ["allclose", "ndarray", "float64", "float32"];
/// What they take, without numpy: `allclose` is |a - b| <= atol + rtol |b|, through lists and tuples. Nothing here is an
/// `ndarray`.
const NUMPY_STAND_IN: &str = "
class np:
    class ndarray:
        pass
    float32 = float64 = None
    @staticmethod
    def allclose(a, b, rtol=1e-05, atol=1e-08):
        a_many, b_many = isinstance(a, (list, tuple)), isinstance(b, (list, tuple))
        if a_many and b_many and len(a) != len(b) and 1 not in (len(a), len(b)):
            raise ValueError('operands could not be broadcast together')
        if a_many and (not b_many or len(a) != 1 or len(b) == 1):
            others = b if b_many and len(b) != 1 else [b[0] if b_many else b] * len(a)
            return all(np.allclose(x, y, rtol, atol) for x, y in zip(a, others))
        if b_many:
            return all(np.allclose(a[0] if a_many else a, y, rtol, atol) for y in b)
        return a == b or (abs(b) != float('inf') and abs(a - b) <= atol + rtol * abs(b))
";

/// A test that asks numpy for no more than EvalPlus' do, without it; any other as it is.
fn without_numpy(source: &str) -> Cow<'_, str> {
    let is_import = |line: &&str| line.trim() == NUMPY;
    let is_taken = |rest: &str| NUMPY_NAMES.iter().any(|name| rest.starts_with(name));
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = source.match_indices("np.").filter(|(at, _)| !source[..*at].ends_with(is_name));
    let asks_for_more = names.any(|(at, found)| !is_taken(&source[at + found.len()..]));
    if asks_for_more || source.matches("numpy").count() != 1 || !source.lines().any(|line| is_import(&line)) {
        return source.into();
    }
    let lines = source.lines().map(|line| if is_import(&line) { NUMPY_STAND_IN } else { line });
    lines.collect::<Vec<&str>>().join("\n").into()
}

/// Asserts, and what they need.
#[derive(Debug, Default)]
pub struct Asserts<'a> {
    /// Code that gives names which the program may leave out: imports, and the helpers that a prompt defines. It is run in
    /// names of its own, and one that fails gives none.
    pub given: Vec<&'a str>,
    /// Code that is run before each test.
    pub setup: Vec<&'a str>,
    /// The tests, each of any number of statements.
    pub tests: Vec<String>,
    /// The function that is asked for; what `given` defines under this name is not taken.
    pub function: Option<&'a str>,
}

impl Asserts<'_> {
    /// The code behind every program.
    pub fn test_code(&self) -> String {
        let list = |texts: &mut dyn Iterator<Item = &str>| {
            let literals: Vec<String> = texts.map(literal).collect();
            format!("[{}]", literals.join(", "))
        };
        let given = list(&mut self.given.iter().copied());
        let setup = list(&mut self.setup.iter().copied());
        let tests: Vec<Cow<'_, str>> = self.tests.iter().map(|test| without_numpy(test)).collect();
        let tests = list(&mut tests.iter().map(AsRef::as_ref));
        let function = literal(self.function.unwrap_or_default());
        let passed = literal(&self.passed());
        format!(
            "def {ENTRY_POINT}(number):
    import builtins
    if f'{{builtins.exec}}' != '<built-in function exec>':
        raise builtins.RuntimeError('the program replaced exec, which runs the tests')
    names = builtins.globals()
    for source in {given}:
        given = {{'__name__': 'given'}}
        try:
            builtins.exec(source, given)
        except builtins.Exception:
            continue
        for name, value in given.items():
            if name != {function}:
                names.setdefault(name, value)
    try:
        for source in {setup}:
            builtins.exec(source, names)
        builtins.exec({tests}[number], names)
    except builtins.AssertionError as error:
        return 'failed: ' + builtins.str(error)[:200]
    return {passed}
"
        )
    }

    /// One call for each test.
    pub fn test_cases(&self) -> Vec<TestCase> {
        let expected = literal(&self.passed());
        let case = |number: usize| TestCase { input: number.to_string(), expected: expected.clone() };
        (0..self.tests.len()).map(case).collect()
    }

    /// What a passed test returns: the word, and the FNV-1a hash of the tests.
    fn passed(&self) -> String {
        let bytes = self.tests.iter().flat_map(|test| test.bytes().chain([0]));
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("passed {hash:016x}")
    }
}

/// A text as a literal that JSON and Python read alike: characters beyond ASCII stand as they are.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn asserts() -> Asserts<'static> {
        Asserts {
            given: vec!["from math import gcd\ndef helper(n):\n    return n\ndef double(n):\n    return 0\n", "def broken("],
            setup: vec!["import math"],
            tests: vec![
                "assert double(2) == 4".to_owned(),
                "def check(candidate):\n    assert candidate(3) == 6, 'ü \"x\"'\n    assert math.isclose(candidate(.5), 1)\ncheck(double)".to_owned(),
            ],
            function: Some("double"),
        }
    }

    /// What CPython says of each test, in the way of the runner: the program, the code, and the call.
    fn run(program: &str) -> Result<Vec<String>, std::io::Error> {
        run_with(&asserts(), 2, program)
    }

    fn run_with(asserts: &Asserts<'_>, tests: usize, program: &str) -> Result<Vec<String>, std::io::Error> {
        let call = format!("\nimport json\nfor n in range({tests}):\n    print(json.dumps({ENTRY_POINT}(n)))\n");
        let source = format!("{program}\n\n{}{call}", asserts.test_code());
        let mut python = Command::new("python3")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        python.stdin.take().expect("it is piped").write_all(source.as_bytes())?;
        let output = python.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    #[test]
    fn python_finds_right_programs_right_and_wrong_ones_wrong() -> Result<(), std::io::Error> {
        let expected: Vec<String> = asserts().test_cases().into_iter().map(|case| case.expected).collect();
        assert_eq!(run("def double(n):\n    return helper(n) * gcd(2, 4)")?, expected);
        assert_eq!(
            run("from __future__ import annotations\ndef double(n: X):\n    return 2 * n  # no line end")?,
            expected
        );
        let wrong = run("def double(n):\n    return 4")?;
        assert_eq!(wrong, [expected[0].clone(), "\"failed: \\u00fc \\\"x\\\"\"".to_owned()]);
        // Without the function nothing passes, and a program that ends early says nothing.
        assert_eq!(run("def other(n):\n    return 4")?, Vec::<String>::new());
        assert_eq!(run("import sys\nsys.exit(0)")?, Vec::<String>::new());
        Ok(())
    }

    /// In the manner of EvalPlus' scripts.
    #[test]
    fn a_script_that_compares_floats_by_numpy_needs_none() -> Result<(), std::io::Error> {
        let script = "import numpy as np\n\ndef near(out, exp):\n    assert not isinstance(out, np.ndarray)\n    \
                      assert np.allclose(out, exp, rtol=1e-07, atol=1e-06)\n\ndef check(candidate):\n    \
                      for out, exp in [(1, [0.3333333, 1.0]), (0, [0.0, 1.0])]:\n        near(candidate(out), exp)\n\n\
                      check(third)\n";
        let asserts = |script: &str| Asserts { tests: vec![script.to_owned()], ..Asserts::default() };
        assert!(!asserts(script).test_code().contains("import numpy"));
        for other in
            ["import numpy as np\nassert np.mean([1]) == 1", "import numpy\nimport numpy as np", "x = 'np.mean'"]
        {
            assert_eq!(without_numpy(other), other);
        }
        let expected = asserts(script).test_cases()[0].expected.clone();
        let says = |program: &str| run_with(&asserts(script), 1, program);
        assert_eq!(says("def third(n):\n    return [n / 3, 1.0]")?, [expected]);
        for wrong in ["return [n / 3 + 1e-4, 1.0]", "return [n / 3, float('inf')]", "return [n / 3, float('nan')]"] {
            let said = says(&format!("def third(n):\n    {wrong}"))?;
            assert_eq!(said, ["\"failed: \""], "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn a_program_with_names_of_builtins_passes_nothing_by_them() -> Result<(), std::io::Error> {
        let expected: Vec<String> = asserts().test_cases().into_iter().map(|case| case.expected).collect();
        for shadow in [
            "def exec(*code): pass",
            "def globals(): return {'double': lambda n: 2 * n}",
            "class AssertionError(Exception): pass",
            "def str(text): raise SystemExit",
        ] {
            let wrong = run(&format!("{shadow}\ndef double(n):\n    return 0"))?;
            assert_eq!(wrong, ["\"failed: \"".to_owned(), "\"failed: \\u00fc \\\"x\\\"\"".to_owned()], "{shadow}");
            assert_eq!(run(&format!("{shadow}\ndef double(n):\n    return n + n"))?, expected, "{shadow}");
        }
        assert_eq!(
            run("import builtins, json\nbuiltins.exec = lambda *code: None\ndef double(n):\n    return 0")?,
            Vec::<String>::new()
        );
        Ok(())
    }

    #[test]
    fn every_test_is_one_call() {
        let cases = asserts().test_cases();
        assert_eq!(cases.iter().map(|case| case.input.as_str()).collect::<Vec<_>>(), ["0", "1"]);
        assert!(cases[0].expected.starts_with("\"passed ") && cases[0].expected == cases[1].expected);
        assert_ne!(Asserts::default().passed(), asserts().passed());
    }
}
