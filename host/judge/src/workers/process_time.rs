//! The processor time of another process, from Linux's `/proc`. Where it cannot be read, none seems to pass.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;

/// What a process has used since it was first looked at.
pub(super) struct ProcessTime {
    path: PathBuf,
    first: Option<Duration>,
    last: Duration,
    /// When it was seen to have used more than before.
    moved: Instant,
}

impl ProcessTime {
    /// The time of the process with this number.
    pub(super) fn of(process: u32) -> Self {
        let path = PathBuf::from(format!("/proc/{process}/stat"));
        Self { path, first: None, last: Duration::ZERO, moved: Instant::now() }
    }

    /// Processor time since the first look.
    pub(super) fn used(&mut self) -> Duration {
        if let Some(now) = fs::read_to_string(&self.path).ok().and_then(|stat| total(&stat)) {
            if now > self.last {
                self.moved = Instant::now();
            }
            self.last = now;
            self.first.get_or_insert(now);
        }
        self.last.saturating_sub(self.first.unwrap_or_default())
    }

    /// How long ago it was last seen to run.
    pub(super) fn idle(&self) -> Duration {
        self.moved.elapsed()
    }
}

/// User and system time of a line of `/proc/<pid>/stat`. Its second field is a name in parentheses, in which anything may
/// stand.
fn total(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / clock_ticks_per_second().max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_the_14th_and_15th_field() {
        let line = "7 (a ) 1 2 (x) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        let ticks = clock_ticks_per_second();
        assert_eq!(total(line), Some(Duration::from_millis(300 * 1_000 / ticks)));
        assert_eq!(total("7 (sh"), None);
    }

    #[test]
    fn this_process_uses_time() {
        let mut time = ProcessTime::of(std::process::id());
        let begun = Instant::now();
        let mut sum = 0_u64;
        while time.used() < Duration::from_millis(30) {
            sum = (0..1_000_000).fold(sum, |sum, next| std::hint::black_box(sum ^ next));
            assert!(begun.elapsed() < Duration::from_secs(60), "no time passes");
        }
    }
}
