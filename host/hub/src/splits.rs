//! The splits of a data set: which of its files belong to one, as Hugging Face's `datasets` finds them. Where the card
//! (`README.md`) lists configurations, it says so; otherwise the files' names do:
//!
//! 1. `data/<split>-00000-of-00003.<ending>`, for any word;
//! 2. a folder of a split's name (`train/1.jsonl`), or one that has it between separators;
//! 3. a file of a split's name (`train.csv`, `my-test-1.jsonl`), likewise;
//! 4. else everything is `train`.
//!
//! `training`, `valid`, `val`, `dev`, `testing`, `eval` and `evaluation` are other words for the three usual splits.

use std::collections::{BTreeMap, HashSet};

use glob::{MatchOptions, Pattern};
use serde::Deserialize;

use super::error::shown;

/// The three usual splits with the words for them.
const WORDS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];
/// What separates words in the name of a file.
const SEPARATORS: [char; 5] = ['-', '.', '_', ' ', '/'];
/// The split that is taken where none is named.
const TRAIN: &str = "train";
/// The configuration that is taken where none is named.
const DEFAULT: &str = "default";
/// The most names that a message lists.
const NAMES_SHOWN_MAX: usize = 20;

const MATCHED: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// What a card says of its configurations.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Card {
    #[serde(default)]
    configs: Vec<CardConfig>,
}

#[derive(Debug, Deserialize)]
struct CardConfig {
    #[serde(default)]
    config_name: Option<String>,
    #[serde(default)]
    data_files: Option<CardFiles>,
    #[serde(default)]
    data_dir: Option<String>,
    #[serde(default)]
    default: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CardFiles {
    All(Patterns),
    Splits(Vec<CardSplit>),
    Map(BTreeMap<String, Patterns>),
}

#[derive(Debug, Deserialize)]
struct CardSplit {
    split: String,
    path: Patterns,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    Many(Vec<String>),
}

/// What is asked for is not there: what there is, and what would name it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfound {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Whose files each split has, in their order.
type Splits = BTreeMap<String, Vec<String>>;

impl Card {
    /// Reads the front of a card; one without is as good as none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let Some(front) = text.strip_prefix("---\n") else { return Ok(Self::default()) };
        let Some(end) = front.find("\n---") else { return Ok(Self::default()) };
        let front = &front[..=end];
        // What else a card says is nobody's business here, and need not even be right.
        if !front.lines().any(|line| line.starts_with("configs:")) {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(front).map_err(|error| shown(error.to_string().lines().next().unwrap_or_default()))
    }
}

/// The files of one split of one configuration, of those that are files of rows.
pub(crate) fn files_of_split(
    card: &Card,
    names: &[&str],
    is_of_rows: &dyn Fn(&str) -> bool,
    config: Option<&str>,
    split: Option<&str>,
) -> Result<Vec<String>, Unfound> {
    let rows = names.iter().copied().filter(|name| is_of_rows(name)).collect::<Vec<_>>();
    let splits = match card.configs.is_empty() {
        false => splits_of_card(card, &rows, config)?,
        true => splits_of_folder(&rows, config)?,
    };
    let known = || splits.keys().map(String::as_str).collect::<Vec<_>>();
    let chosen = match split {
        Some(split) => splits.get_key_value(split),
        None if splits.len() == 1 => splits.iter().next(),
        None => splits.get_key_value(TRAIN),
    };
    match chosen {
        Some((_, files)) if !files.is_empty() => Ok(files.clone()),
        Some((split, _)) => Err(no_rows(&format!("the split `{split}` has no file of rows"), names)),
        None if splits.is_empty() => Err(no_rows("it has no file of rows", names)),
        None => {
            let asked = split.unwrap_or(TRAIN);
            let message = format!("it has no split `{}`; expected one of {}", shown(asked), listed(&known()));
            Err(Unfound { message, hint: "`?split=NAME` names one".to_owned() })
        }
    }
}

/// The files of rows that a path in the data set names: a file, a folder or a pattern.
pub(crate) fn files_of_path(
    names: &[&str],
    is_of_rows: &dyn Fn(&str) -> bool,
    path: &str,
) -> Result<Vec<String>, Unfound> {
    if names.contains(&path) {
        return Ok(vec![path.to_owned()]);
    }
    let below = format!("{path}/");
    let mut found: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(&below)).collect();
    if found.is_empty() {
        found = matching(path, names)?;
    }
    found.retain(|name| is_of_rows(name));
    match found.is_empty() {
        true => Err(no_rows(&format!("nothing in it is called `{}`, or no file of rows", shown(path)), names)),
        false => Ok(found.into_iter().map(str::to_owned).collect()),
    }
}

