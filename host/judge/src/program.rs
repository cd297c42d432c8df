//! A program of a batch: one line of a file of programs, with its tests and what is asked of it.

use std::sync::Arc;

use serde::Deserialize;

use super::broken_test::BrokenTest;
use super::checker::Checker;
use super::limits::{MEMORY_BYTES_BOUNDS, TIME_LIMIT_MS_BOUNDS, run_limits};
use super::submission::Submission;
use hilora_contract::dataset::{Language, ProblemChecker, TestCase, shared_tests};
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::{RunLimits, RunnerInfo};

/// One line of a file of programs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// What the judgement calls it.
    pub id: String,
    /// The program.
    pub code: String,
    /// Its tests, at least one.
    #[serde(with = "shared_tests")]
    pub tests: Arc<[TestCase]>,
    /// The language, if it is to be held against the runner's.
    pub language: Option<Language>,
    /// The function that the tests call.
    pub entry_point: Option<String>,
    /// The time limit, in milliseconds.
    pub time_limit_ms: Option<u64>,
    /// The memory limit, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// The checker with its options; the batch's by default.
    pub checker: Option<ProblemChecker>,
    /// A solution that is known to be right. The program may use three times its fuel, if that is more than its limit.
    pub reference: Option<String>,
}

/// Why a program cannot be judged as it stands.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is in a language that the runner does not run.
    #[error("`{id}` is in {wanted}, but the runner runs {language}")]
    Language {
        /// The program's.
        id: String,
        /// The language that it names.
        wanted: Language,
        /// The runner's.
        language: Language,
    },
    /// It has no tests.
    #[error("`{id}` has no tests, expected at least one")]
    NoTests {
        /// The program's.
        id: String,
    },
    /// One of its tests can be passed by no program.
    #[error("`{id}` has a broken test: {broken}")]
    BrokenTest {
        /// The program's.
        id: String,
        /// The test.
        broken: BrokenTest,
    },
    /// A limit is out of bounds.
    #[error("`{id}` has the {field} {value}, expected {least} to {most}")]
    Limit {
        /// The program's.
        id: String,
        /// Which limit.
        field: &'static str,
        /// What it says.
        value: u64,
        /// The least that is accepted.
        least: u64,
        /// The most that is accepted.
        most: u64,
    },
    /// Its entry point cannot be called.
    #[error("`{id}` has the entry point `{entry_point}`, expected a function's name in {language}")]
    EntryPoint {
        /// The program's.
        id: String,
        /// What its tests are to call.
        entry_point: String,
        /// The runner's language.
        language: Language,
    },
    /// It names both an entry point and a checker.
    #[error("`{id}` has an entry point and the checker `{checker}`")]
    CheckerOfFunction {
        /// The program's.
        id: String,
        /// The checker.
        checker: ProblemChecker,
    },
    /// It names a checker that does not exist.
    #[error("`{id}` names the checker `{checker}`, which does not exist")]
    UnknownChecker {
        /// The program's.
        id: String,
        /// The checker.
        checker: ProblemChecker,
    },
}

impl Fault for ProgramError {
    fn blame(&self) -> Blame {
        match self {
            Self::Language { .. }
            | Self::NoTests { .. }
            | Self::BrokenTest { .. }
            | Self::Limit { .. }
            | Self::EntryPoint { .. }
            | Self::CheckerOfFunction { .. }
            | Self::UnknownChecker { .. } => Blame::User,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Language { .. } => "`--runner FILE` names a runner of another language".to_owned(),
            Self::BrokenTest { .. } => {
                "with an entry point, the input has one JSON value a line and the output is one".to_owned()
            }
            Self::Limit { field, .. } => format!("leave `{field}` out for the default limit"),
            Self::CheckerOfFunction { .. } => {
                "what a called function returns is compared as a JSON value; leave `checker` out".to_owned()
            }
            Self::UnknownChecker { .. } => {
                "expected `lines`, `tokens`, `float`, `decimals`, `answer`, or the name of an output checker under plugins/"
                    .to_owned()
            }
            Self::NoTests { .. } | Self::EntryPoint { .. } => return Vec::new(),
        };
        vec![hint]
    }
}

impl Program {
    /// Refuses what this runner cannot judge.
    pub fn check(&self, info: &RunnerInfo) -> Result<(), ProgramError> {
        let language = &info.language;
        let id = || self.id.clone();
        if let Some(wanted) = self.language.as_ref().filter(|wanted| *wanted != language) {
            return Err(ProgramError::Language { id: id(), wanted: wanted.to_owned(), language: language.to_owned() });
        }
        if self.tests.is_empty() {
            return Err(ProgramError::NoTests { id: id() });
        }
        for (field, value, bounds) in [
            ("time_limit_ms", self.time_limit_ms, TIME_LIMIT_MS_BOUNDS),
            ("memory_bytes_max", self.memory_bytes_max, MEMORY_BYTES_BOUNDS),
        ] {
            if let Some(value) = value.filter(|value| !bounds.contains(value)) {
                let (least, most) = (*bounds.start(), *bounds.end());
                return Err(ProgramError::Limit { id: id(), field, value, least, most });
            }
        }
        let Some(entry_point) = &self.entry_point else { return Ok(()) };
        if !info.can_call(entry_point) {
            let (entry_point, language) = (entry_point.clone(), language.to_owned());
            return Err(ProgramError::EntryPoint { id: id(), entry_point, language });
        }
        if let Some(checker) = &self.checker {
            return Err(ProgramError::CheckerOfFunction { id: id(), checker: checker.clone() });
        }
        match BrokenTest::among(Some(entry_point), &self.tests) {
            Some(broken) => Err(ProgramError::BrokenTest { id: id(), broken }),
            None => Ok(()),
        }
    }

    /// Its limits, before a reference solution is measured.
    pub fn limits(&self, reproducible: bool) -> RunLimits {
        RunLimits { reproducible, ..run_limits(self.time_limit_ms, self.memory_bytes_max) }
    }

    /// This code on the program's tests.
    pub fn submission(&self, code: &str, checker: Checker, limits: RunLimits) -> Submission {
        Submission {
            id: self.id.clone(),
            code: code.to_owned(),
            tests: self.tests.clone(),
            first_test: 0,
            entry_point: self.entry_point.clone(),
            checker,
            limits,
        }
    }
}
