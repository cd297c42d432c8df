//! Damage: inputs made of whole ones by a seeded generator. The programs of `cargo xtask attack` include this file by its
//! path; the same seed gives the same inputs on every machine.

#[path = "random.rs"]
mod random;

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use self::random::Random;

/// What is put in the place of a part: numbers at the ends of their types, and what opens without closing.
const PARTS: [&[u8]; 16] = [
    b"-1",
    b"0",
    b"9223372036854775808",
    b"18446744073709551615",
    b"1e999",
    b"NaN",
    b"null",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"\\ud800\"",
    b"\x00",
    b"\xff\xff\xff\xff",
    b"../../x",
    b"{%",
    b"}}",
    b"\n\n",
];

/// The largest input that is made.
const BYTES_MAX: usize = 64 << 10;

/// A damaged copy of one of the whole inputs.
pub(crate) fn damaged(whole: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = whole[random.below(whole.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(32)).min(bytes.len());
        match random.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            3 => drop(bytes.drain(at..to)),
            4 => {
                let again = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, again));
            }
            5 => {
                let part = PARTS[random.below(PARTS.len())];
                drop(bytes.splice(at..to, part.iter().copied()));
            }
            6 => {
                let other = &whole[random.below(whole.len())];
                let from = random.below(other.len() + 1);
                let end = (from + random.below(256)).min(other.len());
                drop(bytes.splice(at..to, other[from..end].iter().copied()));
            }
            7 if random.below(8) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// What the last panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// No input may take longer.
const TIME_MAX: Duration = Duration::from_secs(10);
/// The input that is read.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Ends the process if one input takes too long, and says which.
struct Watchdog(mpsc::Sender<()>);

impl Watchdog {
    fn start(target: &str) -> Self {
        let (alive, ended) = mpsc::channel();
        let target = target.to_owned();
        thread::spawn(move || {
            let mut last = u64::MAX;
            while ended.recv_timeout(TIME_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = NUMBER.load(Ordering::Relaxed);
                if now == last {
                    eprintln!("{target}, input {now}: no end after {} s", TIME_MAX.as_secs());
                    std::process::abort();
                }
                last = now;
            }
        });
        Self(alive)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The thread may have ended with the process's last input.
        let _ended = self.0.send(());
    }
}

/// Feeds `read` the whole inputs, which it must accept, and so many damaged ones, and prints a line of JSON: the target, how
/// many were tried, how many of them failed, how many were accepted as whole, and what was found. A panic and an input that
/// takes too long are findings; to be refused is right.
pub(crate) fn feed(target: &str, seed: u64, inputs: u64, whole: &[Vec<u8>], read: &mut dyn FnMut(&[u8]) -> bool) {
    panic::set_hook(Box::new(|panicked| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panicked.to_string();
    }));
    let mut findings: Vec<String> = Vec::new();
    let (mut accepted, mut failed, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    let _watchdog = Watchdog::start(target);
    // Damage to what is refused as it is would show nothing.
    let mut is_accepted = |input: &Vec<u8>| panic::catch_unwind(AssertUnwindSafe(|| read(input))).unwrap_or(false);
    if let Some(refused) = whole.iter().position(|input| !is_accepted(input)) {
        failed += 1;
        findings.push(format!("whole input {refused} is refused, or makes it panic"));
    }
    for number in 0..inputs {
        let input = damaged(whole, &mut Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number)));
        NUMBER.store(number, Ordering::Relaxed);
        let begun = Instant::now();
        let read = panic::catch_unwind(AssertUnwindSafe(|| read(&input)));
        let took = begun.elapsed();
        slowest = slowest.max(took);
        failed += u64::from(read.is_err() || took > TIME_MAX);
        match read {
            Ok(is_accepted) => accepted += u64::from(is_accepted),
            Err(_) => {
                let words = PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
                findings.push(format!("input {number}: {}", words.escape_debug()));
            }
        }
        // One that never ends is the watchdog's, which looks so rarely that this one may have been too fast for it.
        if took > TIME_MAX {
            findings.push(format!("input {number}: {:.1} s", took.as_secs_f64()));
        }
    }
    drop(panic::take_hook());
    findings.truncate(20);
    let line = format!(
        "{{\"target\":{target:?},\"tried\":{inputs},\"failed\":{failed},\"accepted\":{accepted},\"slowest_ms\":{},\"findings\":{findings:?}}}\n",
        slowest.as_millis()
    );
    // Whoever counts them sees that a line is missing.
    let _unread = io::stdout().write_all(line.as_bytes());
}

/// The arguments: a seed, and how many inputs for each target.
pub(crate) fn arguments() -> Option<(u64, u64)> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().ok());
    Some((arguments.next()??, arguments.next()??))
}
