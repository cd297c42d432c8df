//! The worker's side: one run after another, until the host closes the pipe. Where the host is killed, a worker ends with
//! the run that it is at, and that with its limits.

use std::io::{self, BufReader, BufWriter, Read, Write};

use super::wire::{Answer, receive, send};
use hilora_contract::plugin::{RunLimits, SolutionRunner};

/// Runs what comes in and answers, until nothing comes any more.
pub fn serve(runner: &dyn SolutionRunner, requests: impl Read, answers: impl Write) -> io::Result<()> {
    let (mut requests, mut answers) = (BufReader::new(requests), BufWriter::new(answers));
    while let Some((limits, code, stdin)) = receive::<RunLimits>(&mut requests)? {
        let code = String::from_utf8(code).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match runner.run(&code, &stdin, &limits) {
            Ok(report) => send(&mut answers, &Answer::of(&report), &report.stdout, &report.stderr)?,
            Err(error) => send(&mut answers, &Answer::Failed(error.to_string()), b"", b"")?,
        }
    }
    Ok(())
}
