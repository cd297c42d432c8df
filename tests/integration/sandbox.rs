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
use hilora_judge::{Checker, Judge, Judgement, StopAt, Submission, Verdict, run_limits};
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
            checker: Checker::Lines,
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
    for (sandbox, language, interpreter) in
        [(&PYTHON, Language::Python3, "CPython 3.14"), (&JAVASCRIPT, Language::Javascript, "QuickJS-ng 0.")]
    {
        let info = sandbox.runner()?.describe()?;
        assert_eq!(info.language, language);
        assert!(info.interpreter.starts_with(interpreter), "{}", info.interpreter);
    }
    Ok(())
}

fn fuel_is_the_same_in_every_run() -> Result<(), Failed> {
    let code = "import random, time\nvalues = {str(random.random()) for _ in range(1000)}\n\
                print(sum(map(hash, values)), time.time())";
    let runner = runner()?;
    let first = runner.run(code, b"", &LIMITS)?;
    assert_eq!(first.termination, Termination::Exited(0));
    for _ in 0..20 {
        let again = runner.run(code, b"", &LIMITS)?;
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
        assert_eq!(runner.run(mark, b"", &LIMITS)?.stdout, b"ok\n");
        assert_eq!(runner.run(look, b"", &LIMITS)?.stdout, b"ok\n");
    }
    Ok(())
}

fn captured_bytes_are_the_programs_own() -> Result<(), Failed> {
    let code =
        "import sys\ndata = sys.stdin.buffer.read()\nsys.stdout.buffer.write(data)\nsys.stderr.write('e\\ud800')";
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let report = runner()?.run(code, &input, &LIMITS)?;
    assert_eq!(report.termination, Termination::Exited(0));
    assert!(report.stdout == input, "the output is not the input");
    assert_eq!(report.stderr, b"e\\ud800");
    assert!(report.memory_bytes > 0 && report.fuel > 0 && report.cpu_time_us > 0);
    // One call writes all of it, as it does on a pipe.
    let at_once = "import os, sys\nos.write(1, sys.stdin.buffer.read())";
    assert!(runner()?.run(at_once, &input, &LIMITS)?.stdout == input, "one write was cut");
    Ok(())
}

fn a_traceback_is_cpythons() -> Result<(), Failed> {
    let report = runner()?.run("def half(x):\n    return 1 / x\n\nprint('before')\nhalf(0)\n", b"", &LIMITS)?;
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
        let right = |output: String, actual: &[u8], checker: Checker| {
            let test = TestCase { input: String::new(), output };
            matches!(checker.decide(&test, actual), Ok(Decision::Accepted))
        };
        match self.r#match.as_str() {
            "tokens" => right(self.output.clone(), actual, Checker::Tokens),
            "float" => right(self.output.clone(), actual, Checker::Float),
            "case" => right(self.output.to_ascii_lowercase(), &actual.to_ascii_lowercase(), Checker::Tokens),
            _ => right(self.output.clone(), actual, Checker::Lines),
        }
    }
}

fn real_programs_pass_their_tests(path: PathBuf) -> Result<(), Failed> {
    let runner = runner()?;
    let limits = run_limits(Some(20_000), Some(1 << 30));
    let (mut passed, mut failures) = (0, Vec::new());
    for line in fs::read_to_string(path)?.lines().step_by(REAL_PROGRAMS_STEP) {
        let program: RealProgram = serde_json::from_str(line)?;
        for (index, test) in program.tests.iter().enumerate() {
            let report = runner.run(&program.code, test.input.as_bytes(), &limits)?;
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
