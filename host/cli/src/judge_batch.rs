//! `hilora-host judge --programs IN.jsonl --output OUT.jsonl`: every program of a file on every of its tests. What a batch
//! is stands in `hilora_judge`; here its arguments are read, its progress is shown and its end is told.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::checker_argument;
use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::interrupt::InterruptGuard;
use super::judge_worker::worker_command;
use super::progress::{Bar, Progress};
use super::stages::interrupted;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::ProblemChecker;
use hilora_contract::terminal::visible_paragraph;
use hilora_judge::{
    Batch, BatchEnd, BatchFiles, BatchObserver, BatchOptions, Difference, Judge, Refusal, Summary, Verdict,
};
use hilora_run::{RunError, available_cores, worker_pool};
use hilora_wasm::{CheckerFolder, HostOptions, PluginHost};

/// Where output checkers lie.
const PLUGINS: &str = "plugins";

/// Which programs to judge.
#[derive(Debug, clap::Args)]
pub(super) struct BatchArguments {
    /// Programs with their tests, one JSON object a line (`-` reads standard input): id, code, tests of input and output;
    /// and optionally language, entry_point, time_limit_ms (500 to 20000), memory_bytes_max (67108864 to 1073741824),
    /// checker (lines, tokens, float, decimals, answer or a plugin's name; with options an object of name, ignore_case,
    /// absolute_tolerance, relative_tolerance or a plugin's options; --checker where absent), reference (a solution that is
    /// known to be right: the program may use three times its fuel, if that is more)
    #[arg(long, value_name = "FILE")]
    programs: PathBuf,
    /// Where the judgements go, one JSON object a line, in the order of the programs. Until all are there, those that are
    /// made are kept in FILE.judged, and a batch that was interrupted goes on from them. `-` writes to standard output
    #[arg(long, value_name = "FILE", required_unless_present = "replay")]
    output: Option<PathBuf>,
    /// Judgements to hold against this run's (exit code 3 if they differ)
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    #[arg(
        long,
        value_name = "NAME|JSON",
        default_value = "lines",
        value_parser = checker_argument::named,
        help = checker_argument::HELP
    )]
    checker: ProblemChecker,
    /// Keep of a wrong answer neither what was expected nor what came [default: both, shortened, on the first three tests
    /// that a program answers wrongly]
    #[arg(long)]
    hide_expected: bool,
    /// Let no clock of the machine decide: only fuel, memory and output have limits
    #[arg(long)]
    reproducible: bool,
    /// The solution runner
    #[arg(long, value_name = "FILE", default_value = "plugins/python-runner.wasm")]
    runner: PathBuf,
    /// Programs that run at once [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
}

impl BatchArguments {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let host = PluginHost::new(&HostOptions::default())?;
        let workers = self.workers.map_or_else(available_cores, usize::from);
        let judge = Judge::new(Arc::new(worker_pool(&host, &self.runner, &worker_command())?), workers)
            .with_checkers(Arc::new(CheckerFolder::new(host, PLUGINS.into())))
            .telling_expected(!self.hide_expected);
        let mut components = CheckerFolder::components(Path::new(PLUGINS));
        components.push(self.runner.clone());
        let files = BatchFiles {
            programs: &self.programs,
            output: self.output.as_deref(),
            replay: self.replay.as_deref(),
            components: &components,
        };
        let checker = checker_argument::open(&self.checker, &judge)?;
        let options = BatchOptions { checker, reproducible: self.reproducible, made_by: this_program()? };
        let batch = Batch::open(&judge, files, options)?;
        if batch.found() > 0 {
            console.note(&format!("going on from {} answers of a batch that was interrupted", batch.found()));
        }
        let interrupt = InterruptGuard::arm()?;
        let progress = console.progress();
        let bars = Bars { progress, current: Mutex::default() };
        let end = batch.run(&|| interrupt.requested(), &bars)?;
        bars.finish();
        match end {
            BatchEnd::Judged(summary) => self.tell(&summary, console),
            BatchEnd::Interrupted { judged, programs, record } => {
                let kept = match record {
                    Some(path) => format!(", kept in {}; call again to go on", path.display()),
                    None => String::new(),
                };
                console.note(&format!("interrupted: {judged} of {programs} programs judged{kept}"));
                Ok(interrupted(interrupt.signal()))
            }
        }
    }

    /// Tells what was found. A program that could not be judged is wrong input, even if all others are judged.
    fn tell(&self, summary: &Summary, console: &Console) -> Result<ExitStatus> {
        let output = self.output.as_deref();
        if output == Some(Path::new("-")) {
            // The judgements stand on standard output, and nothing else.
            console.note(&text(summary, None));
        } else {
            console.result(summary, &text(summary, output))?;
        }
        if let Some(Refusal { why, .. }) = summary.refused.first() {
            let (refused, programs) = (summary.refused.len(), summary.programs);
            let message = format!("{refused} of {programs} programs not judged; the first: {why}");
            return Err(Failure::bad_input(message, "leave `reference` out, or mend the tests"));
        }
        let differs = summary.differences.as_ref().is_some_and(|differences| !differences.is_empty());
        Ok(if differs { ExitStatus::Differs } else { ExitStatus::Done })
    }
}

