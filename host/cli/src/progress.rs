//! Progress: how far each task is, on standard error.
//!
//! A terminal gets a bar with rate and remaining time. Anything else (a log file, `--quiet`, `--json`) gets no bar; a
//! log gets a plain line when a task begins, every ten seconds while it moves, and when it ends. A task counts what
//! it is told and never guesses a total.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hilora_contract::terminal::{visible, visible_paragraph};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// How often a log gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What takes less than this needs no bar of its own.
const LATE: Duration = Duration::from_secs(1);

/// What progress looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    /// Bars that move.
    Bars,
    /// Plain lines at intervals.
    Lines,
    /// Nothing.
    Silent,
}

impl ProgressStyle {
    /// Bars on a terminal, lines elsewhere; with `plain` (`--json`) lines everywhere, with `quiet` nothing.
    pub(crate) fn choose(quiet: bool, plain: bool) -> Self {
        if quiet {
            Self::Silent
        } else if plain || !io::stderr().is_terminal() {
            Self::Lines
        } else {
            Self::Bars
        }
    }
}

/// The progress of everything that goes on in this process.
#[derive(Clone)]
pub(crate) struct Progress {
    style: ProgressStyle,
    bars: MultiProgress,
}

/// One task: a number of units of work.
pub(crate) struct Bar {
    style: ProgressStyle,
    name: String,
    unit: String,
    bar: ProgressBar,
    last_line: Mutex<Instant>,
}

/// A task that shows itself only once it has taken more than a moment: most bases are hashed and loaded in less.
pub(crate) struct LateBar {
    progress: Progress,
    name: String,
    unit: String,
    total: u64,
    done: u64,
    begun: Instant,
    shown: Option<Bar>,
}

impl Progress {
    /// Progress in this style.
    pub(crate) fn new(style: ProgressStyle) -> Self {
        let target = match style {
            ProgressStyle::Bars => ProgressDrawTarget::stderr_with_hz(10),
            ProgressStyle::Lines | ProgressStyle::Silent => ProgressDrawTarget::hidden(),
        };
        Self { style, bars: MultiProgress::with_draw_target(target) }
    }

    /// Whether bars are seen to move.
    pub(crate) fn moves(&self) -> bool {
        self.style == ProgressStyle::Bars
    }

    /// Begins a task of `total` units; 0 while nobody knows.
    pub(crate) fn bar(&self, name: &str, total: u64, unit: &str) -> Bar {
        let bar = self.bars.add(ProgressBar::new(total));
        bar.set_style(bar_style(unit, total));
        bar.set_prefix(visible(name).into_owned());
        let task = Bar {
            style: self.style,
            name: name.to_owned(),
            unit: unit.to_owned(),
            bar,
            last_line: Mutex::new(Instant::now()),
        };
        if total > 0 {
            task.line(&format!("0/{total} {unit}"));
        }
        task
    }

    /// Begins a task that is shown if it lasts.
    pub(crate) fn late_bar(&self, name: &str, unit: &str) -> LateBar {
        LateBar {
            progress: self.clone(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            total: 0,
            done: 0,
            begun: Instant::now(),
            shown: None,
        }
    }

    /// A line for a person, above the bars.
    pub(crate) fn say(&self, text: &str) {
        match self.style {
            ProgressStyle::Silent => {}
            ProgressStyle::Bars | ProgressStyle::Lines => self.bars.suspend(|| print_line(text)),
        }
    }

    /// Standard error for the log, which would tear the bars if it wrote by itself.
    pub(crate) fn stderr(&self) -> StderrAroundBars {
        StderrAroundBars(self.bars.clone())
    }
}

impl LateBar {
    /// Learns how many units there are in all.
    pub(crate) fn set_total(&mut self, units: u64) {
        self.total = units;
        if let Some(bar) = &self.shown {
            bar.set_total(units);
        }
    }

    /// How many units are done in all.
    pub(crate) fn set_position(&mut self, units: u64) {
        self.done = units;
        if self.shown.is_none() && self.begun.elapsed() > LATE {
            self.shown = Some(self.progress.bar(&self.name, self.total, &self.unit));
        }
        if let Some(bar) = &self.shown {
            bar.set_position(units);
        }
    }

    /// How many more units are done.
    pub(crate) fn advance(&mut self, units: u64) {
        self.set_position(self.done + units);
    }

    /// Ends the task.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.shown {
            bar.finish();
        }
    }
}

impl Bar {
    /// How many more units are done.
    pub(crate) fn advance(&self, units: u64) {
        self.bar.inc(units);
        self.line_if_due();
    }

    /// Learns how many there are in all, once that is known.
    pub(crate) fn set_total(&self, units: u64) {
        if self.bar.length() == Some(0) {
            self.bar.set_style(bar_style(&self.unit, units));
        }
        self.bar.set_length(units);
    }

    /// How many units are done in all.
    pub(crate) fn set_position(&self, units: u64) {
        self.bar.set_position(units);
        self.line_if_due();
    }

    /// A few words beside the bar, such as the loss.
    pub(crate) fn set_message(&self, message: &str) {
        self.bar.set_message(visible(message).into_owned());
    }

    /// Ends the task: its bar goes and one line says what it did and how long it took. A task that was stopped, and one
    /// whose total nobody ever knew, says what was done until then.
    pub(crate) fn finish(self) {
        // Finishing a bar moves it to its end, so what was really done is read before.
        let (done, seconds) = (self.bar.position(), self.bar.elapsed().as_secs_f64());
        let of_total = match self.bar.length() {
            Some(total) if total > done => format!(" of {total}"),
            _ => String::new(),
        };
        self.bar.finish_and_clear();
        let text = format!("{done}{of_total} {} in {seconds:.1} s", self.unit);
        match self.style {
            ProgressStyle::Bars => self.bar.suspend(|| print_line(&format!("{:>12} {text}", self.name))),
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
            print_line(&format!("{}: {text}", self.name));
        }
    }
}

/// One line on standard error. Nobody may be reading it any more, which is no reason to stop the work.
fn print_line(text: &str) {
    let _unread = writeln!(io::stderr(), "{}", visible_paragraph(text));
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
pub(crate) struct StderrAroundBars(MultiProgress);

impl Write for StderrAroundBars {
    /// One record of the log, which comes whole.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let record_text = String::from_utf8_lossy(record);
        self.0.suspend(|| writeln!(io::stderr(), "{}", visible_paragraph(record_text.trim_end_matches('\n'))))?;
        Ok(record.len())
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
    fn a_task_counts_from_several_threads() {
        let progress = Progress::new(ProgressStyle::Silent);
        let stage = progress.bar("judging", 400, "programs");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| stage.advance(1)));
            }
        });
        assert_eq!(stage.bar.position(), 400);
        stage.finish();
    }
}
