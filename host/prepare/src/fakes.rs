//! Native fakes of the plugins, for the pipeline's unit tests. No WebAssembly runs here.

use std::path::PathBuf;

use super::classify::ChosenDomain;
use super::entry::Entries;
use super::error::PrepareError;
use super::material::Material;
use super::phase_file::PhaseFolder;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{
    Conversation, Domain, Language, Message, PolicyExample, Problem, ProblemText, Role, Solution, TestCase,
};
use hilora_contract::plugin::{
    Classification, DatasetInfo, DatasetLoader, DatasetReader, DomainClassifier, DomainInfo, LimitKind, LoadedRow,
    LoaderOptions, PluginError, PluginIdentity, PluginKind, RunLimits, RunReport, RunnerInfo, Score, SolutionRunner,
    Termination,
};

fn identity(name: &str, kind: PluginKind) -> PluginIdentity {
    let content = ContentHash::of(name.as_bytes());
    PluginIdentity { name: name.to_owned(), version: "0.0.0".to_owned(), kind, content }
}

/// A problem with these programs and tests.
pub(super) fn problem_with(id: &str, statement: &str, programs: &[&str], tests: &[(&str, &str)]) -> Problem {
    let solution = |code: &&str| Solution { language: Language::PYTHON3, code: (*code).to_owned() };
    let test = |(input, output): &(&str, &str)| TestCase { input: (*input).to_owned(), output: (*output).to_owned() };
    Problem {
        text: ProblemText {
            id: id.to_owned(),
            title: String::new(),
            statement: statement.to_owned(),
            tags: Vec::new(),
            difficulty: None,
        },
        source: String::new(),
        solutions: programs.iter().map(solution).collect(),
        incorrect_solutions: Vec::new(),
        tests: tests.iter().map(test).collect(),
        entry_point: None,
        test_code: None,
        checker: None,
        time_limit_ms: None,
        memory_limit_bytes: None,
        attributes: Vec::new(),
    }
}

/// A problem that asks for one number, with a program that prints it.
pub(super) fn problem(id: &str, number: &str) -> Problem {
    problem_with(id, &format!("Print {number} ."), &[&format!("print({number})")], &[("", number)])
}

/// Entries of problems: identifier, statement and programs of each.
pub(super) fn entries(problems: &[(&str, &str, &[&str])]) -> Result<Entries, PrepareError> {
    let mut materials = Vec::new();
    for (row, (id, statement, programs)) in (0..).zip(problems) {
        let codes = programs.iter().map(|code| (*code).to_owned()).collect();
        materials.push(Material::solved(row, problem_with(id, statement, programs, &[("", "1")]), codes, None));
    }
    entries_of(materials)
}

/// Entries of conversations: what each message says, the user's and the assistant's in turn.
pub(super) fn conversations(rows: &[&[&str]]) -> Result<Entries, PrepareError> {
    let material = |(row, said): (u64, &&[&str])| {
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let messages = roles.zip(*said).map(|(role, text)| Message::new(role, *text)).collect();
        let (id, tools, tags) = (format!("c{row}"), Vec::new(), Vec::new());
        Material::conversation(row, Conversation { id, messages, tools, tags, difficulty: None })
    };
    entries_of((0..).zip(rows).map(material).collect())
}

/// Entries of policy examples: instruction, policy and output of each.
pub(super) fn policy_examples(rows: &[[&str; 3]]) -> Result<Entries, PrepareError> {
    let material = |(row, [instruction, policy, output]): (u64, &[&str; 3])| {
        let outputs = vec![(*output).to_owned()];
        let (id, instruction, policy) = (format!("p{row}"), (*instruction).to_owned(), (*policy).to_owned());
        let (actions, tags, difficulty) = (Vec::new(), Vec::new(), None);
        Material::policy(row, PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty })
    };
    entries_of((0..).zip(rows).map(material).collect())
}

fn entries_of(materials: Vec<Material>) -> Result<Entries, PrepareError> {
    let domain = ChosenDomain { domain: Domain("python".to_owned()), tied_with: Vec::new() };
    let mut entries = Entries::create(&PhaseFolder::new(None)?)?;
    entries.enter(&materials)?;
    entries.give_domains(vec![domain; materials.len()]);
    Ok(entries)
}

/// Yields given rows, whatever file it is given.
pub(super) struct FakeLoader {
    identity: PluginIdentity,
    rows: Vec<LoadedRow>,
    tells_total: bool,
}

impl FakeLoader {
    pub(super) fn new(rows: Vec<LoadedRow>) -> Self {
        Self { identity: identity("fake-loader", PluginKind::DatasetLoader), rows, tells_total: true }
    }

    /// The same; how many rows there are shows only at the end.
    pub(super) fn open_ended(rows: Vec<LoadedRow>) -> Self {
        Self { tells_total: false, ..Self::new(rows) }
    }
}

impl DatasetLoader for FakeLoader {
    fn identity(&self) -> &PluginIdentity {
        &self.identity
    }

    fn describe(&self) -> Result<DatasetInfo, PluginError> {
        Ok(DatasetInfo { source: "fake".to_owned(), licence: "none".to_owned(), columns: Vec::new() })
    }

    fn open(&self, _: &[PathBuf], _: &LoaderOptions) -> Result<Box<dyn DatasetReader>, PluginError> {
        Ok(Box::new(FakeReader { rows: self.rows.clone(), read: 0, tells_total: self.tells_total }))
    }
}

struct FakeReader {
    rows: Vec<LoadedRow>,
    read: usize,
    tells_total: bool,
}