fn no_rows(what: &str, names: &[&str]) -> Unfound {
    let message = format!("{what}; it consists of {}", listed(names));
    let hint =
        "files of rows end in jsonl, json, csv, tsv, parquet or arrow, perhaps compressed; `/FILES` behind the name \
                names some"
            .to_owned();
    Unfound { message, hint }
}

fn splits_of_card(card: &Card, rows: &[&str], config: Option<&str>) -> Result<Splits, Unfound> {
    let name = |config: &CardConfig| config.config_name.clone().unwrap_or_else(|| DEFAULT.to_owned());
    let chosen = match config {
        Some(wanted) => card.configs.iter().find(|config| name(config) == wanted),
        None if card.configs.len() == 1 => card.configs.first(),
        None => {
            let marked = card.configs.iter().find(|config| config.default);
            marked.or_else(|| card.configs.iter().find(|config| name(config) == DEFAULT))
        }
    };
    let Some(chosen) = chosen else {
        let names: Vec<String> = card.configs.iter().map(name).collect();
        return Err(no_config(config, &names.iter().map(String::as_str).collect::<Vec<_>>()));
    };
    let folder = chosen.data_dir.as_deref().map(|folder| folder.trim_matches(['.', '/'])).unwrap_or_default();
    let within: Vec<&str> = rows.iter().copied().filter(|name| below(name, folder).is_some()).collect();
    let in_folder = |pattern: &str| match folder {
        "" => pattern.trim_start_matches("./").to_owned(),
        folder => format!("{folder}/{}", pattern.trim_start_matches("./")),
    };
    let files = |patterns: &Patterns| -> Result<Vec<String>, Unfound> {
        let patterns = match patterns {
            Patterns::One(pattern) => std::slice::from_ref(pattern),
            Patterns::Many(patterns) => patterns,
        };
        let (mut found, mut had) = (Vec::new(), HashSet::new());
        for pattern in patterns {
            let new = matching(&in_folder(pattern), &within)?.into_iter();
            found.extend(new.filter(|name| had.insert(*name)).map(str::to_owned));
        }
        Ok(found)
    };
    match &chosen.data_files {
        None => Ok(splits_by_name(&within, folder)),
        Some(CardFiles::All(patterns)) => Ok(Splits::from([(TRAIN.to_owned(), files(patterns)?)])),
        Some(CardFiles::Splits(splits)) => {
            let mut found = Splits::new();
            for CardSplit { split, path } in splits {
                found.entry(split.clone()).or_default().extend(files(path)?);
            }
            Ok(found)
        }
        Some(CardFiles::Map(splits)) => {
            splits.iter().map(|(split, patterns)| Ok((split.clone(), files(patterns)?))).collect()
        }
    }
}

/// Without a card, a configuration is a folder at the root.
fn splits_of_folder(rows: &[&str], config: Option<&str>) -> Result<Splits, Unfound> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (folder, name) in rows.iter().filter_map(|name| Some((name.split_once('/')?.0, *name))) {
        folders.entry(folder).or_default().push(name);
    }
    if let Some(config) = config {
        let within: Vec<&str> = rows.iter().copied().filter(|name| below(name, config).is_some()).collect();
        return match within.is_empty() {
            true => Err(no_config(Some(config), &folders.into_keys().collect::<Vec<_>>())),
            false => Ok(splits_by_name(&within, config)),
        };
    }
    if let Some(splits) = sharded(rows, "") {
        return Ok(splits);
    }
    // Several folders that each have splits are several data sets, and nobody said which is meant.
    let has_splits =
        |(folder, within): &(&&str, &Vec<&str>)| word_of(folder).is_none() && by_word(within, folder).is_some();
    let (configs, of_configs): (Vec<&str>, Vec<usize>) =
        folders.iter().filter(has_splits).map(|(folder, within)| (*folder, within.len())).unzip();
    match configs.len() > 1 && of_configs.iter().sum::<usize>() == rows.len() {
        true => Err(no_config(None, &configs)),
        false => Ok(splits_by_name(rows, "")),
    }
}

fn no_config(wanted: Option<&str>, known: &[&str]) -> Unfound {
    let what = match wanted {
        Some(wanted) => format!("it has no configuration `{}`", shown(wanted)),
        None => "it has several configurations and does not say which is meant".to_owned(),
    };
    let message = format!("{what}; expected one of {}", listed(known));
    Unfound { message, hint: "`?config=NAME` names one".to_owned() }
}

/// The splits that the names of files tell, as they are called below a folder.
fn splits_by_name(rows: &[&str], folder: &str) -> Splits {
    if rows.is_empty() {
        return Splits::new();
    }
    sharded(rows, folder)
        .or_else(|| by_word(rows, folder))
        .unwrap_or_else(|| Splits::from([(TRAIN.to_owned(), rows.iter().map(|name| (*name).to_owned()).collect())]))
}

