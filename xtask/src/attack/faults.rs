//! Faults of the machine: streams that cannot be written, and a disk that is full.

use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::job::{Job, finish};
use super::{Row, Tally};

/// Runs the job with standard error and output that are full, closed or read by nobody. Messages may be lost, work may not.
pub(super) fn of_streams(job: &Job, cases: usize) -> Result<Row> {
    // A shell closes a stream, or ends its reader at once.
    let every = [
        ("full", "2>/dev/full", 0),
        ("closed", "2>&-", 0),
        ("read by nobody", "2> >(exit 0)", 0),
        // Without standard output the result cannot be told, which is an error of its own.
        ("all closed", "<&- >&- 2>&-", 1),
    ];
    let cases = &every[..cases.min(every.len())];
    let mut tally = Tally::begin("standard error that cannot be written", cases.len() as u64);
    for &(case, redirection, code) in cases {
        let run = format!("stream-{}", case.replace(' ', "-"));
        let mut command = in_shell(job, &format!("exec \"$@\" {redirection}"), &run);
        let outcome = finish(&mut command).and_then(|output| match output.status.code() {
            Some(got) if got == code => job.same(&run),
            _ => Err(output.status.to_string()),
        });
        tally.enter(outcome.map_err(|error| format!("{case}: {error}")));
        job.remove(&run);
    }
    Ok(tally.end())
}

/// Runs the job where no file may grow beyond a size, as on a full disk; then again without that limit.
pub(super) fn of_the_disk(job: &Job, limits: u64) -> Result<Row> {
    let mut tally = Tally::begin("a disk that is full", limits);
    for step in 0..limits {
        // From 1 KiB up to some hundred: each fails at another file.
        let kib = 1 + step * step;
        let run = format!("full{kib}");
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
        let mut limited = in_shell(job, &script, &run);
        let outcome = finish(&mut limited).and_then(|output| job.ended_well(&output, &run)).and_then(|()| {
            let output = finish(&mut job.command(&[], &run))?;
            match output.status.code() {
                Some(0) => job.same(&run),
                _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            }
        });
        tally.enter(outcome.map_err(|error| format!("at {kib} KiB: {error}")));
        job.remove(&run);
    }
    Ok(tally.end())
}

/// The job's command, started by a shell that changes what it begins with.
fn in_shell(job: &Job, script: &str, run: &str) -> Command {
    let whole = job.command(&[], run);
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(job.binary()).args(whole.get_args());
    if let Some(folder) = whole.get_current_dir() {
        command.current_dir(folder);
    }
    let null = File::open("/dev/null").map_or_else(|_| Stdio::null(), Stdio::from);
    command.stdin(null).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
