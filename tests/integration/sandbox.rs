//! The sandbox: real programs in the real Python component, each in an instance of its own.
//!
//! A program under `tests/data/programs-*` states what must become of it in its first line:
//! `# expect: <verdict>[ or <verdict>][: <beginning of the detail>]` (`//` in JavaScript). All of them read `5` and are to
//! write `ok`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use hilora_contract::dataset::{Language, TestCase};
use hilora_contract::plugin::{Decision, FUEL_PER_SECOND, RunLimits, SolutionRunner, Termination};
use hilora_judge::{Checker, Judge, Judgement, StopAt, Submission, Tolerance, Verdict, run_limits};
use hilora_wasm::PluginHost;
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;

use crate::{plugin_host, real_data_trial, repository};

/// Small enough that every hostile program ends within seconds, large enough for the interpreter.
const LIMITS: RunLimits = RunLimits {
    fuel: FUEL_PER_SECOND,
    cpu_time_ms: 20_000,
    wall_time_ms: 60_000,
    memory_bytes_max: 256 << 20,
    output_bytes_max: 1 << 20,
    reproducible: false,
};

/// One real program in so many is run by the suite.
const REAL_PROGRAMS_STEP: usize = 10;

static HOST: LazyLock<Result<PluginHost, String>> = LazyLock::new(|| plugin_host().map_err(|error| error.to_string()));

/// The host that the tests share.
pub(crate) fn host() -> Result<&'static PluginHost, Failed> {
    HOST.as_ref().map_err(|error| error.as_str().into())
}

/// A component that `cargo xtask build` makes.
pub(crate) fn built(path: &str) -> Result<PathBuf, Failed> {
    let path = repository().join(path);
    if !path.is_file() {
        return Err(format!("{} is missing; hint: `cargo xtask build` makes it", path.display()).into());
    }
    Ok(path)
}

/// A language by its component, a program that notices whether something of another run is left, and how it comments.
struct Sandbox {
    component: &'static str,
    next_program: &'static str,
    comment: &'static str,
}

const PYTHON: Sandbox = Sandbox {
    component: "plugins/python-runner.wasm",
    next_program: "print('ok' if input() == '5' else 'no')",
    comment: "# ",
};
const JAVASCRIPT: Sandbox = Sandbox {
    component: "plugins/javascript-runner.wasm",
    next_program: r"console.log(require('fs').readFileSync(0, 'utf8') === '5\n' ? 'ok' : 'no')",
    comment: "// ",
};

impl Sandbox {
    fn runner(&self) -> Result<Arc<dyn SolutionRunner>, Failed> {
        Ok(host()?.runner(&built(self.component)?)?)
    }

    fn judge(&self, code: &str) -> Result<Judgement, Failed> {
        let test = TestCase { input: "5\n".to_owned(), output: "ok\n".to_owned() };
        let submission = Submission {
            id: "program".to_owned(),
            code: code.to_owned(),
            tests: [test].into(),
            first_test: 0,
            entry_point: None,
            checker: Checker::default(),
            limits: LIMITS,
        };
        Ok(Judge::new(self.runner()?, 1).judge(&submission, StopAt::FirstFailure)?)
    }
}

fn runner() -> Result<Arc<dyn SolutionRunner>, Failed> {
    PYTHON.runner()
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("sandbox::the_runners_say_what_they_run", the_runners_say_what_they_run),
        Trial::test("sandbox::fuel_is_the_same_in_every_run", fuel_is_the_same_in_every_run),
        Trial::test("sandbox::nothing_stays_between_runs", nothing_stays_between_runs),
        Trial::test("sandbox::captured_bytes_are_the_programs_own", captured_bytes_are_the_programs_own),
        Trial::test("sandbox::a_traceback_is_cpythons", a_traceback_is_cpythons),
        Trial::test("sandbox::line_ends_of_input_are_its_own", line_ends_of_input_are_its_own),
        Trial::test("sandbox::functions_of_python_are_called", functions_of_python_are_called),
        Trial::test("sandbox::functions_of_javascript_are_called", functions_of_javascript_are_called),
        real_data_trial(
            "sandbox::real_programs_pass_their_tests",
            "programs/verified.jsonl",
            real_programs_pass_their_tests,
        ),
    ];
    for (folder, sandbox) in
        [("programs-hostile", &PYTHON), ("programs-idioms", &PYTHON), ("programs-javascript", &JAVASCRIPT)]
    {
        for path in programs(folder) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            trials.push(Trial::test(format!("sandbox::{folder}::{name}"), move || expectation_holds(sandbox, &path)));
        }
    }
    trials
}

