//! `hilora-host data show` and `data stats`: a run's prepared rows as the model reads them, and their counts and
//! lengths. Nothing in the run folder is changed.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use hilora_contract::artifact::Output;
use hilora_contract::dataset::{EvaluationProblem, Lesson, Message, ProblemText, Segment};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{LoaderOptions, PromptFormatter};
use hilora_contract::terminal::visible_paragraph;
use hilora_model::Tokenizer;
use hilora_pages::inspection::{
    Colours, InspectedRow, LaidOutRow, Piece, SideStatistics, rows_page, rows_text, statistics_page, statistics_text,
};
use hilora_run::{
    DataFile, Run, RunObserver, SourceView, ViewedRow, formatter_lesson, local_files, read_rows, sample_of,
    source_files, training_rows, view_source,
};

use super::console::Console;
use super::failure::{ExitStatus, Result, StreamError};
use super::job_arguments::JobArguments;

/// Rows that one call hands to the formatter.
const ROWS_PER_CALL: usize = 512;

/// Look at the prepared data.
#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Print rows as the model reads them, with trained-on text in colour
    Show(ShowArguments),
    /// Print counts, and lengths in tokens by domain and difficulty
    Stats(StatsArguments),
}

/// Which rows to show.
#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    job: JobArguments,
    /// The file to show rows of
    #[arg(long, value_enum, default_value_t = SideName::Train)]
    side: SideName,
    /// The row with this number, from 0 (may be given several times)
    #[arg(long, value_name = "N")]
    row: Vec<usize>,
    /// The held-out problem with this identifier (with `--side tests`)
    #[arg(long)]
    id: Option<String>,
    /// Only rows of this domain
    #[arg(long)]
    domain: Option<String>,
    /// The most rows to show
    #[arg(long, value_name = "N", default_value_t = 3)]
    limit: usize,
    /// Show what is recognised in these files, folders, patterns or data sets of the hub (hf://datasets/OWNER/NAME), and
    /// their first rows as they are read; needs no config (may be given several times)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["side", "row", "id", "domain", "html", "config", "run"])]
    source: Vec<PathBuf>,
    /// The format of the source, as in the config's data.source [default: what its rows are]
    #[arg(long, value_name = "NAME", requires = "source")]
    format: Option<String>,
    /// What the loader is told, as in the config's data.options: a JSON object
    #[arg(long, value_name = "JSON", requires = "source")]
    options: Option<String>,
    /// Write a page instead of printing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What to count.
#[derive(Debug, Args)]
pub(super) struct StatsArguments {
    #[command(flatten)]
    job: JobArguments,
    /// Write a page instead of printing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// A file of prepared rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SideName {
    /// What is trained on
    Train,
    /// Solved rows that are held out
    Eval,
    /// The held-out problems, as they are asked
    Tests,
}

impl SideName {
    const ALL: [Self; 3] = [Self::Train, Self::Eval, Self::Tests];

    fn file(self) -> DataFile {
        match self {
            Self::Train => DataFile::Train,
            Self::Eval => DataFile::Eval,
            Self::Tests => DataFile::Tests,
        }
    }

    fn word(self) -> &'static str {
        self.file().word()
    }
}

/// One row of a file, of either kind.
enum Row {
    Lesson(Lesson),
    Problem(EvaluationProblem),
}

impl Row {
    fn domain(&self) -> &str {
        match self {
            Self::Lesson(lesson) => &lesson.domain().0,
            Self::Problem(problem) => &problem.domain.0,
        }
    }

    fn difficulty(&self) -> Option<&str> {
        match self {
            Self::Lesson(lesson) => lesson.difficulty(),
            Self::Problem(problem) => problem.text.difficulty.as_deref(),
        }
    }

    fn tests(&self) -> Option<usize> {
        match self {
            Self::Lesson(_) => None,
            Self::Problem(problem) => Some(problem.tests.len()),
        }
    }
}

impl DataCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        match self {
            Self::Show(arguments) => arguments.execute(console)?,
            Self::Stats(arguments) => arguments.execute(console)?,
        }
        Ok(ExitStatus::Done)
    }
}

