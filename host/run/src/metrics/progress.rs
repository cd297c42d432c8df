//! Progress: how far each stage of a run is, on standard error.
//!
//! A terminal gets a bar with rate and remaining time. Anything else (a log file, `--quiet`, `--json`) gets no bar; a
//! log gets a plain line when a stage begins, every ten seconds while it moves, and when it ends. A stage counts what
//! it is told and never guesses a total.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// How often a log gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What takes less than this needs no stage of its own on screen.
const LATE: Duration = Duration::from_secs(1);

/// What progress looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressStyle {
    /// Bars that move.
    Bars,
    /// Plain lines at intervals.
    Lines,
    /// Nothing.
    Silent,
}

impl ProgressStyle {
    /// Bars on a terminal, lines elsewhere; with `plain` (`--json`) lines everywhere, with `quiet` nothing.
    pub fn choose(quiet: bool, plain: bool) -> Self {
        if quiet {
            Self::Silent
        } else if plain || !io::stderr().is_terminal() {
            Self::Lines
        } else {
            Self::Bars
        }
    }
}

/// The progress of a run.
pub struct Progress {
    style: ProgressStyle,
    bars: MultiProgress,
}

/// One stage: so many units of work.
pub struct Stage {
    style: ProgressStyle,
    name: String,
    unit: String,
    bar: ProgressBar,
    last_line: Mutex<Instant>,
}

/// A stage that shows itself only once it has taken more than a moment: most bases are hashed and loaded in less.
pub struct LateStage<'a> {
    progress: &'a Progress,
    name: &'a str,
    unit: &'a str,
    begun: Instant,
    shown: Option<Stage>,
}

impl Progress {
    /// Progress in this style.
    pub fn new(style: ProgressStyle) -> Self {
        let target = match style {
            ProgressStyle::Bars => ProgressDrawTarget::stderr_with_hz(10),
            ProgressStyle::Lines | ProgressStyle::Silent => ProgressDrawTarget::hidden(),
        };
        Self { style, bars: MultiProgress::with_draw_target(target) }
    }

    /// Begins a stage of `total` units.
    pub fn stage(&self, name: &str, total: u64, unit: &str) -> Stage {
        let bar = self.bars.add(ProgressBar::new(total));
        bar.set_style(bar_style(unit, total));
        bar.set_prefix(name.to_owned());
        let stage = Stage {
            style: self.style,
            name: name.to_owned(),
            unit: unit.to_owned(),
            bar,
            last_line: Mutex::new(Instant::now()),
        };
        if total > 0 {
            stage.line(&format!("0/{total} {unit}"));
        }
        stage
    }

    /// Begins a stage that is shown where it lasts.
    pub fn late_stage<'a>(&'a self, name: &'a str, unit: &'a str) -> LateStage<'a> {
        LateStage { progress: self, name, unit, begun: Instant::now(), shown: None }
    }

    /// A line for a person, above the bars.
    pub fn say(&self, text: &str) {
        match self.style {
            ProgressStyle::Silent => {}
            ProgressStyle::Bars | ProgressStyle::Lines => self.bars.suspend(|| eprintln!("{text}")),
        }
    }

    /// Standard error for the log, which would tear the bars if it wrote by itself.
    pub fn stderr(&self) -> StderrAroundBars {
        StderrAroundBars(self.bars.clone())
    }
}

impl LateStage<'_> {
    /// So many units of so many are done.
    pub fn set(&mut self, done: u64, total: u64) {
        if self.shown.is_none() && self.begun.elapsed() > LATE {
            self.shown = Some(self.progress.stage(self.name, total, self.unit));
        }
        if let Some(stage) = &self.shown {
            stage.set_position(done);
        }
    }

    /// Ends the stage.
    pub fn finish(self) {
        if let Some(stage) = self.shown {
            stage.finish();
        }
    }
}

impl Stage {
    /// So many more units are done.
    pub fn advance(&self, units: u64) {
        self.bar.inc(units);
        self.line_if_due();
    }

    /// Learns how many there are in all, where that is known only on the way.
    pub fn set_total(&self, units: u64) {
        if self.bar.length() == Some(0) {
            self.bar.set_style(bar_style(&self.unit, units));
        }
        self.bar.set_length(units);
    }

    /// So many units are done in all.
    pub fn set_position(&self, units: u64) {
        self.bar.set_position(units);
        self.line_if_due();
    }

    /// A few words beside the bar, such as the loss.
    pub fn set_message(&self, message: &str) {
        self.bar.set_message(message.to_owned());
    }

    /// The units done.
    pub fn position(&self) -> u64 {
        self.bar.position()
    }

    /// Ends the stage: its bar goes and one line says what it did and how long it took.
    pub fn finish(self) {
        self.bar.finish_and_clear();
        let text = format!("{} {} in {:.1} s", self.bar.position(), self.unit, self.bar.elapsed().as_secs_f64());
        match self.style {
            ProgressStyle::Bars => self.bar.suspend(|| eprintln!("{:>12} {text}", self.name)),
            ProgressStyle::Lines => self.line(&text),
            ProgressStyle::Silent => {}
        }
    }

    fn line_if_due(&self) {
        if self.style != ProgressStyle::Lines {
            return;
        }
        // A poisoned lock means another thread panicked while printing; the time in it is still a time.
        let mut last = self.last_line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            let message = self.bar.message();
            let separator = if message.is_empty() { "" } else { ", " };
            let (done, unit) = (self.bar.position(), &self.unit);
            match self.bar.length() {
                None | Some(0) => self.line(&format!("{done} {unit}{separator}{message}")),
                Some(total) => {
                    let eta = self.bar.eta().as_secs();
                    self.line(&format!("{done}/{total} {unit}, {eta} s left{separator}{message}"));
                }
            }
        }
    }

    fn line(&self, text: &str) {
        if self.style == ProgressStyle::Lines {
            eprintln!("{}: {text}", self.name);
        }
    }
}

/// A bar; as long as nobody knows the total, only a count.
fn bar_style(unit: &str, total: u64) -> indicatif::ProgressStyle {
    let template = match total {
        0 => format!("{{prefix:>12}} {{spinner}} {{pos}} {unit}, {{per_sec}} {{msg}}"),
        _ => format!("{{prefix:>12}} {{bar:32}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left {{msg}}"),
    };
    indicatif::ProgressStyle::with_template(&template)
        .expect("the template is fixed but for the unit, a plain word")
        .progress_chars("━╸ ")
}

/// A writer to standard error that moves the bars out of its way.
#[derive(Clone)]
pub struct StderrAroundBars(MultiProgress);

impl Write for StderrAroundBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_wins_and_a_log_gets_no_bars() {
        assert_eq!(ProgressStyle::choose(true, true), ProgressStyle::Silent);
        assert_eq!(ProgressStyle::choose(false, true), ProgressStyle::Lines);
    }

    #[test]
    fn a_stage_counts_from_several_threads() {
        let progress = Progress::new(ProgressStyle::Silent);
        let stage = progress.stage("judging", 400, "programs");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| stage.advance(1)));
            }
        });
        assert_eq!(stage.position(), 400);
        stage.finish();
    }
}