fn programs(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("tests/data").join(folder)).expect("the folder is committed");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it is readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "py" || extension == "js"));
    paths.sort();
    assert!(!paths.is_empty(), "no programs in {folder}");
    paths
}

fn expectation_holds(sandbox: &Sandbox, path: &Path) -> Result<(), Failed> {
    let code = fs::read_to_string(path)?;
    let first = code.lines().next().and_then(|line| line.strip_prefix(sandbox.comment));
    let expectation = first.and_then(|line| line.strip_prefix("expect: ")).ok_or("no expectation")?;
    let (words, detail) = expectation.split_once(": ").unwrap_or((expectation, ""));
    let verdicts: Vec<Verdict> = words.split(" or ").map(str::parse).collect::<Result<_, _>>()?;
    let judgement = sandbox.judge(&code)?;
    let got = &judgement.tests[0];
    if !verdicts.contains(&judgement.verdict) || !got.detail.starts_with(detail) {
        return Err(format!("expected {expectation}, got {}: {}", judgement.verdict, got.detail).into());
    }
    // The host is alive, and the next program finds nothing of this one.
    let next = sandbox.judge(sandbox.next_program)?;
    if !next.is_accepted() {
        return Err(format!("the next program got {}: {}", next.verdict, next.tests[0].detail).into());
    }
    Ok(())
}

fn the_runners_say_what_they_run() -> Result<(), Failed> {
    for (sandbox, language, extension, interpreter) in
        [(&PYTHON, Language::PYTHON3, "py", "CPython 3.14"), (&JAVASCRIPT, Language::JAVASCRIPT, "js", "QuickJS-ng 0.")]
    {
        let info = sandbox.runner()?.describe()?;
        assert_eq!((info.language, info.file_extension.as_str(), info.calls_functions), (language, extension, true));
        assert!(info.interpreter.starts_with(interpreter), "{}", info.interpreter);
    }
    Ok(())
}

fn fuel_is_the_same_in_every_run() -> Result<(), Failed> {
    let code = "import random, time\nvalues = {str(random.random()) for _ in range(1000)}\n\
                print(sum(map(hash, values)), time.time())";
    let runner = runner()?;
    let first = runner.run(code, None, b"", &LIMITS)?;
    assert_eq!(first.termination, Termination::Exited(0));
    for _ in 0..20 {
        let again = runner.run(code, None, b"", &LIMITS)?;
        assert_eq!((again.fuel, &again.stdout), (first.fuel, &first.stdout));
    }
    Ok(())
}

fn nothing_stays_between_runs() -> Result<(), Failed> {
    let runner = runner()?;
    let mark = "import sys, builtins\nsys.modules['mark'] = builtins.mark = sys.path.append('mark')\nprint('ok')";
    let look =
        "import sys, builtins\nprint('ok' if not hasattr(builtins, 'mark') and 'mark' not in sys.path else 'no')";
    for _ in 0..3 {
        assert_eq!(runner.run(mark, None, b"", &LIMITS)?.stdout, b"ok\n");
        assert_eq!(runner.run(look, None, b"", &LIMITS)?.stdout, b"ok\n");
    }
    Ok(())
}

