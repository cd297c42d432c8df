//! The `data` section of a config: which files a specialist learns from and how they are cut.
//!
//! It names no plugin: which loader, classifier and runner serve a run stands in the `plugins` section.

use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hilora_contract::dataset::{Domain, ProblemChecker};
use hilora_contract::plugin::LoaderOptions;

/// What the manifest calls the rows of `evaluation_files`.
pub const EVALUATION_FILES: &str = "evaluation-files";

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
    /// Several sources in the place of `source`, `files` and `options`, each with a weight of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceConfig>,
    /// Files of what the model is measured on: these rows are held out, nothing is split off the others, and what shares
    /// too much with them is not trained on. Where `train_file` names rows that are prepared already, the one file of
    /// held-out problems with their tests, as `prepare` writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluation_files: Vec<PathBuf>,
    /// The format of `evaluation_files`; where absent that of `source`, and `jsonl` beside `sources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_source: Option<String>,
    /// What the loader of `evaluation_files` is told; where this and `evaluation_source` are absent, `options`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_options: Option<LoaderOptions>,
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
    /// The part of the problems that is held out for evaluation, in [0, 1); 0.1 where absent, and nothing where
    /// `evaluation_files` says what is held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_fraction: Option<f64>,
    /// How many solutions of one problem become examples.
    #[serde(default = "default_max_solutions_per_problem")]
    pub max_solutions_per_problem: usize,
    /// How many programs of each problem that the dataset calls incorrect are run, to find weak tests.
    #[serde(default)]
    pub max_incorrect_solutions_per_problem: usize,
    /// The most rows that the files may have; so many again may stand in each set under `decontaminate`, in each further
    /// source and in `evaluation_files`.
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

/// One of several sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What the manifest calls it; the identifiers of its rows begin with it.
    pub name: String,
    /// The format of its files: the name that a loader serves; `jsonl`, which takes rows of any layout, where absent.
    #[serde(default = "default_source")]
    pub source: String,
    /// Its files, as in `data.files`.
    pub files: Vec<PathBuf>,
    /// What the loader is told beside them.
    #[serde(default, skip_serializing_if = "LoaderOptions::is_empty")]
    pub options: LoaderOptions,
    /// How often each of its training rows is trained on: 1 is once, 0.5 is half of the rows, 2 is each of them twice, 2.5
    /// each twice and half of them once more.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// Its dataset loader; the run's, or the shipped one for `source`, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<PathBuf>,
    /// Its domain classifier; the run's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<PathBuf>,
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

/// What is held out where nothing says how much.
const EVAL_FRACTION_DEFAULT: f64 = 0.1;

/// The most often that a row may be trained on: more is a mistake, and a file that fills the disk.
const WEIGHT_MAX: f64 = 1000.0;

fn default_source() -> String {
    "jsonl".to_owned()
}

