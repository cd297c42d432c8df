//! `hilora-host judge --programs`: a file of programs in, a file of judgements out, through the binary and the real
//! runner.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hilora_contract::artifact::ContentHash;
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{component, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("judge::every_program_gets_its_verdict_in_the_order_of_the_file", verdicts),
        Trial::test("judge::a_receipt_is_replayed_bit_for_bit_and_a_change_is_named", replayed),
        Trial::test("judge::a_reference_solution_makes_the_budget", calibrated),
        Trial::test("judge::a_worker_that_dies_costs_its_run_and_no_other", dead_workers),
        Trial::test("judge::an_engine_that_dies_on_a_reference_solution_is_no_bad_input", dead_references),
        Trial::test("judge::a_wrong_reference_solution_refuses_its_program_alone", wrong_reference),
        Trial::test("judge::a_batch_that_is_killed_goes_on_and_ends_in_the_same_bytes", killed),
        Trial::test("judge::workers_end_with_their_host", orphaned_workers),
        Trial::test("judge::a_machine_that_stands_still_changes_no_verdict", stopped_workers),
        Trial::test("judge::a_worker_has_given_up_its_rights_when_a_program_runs", confined_workers),
        Trial::test("judge::a_runner_that_is_replaced_meanwhile_judges_nothing", replaced_runner),
        Trial::test("judge::a_cache_that_cannot_be_used_changes_no_verdict", unusable_cache),
        Trial::test("judge::an_interrupted_batch_keeps_what_is_judged", interrupted),
        Trial::test("judge::a_pipe_is_read_once", piped),
        Trial::test("judge::bad_input_is_one_error_with_its_line_and_nothing_is_written", bad_input),
    ]
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(lines: &[String]) -> Result<Self, Failed> {
        let bench = Self { folder: tempfile::tempdir()? };
        fs::write(bench.path("in.jsonl"), lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).arg("judge").arg("--programs").arg(self.path("in.jsonl")).args(arguments);
        command
    }

    fn judge(&self, arguments: &[&str]) -> Result<Output, Failed> {
        Ok(self.command(arguments).arg("--output").arg(self.path("out.jsonl")).output()?)
    }

    /// Replays the judgements: the exit code and what is said.
    fn replay(&self) -> Result<(Option<i32>, String), Failed> {
        let arguments = ["--reproducible", "--workers", "4", "--replay"];
        let output = self.command(&arguments).arg(self.path("out.jsonl")).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    fn rows(&self) -> Result<Vec<Value>, Failed> {
        let text = fs::read_to_string(self.path("out.jsonl"))?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn judged(&self, workers: &str) -> Result<Vec<Value>, Failed> {
        let output = self.judge(&["--workers", workers, "--json"])?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        self.rows()
    }
}

fn program(id: &str, code: &str, tests: &[(&str, &str)], more: Value) -> String {
    let tests: Vec<Value> = tests.iter().map(|(input, output)| json!({"input": input, "output": output})).collect();
    let mut row = json!({"id": id, "code": code, "tests": tests});
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row.to_string()
}

fn verdicts() -> Result<(), Failed> {
    let double = "print(int(input()) * 2)";
    let bench = Bench::new(&[
        program("right", double, &[("1\n", "2\n"), ("4\n", "8")], json!({})),
        program("wrong at the second", double, &[("1\n", "2\n"), ("4\n", "9")], json!({})),
        program("exits", "import sys; sys.exit(3)", &[("", "")], json!({})),
        program("raises", "print({}['key'])", &[("", "")], json!({})),
        program("loops", "while True: pass", &[("", "")], json!({"time_limit_ms": 500})),
        program(
            "grows",
            "x = []\nwhile True: x.append(' ' * 10**6)",
            &[("", "")],
            json!({"memory_bytes_max": 67_108_864}),
        ),
        program("floods", "while True: print('x' * 10**6)", &[("", "")], json!({})),
        program("needs numpy", "import numpy", &[("", "")], json!({})),
        program("tokens", "print('1  2')", &[("", "1\n2")], json!({"checker": "tokens"})),
        program("lines", "print('1  2')", &[("", "1\n2")], json!({"checker": "lines"})),
        program("float", "print(1 / 3)", &[("", "0.333333")], json!({"checker": "float"})),
        program("any order", "print('b\\na')", &[("", "a\nb")], json!({"checker": "any-order-checker"})),
        program("too many", "print('b\\na\\na')", &[("", "a\nb")], json!({"checker": "any-order-checker"})),
        program("function", "def add(a, b): return a + b", &[("1\n2", "3")], json!({"entry_point": "add"})),
    ])?;
    let judged = bench.judged("3")?;
    let words: Vec<(&str, &str)> = judged
        .iter()
        .map(|row| (row["id"].as_str().unwrap_or_default(), row["verdict"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(
        words,
        [
            ("right", "accepted"),
            ("wrong at the second", "wrong-answer"),
            ("exits", "runtime-error"),
            ("raises", "runtime-error"),
            ("loops", "time-limit"),
            ("grows", "memory-limit"),
            ("floods", "output-limit"),
            ("needs numpy", "unsupported"),
            ("tokens", "accepted"),
            ("lines", "wrong-answer"),
            ("float", "accepted"),
            ("any order", "accepted"),
            ("too many", "wrong-answer"),
            ("function", "accepted"),
        ]
    );
    let tests: Vec<&str> =
        judged[1]["tests"].as_array().ok_or("no tests")?.iter().filter_map(|test| test["verdict"].as_str()).collect();
    assert_eq!(tests, ["accepted", "wrong-answer"], "every test runs");
    assert_eq!(judged[2]["tests"][0]["exit_code"], 3);
    assert_eq!(
        (&judged[3]["tests"][0]["exception"], &judged[3]["tests"][0]["exit_code"]),
        (&json!("KeyError"), &json!(1))
    );
    assert_eq!((&judged[4]["tests"][0]["exit_code"], &judged[4]["tests"][0]["detail"]), (&Value::Null, &json!("fuel")));
    assert_eq!(judged[7]["tests"][0]["detail"], "no module `numpy`");
    assert_eq!(judged[8]["tests"][0]["stdout_bytes"], 5);
    assert_eq!(judged[12]["tests"][0]["detail"], "the line `a` is one too many");
    assert!(judged.iter().all(|row| row["tests"][0]["fuel"].as_u64().is_some_and(|fuel| fuel > 0)));

    // What is measured in time differs; everything else does not, with any number of workers.
    let mut again = bench.judged("1")?;
    let mut judged = judged;
    for row in judged.iter_mut().chain(&mut again) {
        for test in row["tests"].as_array_mut().ok_or("no tests")? {
            for name in ["cpu_ms", "wall_ms"] {
                assert!(test[name].take().as_f64().is_some_and(|time| time > 0.0), "{name}");
            }
        }
    }
    assert_eq!(judged, again);
    Ok(())
}

/// A program that needs half as much again as half a second's fuel, twice what its reference solution needs.
fn calibrated() -> Result<(), Failed> {
    let counting = |turns: u32| format!("def count(n):\n    for i in range(n): pass\ncount({turns})\nprint('ok')");
    let (reference, slower) = (counting(21_000_000), counting(42_000_000));
    let tests = [("", "ok")];
    let bench = Bench::new(&[
        program("alone", &slower, &tests, json!({"time_limit_ms": 500})),
        program("measured", &slower, &tests, json!({"time_limit_ms": 500, "reference": reference})),
        program("endless", "while True: pass", &tests, json!({"time_limit_ms": 500, "reference": "print('ok')"})),
    ])?;
    let judged = bench.judged("2")?;
    let verdicts: Vec<_> = judged.iter().map(|row| row["verdict"].as_str().unwrap_or_default()).collect();
    assert_eq!(verdicts, ["time-limit", "accepted", "time-limit"]);
    let fuel: Vec<_> = judged.iter().map(|row| row["receipt"]["limits"]["fuel"].as_u64().unwrap_or(0)).collect();
    assert!(fuel[1] > 2 * fuel[0] && fuel[1] <= 3 * fuel[0] && fuel[2] == fuel[0], "{fuel:?}");

    Ok(())
}

fn wrong_reference() -> Result<(), Failed> {
    let tests = [("", "ok")];
    let bench = Bench::new(&[
        program("a", "print('ok')", &tests, json!({})),
        program("b", "print('ok')", &tests, json!({"reference": "print('no')"})),
        program("c", "print('ok')", &tests, json!({"reference": "print('ok')"})),
    ])?;
    let output = bench.judge(&["--json"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let why = "the reference solution of `b` is wrong-answer at test 1, expected accepted";
    for part in [&format!("1 of 3 programs not judged; the first: {why}"), "hint: leave `reference` out"] {
        assert!(said.contains(part), "expected `{part}`: {said}");
    }
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(summary["verdicts"], json!({"accepted": 2}));
    assert_eq!(summary["refused"], json!([{"id": "b", "why": why}]));
    let rows = bench.rows()?;
    let verdicts: Vec<_> = rows.iter().map(|row| row.get("verdict").and_then(Value::as_str)).collect();
    assert_eq!(verdicts, [Some("accepted"), None, Some("accepted")]);
    assert_eq!((&rows[1]["refused"], &rows[1]["tests"]), (&json!(why), &json!([])));
    assert!(!bench.path("out.jsonl.judged").exists());
    Ok(())
}

/// Programs that take a moment each.
fn batch_of_moments() -> Result<Bench, Failed> {
    let code = |turns: usize| format!("x = 0\nfor i in range({turns}): x += i\nprint(x)");
    let sum = |turns: usize| (turns * (turns - 1) / 2).to_string();
    let lines: Vec<String> = (0..12)
        .map(|index| {
            let turns = 1_000_000 + index;
            let more = if index % 4 == 0 { json!({"reference": code(turns)}) } else { json!({}) };
            program(&format!("p{index}"), &code(turns), &[("", &sum(turns)), ("", &sum(turns))], more)
        })
        .collect();
    Bench::new(&lines)
}

/// What the record holds: the findings, each with its times.
fn record(bench: &Bench) -> Vec<Value> {
    let text = fs::read_to_string(bench.path("out.jsonl.judged")).unwrap_or_default();
    text.lines().skip(1).filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect()
}

/// Waits until the record holds so many findings.
fn wait_for_record(bench: &Bench, process: &mut Child, findings: usize) -> Result<(), Failed> {
    while record(bench).len() < findings {
        if let Some(status) = process.try_wait()? {
            return Err(format!("the process ended ({status}) before {findings} findings were recorded").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The rows without their times, which are measurements.
fn timeless(rows: &[Value]) -> Vec<Value> {
    let mut rows = rows.to_vec();
    for test in rows.iter_mut().filter_map(|row| row["tests"].as_array_mut()).flatten() {
        (test["cpu_ms"], test["wall_ms"]) = (Value::Null, Value::Null);
    }
    rows
}

fn killed() -> Result<(), Failed> {
    let arguments = ["--reproducible", "--workers", "2"];
    let whole = batch_of_moments()?;
    assert!(whole.judge(&arguments)?.status.success());
    let bench = batch_of_moments()?;
    let mut recorded = 0;
    for _ in 0..3 {
        let mut command = bench.command(&arguments);
        command.arg("--output").arg(bench.path("out.jsonl")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut judge = command.spawn()?;
        wait_for_record(&bench, &mut judge, recorded + 3)?;
        judge.kill()?;
        judge.wait()?;
        assert!(!bench.path("out.jsonl").exists());
        let now = record(&bench).len();
        assert!(now >= recorded + 3, "{now} findings after {recorded}");
        recorded = now;
    }
    // A machine that died cut the last line off.
    let path = bench.path("out.jsonl.judged");
    let bytes = fs::read(&path)?;
    fs::write(&path, &bytes[..bytes.len() - 7])?;
    let kept = record(&bench);
    assert_eq!(kept.len(), recorded - 1);

    let output = bench.judge(&arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("going on from {} answers", kept.len())), "{said}");
    let rows = bench.rows()?;
    assert_eq!(timeless(&rows), timeless(&whole.rows()?));
    // What was recorded was not run again: its times are those of then, to the microsecond. Only the findings of the three
    // reference solutions stand in no row.
    let is_in_a_row = |finding: &&Value| rows.iter().any(|row| row["tests"] == finding["finding"]["tests"]);
    let found = kept.iter().filter(is_in_a_row).count();
    assert!(found >= 5 && found + 3 >= kept.len(), "{found} of {} findings stand in a row", kept.len());
    assert!(!path.exists());
    Ok(())
}

/// A batch whose second program runs for minutes, at work on it.
fn endless_batch() -> Result<(Bench, Child), Failed> {
    let bench = Bench::new(&[
        program("quick", "print(1)", &[("", "1")], json!({})),
        program("endless", "while True: pass", &[("", "")], json!({"time_limit_ms": 20_000})),
        program("after it", "print(1)", &[("", "1")], json!({})),
    ])?;
    let mut command = bench.command(&["--reproducible", "--workers", "1", "--output"]);
    let mut judge = command.arg(bench.path("out.jsonl")).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    wait_for_record(&bench, &mut judge, 1)?;
    // It takes less than this to hand out the next program.
    std::thread::sleep(Duration::from_millis(200));
    Ok((bench, judge))
}

/// Whether a process is there and has not ended.
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn orphaned_workers() -> Result<(), Failed> {
    let (_bench, mut judge) = endless_batch()?;
    let workers = children(judge.id())?;
    assert!(!workers.is_empty() && workers.iter().all(|worker| is_alive(*worker)), "{workers:?}");
    judge.kill()?;
    judge.wait()?;
    let killed = Instant::now();
    while workers.iter().any(|worker| is_alive(*worker)) {
        assert!(killed.elapsed() < Duration::from_secs(5), "a worker outlives its host");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn interrupted() -> Result<(), Failed> {
    let (bench, judge) = endless_batch()?;
    let (workers, asked) = (children(judge.id())?, Instant::now());
    let id = Pid::from_raw(judge.id().try_into()?).ok_or("a process has an id")?;
    kill_process(id, Signal::INT)?;
    let output = judge.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(said.contains("interrupted: 1 of 3 programs judged, kept in "), "{said}");
    assert!(!said.contains("died"), "{said}");
    assert!(!workers.iter().any(|worker| is_alive(*worker)), "a worker outlives its host");
    assert_eq!(record(&bench).len(), 1);
    assert!(!bench.path("out.jsonl").exists());
    Ok(())
}

fn piped() -> Result<(), Failed> {
    let lines = [
        program("one", "print(1)", &[("", "1")], json!({"reference": "print(1)"})),
        program("two", "print(2)", &[("", "1")], json!({})),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
    command.current_dir(repository()).args(["judge", "--programs", "-", "--output", "-"]);
    let mut judge = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = judge.stdin.take().ok_or("no standard input")?;
    for line in &lines {
        writeln!(stdin, "{line}")?;
    }
    drop(stdin);
    let output = judge.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let rows: Vec<Value> =
        String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let verdicts: Vec<_> = rows.iter().map(|row| row["verdict"].as_str().unwrap_or_default()).collect();
    assert_eq!(verdicts, ["accepted", "wrong-answer"]);
    assert!(said.contains("2 programs judged"), "{said}");
    Ok(())
}

fn replayed() -> Result<(), Failed> {
    let sleeps = "import time\nt = time.time()\ntime.sleep(1)\nprint(time.time() - t >= 1, hash('a'))";
    let lines = [
        program("right", "print(sum(i * i for i in range(1000)))", &[("", "332833500")], json!({})),
        program("loops", "while True: pass", &[("", "")], json!({"time_limit_ms": 500})),
        program("looks at clock and hashes", sleeps, &[("", "True")], json!({})),
        program("sleeps for ever", "import time; time.sleep(10**6)", &[("", "")], json!({})),
    ];
    let bench = Bench::new(&lines)?;
    let output = bench.judge(&["--reproducible", "--workers", "1"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, said) = bench.replay()?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("every judgement is the one that was made before"), "{said}");

    let rows = bench.rows()?;
    let mut changed = rows.clone();
    let fuel = changed[0]["tests"][0]["fuel"].as_u64().ok_or("no fuel")?;
    changed[0]["tests"][0]["fuel"] = json!(fuel + 1);
    changed[1]["verdict"] = json!("accepted");
    changed[2]["receipt"]["code"] = changed[0]["receipt"]["code"].clone();
    let text: String = changed.iter().map(|row| format!("{row}\n")).collect();
    fs::write(bench.path("out.jsonl"), text)?;
    let (code, said) = bench.replay()?;
    assert_eq!(code, Some(3), "{said}");
    for part in [
        "`right`: test 1: ",
        "`loops`: accepted before, time-limit now",
        "`looks at clock and hashes`: it was judged from something else",
    ] {
        assert!(said.contains(part), "expected `{part}`: {said}");
    }
    assert!(!said.contains("sleeps for ever`: "), "{said}");
    Ok(())
}

/// The processes that this one has started.
fn children(process: u32) -> Result<Vec<u32>, Failed> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    });
    Ok(pairs.filter(|(_, parent)| *parent == process).map(|(child, _)| child).collect())
}

/// Sends a signal to so many of the worker processes that this process starts, each as soon as it is there.
pub(crate) fn signal_workers(process: &mut Child, signal: Signal, count: usize) -> Result<(), Failed> {
    let mut signalled = Vec::new();
    while signalled.len() < count {
        if let Some(status) = process.try_wait()? {
            return Err(format!("the process ended ({status}) after {} of {count} signals", signalled.len()).into());
        }
        let workers = children(process.id())?;
        if let Some(worker) = workers.into_iter().find(|worker| !signalled.contains(worker)) {
            // It says that it is ready before it gets its first program.
            std::thread::sleep(Duration::from_millis(300));
            send_signal(worker, signal)?;
            signalled.push(worker);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn send_signal(process: u32, signal: Signal) -> Result<(), Failed> {
    let id = Pid::from_raw(process.try_into()?).ok_or("a process has an id")?;
    match kill_process(id, signal) {
        // It may have ended since it was seen.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Kills a worker of this process every 50 ms until it ends, and tells how many there were.
pub(crate) fn kill_workers_until_the_end(process: &mut Child) -> Result<u64, Failed> {
    let mut kills = 0;
    while process.try_wait()?.is_none() {
        if let Some(worker) = children(process.id())?.last() {
            send_signal(*worker, Signal::KILL)?;
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(kills)
}

/// A program that runs longer than it takes to find its worker, and what it writes.
pub(crate) const LONG: (&str, &str) = ("x = 0\nfor i in range(3 * 10**7): x += i\nprint(x)", "449999985000000");

fn dead_workers() -> Result<(), Failed> {
    let (long, sum) = LONG;
    // However often others kill its workers, a program gets its verdict; what dies of itself each time gets none.
    for (signal, count, verdict) in
        [(Signal::KILL, 1, "accepted"), (Signal::KILL, 6, "accepted"), (Signal::ABORT, 3, "internal-error")]
    {
        let bench = Bench::new(&[
            program("long", long, &[("", sum)], json!({"time_limit_ms": 20_000})),
            program("next", "print(1)", &[("", "1")], json!({})),
        ])?;
        let mut command = bench.command(&["--workers", "1", "--output"]);
        let mut judge = command.arg(bench.path("out.jsonl")).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        signal_workers(&mut judge, signal, count)?;
        let output = judge.wait_with_output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows = bench.rows()?;
        assert_eq!((&rows[0]["verdict"], &rows[1]["verdict"]), (&json!(verdict), &json!("accepted")), "{rows:?}");
        if verdict == "internal-error" {
            let detail = rows[0]["tests"][0]["detail"].as_str().unwrap_or_default();
            assert!(detail.starts_with("the engine's process died: "), "{detail}");
        }
    }
    Ok(())
}

/// The first worker of a process, as soon as it is there.
fn first_worker(process: &Child) -> Result<u32, Failed> {
    let begun = Instant::now();
    loop {
        if let Some(worker) = children(process.id())?.first() {
            return Ok(*worker);
        }
        if begun.elapsed() > Duration::from_secs(120) {
            return Err("no worker starts".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A machine that stands still for longer than the clocks of a program's run have changes no verdict.
fn stopped_workers() -> Result<(), Failed> {
    // About a second of work. Its limit of half a second is fuel for that, and fifteen seconds of wall clock.
    let busy = ("x = 0\nfor i in range(3 * 10**6): x += i\nprint(x)", "4499998500000");
    let bench = Bench::new(&[program("busy", busy.0, &[("", busy.1)], json!({"time_limit_ms": 500}))])?;
    let mut command = bench.command(&["--workers", "1", "--output"]);
    let mut judge = command.arg(bench.path("out.jsonl")).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let (host, worker) = (judge.id(), first_worker(&judge)?);
    std::thread::sleep(Duration::from_millis(150));
    [host, worker].into_iter().try_for_each(|process| send_signal(process, Signal::STOP))?;
    assert!(judge.try_wait()?.is_none(), "it was over before it could be stopped");
    std::thread::sleep(Duration::from_secs(17));
    [worker, host].into_iter().try_for_each(|process| send_signal(process, Signal::CONT))?;
    assert!(judge.wait()?.success());
    assert_eq!(bench.rows()?[0]["verdict"], json!("accepted"));
    Ok(())
}

/// While it runs a program, a worker has no rights to gain and no environment.
fn confined_workers() -> Result<(), Failed> {
    let (long, sum) = LONG;
    let bench = Bench::new(&[program("long", long, &[("", sum)], json!({"time_limit_ms": 20_000}))])?;
    let mut command = bench.command(&["--workers", "1", "--output"]);
    let mut judge = command.arg(bench.path("out.jsonl")).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let worker = first_worker(&judge)?;
    std::thread::sleep(Duration::from_millis(500));
    let of = |name: &str| fs::read_to_string(format!("/proc/{worker}/{name}"));
    let status = of("status")?;
    // Of every thread.
    for thread in fs::read_dir(format!("/proc/{worker}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    assert!(status.contains("Threads:\t2"), "the one that runs, and the one that ends with the host: {status}");
    assert_eq!(of("environ")?, "");
    assert!(judge.wait()?.success());
    Ok(())
}

fn dead_references() -> Result<(), Failed> {
    let (long, sum) = LONG;
    let bench = Bench::new(&[program("long", "", &[("", sum)], json!({"time_limit_ms": 20_000, "reference": long}))])?;
    let mut command = bench.command(&["--workers", "1", "--output"]);
    let mut judge = command.arg(bench.path("out.jsonl")).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    signal_workers(&mut judge, Signal::ABORT, 3)?;
    let output = judge.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = "cannot measure the reference solution of `long`, test 1: the engine's process died: ";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("0/1 reference solutions"), "{said}");
    assert!(!bench.path("out.jsonl").exists());
    Ok(())
}

/// A runner that is replaced while it judges is not the one that judges: the receipt names the one that did.
fn replaced_runner() -> Result<(), Failed> {
    let (long, sum) = LONG;
    let bench = Bench::new(&[
        program("long", long, &[("", sum)], json!({"time_limit_ms": 20_000})),
        program("next", "print(1)", &[("", "1")], json!({})),
    ])?;
    let runner = bench.path("runner.wasm");
    fs::copy(component("python-runner"), &runner)?;
    let content = ContentHash::of_file(&runner)?.to_string();
    let mut command = bench.command(&["--workers", "1", "--output"]);
    command.arg(bench.path("out.jsonl")).arg("--runner").arg(&runner);
    let mut judge = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    // The worker that takes its place starts when the file is another.
    first_worker(&judge)?;
    fs::copy(component("javascript-runner"), bench.path("other.wasm"))?;
    fs::rename(bench.path("other.wasm"), &runner)?;
    signal_workers(&mut judge, Signal::KILL, 1)?;
    assert!(judge.wait()?.success());
    for row in bench.rows()? {
        assert_eq!((&row["verdict"], &row["receipt"]["runner"]), (&json!("accepted"), &json!(content)), "{row}");
    }
    Ok(())
}

/// A cache that cannot be used costs the host one compilation, and no worker any.
fn unusable_cache() -> Result<(), Failed> {
    let programs: Vec<String> =
        (0..8).map(|i| program(&format!("p{i}"), "print(1)", &[("", "1")], json!({}))).collect();
    let bench = Bench::new(&programs)?;
    let cache = bench.path("cache");
    fs::create_dir(&cache)?;
    fs::write(cache.join("hilora-host"), "a file in the place of the folder")?;
    let mut command = bench.command(&["--workers", "8", "--runner"]);
    command.arg(component("javascript-runner")).env("XDG_CACHE_HOME", &cache).arg("--output");
    let programs = fs::read_to_string(bench.path("in.jsonl"))?.replace("print(1)", "console.log(1)");
    let programs = programs.replace("\"code\"", "\"language\":\"javascript\",\"code\"");
    fs::write(bench.path("in.jsonl"), programs)?;
    let output = command.arg(bench.path("out.jsonl")).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("compiled plugins are not kept").count(), 1, "{said}");
    assert!(bench.rows()?.iter().all(|row| row["verdict"] == json!("accepted")));
    Ok(())
}

fn bad_input() -> Result<(), Failed> {
    let good = || program("good", "print(1)", &[("", "1")], json!({}));
    for (line, parts) in [
        ("{".to_owned(), ["line 2", "got `{` (EOF while parsing", "hint: a line has id, code and tests"]),
        (program("a", "", &[], json!({})), ["line 2", "`a` has no tests", ""]),
        (program("a", "", &[("", "")], json!({"test": 1})), ["line 2", "got the key `test`", ""]),
        (
            program("a", "", &[("", "")], json!({"checker": "guess"})),
            [
                "line 2",
                "the checker `guess`, which does not exist",
                "hint: expected `lines`, `tokens`, `float`, `decimals`, `answer`",
            ],
        ),
        (
            program("a", "", &[("", "")], json!({"language": "javascript"})),
            ["line 2", "is in javascript, but the runner runs python3", "hint: `--runner FILE`"],
        ),
        (
            program("a", "", &[("", "")], json!({"entry_point": "a b"})),
            ["line 2", "the entry point `a b`, expected a function's name", ""],
        ),
        (
            program("a", "", &[("", "")], json!({"entry_point": "f", "checker": "tokens"})),
            ["line 2", "an entry point and the checker `tokens`", "hint: what a called function returns"],
        ),
        (
            program("a", "", &[("", "")], json!({"time_limit_ms": 499})),
            ["line 2", "`a` has the time_limit_ms 499, expected 500 to 20000", "hint: leave `time_limit_ms` out"],
        ),
        (
            program("a", "", &[("", "")], json!({"memory_bytes_max": 1_073_741_825})),
            ["line 2", "`a` has the memory_bytes_max 1073741825, expected 67108864 to 1073741824", "hint: leave"],
        ),
    ] {
        let bench = Bench::new(&[good(), line])?;
        let output = bench.judge(&[])?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        for part in parts {
            assert!(message.contains(part), "expected `{part}`: {message}");
        }
        assert!(!bench.path("out.jsonl").exists());
    }
    for (limit, expected) in [
        ("--time-limit-ms=20001", "--time-limit-ms <TIME_LIMIT_MS>': 20001 is not in 500..=20000"),
        ("--memory-limit-mib=63", "--memory-limit-mib <MEMORY_LIMIT_MIB>': 63 is not in 64..=1024"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        let output = command.args(["judge", "run", limit, "program.py"]).output()?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let bench = Bench::new(&[good()])?;
    fs::remove_file(bench.path("in.jsonl"))?;
    let output = bench.judge(&[])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read "));
    Ok(())
}