impl ShowArguments {
    /// Shows files that no run has prepared.
    fn show_source(&self, console: &Console) -> Result<()> {
        let options: LoaderOptions = match &self.options {
            None => LoaderOptions::new(),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                BadInput::with_hint(
                    format!("--options: expected a JSON object, got `{text}`: {error}"),
                    "for example `--options '{\"kind\": \"chat\"}'`",
                )
            })?,
        };
        let files = local_files(&source_files(&self.source, true)?, &console.observer()?)?;
        for file in &files {
            std::fs::metadata(file).map_err(|error| StreamError::Reading { path: file.clone(), error })?;
        }
        let view = view_source(&files, self.format.as_deref(), &options, self.limit)?;
        console.view(&view, &source_text(&view))
    }

    fn execute(&self, console: &Console) -> Result<()> {
        if !self.source.is_empty() {
            return self.show_source(console);
        }
        if self.id.is_some() && self.side != SideName::Tests {
            let message = format!("--id names a held-out problem, but --side is {}", self.side.word());
            return Err(
                BadInput::with_hint(message, "rows to learn from have no identifier; `--row N` names one").into()
            );
        }
        let run = self.job.open_to_read()?;
        let file = file_of(&run, self.side)?;
        let rows = read_side(&file, self.side)?;
        if let Some(row) = self.row.iter().find(|row| **row >= rows.len()) {
            let message = format!("{} has {} rows, so there is no row {row}", file.display(), rows.len());
            return Err(BadInput::new(message).into());
        }
        let wanted = |(number, row): &(usize, Row)| {
            let id = |id: &String| matches!(row, Row::Problem(problem) if problem.text.id == *id);
            (self.row.is_empty() || self.row.contains(number))
                && self.id.as_ref().is_none_or(id)
                && self.domain.as_ref().is_none_or(|domain| row.domain() == domain)
        };
        let limit = self.limit.max(self.row.len());
        let chosen: Vec<(usize, Row)> = rows.into_iter().enumerate().filter(wanted).take(limit).collect();
        if chosen.is_empty() {
            let asked = match (&self.domain, &self.id) {
                (None, None) => String::new(),
                (Some(domain), None) => format!(" of the domain `{domain}`"),
                (None, Some(id)) => format!(" with the identifier `{id}`"),
                (Some(domain), Some(id)) => format!(" of the domain `{domain}` with the identifier `{id}`"),
            };
            return Err(BadInput::new(format!("{} has no row{asked}", file.display())).into());
        }
        let layout = Layout::of(&run, &console.observer()?)?;
        let segments = layout.segments(&chosen)?;
        let laid_out = chosen
            .iter()
            .zip(&segments)
            .map(|((number, row), segments)| {
                let (tokens, trained_tokens) = layout.tokens(row, segments)?;
                let name = match row {
                    Row::Lesson(_) => format!("row {number}"),
                    Row::Problem(problem) => format!("row {number}, {}", problem.text.id),
                };
                Ok(LaidOutRow {
                    name,
                    domain: row.domain().to_owned(),
                    difficulty: row.difficulty().map(str::to_owned),
                    pieces: segments.iter().map(Piece::from).collect(),
                    tokens,
                    trained_tokens,
                    tests: row.tests(),
                })
            })
            .collect::<Result<Vec<LaidOutRow>>>()?;
        let colours = Colours::choose(std::io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
        let text = match &self.html {
            Some(path) => {
                write_page(path, &rows_page(&file.display().to_string(), &laid_out), &[&file, self.job.config()])?
            }
            None => rows_text(&laid_out, colours),
        };
        console.view(&laid_out, &text)
    }
}

impl StatsArguments {
    fn execute(&self, console: &Console) -> Result<()> {
        let run = self.job.open_to_read()?;
        let layout = Layout::of(&run, &console.observer()?)?;
        let mut sides = Vec::new();
        for side in SideName::ALL {
            let rows: Vec<(usize, Row)> = read_side(&file_of(&run, side)?, side)?.into_iter().enumerate().collect();
            let mut inspected = Vec::with_capacity(rows.len());
            for part in rows.chunks(ROWS_PER_CALL) {
                for ((_, row), segments) in part.iter().zip(layout.segments(part)?) {
                    let (tokens, trained_tokens) = layout.tokens(row, &segments)?;
                    inspected.push(inspected_row(row, tokens, trained_tokens));
                }
            }
            // What is too long to train on is left out; what is asked is measured by the evaluation itself.
            let max_tokens = (side != SideName::Tests).then_some(run.config.training.max_seq_length);
            sides.push(SideStatistics::of(side.word(), &inspected, max_tokens));
        }
        let text = match &self.html {
            Some(path) => {
                let title = format!("The data of {}", run.config.adapter_name);
                let files = SideName::ALL.map(|side| file_of(&run, side)).into_iter().collect::<Result<Vec<_>>>()?;
                let inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).chain([self.job.config()]).collect();
                write_page(path, &statistics_page(&title, &sides), &inputs)?
            }
            None => statistics_text(&sides),
        };
        console.result(&sides, &text)
    }
}

/// A view of a source for a person.
fn source_text(view: &SourceView) -> String {
    let mut lines = vec![format!("source: {}", view.source)];
    lines.extend(view.plan.iter().map(|file| file.words.clone()));
    for row in &view.rows {
        lines.push(String::new());
        match row {
            ViewedRow::Problem { id, statement, tests, solutions } => {
                lines.push(format!("{id}: a problem with {tests} tests and {solutions} solutions"));
                lines.push(statement.trim_end().to_owned());
            }
            ViewedRow::Conversation(conversation) => {
                let tools = match conversation.tools.len() {
                    0 => String::new(),
                    tools => format!(" with {tools} tools"),
                };
                lines.push(format!("{}: a conversation{tools}", conversation.id));
                lines.extend(conversation.messages.iter().map(message_text));
            }
            ViewedRow::Policy(example) => {
                lines.push(format!("{}: a case under a policy, {} actions", example.id, example.actions.len()));
                lines.push(example.instruction.trim_end().to_owned());
            }
            ViewedRow::Skipped(row) => {
                lines.push(visible_paragraph(&format!("skipped as {}: {}", row.reason, row.detail)));
            }
        }
    }
    let skipped: Vec<String> = view.skipped.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
    if !skipped.is_empty() {
        lines.push(String::new());
        lines.push(format!("skipped of the first {} rows: {}", view.rows_read, skipped.join(", ")));
    }
    lines.join("\n")
}

