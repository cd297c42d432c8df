//! `hilora-host extract`: the program in each completion of a file, as a prompt formatter finds it.

use std::path::PathBuf;

use clap::Args;
use hilora_contract::artifact::{JsonLines, JsonRow, Output};
use hilora_evaluator::{Extraction, Extractor, Identifier};
use hilora_wasm::{HostOptions, PluginHost};
use serde::{Deserialize, Serialize};

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};

/// Find the program in each completion of a file.
#[derive(Debug, Args)]
pub(super) struct ExtractCommand {
    /// Completions, one JSON object a line (`-` reads standard input): id, completion; other keys are passed over
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the programs go, one JSON object a line, in the order of the completions: id, and solution, which is null where
    /// there is none. `-` writes to standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The prompt formatter that finds them
    #[arg(long, value_name = "FILE", default_value = "plugins/chatml-formatter.wasm")]
    plugin: PathBuf,
}

/// One line of the input.
#[derive(Deserialize)]
struct CompletionRow {
    id: Identifier,
    completion: String,
}

impl JsonRow for CompletionRow {
    const EXPECTED: &'static str = "a completion with its id";
    const HINT: Option<&'static str> =
        Some("a line has id and completion, such as {\"id\": \"p1\", \"completion\": \"…\"}");
    const ALLOWS_OTHER_KEYS: bool = true;
}

/// One line of the output.
#[derive(Serialize)]
struct SolutionRow<'a> {
    id: &'a Identifier,
    solution: Option<&'a str>,
}

/// What is told at the end.
#[derive(Default, Serialize)]
struct Summary {
    /// Completions in all.
    completions: u64,
    /// Those with a program.
    solutions: u64,
    /// Those without.
    without_solution: u64,
    /// Those that the formatter failed on, which have no program either.
    not_extracted: u64,
}

impl ExtractCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let mut output = Output::create(&self.output, &[&self.input, &self.plugin])?;
        let mut rows = JsonLines::<CompletionRow>::open_to_read_again(&self.input)?;
        // Every line is read before the first is written, so that a wrong one is told at once.
        let mut total = 0;
        for row in rows.by_ref() {
            row?;
            total += 1;
        }
        if total == 0 {
            let message = format!("{} has no completions", rows.name().display());
            return Err(Failure::bad_input(message, "a line has id and completion"));
        }
        rows.rewind()?;
        let formatter = PluginHost::new(&HostOptions::default())?.formatter(&self.plugin)?;
        let mut extractor = Extractor::new(&*formatter, total);
        let mut summary = Summary::default();
        let mut bar = console.progress().late_bar("extract", "completions");
        bar.set_total(total as u64);
        for row in rows {
            let CompletionRow { id, completion } = row?.value;
            let found = extractor.extract(&completion)?;
            summary.completions += 1;
            match found {
                Extraction::Found(_) => summary.solutions += 1,
                Extraction::None => summary.without_solution += 1,
                Extraction::Failed => summary.not_extracted += 1,
            }
            let row = SolutionRow { id: &id, solution: found.text() };
            let mut line = serde_json::to_vec(&row).expect("plain structs with text keys always serialize");
            line.push(b'\n');
            output.append(&line)?;
            bar.set_position(summary.completions);
        }
        bar.finish();
        let is_standard = output.is_standard();
        output.commit()?;
        if is_standard {
            // The programs stand on standard output, and nothing else.
            console.note(&summary.text(None));
        } else {
            console.result(&summary, &summary.text(Some(&self.output)))?;
        }
        Ok(ExitStatus::Done)
    }
}

impl Summary {
    fn text(&self, output: Option<&PathBuf>) -> String {
        let place = output.map(|path| format!(", in {}", path.display())).unwrap_or_default();
        let mut text = format!("{} programs in {} completions{place}", self.solutions, self.completions);
        for (count, what) in [
            (self.without_solution, "without a program"),
            (self.not_extracted, "that the formatter failed on, without a program therefore"),
        ] {
            if count > 0 {
                text.push_str(&format!("\n  {count:>6}  {what}"));
            }
        }
        text
    }
}
