//! Measures the sandbox for `cargo xtask bench judge`; prints one JSON object. Arguments: the runner, then one of
//!
//! * `trivial RUNS`: the median thread CPU time of a trivial program, each in a fresh instance, all of it counted;
//! * `program FILE`: the thread CPU time of one program and what it wrote;
//! * `scaling RUNS`: runs a second on one and on two threads;
//! * `memory INSTANCES`: bytes of its own for each of so many instances at work.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hilora_contract::plugin::{RunLimits, SolutionRunner, Termination};
use hilora_judge::run_limits;
use hilora_wasm::{HostOptions, PluginHost};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// The host's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TRIVIAL: &str = "print(int(input()) + 1)";
/// A few milliseconds of work, so that scaling is of programs and not of start-up alone.
const SHORT: &str = "print(sum(i * i for i in range(20000)))";
const ENDLESS: &str = "while True: pass";
/// After this long every instance is at work.
const SETTLE: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [runner, what, value] = &arguments[..] else {
        return Err("expected a runner, what to measure, a value".into());
    };
    let runner = PluginHost::new(&HostOptions::default())?.runner(Path::new(runner))?;
    // What is made once for a process is not part of a run.
    run(&*runner, TRIVIAL, "1", &limits())?;
    let measured = match what.as_str() {
        "trivial" => trivial(&*runner, value.parse()?)?,
        "program" => program(&*runner, &fs::read_to_string(value)?)?,
        "scaling" => scaling(&*runner, value.parse()?)?,
        "memory" => memory(&*runner, value.parse()?)?,
        _ => return Err(format!("cannot measure `{what}`").into()),
    };
    writeln!(std::io::stdout(), "{measured}")?;
    // Instances that are still at work are not waited for.
    std::process::exit(0)
}

fn limits() -> RunLimits {
    run_limits(Some(20_000), Some(512 << 20))
}

fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The thread CPU time of one run in seconds, instantiation and teardown included, and its output.
fn run(
    runner: &dyn SolutionRunner,
    code: &str,
    stdin: &str,
    limits: &RunLimits,
) -> Result<(f64, Vec<u8>), Box<dyn Error>> {
    let started = thread_cpu_seconds();
    let report = runner.run(code, None, stdin.as_bytes(), limits)?;
    let seconds = thread_cpu_seconds() - started;
    if report.termination != Termination::Exited(0) {
        return Err(format!("a program ended with {:?}", report.termination).into());
    }
    Ok((seconds, report.stdout))
}

fn trivial(runner: &dyn SolutionRunner, runs: usize) -> Result<Value, Box<dyn Error>> {
    let mut seconds = Vec::new();
    for _ in 0..runs {
        let (took, stdout) = run(runner, TRIVIAL, "41\n", &limits())?;
        if stdout != b"42\n" {
            return Err("a trivial program is wrong".into());
        }
        seconds.push(took);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(json!({ "cpu_ms": seconds[runs / 2] * 1e3, "cpu_ms_p90": seconds[runs * 9 / 10] * 1e3 }))
}

fn program(runner: &dyn SolutionRunner, code: &str) -> Result<Value, Box<dyn Error>> {
    let (seconds, stdout) = run(runner, code, "", &limits())?;
    Ok(json!({ "cpu_seconds": seconds, "stdout": String::from_utf8(stdout)? }))
}

fn scaling(runner: &dyn SolutionRunner, runs: usize) -> Result<Value, Box<dyn Error>> {
    let rate = |threads: usize| {
        let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let started = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < runs {
                        failed.fetch_add(run(runner, SHORT, "", &limits()).is_err().into(), Ordering::Relaxed);
                    }
                });
            }
        });
        match failed.into_inner() {
            0 => Ok(runs as f64 / started.elapsed().as_secs_f64()),
            failed => Err(format!("{failed} of {runs} runs failed")),
        }
    };
    Ok(json!({ "one_thread": rate(1)?, "two_threads": rate(2)? }))
}

fn memory(runner: &dyn SolutionRunner, instances: usize) -> Result<Value, Box<dyn Error>> {
    let before = private_bytes()?;
    thread::scope(|scope| {
        for _ in 0..instances {
            scope.spawn(|| runner.run(ENDLESS, None, b"", &limits()));
        }
        thread::sleep(SETTLE);
        let each = (private_bytes()? - before) / instances as f64;
        writeln!(std::io::stdout(), "{}", json!({ "bytes_per_instance": each }))?;
        std::process::exit(0)
    })
}

/// Memory that is this process's own: what instances share (compiled code, the memory image) is mapped by each and counted
/// once for the process, not here.
fn private_bytes() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).ok_or("no RssAnon")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).ok_or("no value of RssAnon")?.parse()?;
    Ok(kibibytes * 1024.0)
}