impl DatasetReader for FakeReader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, PluginError> {
        // Small batches, so that what crosses a batch's end is tested too.
        let end = (self.read + rows_max.min(7) as usize).min(self.rows.len());
        let batch = self.rows[self.read..end].to_vec();
        self.read = end;
        Ok(batch)
    }

    fn rows_total(&mut self) -> Result<Option<u64>, PluginError> {
        Ok(self.tells_total.then_some(self.rows.len() as u64))
    }
}

/// How a fake classifier answers.
enum Answers {
    /// "proof" in a statement is `proofs`, "stack" `data_structures`, everything else `python`.
    ByWord,
    /// The same scores for every problem; the first is the chosen domain.
    Always(Vec<Score>),
    /// As by word, but one too few.
    OneTooFew,
    /// `python` at even places of a batch, `proofs` at odd ones.
    ByPlace,
    /// With a score that is the size of the batch.
    BySize,
}

/// A classifier of `python`, `data_structures` and `proofs`.
pub(super) struct FakeClassifier {
    identity: PluginIdentity,
    answers: Answers,
}

impl FakeClassifier {
    pub(super) fn new() -> Self {
        Self { identity: identity("fake-classifier", PluginKind::DomainClassifier), answers: Answers::ByWord }
    }

    pub(super) fn answering(scores: &[(&str, f32)]) -> Self {
        let score = |(domain, score): &(&str, f32)| Score {
            domain: Domain((*domain).to_owned()),
            score: *score,
            signals: vec![],
        };
        Self { answers: Answers::Always(scores.iter().map(score).collect()), ..Self::new() }
    }

    pub(super) fn dropping_the_last() -> Self {
        Self { answers: Answers::OneTooFew, ..Self::new() }
    }

    pub(super) fn by_place() -> Self {
        Self { answers: Answers::ByPlace, ..Self::new() }
    }

    pub(super) fn by_size() -> Self {
        Self { answers: Answers::BySize, ..Self::new() }
    }
}

fn by_word(problem: &ProblemText) -> Classification {
    let signal = [("proof", "proofs"), ("stack", "data_structures")]
        .into_iter()
        .find(|(word, _)| problem.statement.contains(word));
    let domain = Domain(signal.map_or("python", |(_, domain)| domain).to_owned());
    let score = |(word, _): (&str, &str)| Score { domain: domain.clone(), score: 1.0, signals: vec![word.to_owned()] };
    Classification { domain: domain.clone(), scores: signal.map(score).into_iter().collect() }
}

impl DomainClassifier for FakeClassifier {
    fn identity(&self) -> &PluginIdentity {
        &self.identity
    }

    fn domains(&self) -> Result<Vec<DomainInfo>, PluginError> {
        let info = |name: &str| DomainInfo { domain: Domain(name.to_owned()), description: String::new() };
        Ok(["python", "data_structures", "proofs"].map(info).to_vec())
    }

    fn classify(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        Ok(match &self.answers {
            Answers::ByWord => problems.iter().map(by_word).collect(),
            Answers::OneTooFew => problems.iter().skip(1).map(by_word).collect(),
            Answers::Always(scores) => {
                let answer = Classification { domain: scores[0].domain.clone(), scores: scores.clone() };
                vec![answer; problems.len()]
            }
            Answers::ByPlace => {
                let domains = ["python", "proofs"].into_iter().cycle();
                let answer = |name: &str| Classification { domain: Domain(name.to_owned()), scores: Vec::new() };
                domains.take(problems.len()).map(answer).collect()
            }
            Answers::BySize => {
                let domain = Domain("python".to_owned());
                let score = Score { domain: domain.clone(), score: problems.len() as f32, signals: Vec::new() };
                vec![Classification { domain, scores: vec![score] }; problems.len()]
            }
        })
    }
}

/// Runs a language of five programs: `print(X)` writes X, `echo` its input, `loop` runs out of fuel, `import numpy` is
/// unsupported and `crash` ends the engine. Each byte of code and input takes one unit of fuel.
pub(super) struct FakeRunner;

impl SolutionRunner for FakeRunner {
    fn identity(&self) -> &PluginIdentity {
        static IDENTITY: std::sync::LazyLock<PluginIdentity> =
            std::sync::LazyLock::new(|| identity("fake-runner", PluginKind::SolutionRunner));
        &IDENTITY
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        Ok(RunnerInfo {
            language: Language::PYTHON3,
            file_extension: "py".to_owned(),
            interpreter: "fake".to_owned(),
            calls_functions: true,
        })
    }

    fn run(&self, code: &str, _: Option<&str>, stdin: &[u8], _: &RunLimits) -> Result<RunReport, PluginError> {
        let printed = |line: &str| Some(line.trim().strip_prefix("print(")?.strip_suffix(')')?.to_owned());
        let (termination, stdout) = match code.trim() {
            "echo" => (Termination::Exited(0), stdin.to_vec()),
            "loop" => (Termination::LimitExceeded(LimitKind::Fuel), Vec::new()),
            "crash" => (Termination::Unfinished { message: "gone".to_owned() }, Vec::new()),
            "import numpy" => (Termination::Unsupported { module: "numpy".to_owned() }, Vec::new()),
            lines => {
                let lines: Vec<String> = lines.lines().filter_map(printed).collect();
                (Termination::Exited(0), lines.join("\n").into_bytes())
            }
        };
        Ok(RunReport {
            termination,
            stdout,
            stderr: Vec::new(),
            fuel: (code.len() + stdin.len()) as u64,
            cpu_time_us: 1,
            wall_time_us: 1,
            memory_bytes: 1,
        })
    }
}