fn captured_bytes_are_the_programs_own() -> Result<(), Failed> {
    let code =
        "import sys\ndata = sys.stdin.buffer.read()\nsys.stdout.buffer.write(data)\nsys.stderr.write('e\\ud800')";
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let report = runner()?.run(code, None, &input, &LIMITS)?;
    assert_eq!(report.termination, Termination::Exited(0));
    assert!(report.stdout == input, "the output is not the input");
    assert_eq!(report.stderr, b"e\\ud800");
    assert!(report.memory_bytes > 0 && report.fuel > 0 && report.cpu_time_us > 0);
    // One call writes all of it, as it does on a pipe.
    let at_once = "import os, sys\nos.write(1, sys.stdin.buffer.read())";
    assert!(runner()?.run(at_once, None, &input, &LIMITS)?.stdout == input, "one write was cut");
    Ok(())
}

fn a_traceback_is_cpythons() -> Result<(), Failed> {
    let report = runner()?.run("def half(x):\n    return 1 / x\n\nprint('before')\nhalf(0)\n", None, b"", &LIMITS)?;
    let expected = "Traceback (most recent call last):\n  File \"program.py\", line 5, in <module>\n    half(0)\n    \
                    ~~~~^^^\n  File \"program.py\", line 2, in half\n    return 1 / x\n           ~~^~~\n\
                    ZeroDivisionError: division by zero\n";
    assert_eq!(String::from_utf8_lossy(&report.stderr), expected);
    assert_eq!(report.stdout, b"before\n");
    let raised =
        Termination::Raised { exception: "ZeroDivisionError".to_owned(), message: "division by zero".to_owned() };
    assert_eq!(report.termination, raised);
    Ok(())
}

fn line_ends_of_input_are_its_own() -> Result<(), Failed> {
    // What CPython prints on Linux.
    for (code, expected) in [
        ("print(repr(input()), repr(input()))", "'a\\r' 'b\\rc\\r'\n"),
        ("import sys\nprint([line for line in sys.stdin])", "['a\\r\\n', 'b\\rc\\r\\n', '\\r']\n"),
        ("import sys\nprint(repr(sys.stdin.read()))", "'a\\r\\nb\\rc\\r\\n\\r'\n"),
        ("print(repr(open(0).read()))", "'a\\nb\\nc\\n\\n'\n"),
        ("print(repr(open(0, newline='').readline()))", "'a\\r\\n'\n"),
    ] {
        let report = runner()?.run(code, None, b"a\r\nb\rc\r\n\r", &LIMITS)?;
        assert_eq!(String::from_utf8_lossy(&report.stdout), expected, "{code}");
    }
    Ok(())
}

/// What a function makes of two tests: the verdict, and the beginning of the first failure's detail.
fn call(sandbox: &Sandbox, code: &str) -> Result<(Verdict, String), Failed> {
    let test = |input: &str, output: &str| TestCase { input: input.to_owned(), output: output.to_owned() };
    let submission = Submission {
        id: "function".to_owned(),
        code: code.to_owned(),
        tests: [test("[2,7,11,15]\n9", "[0,1]"), test("\n[3,3]\n\n6\n", "[0, 1]")].into(),
        first_test: 0,
        entry_point: Some("twoSum".to_owned()),
        checker: Checker::default(),
        limits: LIMITS,
    };
    let judgement = Judge::new(sandbox.runner()?, 1).judge(&submission, StopAt::FirstFailure)?;
    let detail = judgement.tests.last().map(|test| test.detail.clone()).unwrap_or_default();
    Ok((judgement.verdict, detail))
}

fn expect_calls(sandbox: &Sandbox, programs: &[(&str, Verdict, &str)]) -> Result<(), Failed> {
    for (code, verdict, detail) in programs {
        let got = call(sandbox, code)?;
        if got.0 != *verdict || !got.1.starts_with(detail) {
            return Err(format!("expected {verdict}: {detail}, got {}: {}, of {code}", got.0, got.1).into());
        }
    }
    Ok(())
}

