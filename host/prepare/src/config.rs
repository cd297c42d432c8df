//! The `data` section of a config: which files a specialist learns from and how they are cut.
//!
//! It names no plugin: which loader, classifier and runner serve a run stands in the `plugins` section.

use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hilora_contract::dataset::{Domain, ProblemChecker};
use hilora_contract::plugin::LoaderOptions;

/// The `data` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The format of the files: the name that a loader serves ("codecontests"). Without it and `files` the rows are
    /// prepared already, and stand where `train_file` and `eval_file` say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The dataset's files, read in this order. A folder stands for the files of rows in and below it, and a pattern
    /// (`shards/*.jsonl.zst`) for those that it matches, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// What the loader is told beside them; its README lists what it understands.
    #[serde(default, skip_serializing_if = "LoaderOptions::is_empty")]
    pub options: LoaderOptions,
    /// Whether every solution must pass its problem's tests. Without, the dataset is believed, and the manifest and
    /// the screen say that it was.
    #[serde(default = "default_verify")]
    pub verify: bool,
    /// When an output is a right answer, for problems that name no checker and no function: a checker's name, or an object
    /// with its name and options; `lines` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub checker: Option<ProblemChecker>,
    /// The domains that this specialist takes.
    pub domains: Vec<Domain>,
    /// The part of the problems that is held out for evaluation, in [0, 1).
    #[serde(default = "default_eval_fraction")]
    pub eval_fraction: f64,
    /// How many solutions of one problem become examples.
    #[serde(default = "default_max_solutions_per_problem")]
    pub max_solutions_per_problem: usize,
    /// How many programs of each problem that the dataset calls incorrect are run, to find weak tests.
    #[serde(default)]
    pub max_incorrect_solutions_per_problem: usize,
    /// The most rows that the files may have; so many again may stand in each set under `decontaminate`.
    #[serde(default = "default_rows_max")]
    pub rows_max: u64,
    /// The most bytes of text that the rows may have in all; where absent, a hundred times the files' own size, and at least
    /// 1 GiB. A file of a few kilobytes can unpack to more than a disk holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// What the model will be measured on elsewhere: training problems that stand there too are left out. The run's own
    /// held-out problems always count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decontaminate: Vec<EvaluationSetConfig>,
    /// With fewer training examples, preparing and training fail.
    #[serde(default = "default_min_examples")]
    pub min_examples: usize,
    /// The training file, relative to the run; `data/<specialist>_train.jsonl` where absent. Where the rows are prepared
    /// already, this and `eval_file` are relative to the current folder, as all other paths are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_file: Option<PathBuf>,
    /// The evaluation file, relative to the run; `data/<specialist>_eval.jsonl` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_file: Option<PathBuf>,
}

/// A set of problems that the model is measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSetConfig {
    /// What reports call it ("livecodebench").
    pub name: String,
    /// The format of its files: the name that a loader serves.
    pub source: String,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// What the loader is told beside them.
    #[serde(default, skip_serializing_if = "LoaderOptions::is_empty")]
    pub options: LoaderOptions,
}

fn default_verify() -> bool {
    true
}

fn default_eval_fraction() -> f64 {
    0.1
}

fn default_max_solutions_per_problem() -> usize {
    1
}

fn default_rows_max() -> u64 {
    10_000_000
}

fn default_min_examples() -> usize {
    1
}

/// Where a specialist's prepared rows stand, relative to its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFiles {
    /// Examples to train on.
    pub train: PathBuf,
    /// Examples held out.
    pub eval: PathBuf,
    /// The held-out problems with their tests.
    pub tests: PathBuf,
    /// The tests of the problems to train on, where they are asked for.
    pub train_tests: PathBuf,
}

impl DataConfig {
    /// Whether there is nothing to prepare: the rows stand where `train_file` and `eval_file` say.
    pub fn is_prepared(&self) -> bool {
        self.source.is_empty() && self.files.is_empty() && self.train_file.is_some()
    }

    /// Where the rows of this specialist stand.
    pub fn files_of(&self, specialist: &str) -> DataFiles {
        let named = |side: &str| PathBuf::from(format!("data/{specialist}_{side}.jsonl"));
        DataFiles {
            train: self.train_file.clone().unwrap_or_else(|| named("train")),
            eval: self.eval_file.clone().unwrap_or_else(|| named("eval")),
            tests: named("tests"),
            train_tests: named("train_tests"),
        }
    }

