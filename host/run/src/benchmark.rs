//! A benchmark: published problems and how their answers are judged, by a name. Its files are named by whoever measures, on
//! this machine or on the hub; a shipped loader reads them. Nothing is asked of a model here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hilora_contract::dataset::{
    AnswerForm, Attribute, Domain, EvaluationProblem, Problem, ProblemChecker, ProblemText, TestCase,
};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{LoadedRow, LoaderOptions};
use hilora_evaluator::BenchmarkConfig;
use hilora_judge::{BrokenTest, final_answer};
use hilora_wasm::PluginHost;

use super::benchmark_prompt::OfficialPrompt;
use super::error::RunError;
use super::hub_files::is_of_the_hub;
use super::math_files::MathFiles;
use super::run_plugins::shipped_loader;
use super::source_files::source_files;

/// Rows asked for at once.
const ROWS_PER_BATCH: u32 = 64;

/// The attribute that has the day of a contest.
const CONTEST_DATE: &str = "contest-date";

/// A published benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Benchmark {
    /// Its name on the command line.
    pub name: &'static str,
    /// The loader that reads it.
    source: &'static str,
    /// Each form in which the data set is published, the first that yields a problem.
    forms: &'static [Form],
    /// What the loader puts before the data set's own identifiers.
    prefix: &'static str,
    answers: Answers,
    /// The words that chat models are asked with, if there are such.
    prompt: Option<OfficialPrompt>,
    /// Where the hub has it.
    pub hub: &'static str,
}

/// A form in which a data set is published.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// What the loader is told.
    options: &'static str,
    names: Names,
}

/// What the problems are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// As the rows say.
    OfRows,
    /// By their number, from 0.
    Numbers,
    /// By their subject and their number in it, from 0: `algebra/0`.
    NumbersOfSubjects,
}

impl Names {
    /// Names the problem of this row.
    fn give(self, text: &mut ProblemText, row: u64, of_subjects: &mut BTreeMap<String, u64>) {
        match self {
            Self::OfRows => {}
            Self::Numbers => text.id = row.to_string(),
            Self::NumbersOfSubjects => {
                let subject = subject_of(text);
                let number = of_subjects.entry(subject.clone()).or_default();
                text.id = format!("{subject}/{number}");
                *number += 1;
            }
        }
    }
}

/// What a model answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// A program.
    Programs,
    /// A program, whose outputs are compared as LiveCodeBench's grader does.
    GradedPrograms,
    /// Words that end in an answer, which the reference solution ends in, too.
    Words,
}

const fn of_rows(options: &'static str) -> Form {
    Form { options, names: Names::OfRows }
}