/// Shards: `data/train-00000-of-00003.parquet`, or directly in the folder of a configuration.
fn sharded(rows: &[&str], folder: &str) -> Option<Splits> {
    let mut splits = Splits::new();
    for name in rows {
        let Some(path) = below(name, folder) else { continue };
        let file = match (path.strip_prefix("data/"), folder) {
            (Some(file), _) => file,
            (None, "") => continue,
            (None, _) => path,
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let shard = file.split_once('.').and_then(|(stem, _)| {
            let (stem, of) = stem.rsplit_once("-of-")?;
            let (split, number) = stem.rsplit_once('-')?;
            (number.len() == 5 && digits(number) && digits(of) && !split.contains('/')).then_some(split)
        });
        if let Some(split) = shard {
            splits.entry(split.to_owned()).or_default().push((*name).to_owned());
        }
    }
    (!splits.is_empty()).then_some(splits)
}

/// Splits by the words of folders, or else of files.
fn by_word(rows: &[&str], folder: &str) -> Option<Splits> {
    let of = |part: &dyn Fn(&str) -> Option<&'static str>| {
        let mut splits = Splits::new();
        for name in rows {
            if let Some(split) = below(name, folder).and_then(part) {
                splits.entry(split.to_owned()).or_default().push((*name).to_owned());
            }
        }
        (!splits.is_empty()).then_some(splits)
    };
    let by_folder = |path: &str| path.rsplit_once('/').and_then(|(folders, _)| folders.split('/').find_map(word_of));
    let by_file = |path: &str| word_of(path.rsplit('/').next().unwrap_or(path));
    of(&by_folder).or_else(|| of(&by_file))
}

/// The split that a name has a word of, between separators or digits.
fn word_of(name: &str) -> Option<&'static str> {
    let parts: Vec<&str> = name.split(|c: char| SEPARATORS.contains(&c) || c.is_ascii_digit()).collect();
    WORDS.iter().find(|(_, words)| parts.iter().any(|part| words.contains(part))).map(|(split, _)| *split)
}

/// What a name is below a folder; the name itself below the root.
fn below<'a>(name: &'a str, folder: &str) -> Option<&'a str> {
    match folder {
        "" => Some(name),
        folder => name.strip_prefix(folder)?.strip_prefix('/'),
    }
}

fn matching<'a>(pattern: &str, names: &[&'a str]) -> Result<Vec<&'a str>, Unfound> {
    // Here `**` stands for folders only, there for files, too.
    let files = match pattern.ends_with("**") {
        true => format!("{pattern}/*"),
        false => pattern.to_owned(),
    };
    let pattern = Pattern::new(&files).map_err(|error| Unfound {
        message: format!("`{}` is no pattern of files: {error}", shown(pattern)),
        hint: "a pattern has `*`, `**`, `?` and `[…]`".to_owned(),
    })?;
    Ok(names.iter().copied().filter(|name| *name == files || pattern.matches_with(name, MATCHED)).collect())
}