/// The hash of this program: what another build has recorded is asked again.
fn this_program() -> Result<ContentHash> {
    let program = std::env::current_exe().and_then(|program| ContentHash::of_file(&program));
    Ok(program.map_err(RunError::Program)?)
}

/// Measuring and judging, each with a bar and a clock of its own.
struct Bars<'a> {
    progress: &'a Progress,
    current: Mutex<Option<Bar>>,
}

impl Bars<'_> {
    /// Ends the bar that is shown and begins another.
    fn replace(&self, next: Option<Bar>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ended) = std::mem::replace(&mut *current, next) {
            ended.finish();
        }
    }

    fn set(&self, done: u64) {
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.set_position(done);
        }
    }

    fn finish(&self) {
        self.replace(None);
    }
}

impl BatchObserver for Bars<'_> {
    fn measuring(&self, programs: u64) {
        self.replace(Some(self.progress.bar("measure", programs, "reference solutions")));
    }

    fn measured(&self, done: u64) {
        self.set(done);
    }

    fn judging(&self, programs: u64) {
        self.finish();
        self.replace(Some(self.progress.bar("judge", programs, "programs")));
    }

    fn judged(&self, done: u64) {
        self.set(done);
    }
}

fn text(summary: &Summary, output: Option<&Path>) -> String {
    let place = output.map(|path| format!(", in {}", path.display())).unwrap_or_default();
    let refused = summary.refused.len() as u64;
    let mut text = format!("{} programs judged{place}", summary.programs - refused);
    for (verdict, count) in &summary.verdicts {
        text.push_str(&format!("\n  {count:>6}  {verdict}"));
    }
    if refused > 0 {
        text.push_str(&format!("\n  {refused:>6}  not judged: the reference solution does not pass the tests"));
    }
    if !summary.failures.is_empty() {
        let failed: u64 =
            summary.verdicts.iter().filter(|(verdict, _)| **verdict != Verdict::Accepted).map(|(_, count)| count).sum();
        let shown = summary.failures.len();
        text.push_str(&match failed - shown as u64 {
            0 => "\nfailed:".to_owned(),
            _ => format!("\nthe first {shown} that failed:"),
        });
        for failure in &summary.failures {
            // What a checker or a program says may have lines; none of them begins as this program's own.
            text.push_str(&format!("\n  {}", visible_paragraph(&failure.to_string())));
        }
    }
    match summary.differences.as_deref() {
        None => {}
        Some([]) => text.push_str("\nevery judgement is the one that was made before"),
        Some(differences) => {
            for Difference { id, what } in differences {
                text.push_str(&format!("\n{}", visible_paragraph(&format!("`{id}`: {what}"))));
            }
        }
    }
    text
}