fn functions_of_python_are_called() -> Result<(), Failed> {
    let search = "        for i, x in enumerate(nums):\n            for j in range(i):\n                \
                  if nums[j] + x == target: return [j, i]\n";
    let method = format!("class Solution:\n    def twoSum(self, nums: List[int], target: int):\n{search}");
    expect_calls(
        &PYTHON,
        &[
            (&method, Verdict::Accepted, ""),
            // What a program prints, in a call or before it, is no answer.
            (&format!("from __future__ import annotations\nprint('loaded')\n{method}"), Verdict::Accepted, ""),
            (&format!("{method}\nif __name__ == '__main__':\n    raise SystemExit(input())"), Verdict::Accepted, ""),
            ("def twoSum(nums, target): return (0, 1)", Verdict::Accepted, ""),
            ("def twoSum(nums, target): print([0, 1])", Verdict::WrongAnswer, ""),
            ("def two_sum(nums, target): return [0, 1]", Verdict::RuntimeError, "KeyError: 'twoSum'"),
            ("def twoSum(nums): return [0, 1]", Verdict::RuntimeError, "TypeError: twoSum() takes 1 positional"),
            ("def twoSum(nums, target): return {0, 1}", Verdict::RuntimeError, "TypeError: Object of type set"),
            ("def twoSum(nums, target): raise SystemExit(0)", Verdict::WrongAnswer, ""),
            ("def twoSum(nums, target): return 'x' * 10**9", Verdict::MemoryLimit, ""),
            // Whatever way the program prints by, and whenever.
            (
                "import os, sys\nout = sys.stdout\ndef twoSum(nums, target):\n    os.write(1, b'1')\n    print(2, file=out)\n    \
              print(3, file=sys.__stdout__)\n    print(4, file=open(1, 'w', closefd=False))\n    return [0, 1]",
                Verdict::Accepted,
                "",
            ),
            (
                "import atexit\natexit.register(print, 'bye')\nclass Late:\n    def __del__(self): print('late')\n\
              late = Late()\ndef twoSum(nums, target): return [0, 1]",
                Verdict::Accepted,
                "",
            ),
            (
                "def twoSum(nums, target):\n    def g(n): return n and 1 + g(n - 1)\n    return [0, g(40000) // 40000]",
                Verdict::Accepted,
                "",
            ),
            // The names that LiveCodeBench's own runner gives.
            (
                "def twoSum(nums, target):\n    assert deepcopy(nums) == nums and randint(3, 3) == 3 and mean([1, 3]) == 2\n    \
              assert ascii_lowercase[0] == 'a' and loads('[1]') == [1] and timedelta(1).days == 1 and xor(1, 2) == 3\n    \
              assert search('b', 'abc').start() == 1 and compile('1', '', 'eval') and pow(2, 5, 7) == 4 and gcd(4, 6) == 2\n    \
              assert StringIO('x').read() == 'x' and datetime.datetime and copy.copy and maxsize > 2**40\n    \
              assert Counter('aa') == {'a': 2} and insort and count and isinstance(nums, list) and stdin.read() == ''\n    \
              return [0, 1]",
                Verdict::Accepted,
                "",
            ),
            (
                "\u{feff}from __future__ import annotations\nclass Solution:\n    def twoSum(self, nums: Unknown, target): return [0, 1]",
                Verdict::Accepted,
                "",
            ),
        ],
    )?;
    let code = "class Solution:\n    def half(self, x):\n        return 1 / x\n";
    let report = runner()?.run(code, Some("half"), b"0", &LIMITS)?;
    let expected = "Traceback (most recent call last):\n  File \"program.py\", line 3, in half\n    return 1 / x\n           \
                    ~~^~~\nZeroDivisionError: division by zero\n";
    assert_eq!(String::from_utf8_lossy(&report.stderr), expected);
    Ok(())
}