fn listed(names: &[&str]) -> String {
    let shown_names: Vec<String> =
        names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{}`", shown(name))).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        count if count > NAMES_SHOWN_MAX => format!("{} and {} more", shown_names.join(", "), count - NAMES_SHOWN_MAX),
        _ => shown_names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_rows(name: &str) -> bool {
        !name.starts_with("dataset_infos")
            && ["parquet", "jsonl", "csv", "json"].iter().any(|ending| name.ends_with(ending))
    }

    fn found(card: &str, names: &[&str], config: Option<&str>, split: Option<&str>) -> Result<Vec<String>, String> {
        let card = Card::parse(card)?;
        files_of_split(&card, names, &is_of_rows, config, split).map_err(|unfound| unfound.message)
    }

    #[test]
    fn names_tell_the_splits() {
        let shards = ["README.md", "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"];
        let names = [&shards[..], &["data/extra-00000-of-00001.parquet", "x/test.jsonl"]].concat();
        assert_eq!(
            found("", &names, None, None).as_deref(),
            Ok(&shards[1..].iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..])
        );
        let one = |names: &[&str], split: Option<&str>| found("", names, None, split).map(|files| files.join(" "));
        assert_eq!(one(&names, Some("extra")).as_deref(), Ok("data/extra-00000-of-00001.parquet"));
        let folders = ["train/1.jsonl", "dev/1.jsonl", "dataset_infos.json", "latest.jsonl"];
        assert_eq!(one(&folders, None).as_deref(), Ok("train/1.jsonl"));
        assert_eq!(one(&folders, Some("validation")).as_deref(), Ok("dev/1.jsonl"));
        let files = ["my_train.csv", "my-test-1.csv", "contest.csv", "train2.csv"];
        assert_eq!(one(&files, None).as_deref(), Ok("my_train.csv train2.csv"));
        assert_eq!(one(&files, Some("test")).as_deref(), Ok("my-test-1.csv"), "a word within a word is none");
        assert_eq!(one(&["a.jsonl", "b.jsonl"], None).as_deref(), Ok("a.jsonl b.jsonl"));
        assert_eq!(one(&["test.jsonl"], None).as_deref(), Ok("test.jsonl"), "there is no other");
        let error = one(&["test.jsonl", "val.jsonl"], None).expect_err("none is for training");
        assert_eq!(error, "it has no split `train`; expected one of `test`, `validation`");
        let error = one(&["README.md", "images.zip"], None).expect_err("nothing is known");
        assert_eq!(error, "it has no file of rows; it consists of `README.md`, `images.zip`");
    }

    #[test]
    fn folders_are_configurations() {
        let names = [
            "main/train-00000-of-00001.parquet",
            "main/test-00000-of-00001.parquet",
            "socratic/train-00000-of-00001.parquet",
        ];
        let one =
            |config: Option<&str>, split: Option<&str>| found("", &names, config, split).map(|files| files.join(" "));
        assert_eq!(one(Some("main"), None).as_deref(), Ok(names[0]));
        assert_eq!(one(Some("main"), Some("test")).as_deref(), Ok(names[1]));
        let error = one(None, None).expect_err("two are there");
        assert_eq!(
            error,
            "it has several configurations and does not say which is meant; expected one of `main`, `socratic`"
        );
        let error = one(Some("other"), None).expect_err("it is not there");
        assert_eq!(error, "it has no configuration `other`; expected one of `main`, `socratic`");
    }

    #[test]
    fn a_card_tells_the_splits() {
        let card = "---\nlicense: mit\nconfigs:\n- config_name: main\n  default: true\n  data_files:\n  - split: train\n    path: \
                    main/a-*\n  - split: test\n    path: [main/b.jsonl, main/c.jsonl]\n- config_name: other\n  data_files: \
                    other/**\n- config_name: third\n  data_dir: deep\n- config_name: map\n  data_files:\n    dev: x.jsonl\n---\n# Words\n";
        let names = [
            "deep/x/1.jsonl",
            "main/a-1.jsonl",
            "main/a-2.jsonl",
            "main/b.jsonl",
            "main/c.jsonl",
            "other/d/1.jsonl",
            "x.jsonl",
        ];
        let one =
            |config: Option<&str>, split: Option<&str>| found(card, &names, config, split).map(|files| files.join(" "));
        assert_eq!(one(None, None).as_deref(), Ok("main/a-1.jsonl main/a-2.jsonl"));
        assert_eq!(one(Some("main"), Some("test")).as_deref(), Ok("main/b.jsonl main/c.jsonl"));
        assert_eq!(one(Some("other"), None).as_deref(), Ok("other/d/1.jsonl"));
        assert_eq!(one(Some("third"), None).as_deref(), Ok("deep/x/1.jsonl"));
        assert_eq!(one(Some("map"), None).as_deref(), Ok("x.jsonl"));
        assert!(one(None, Some("dev")).is_err() && one(Some("none"), None).is_err());
        assert!(Card::parse("---\nconfigs: 3\n---\n").is_err());
        for text in ["", "# Words", "---\nno: end", "---\nlicense: [\n---\n"] {
            assert!(Card::parse(text).is_ok_and(|card| card.configs.is_empty()), "{text}");
        }
    }

    #[test]
    fn a_path_is_a_file_a_folder_or_a_pattern() {
        let names = ["a/1.jsonl", "a/b/2.jsonl", "a/note.txt", "odd[1].csv"];
        let found = |path: &str| files_of_path(&names, &is_of_rows, path).map(|files| files.join(" "));
        assert_eq!(found("a").as_deref(), Ok("a/1.jsonl a/b/2.jsonl"));
        assert_eq!(found("a/*.jsonl").as_deref(), Ok("a/1.jsonl"));
        assert_eq!(found("**/*.jsonl").as_deref(), Ok("a/1.jsonl a/b/2.jsonl"));
        assert_eq!(found("odd[1].csv").as_deref(), Ok("odd[1].csv"));
        assert_eq!(found("a/note.txt").as_deref(), Ok("a/note.txt"), "what is named is read, whatever it is called");
        assert!(found("b").is_err() && found("[").is_err());
    }
}