    /// Everything that is wrong with the values, each as one sentence that names its key.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let prepared = self.is_prepared();
        if self.source.trim().is_empty() && !prepared {
            problems.push(
                "data.source is empty, expected the name of a dataset format such as `codecontests`, or neither \
                 `source` nor `files` where `train_file` names prepared rows"
                    .to_owned(),
            );
        }
        if self.files.is_empty() && !prepared {
            problems.push("data.files is empty, expected at least one file".to_owned());
        }
        if self.checker.is_some() && prepared {
            problems.push(
                "data.checker is for problems that are to be prepared; rows that are prepared already name their own"
                    .to_owned(),
            );
        }
        for (index, set) in self.decontaminate.iter().enumerate() {
            let key = format!("data.decontaminate[{index}]");
            if set.name.trim().is_empty() {
                problems.push(format!("{key}.name is empty, expected a name for reports"));
            }
            if self.decontaminate[..index].iter().any(|earlier| earlier.name == set.name) {
                problems.push(format!("{key}.name is `{}`, which an earlier set has", set.name));
            }
            if set.files.is_empty() {
                problems.push(format!("{key}.files is empty, expected at least one file"));
            }
        }
        if !self.verify && self.max_incorrect_solutions_per_problem > 0 {
            problems
                .push("data.max_incorrect_solutions_per_problem runs programs, but data.verify is false".to_owned());
        }
        if self.domains.is_empty() {
            problems.push("data.domains is empty, expected at least one domain".to_owned());
        }
        for (index, domain) in self.domains.iter().enumerate() {
            if self.domains[..index].contains(domain) {
                problems.push(format!("data.domains lists `{domain}` twice"));
            }
        }
        if !(0.0..1.0).contains(&self.eval_fraction) {
            problems.push(format!("data.eval_fraction is {}, expected at least 0 and less than 1", self.eval_fraction));
        }
        if self.max_solutions_per_problem == 0 {
            problems.push("data.max_solutions_per_problem is 0, expected at least 1".to_owned());
        }
        if self.min_examples == 0 {
            problems.push("data.min_examples is 0, expected at least 1".to_owned());
        }
        for (key, file) in [("train_file", &self.train_file), ("eval_file", &self.eval_file)] {
            if let Some(file) = file.as_deref().filter(|file| !prepared && !stays_inside(file)) {
                problems.push(format!("data.{key} is `{}`, expected a path inside the run's folder", file.display()));
            }
        }
        let files = self.files_of("specialist");
        if files.train == files.eval {
            problems.push(format!("data.train_file and data.eval_file are both `{}`", files.train.display()));
        }
        problems
    }
}

fn stays_inside(path: &Path) -> bool {
    path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DataConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn defaults_are_the_documented_ones() -> Result<(), serde_json::Error> {
        let config = parse(r#"{"source": "codecontests", "files": ["a.parquet"], "domains": ["python"]}"#)?;
        assert_eq!((config.eval_fraction, config.max_solutions_per_problem, config.min_examples), (0.1, 1, 1));
        assert_eq!(config.validate(), Vec::<String>::new());
        let files = config.files_of("python");
        assert_eq!(files.train, Path::new("data/python_train.jsonl"));
        assert_eq!(files.eval, Path::new("data/python_eval.jsonl"));
        assert_eq!(files.tests, Path::new("data/python_tests.jsonl"));
        Ok(())
    }

    #[test]
    fn rows_that_are_prepared_already_need_no_source() -> Result<(), serde_json::Error> {
        let prepared = parse(r#"{"train_file": "/data/a.jsonl", "eval_file": "b.jsonl", "domains": ["python"]}"#)?;
        assert!(prepared.is_prepared());
        assert_eq!(prepared.validate(), Vec::<String>::new());
        for text in [r#"{"domains": ["python"]}"#, r#"{"train_file": "a", "source": "jsonl", "domains": ["python"]}"#] {
            let config = parse(text)?;
            assert!(!config.is_prepared() && !config.validate().is_empty(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_run_names_its_checker() -> Result<(), serde_json::Error> {
        let named = r#"{"source": "s", "files": ["a"], "domains": ["python"], "checker": CHECKER}"#;
        let checker = |text: &str| parse(&named.replace("CHECKER", text)).map(|config| config.checker);
        assert_eq!(checker(r#""tokens""#)?, ProblemChecker::named("tokens").ok());
        let near = checker(r#"{"name": "float", "absolute_tolerance": 1e-4}"#)?;
        assert!(matches!(near, Some(ProblemChecker::Float { absolute_tolerance: 1e-4, .. })));
        let error = checker(r#"{"name": "tokens", "absolute_tolerance": 1}"#).expect_err("it has no tolerance");
        assert!(error.to_string().contains("the checker `tokens` has no option `absolute_tolerance`"), "{error}");
        let prepared = parse(r#"{"train_file": "a.jsonl", "domains": ["python"], "checker": "tokens"}"#)?;
        assert!(prepared.validate()[0].starts_with("data.checker is for problems that are to be prepared"));
        Ok(())
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = parse(r#"{"source": "s", "files": [], "domains": [], "eval_split": 0.1}"#);
        assert!(error.expect_err("the key is unknown").to_string().contains("eval_split"));
    }

    #[test]
    fn every_problem_is_listed_at_once() -> Result<(), serde_json::Error> {
        let config = parse(
            r#"{"source": "", "files": ["a"], "domains": ["math", "math"], "eval_fraction": 1.0, "min_examples": 0,
                "max_solutions_per_problem": 0, "train_file": "../x", "eval_file": "/x"}"#,
        )?;
        let problems = config.validate();
        for key in ["source", "domains", "eval_fraction", "max_solutions", "min_examples", "train_file", "eval_file"] {
            assert!(problems.iter().any(|problem| problem.starts_with(&format!("data.{key}"))), "{key}: {problems:?}");
        }
        let config = DataConfig { eval_fraction: f64::NAN, ..config };
        assert!(config.validate().iter().any(|problem| problem.contains("NaN")));
        Ok(())
    }
}