const PLAIN: &[Form] = &[of_rows("{}")];
const HUMANEVAL: &[Form] =
    &[of_rows(r#"{"kind": "problem", "id": "task_id", "statement": "prompt", "solution": "canonical_solution"}"#)];
const MBPP: &[Form] = &[
    of_rows(r#"{"kind": "problem", "id": "task_id", "statement": "text", "solution": "code"}"#),
    of_rows(r#"{"kind": "problem", "id": "task_id", "statement": "prompt", "solution": "code"}"#),
];
const GSM8K: &[Form] =
    &[Form { options: r#"{"kind": "problem", "statement": "question", "solution": "answer"}"#, names: Names::Numbers }];
/// MATH-500, the authors' folders (see `math_files`), the columns that the hub has of all of MATH, and rows with no more than
/// a problem and its solution.
const MATH: &[Form] = &[
    of_rows(
        r#"{"kind": "problem", "id": "unique_id", "statement": "problem", "solution": "solution", "difficulty": "level", "tags": "subject"}"#,
    ),
    of_rows(
        r#"{"kind": "problem", "id": "unique_id", "statement": "problem", "solution": "solution", "difficulty": "level", "tags": "type"}"#,
    ),
    Form {
        options: r#"{"kind": "problem", "statement": "problem", "solution": "solution", "difficulty": "level", "tags": "type"}"#,
        names: Names::NumbersOfSubjects,
    },
    of_rows(r#"{"kind": "problem", "id": "unique_id", "statement": "problem", "solution": "solution"}"#),
    of_rows(r#"{"kind": "problem", "statement": "problem", "solution": "solution"}"#),
];

/// Every benchmark.
pub const BENCHMARKS: [Benchmark; 10] = [
    Benchmark {
        name: "livecodebench",
        source: "livecodebench",
        forms: PLAIN,
        prefix: "livecodebench-",
        answers: Answers::GradedPrograms,
        prompt: Some(OfficialPrompt::LiveCodeBench),
        hub: "hf://datasets/livecodebench/code_generation_lite/*.jsonl",
    },
    Benchmark {
        name: "humaneval",
        source: "jsonl",
        forms: HUMANEVAL,
        prefix: "",
        answers: Answers::Programs,
        prompt: Some(OfficialPrompt::EvalPlus),
        hub: "hf://datasets/openai/openai_humaneval?split=test",
    },
    Benchmark {
        name: "humaneval-plus",
        source: "jsonl",
        forms: HUMANEVAL,
        prefix: "",
        answers: Answers::Programs,
        prompt: Some(OfficialPrompt::EvalPlus),
        hub: "hf://datasets/evalplus/humanevalplus?split=test",
    },
    Benchmark {
        name: "mbpp",
        source: "jsonl",
        forms: MBPP,
        prefix: "",
        answers: Answers::Programs,
        prompt: Some(OfficialPrompt::EvalPlus),
        hub: "hf://datasets/google-research-datasets/mbpp?config=full&split=test",
    },
    Benchmark {
        name: "mbpp-plus",
        source: "jsonl",
        forms: &[MBPP[1]],
        prefix: "",
        answers: Answers::Programs,
        prompt: Some(OfficialPrompt::EvalPlus),
        hub: "hf://datasets/evalplus/mbppplus?split=test",
    },
    Benchmark {
        name: "codecontests",
        source: "codecontests",
        forms: PLAIN,
        prefix: "",
        answers: Answers::Programs,
        prompt: None,
        hub: "hf://datasets/deepmind/code_contests?split=test",
    },
    Benchmark {
        name: "taco",
        source: "taco",
        forms: PLAIN,
        prefix: "",
        answers: Answers::Programs,
        prompt: None,
        hub: "hf://datasets/BAAI/TACO?split=test",
    },
    Benchmark {
        name: "apps",
        source: "apps",
        forms: PLAIN,
        prefix: "apps-",
        answers: Answers::Programs,
        prompt: None,
        hub: "hf://datasets/codeparrot/apps?split=test",
    },
    Benchmark {
        name: "gsm8k",
        source: "jsonl",
        forms: GSM8K,
        prefix: "",
        answers: Answers::Words,
        prompt: Some(OfficialPrompt::StepByStep),
        hub: "hf://datasets/openai/gsm8k?config=main&split=test",
    },
    Benchmark {
        name: "math",
        source: "jsonl",
        forms: MATH,
        prefix: "",
        answers: Answers::Words,
        prompt: Some(OfficialPrompt::StepByStep),
        hub: "hf://datasets/HuggingFaceH4/MATH-500?split=test",
    },
];

/// Names the hub's files where none are named, at the commit that they stand for now. What cannot be found out stays as it
/// is, for whoever reads it to say so.
pub(crate) fn resolve_files(benchmarks: &mut [BenchmarkConfig], is_kept: bool) {
    for config in benchmarks {
        if let (true, Some(known)) = (config.files.is_empty(), Benchmark::named(&config.name)) {
            config.files = vec![known.hub.into()];
        }
        let resolved = |entry: &PathBuf| match is_of_the_hub(entry) {
            true => source_files(std::slice::from_ref(entry), is_kept).unwrap_or_else(|_| vec![entry.clone()]),
            false => vec![entry.clone()],
        };
        config.files = config.files.iter().flat_map(resolved).collect();
    }
}

/// The days of contests that are measured, both among them: `2024-08-01`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DateWindow {
    /// The first.
    pub from: Option<String>,
    /// The last.
    pub to: Option<String>,
}

/// The problems of a benchmark.
#[derive(Debug, Clone, Default)]
pub struct BenchmarkProblems {
    /// Those that are measured, in the files' order.
    pub problems: Vec<EvaluationProblem>,
    /// Rows that are none, by reason.
    pub skipped: BTreeMap<String, u64>,
}

impl Benchmark {
    /// The words that its problems are asked with, if it has its own.
    pub(crate) fn official_prompt(&self) -> Option<OfficialPrompt> {
        self.prompt
    }

    /// Whether answers are words, of which nothing is run.
    pub(crate) fn answers_in_words(&self) -> bool {
        self.answers == Answers::Words
    }

    /// The component that reads it.
    pub(crate) fn loader_file(&self) -> PathBuf {
        shipped_loader(self.source)
    }

    /// The benchmark of this name.
    pub fn named(name: &str) -> Option<Self> {
        BENCHMARKS.into_iter().find(|benchmark| benchmark.name == name)
    }

    /// Reads its problems from these files.
    pub fn problems(
        &self,
        host: &PluginHost,
        files: &[PathBuf],
        window: &DateWindow,
    ) -> Result<BenchmarkProblems, RunError> {
        let mut found = BenchmarkProblems::default();
        let of_math = if self.name == "math" { MathFiles::of(files)? } else { None };
        let made = of_math.as_ref().map(|made| made.file.clone());
        let files = made.as_ref().map_or(files, std::slice::from_ref);
        for form in self.forms {
            found = self.read(host, files, form)?;
            if !found.problems.is_empty() {
                break;
            }
        }
        if found.problems.is_empty() {
            let reasons: Vec<String> = found.skipped.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
            let reasons = if reasons.is_empty() { "no rows".to_owned() } else { reasons.join(", ") };
            let message = format!("the files hold no problem of {}: {reasons}", self.name);
            let hint = format!("the files of {}, or a copy of them", self.hub);
            return Err(BadInput::with_hint(message, hint).into());
        }
        window.apply(self.name, &mut found)?;
        Ok(found)
    }

    fn read(&self, host: &PluginHost, files: &[PathBuf], form: &Form) -> Result<BenchmarkProblems, RunError> {
        let options: LoaderOptions =
            serde_json::from_str(form.options).expect("every benchmark's options are an object");
        let loader = host.loader(&self.loader_file())?;
        let mut found = BenchmarkProblems::default();
        let mut row = 0_u64;
        let mut of_subjects: BTreeMap<String, u64> = BTreeMap::new();
        // Rows that are numbered here need no name, so that their files may be called alike.
        let files_at_once = if form.names == Names::OfRows { files.len().max(1) } else { 1 };
        for files in files.chunks(files_at_once) {
            let mut reader = loader.open(files, &options)?;
            loop {
                let rows = reader.next_batch(ROWS_PER_BATCH)?;
                if rows.is_empty() {
                    break;
                }
                for loaded in rows {
                    match self.problem(loaded) {
                        Ok(mut problem) => {
                            form.names.give(&mut problem.text, row, &mut of_subjects);
                            found.problems.push(problem);
                        }
                        Err(reason) => *found.skipped.entry(reason).or_default() += 1,
                    }
                    row += 1;
                }
            }
        }
        Ok(found)
    }

    /// The problem that a row is, or why it is none.
    fn problem(&self, row: LoadedRow) -> Result<EvaluationProblem, String> {
        let problem = match row {
            LoadedRow::Problem(problem) => problem,
            LoadedRow::Conversation(_) | LoadedRow::Policy(_) => return Err("no-problem".to_owned()),
            LoadedRow::Skipped(skipped) => return Err(skipped.reason),
        };
        let Problem { mut text, solutions, tests, entry_point, test_code, checker, attributes, .. } = problem;
        if let Some(id) = text.id.strip_prefix(self.prefix) {
            text.id = id.to_owned();
        }
        // MATH's columns say `Level 5`, and MATH-500 says 5.
        if let (Answers::Words, Some(level)) = (self.answers, &text.difficulty) {
            text.difficulty = Some(level.strip_prefix("Level ").unwrap_or(level).to_owned());
        }
        let (tests, checker, answer_form, domain) = match self.answers {
            Answers::Programs | Answers::GradedPrograms if tests.is_empty() => return Err("no-tests".to_owned()),
            Answers::Programs | Answers::GradedPrograms
                if BrokenTest::among(entry_point.as_deref(), &tests).is_some() =>
            {
                return Err("broken-test".to_owned());
            }
            Answers::GradedPrograms => {
                (tests, checker.unwrap_or(ProblemChecker::Decimals), AnswerForm::Program, "python")
            }
            Answers::Programs => (tests, checker.unwrap_or_default(), AnswerForm::Program, "python"),
            Answers::Words => {
                let reference = solutions.first().map(|solution| solution.code.as_str()).unwrap_or_default();
                let output = final_answer(reference).ok_or("no-answer")?.to_owned();
                let test = TestCase { input: String::new(), output };
                ([test].into(), ProblemChecker::Answer, AnswerForm::Text, "math")
            }
        };
        Ok(EvaluationProblem {
            text,
            domain: Domain(domain.to_owned()),
            tests,
            entry_point,
            test_code,
            checker,
            answer_form,
            time_limit_ms: problem.time_limit_ms,
            memory_limit_bytes: problem.memory_limit_bytes,
            reference_fuel: None,
            attributes,
        })
    }
}

/// The subject in a problem's name: `intermediate_algebra`.
fn subject_of(text: &ProblemText) -> String {
    let subject = text.tags.first().map(String::as_str).unwrap_or("math").to_lowercase();
    subject.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

impl DateWindow {
    /// Whether every day counts.
    pub fn is_open(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Leaves out what is of another time, and counts it.
    fn apply(&self, name: &str, found: &mut BenchmarkProblems) -> Result<(), RunError> {
        if self.is_open() {
            return Ok(());
        }
        let day = |problem: &EvaluationProblem| {
            let date = problem.attributes.iter().find(|Attribute { name, .. }| name == CONTEST_DATE)?;
            date.value.get(..10).map(str::to_owned)
        };
        if found.problems.iter().all(|problem| day(problem).is_none()) {
            let message = format!("`--from` and `--to` are days of contests, and no problem of {name} has one");
            return Err(BadInput::with_hint(message, "livecodebench has them").into());
        }
        let mut left_out = |reason: &str| *found.skipped.entry(reason.to_owned()).or_default() += 1;
        found.problems.retain(|problem| match day(problem) {
            None => {
                left_out("without-contest-date");
                false
            }
            // ISO 8601: days are in the order of their letters.
            Some(day) => {
                let is_inside =
                    self.from.as_ref().is_none_or(|from| *from <= day) && self.to.as_ref().is_none_or(|to| day <= *to);
                if !is_inside {
                    left_out("outside-the-dates");
                }
                is_inside
            }
        });
        if found.problems.is_empty() {
            let (from, to) = (self.from.as_deref().unwrap_or("…"), self.to.as_deref().unwrap_or("…"));
            return Err(BadInput::new(format!("no problem of {name} is of a contest from {from} to {to}")).into());
        }
        Ok(())
    }
}

/// The name of a file of problems that are prepared already.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark_names::BENCHMARK_NAMES;
    use hilora_contract::dataset::{Language, Solution};

    fn loaded(id: &str, reference: &str, tests: &[(&str, &str)], date: Option<&str>) -> LoadedRow {
        let test =
            |(input, output): &(&str, &str)| TestCase { input: (*input).to_owned(), output: (*output).to_owned() };
        let language: Language = "python3".parse().expect("a plain name");
        let date = date.map(|value| Attribute { name: CONTEST_DATE.to_owned(), value: value.to_owned() });
        LoadedRow::Problem(Problem {
            text: ProblemText {
                id: id.to_owned(),
                title: String::new(),
                statement: format!("Solve {id}."),
                tags: Vec::new(),
                difficulty: None,
            },
            source: String::new(),
            solutions: vec![Solution { language, code: reference.to_owned() }],
            incorrect_solutions: Vec::new(),
            tests: tests.iter().map(test).collect(),
            entry_point: None,
            test_code: None,
            checker: None,
            time_limit_ms: None,
            memory_limit_bytes: None,
            attributes: date.into_iter().collect(),
        })
    }

    fn benchmark(name: &str) -> Benchmark {
        Benchmark::named(name).expect("it is one")
    }

    #[test]
    fn every_benchmark_has_a_name_of_its_own_and_options_that_are_an_object() {
        assert_eq!(BENCHMARKS.map(|benchmark| benchmark.name), BENCHMARK_NAMES);
        for Benchmark { name, forms, hub, .. } in BENCHMARKS {
            assert_eq!(BENCHMARKS.iter().filter(|other| other.name == name).count(), 1);
            assert!(forms.iter().all(|form| serde_json::from_str::<LoaderOptions>(form.options).is_ok()), "{name}");
            assert!(hub.starts_with("hf://datasets/"), "{name}");
        }
    }

    #[test]
    fn a_reference_solution_says_what_is_expected_in_words() {
        let row = loaded("test-1", "3 + 4 = 7\n#### 1,200", &[], None);
        let problem = benchmark("gsm8k").problem(row).expect("it is a problem");
        assert_eq!((problem.text.id.as_str(), problem.tests[0].output.as_str()), ("test-1", "1,200"));
        assert_eq!((problem.answer_form, problem.checker), (AnswerForm::Text, ProblemChecker::Answer));
        let row = loaded("test/algebra/1.json", "so $\\boxed{\\frac{1}{2}}$.", &[], None);
        let problem = benchmark("math").problem(row).expect("it is a problem");
        assert_eq!(
            (problem.text.id.as_str(), problem.tests[0].output.as_str()),
            ("test/algebra/1.json", "\\frac{1}{2}")
        );
        let none = benchmark("gsm8k").problem(loaded("a", "I do not know", &[], None));
        assert_eq!(none.expect_err("it has no answer"), "no-answer");
        let untested = benchmark("apps").problem(loaded("apps-7", "print(1)", &[], None));
        assert_eq!(untested.expect_err("it has no tests"), "no-tests");
        let named = benchmark("apps").problem(loaded("apps-7", "print(1)", &[("", "1")], None));
        assert_eq!(named.expect("it has a test").text.id, "7");
    }

    #[test]
    fn problems_without_names_are_called_by_subject_and_number() {
        let mut of_subjects = BTreeMap::new();
        let names: Vec<String> = ["Intermediate Algebra", "Counting & Probability", "Intermediate Algebra"]
            .iter()
            .zip(0..)
            .map(|(subject, row)| {
                let problem = benchmark("math").problem(loaded("x-1", "$\\boxed{1}$", &[], None));
                let mut text = problem.expect("it is a problem").text;
                text.tags = vec![(*subject).to_owned()];
                Names::NumbersOfSubjects.give(&mut text, row, &mut of_subjects);
                text.id
            })
            .collect();
        assert_eq!(names, ["intermediate_algebra/0", "counting_probability/0", "intermediate_algebra/1"]);
    }

    #[test]
    fn a_window_has_both_its_days_and_counts_what_is_outside() -> Result<(), RunError> {
        let of_days = |days: &[Option<&str>]| {
            let row = |(at, day): (usize, &Option<&str>)| loaded(&at.to_string(), "", &[("", "1")], *day);
            let problem = |row| benchmark("livecodebench").problem(row).expect("it is a problem");
            let problems = days.iter().enumerate().map(row).map(problem).collect();
            BenchmarkProblems { problems, skipped: BTreeMap::new() }
        };
        let window = |from: &str, to: &str| DateWindow { from: Some(from.to_owned()), to: Some(to.to_owned()) };
        let days =
            [Some("2024-07-31T23:59:00"), Some("2024-08-01"), None, Some("2024-09-30T00:00:00"), Some("2024-10-01")];
        let mut found = of_days(&days);
        window("2024-08-01", "2024-09-30").apply("it", &mut found)?;
        assert_eq!(found.problems.iter().map(|problem| problem.text.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
        let left_out = [("outside-the-dates".to_owned(), 2), ("without-contest-date".to_owned(), 1)];
        assert_eq!(found.skipped, BTreeMap::from(left_out));
        let nothing = window("2025-01-01", "2025-02-01").apply("it", &mut of_days(&days)).expect_err("there is none");
        assert_eq!(nothing.to_string(), "no problem of it is of a contest from 2025-01-01 to 2025-02-01");
        assert!(window("2025-01-01", "2025-02-01").apply("it", &mut of_days(&[None])).is_err());
        DateWindow::default().apply("it", &mut of_days(&[None]))
    }
}