/// A message in one paragraph: who speaks, whether it is trained on, and what is said.
fn message_text(message: &Message) -> String {
    let name = message.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let trained = if message.trained { " [trained]" } else { "" };
    let mut text = format!("{}{name}{trained}:", message.role.as_str());
    if let Some(reasoning) = &message.reasoning {
        text.push_str(&format!("\n  <thought> {}", reasoning.trim_end()));
    }
    if !message.content.is_empty() {
        text.push_str(&format!(" {}", message.content.trim_end()));
    }
    for call in &message.tool_calls {
        text.push_str(&format!("\n  calls {} {}", call.name, call.arguments));
    }
    text
}

fn inspected_row(row: &Row, tokens: usize, trained_tokens: usize) -> InspectedRow {
    let (kind, has_reasoning) = match row {
        Row::Lesson(Lesson::Solved(example)) => ("solved problem", example.has_reasoning()),
        Row::Lesson(Lesson::Conversation(_)) => ("conversation", false),
        Row::Lesson(Lesson::Policy(_)) => ("policy case", false),
        Row::Problem(_) => ("held-out problem", false),
    };
    InspectedRow {
        kind,
        domain: row.domain().to_owned(),
        difficulty: row.difficulty().map(str::to_owned),
        has_reasoning,
        tokens,
        trained_tokens,
        tests: row.tests(),
    }
}

/// The file of a side; what is trained on is the enriched file if the config asks for traces and there is one.
fn file_of(run: &Run, side: SideName) -> Result<PathBuf> {
    let enriched = side == SideName::Train && run.data.path(DataFile::TrainEnriched).is_file();
    let file = if enriched { training_rows(run)? } else { run.data.path(side.file()) };
    if file.is_file() {
        return Ok(file);
    }
    let message = format!("the data {} is missing", file.display());
    Err(BadInput::with_hint(message, "`hilora-host prepare` makes it").into())
}

fn read_side(file: &Path, side: SideName) -> Result<Vec<Row>> {
    Ok(match side {
        SideName::Train | SideName::Eval => read_rows(file)?.into_iter().map(Row::Lesson).collect(),
        SideName::Tests => read_rows(file)?.into_iter().map(Row::Problem).collect(),
    })
}

/// Writes a page, and not over what it was made from.
fn write_page(path: &Path, page: &str, inputs: &[&Path]) -> Result<String> {
    let mut output = Output::create(path, inputs)?;
    output.append(page.as_bytes())?;
    let is_standard = output.is_standard();
    output.commit()?;
    Ok(if is_standard { String::new() } else { format!("wrote {}", path.display()) })
}

/// How the run lays its rows out.
struct Layout {
    formatter: Box<dyn PromptFormatter>,
    tokenizer: Tokenizer,
    specialist: String,
}

impl Layout {
    fn of(run: &Run, observer: &dyn RunObserver) -> Result<Self> {
        let specialist = run.config.specialist_type().to_owned();
        let tokenizer = Tokenizer::load(run.base.folder(observer)?)?;
        Ok(Self { formatter: run.formatter(observer)?, tokenizer, specialist })
    }

    /// The pieces of each row, which are all of one kind.
    fn segments(&self, rows: &[(usize, Row)]) -> Result<Vec<Vec<Segment>>> {
        let mut lessons = Vec::new();
        let mut problems: Vec<ProblemText> = Vec::new();
        for (number, row) in rows {
            match row {
                Row::Lesson(lesson) => lessons.push(formatter_lesson(format!("row {number}"), lesson)),
                Row::Problem(problem) => problems.push(problem.text.clone()),
            }
        }
        let sequences = if lessons.is_empty() {
            self.formatter.format_prompts(&self.specialist, &problems)?
        } else {
            self.formatter.format_lessons(&self.specialist, &lessons)?
        };
        Ok(sequences.into_iter().map(|sequence| sequence.segments).collect())
    }

    /// A row's tokens, and those of them that are trained on.
    fn tokens(&self, row: &Row, segments: &[Segment]) -> Result<(usize, usize)> {
        Ok(match row {
            Row::Lesson(lesson) => {
                let sample = sample_of(&self.tokenizer, lesson, segments)?;
                (sample.tokens.len(), sample.targets())
            }
            Row::Problem(_) => (self.tokenizer.encode_segments(segments)?.0.len(), 0),
        })
    }
}