fn functions_of_javascript_are_called() -> Result<(), Failed> {
    let body = "(nums, target) { const seen = new Map(); for (let i = 0; i < nums.length; i++) { const left = target - \
                nums[i]; if (seen.has(left)) return [seen.get(left), i]; seen.set(nums[i], i); } }";
    expect_calls(
        &JAVASCRIPT,
        &[
            (&format!("/**\n * @param {{number[]}} nums\n */\nvar twoSum = function{body};"), Verdict::Accepted, ""),
            (&format!("function twoSum{body}"), Verdict::Accepted, ""),
            (&format!("class Solution {{ twoSum{body} }}"), Verdict::Accepted, ""),
            ("const twoSum = (nums, target) => Int32Array.of(0, 1);", Verdict::Accepted, ""),
            ("module.exports = { twoSum: () => [0n, 1n] };", Verdict::Accepted, ""),
            // A module's functions are found without an export; its last line may be a comment.
            (&format!("import fs from 'fs';\nfunction twoSum{body}\n// the end"), Verdict::Accepted, ""),
            (&format!("console.log('loaded'); async function twoSum{body}"), Verdict::Accepted, ""),
            ("const twoSum = () => new Promise((resolve) => setTimeout(resolve, 50, [0, 1]));", Verdict::Accepted, ""),
            ("const twoSum = () => { console.log([0, 1]); };", Verdict::WrongAnswer, ""),
            ("const two_sum = () => [0, 1];", Verdict::RuntimeError, "ReferenceError: twoSum is not defined"),
            ("const twoSum = async () => { throw new RangeError('no'); };", Verdict::RuntimeError, "RangeError: no"),
            ("const twoSum = () => new Promise(() => {});", Verdict::RuntimeError, "Error: the promise"),
            ("const twoSum = () => process.exit(0);", Verdict::WrongAnswer, ""),
            ("const twoSum = () => { const a = []; a.push(a); return a; };", Verdict::RuntimeError, "TypeError: the"),
            (
                "const twoSum = () => { for (const a = [];;) a.push('x'.repeat(1e7) + a.length); };",
                Verdict::MemoryLimit,
                "",
            ),
        ],
    )?;
    let encode = "const twoSum = (value) => [value, 12345678901234567890n, NaN, -Infinity, undefined, { a: 'é', b: undefined }];";
    let report = JAVASCRIPT.runner()?.run(encode, Some("twoSum"), b"{\"k\": [1.50, null]}", &LIMITS)?;
    assert_eq!(
        String::from_utf8_lossy(&report.stdout),
        "[{\"k\":[1.5,null]},12345678901234567890,NaN,-Infinity,null,{\"a\":\"é\"}]\n"
    );
    Ok(())
}

/// A program that CPython 3.11 was seen to pass with.
#[derive(Deserialize)]
struct RealProgram {
    id: String,
    code: String,
    tests: Vec<RealTest>,
}

#[derive(Deserialize)]
struct RealTest {
    input: String,
    output: String,
    /// How the real judge compared: `exact`, `tokens`, `float` or `case`.
    r#match: String,
}

impl RealTest {
    fn accepts(&self, actual: &[u8]) -> bool {
        let checker = match self.r#match.as_str() {
            "float" => Checker::Float { tolerance: Tolerance { absolute: 1e-6, relative: 1e-6 }, ignore_case: false },
            "tokens" => Checker::Tokens { ignore_case: false },
            "case" => Checker::Tokens { ignore_case: true },
            _ => Checker::default(),
        };
        let test = TestCase { input: String::new(), output: self.output.clone() };
        matches!(checker.decide(&test, actual), Ok(Decision::Accepted))
    }
}

fn real_programs_pass_their_tests(path: PathBuf) -> Result<(), Failed> {
    let runner = runner()?;
    let limits = run_limits(Some(20_000), Some(1 << 30));
    let (mut passed, mut failures) = (0, Vec::new());
    for line in fs::read_to_string(path)?.lines().step_by(REAL_PROGRAMS_STEP) {
        let program: RealProgram = serde_json::from_str(line)?;
        for (index, test) in program.tests.iter().enumerate() {
            let report = runner.run(&program.code, None, test.input.as_bytes(), &limits)?;
            if report.termination == Termination::Exited(0) && test.accepts(&report.stdout) {
                passed += 1;
            } else {
                failures.push(format!("{} test {index}: {:?}", program.id, report.termination));
            }
        }
    }
    if failures.is_empty() && passed > 100 {
        return Ok(());
    }
    Err(format!("{passed} tests passed; not: {}", failures.join("; ")).into())
}
