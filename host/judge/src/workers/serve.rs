//! The worker's side: one run after another, until the host closes the pipe. If the host is killed, its workers end at
//! once, whatever they are running.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

use super::confine::Confinement;
use super::wire::{Answer, PART_BYTES_MAX, Request, receive, send};
use hilora_contract::plugin::SolutionRunner;

/// Says that this process is ready, runs what comes in and answers, until nothing comes any more.
pub fn serve(
    runner: &dyn SolutionRunner,
    confinement: Confinement,
    requests: impl Read,
    answers: impl Write,
) -> io::Result<()> {
    let (mut requests, mut answers) = (BufReader::new(requests), BufWriter::new(answers));
    send(&mut answers, &Answer::Ready(confinement), b"", b"")?;
    while let Some((Request { limits, entry_point }, code, stdin)) = receive(&mut requests, PART_BYTES_MAX)? {
        let code = String::from_utf8(code).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match runner.run(&code, entry_point.as_deref(), &stdin, &limits) {
            Ok(report) => send(&mut answers, &Answer::of(&report), &report.stdout, &report.stderr)?,
            Err(error) => send(&mut answers, &Answer::Failed(error.to_string()), b"", b"")?,
        }
    }
    Ok(())
}

/// Kills this process as soon as the host, which holds the other end of this pipe, is gone: nobody waits for the program
/// that it runs, and that program may have minutes left. To be called once, after `confine`, so that this thread has given up
/// what the others have.
pub fn end_with_host(requests: impl AsFd + Send + 'static) {
    thread::spawn(move || {
        // Asked for no event, poll waits for the one that is always told: that the other end was closed.
        let mut closed = [PollFd::new(&requests, PollFlags::empty())];
        while poll(&mut closed, None) == Err(rustix::io::Errno::INTR) {}
        if closed[0].revents().contains(PollFlags::HUP) {
            // A process may always kill itself.
            let _killed = kill_process(getpid(), Signal::KILL);
        }
    });
}