fn default_weight() -> f64 {
    1.0
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
        self.source.is_empty() && self.files.is_empty() && self.sources.is_empty() && self.train_file.is_some()
    }

    /// The sources of the rows to learn from, in their order: those under `sources`, or the only one, which has no name.
    pub fn training_sources(&self) -> Vec<SourceConfig> {
        if !self.sources.is_empty() {
            return self.sources.clone();
        }
        let (source, files, options) = (self.source.clone(), self.files.clone(), self.options.clone());
        let (name, weight) = (String::new(), default_weight());
        vec![SourceConfig { name, source, files, options, weight, loader: None, classifier: None }]
    }

    /// The source of what is measured on, if files are named for it.
    pub fn evaluation_set(&self) -> Option<SourceConfig> {
        if self.evaluation_files.is_empty() {
            return None;
        }
        let as_the_rows = || if self.sources.is_empty() { self.source.clone() } else { default_source() };
        let options = match (&self.evaluation_options, &self.evaluation_source) {
            (Some(options), _) => options.clone(),
            (None, None) => self.options.clone(),
            (None, Some(_)) => LoaderOptions::new(),
        };
        Some(SourceConfig {
            name: EVALUATION_FILES.to_owned(),
            source: self.evaluation_source.clone().unwrap_or_else(as_the_rows),
            files: self.evaluation_files.clone(),
            options,
            weight: default_weight(),
            loader: None,
            classifier: None,
        })
    }

    /// The part of the rows that is held out.
    pub fn held_out_fraction(&self) -> f64 {
        match self.evaluation_files.is_empty() {
            true => self.eval_fraction.unwrap_or(EVAL_FRACTION_DEFAULT),
            false => 0.0,
        }
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
        problems.extend(self.wrong_sources());
        problems.extend(self.wrong_evaluation_files());
        let is_one = self.sources.is_empty();
        if is_one && self.source.trim().is_empty() && !prepared {
            problems.push(
                "data.source is empty, expected the name of a dataset format such as `codecontests`, or neither \
                 `source` nor `files` where `train_file` names prepared rows"
                    .to_owned(),
            );
        }
        if is_one && self.files.is_empty() && !prepared {
            problems.push("data.files is empty, expected at least one file".to_owned());
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
        if let Some(fraction) = self.eval_fraction.filter(|fraction| !(0.0..1.0).contains(fraction)) {
            problems.push(format!("data.eval_fraction is {fraction}, expected at least 0 and less than 1"));
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

impl DataConfig {
    /// What is wrong with `sources`.
    fn wrong_sources(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.sources.is_empty() {
            return problems;
        }
        for (key, is_set) in [
            ("source", !self.source.is_empty()),
            ("files", !self.files.is_empty()),
            ("options", !self.options.is_empty()),
        ] {
            if is_set {
                problems.push(format!("data.{key} stands beside data.sources, each of which has its own"));
            }
        }
        for (index, source) in self.sources.iter().enumerate() {
            let key = format!("data.sources[{index}]");
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if source.name.is_empty() || !source.name.chars().all(plain) {
                let name = &source.name;
                problems.push(format!("{key}.name is `{name}`, expected letters, digits, `-` and `_`"));
            }
            if source.name == EVALUATION_FILES || self.sources[..index].iter().any(|other| other.name == source.name) {
                problems.push(format!("{key}.name is `{}`, which is taken", source.name));
            }
            if source.source.trim().is_empty() {
                problems.push(format!("{key}.source is empty, expected the name of a dataset format"));
            }
            if source.files.is_empty() {
                problems.push(format!("{key}.files is empty, expected at least one file"));
            }
            if !(source.weight > 0.0 && source.weight <= WEIGHT_MAX) {
                let weight = source.weight;
                problems.push(format!("{key}.weight is {weight}, expected more than 0 and at most {WEIGHT_MAX}"));
            }
        }
        problems
    }

    /// What is wrong with `evaluation_files` and what belongs to it.
    fn wrong_evaluation_files(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let is_given = !self.evaluation_files.is_empty();
        if !is_given {
            for (key, is_set) in self.evaluation_keys() {
                if is_set {
                    problems
                        .push(format!("data.{key} is for the loader of data.evaluation_files, which names no file"));
                }
            }
        }
        if is_given && self.eval_fraction.is_some_and(|fraction| fraction != 0.0) {
            problems.push(
                "data.eval_fraction holds rows out, but data.evaluation_files says what is held out; leave one of them out"
                    .to_owned(),
            );
        }
        problems
    }

    /// The keys that belong to `evaluation_files`, and whether they are set.
    fn evaluation_keys(&self) -> [(&'static str, bool); 2] {
        [
            ("evaluation_source", self.evaluation_source.is_some()),
            ("evaluation_options", self.evaluation_options.is_some()),
        ]
    }

    /// What is wrong where `train_file` names rows that are prepared already, which only its file tells: nothing is judged
    /// and no loader reads anything then.
    pub fn wrong_beside_prepared_rows(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.is_prepared() {
            return problems;
        }
        if self.checker.is_some() {
            problems.push(
                "data.checker is for problems that are to be prepared; rows that are prepared already name their own"
                    .to_owned(),
            );
        }
        if self.evaluation_files.is_empty() {
            return problems;
        }
        let why = "because data.train_file names rows that are prepared already";
        for (key, is_set) in self.evaluation_keys() {
            if is_set {
                problems.push(format!("data.{key} is for a loader, but none reads data.evaluation_files, {why}"));
            }
        }
        let is_file = |file: &PathBuf| !file.to_string_lossy().contains("://");
        if self.evaluation_files.len() != 1 || !self.evaluation_files.iter().all(is_file) {
            let got: Vec<String> = self.evaluation_files.iter().map(|file| file.display().to_string()).collect();
            problems.push(format!(
                "data.evaluation_files is {}, expected one file of held-out problems as `prepare` writes it, {why}",
                got.join(", ")
            ));
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
        assert_eq!((config.held_out_fraction(), config.max_solutions_per_problem, config.min_examples), (0.1, 1, 1));
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
        assert!(
            prepared.wrong_beside_prepared_rows()[0]
                .starts_with("data.checker is for problems that are to be prepared")
        );
        Ok(())
    }

    #[test]
    fn several_sources_have_names_files_and_weights() -> Result<(), serde_json::Error> {
        let config = parse(
            r#"{"sources": [{"name": "a", "files": ["a.jsonl"]}, {"name": "b", "files": ["b"], "weight": 0.5}],
                "domains": ["python"]}"#,
        )?;
        assert_eq!(config.validate(), Vec::<String>::new());
        let told: Vec<(String, f64)> =
            config.training_sources().into_iter().map(|source| (source.source, source.weight)).collect();
        assert_eq!(told, [("jsonl".to_owned(), 1.0), ("jsonl".to_owned(), 0.5)]);
        let wrong = parse(
            r#"{"source": "s", "files": ["x"], "domains": ["python"], "sources": [{"name": "a", "files": [], "weight": 0},
                {"name": "a", "files": ["b"], "weight": 1e9}, {"name": "b c", "files": ["b"], "weight": -1}]}"#,
        )?;
        let problems = wrong.validate();
        for begin in [
            "data.source stands beside",
            "data.files stands beside",
            "data.sources[0].files is empty",
            "data.sources[0].weight is 0, expected more than 0",
            "data.sources[1].name is `a`, which is taken",
            "data.sources[1].weight is 1000000000",
            "data.sources[2].name is `b c`",
            "data.sources[2].weight is -1",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(begin)), "{begin}: {problems:?}");
        }
        Ok(())
    }

    #[test]
    fn evaluation_files_say_what_is_held_out() -> Result<(), serde_json::Error> {
        let config = parse(
            r#"{"source": "apps", "files": ["a"], "options": {"k": 1}, "domains": ["math"], "evaluation_files": ["t"]}"#,
        )?;
        assert_eq!((config.validate(), config.held_out_fraction()), (Vec::new(), 0.0));
        let set = config.evaluation_set().expect("it is named");
        assert_eq!((set.source.as_str(), set.options.len()), ("apps", 1));
        let other = DataConfig { evaluation_source: Some("jsonl".to_owned()), ..config.clone() };
        let set = other.evaluation_set().expect("it is named");
        assert_eq!((set.source.as_str(), set.options.len()), ("jsonl", 0));
        let both = DataConfig { eval_fraction: Some(0.2), ..config.clone() };
        assert!(both.validate()[0].starts_with("data.eval_fraction holds rows out, but"));
        let alone = DataConfig { evaluation_files: Vec::new(), ..other };
        assert!(alone.validate()[0].starts_with("data.evaluation_source is for the loader of"));
        let given = r#"{"train_file": "a", "domains": ["math"], "evaluation_files": FILES}"#;
        let problems =
            |files: &str| parse(&given.replace("FILES", files)).map(|config| config.wrong_beside_prepared_rows());
        assert_eq!(problems(r#"["t"]"#)?, Vec::<String>::new());
        assert!(problems(r#"["t", "u"]"#)?[0].starts_with("data.evaluation_files is t, u, expected one file"));
        assert_eq!(problems(r#"["hf://datasets/a/b"]"#)?.len(), 1);
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
        let config = DataConfig { eval_fraction: Some(f64::NAN), ..config };
        assert!(config.validate().iter().any(|problem| problem.contains("NaN")));
        Ok(())
    }
}
