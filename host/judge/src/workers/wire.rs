//! What host and worker say to each other: three parts, each with its length before it. The first is a head in JSON, the
//! other two are bytes: of a request the code and standard input, of an answer standard output and standard error.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::confine::Confinement;
use hilora_contract::plugin::{RunLimits, RunReport, Termination};

/// The most bytes of a part of a request. No dataset's input comes near.
pub(super) const PART_BYTES_MAX: u64 = 1 << 30;
/// The most bytes of an answer's head, whose texts are cut where a guest's words are taken over.
pub(super) const HEAD_BYTES_MAX: u64 = 1 << 20;

/// The head of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The limits of the run.
    pub(super) limits: RunLimits,
    /// The function that is to be called.
    pub(super) entry_point: Option<String>,
}

/// The head of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The worker can run programs; said once, before the first request, with what it has given up.
    Ready(Confinement),
    /// The program ran.
    Ran { termination: Termination, fuel: u64, cpu_time_us: u64, wall_time_us: u64, memory_bytes: u64 },
    /// The runner failed: its error in words.
    Failed(String),
}

impl Answer {
    /// The head that stands before this report's outputs.
    pub(super) fn of(report: &RunReport) -> Self {
        let RunReport { termination, fuel, cpu_time_us, wall_time_us, memory_bytes, .. } = report;
        Self::Ran {
            termination: termination.clone(),
            fuel: *fuel,
            cpu_time_us: *cpu_time_us,
            wall_time_us: *wall_time_us,
            memory_bytes: *memory_bytes,
        }
    }

    /// The report of a run with these outputs; an error in words if there was none.
    pub(super) fn report(self, stdout: Vec<u8>, stderr: Vec<u8>) -> Result<RunReport, String> {
        match self {
            Self::Ready(_) => Err("a worker process said twice that it is ready".to_owned()),
            Self::Failed(message) => Err(message),
            Self::Ran { termination, fuel, cpu_time_us, wall_time_us, memory_bytes } => {
                Ok(RunReport { termination, stdout, stderr, fuel, cpu_time_us, wall_time_us, memory_bytes })
            }
        }
    }
}

/// A head and what follows it.
pub(super) type Message<H> = (H, Vec<u8>, Vec<u8>);

/// Sends a head and two lists of bytes.
pub(super) fn send(to: &mut impl Write, head: &impl Serialize, first: &[u8], second: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    for part in [&head[..], first, second] {
        to.write_all(&(part.len() as u64).to_le_bytes())?;
        to.write_all(part)?;
    }
    to.flush()
}

/// Receives what `send` sent, of which no part has more bytes than this; `None` where the other side has closed before a
/// beginning.
pub(super) fn receive<H: DeserializeOwned>(
    from: &mut impl Read,
    part_bytes_max: u64,
) -> io::Result<Option<Message<H>>> {
    let Some(head) = part(from, part_bytes_max)? else { return Ok(None) };
    let rest = [part(from, part_bytes_max)?, part(from, part_bytes_max)?];
    let [Some(first), Some(second)] = rest else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    Ok(Some((serde_json::from_slice(&head)?, first, second)))
}

fn part(from: &mut impl Read, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    let mut read = 0;
    while read < length.len() {
        match from.read(&mut length[read..])? {
            0 if read == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    let length = u64::from_le_bytes(length);
    if length > bytes_max {
        return Err(io::Error::other(format!("expected a part of at most {bytes_max} bytes, got {length}")));
    }
    let mut bytes = Vec::new();
    // Memory is taken as bytes come, not as a length claims.
    if from.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() -> io::Result<()> {
        let mut wire = Vec::new();
        send(&mut wire, &"head", b"\0code\n", b"")?;
        send(&mut wire, &"next", b"", b"input")?;
        let mut from = &wire[..];
        assert_eq!(
            receive::<String>(&mut from, PART_BYTES_MAX)?,
            Some(("head".to_owned(), b"\0code\n".to_vec(), Vec::new()))
        );
        assert_eq!(
            receive::<String>(&mut from, PART_BYTES_MAX)?,
            Some(("next".to_owned(), Vec::new(), b"input".to_vec()))
        );
        assert_eq!(receive::<String>(&mut from, PART_BYTES_MAX)?, None);
        Ok(())
    }

    #[test]
    fn what_is_cut_or_lies_is_an_error() -> io::Result<()> {
        let mut wire = Vec::new();
        send(&mut wire, &"head", b"code", b"input")?;
        for end in 1..wire.len() {
            assert!(receive::<String>(&mut &wire[..end], PART_BYTES_MAX).is_err(), "{end}");
        }
        assert!(receive::<String>(&mut &u64::MAX.to_le_bytes()[..], PART_BYTES_MAX).is_err());
        assert!(receive::<u32>(&mut &wire[..], PART_BYTES_MAX).is_err(), "another head");
        assert!(receive::<String>(&mut &wire[..], 5).is_err(), "a part that is larger than it may be");
        Ok(())
    }
}
