//! Data sets of the hub as sources of rows, from the local server of `hub`: which files an address stands for, at which
//! commit, and what becomes of a run when that changes.

use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::hub::{COMMIT, Hub};
use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("hub_data_sets::a_split_is_downloaded_once_and_then_read_offline", downloads_a_split),
        Trial::test("hub_data_sets::the_commit_is_an_input_of_the_run", commit_is_an_input),
        Trial::test("hub_data_sets::what_has_no_rows_is_refused_by_name", refusals),
    ]
}

const TRAIN: &str = "data/train-00000-of-00001.jsonl";
const TEST: &str = "data/test-00000-of-00001.jsonl";
const COLUMNS: &str = "columns/rows.parquet";
const ANOTHER_COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn rows(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let row = |number: usize| {
        let words = ["apples", "rivers", "stones", "clouds", "letters", "horses"][number % 6];
        let question = format!("How do {number} {words} become {} of them in Python?", number * number + 1);
        format!("{}\n", json!({"prompt": question, "completion": format!("print({number})")}))
    };
    numbers.map(row).collect::<String>().into_bytes()
}

/// A hub with one data set: two splits, columns and a program.
fn hub() -> Result<Hub, Failed> {
    let columns = fs::read(repository().join("examples/sample-problems/sample_problems.parquet"))?;
    Hub::start(|mirror| {
        mirror.files = vec![
            ("README.md".to_owned(), b"---\nlicense: mit\n---\n# Rows\n".to_vec()),
            (TRAIN.to_owned(), rows(0..12)),
            (TEST.to_owned(), rows(20..24)),
            (COLUMNS.to_owned(), columns),
            ("rows.py".to_owned(), b"raise SystemExit(1)".to_vec()),
        ];
    })
}

/// What `data show` says of a source; an error with its exit code where it fails.
fn show(hub: &Hub, source: &str, environment: &[(&str, &str)]) -> Result<Result<Value, String>, Failed> {
    let output = hub.run(&["data", "show", "--source", source, "--limit", "2", "--json"], environment)?;
    Ok(match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(format!("{:?} {}", output.status.code(), String::from_utf8_lossy(&output.stderr))),
    })
}

/// Checks that `data show` ends with 2 and says all of this.
fn refuse(hub: &Hub, source: &str, environment: &[(&str, &str)], parts: &[&str]) -> Result<(), Failed> {
    let error = show(hub, source, environment)?.err().ok_or_else(|| format!("{source} was read"))?;
    match std::iter::once(&"Some(2)").chain(parts).find(|part| !error.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("{source}: expected `{part}` in: {error}").into()),
    }
}

fn downloads_a_split() -> Result<(), Failed> {
    let hub = hub()?;
    let train = show(&hub, "hf://datasets/tiny/rows", &[])??;
    assert_eq!(train["rows"].as_array().map(Vec::len), Some(2), "{train}");
    let snapshot = hub.home.path().join("hub/datasets--tiny--rows/snapshots").join(COMMIT);
    assert_eq!(fs::read(snapshot.join(TRAIN))?, rows(0..12));
    let link = fs::read_link(snapshot.join(TRAIN))?;
    assert!(link.starts_with("../../../blobs"), "the layout is Hugging Face's: {}", link.display());
    let commit = fs::read_to_string(hub.home.path().join("hub/datasets--tiny--rows/refs/main"))?;
    assert_eq!(commit, COMMIT);
    assert!(!snapshot.join(TEST).exists() && !snapshot.join("rows.py").exists(), "what is not needed was fetched");

    // Offline the same files are known, and one that was never fetched is missed by its name.
    let asked = hub.mirror().requests.len();
    let offline = [("HF_HUB_OFFLINE", "1")];
    assert_eq!(show(&hub, "hf://datasets/tiny/rows", &offline)??, train);
    refuse(&hub, "hf://datasets/tiny/rows?split=test", &offline, &[&format!("{TEST} is missing"), "hint:"])?;
    refuse(&hub, "hf://datasets/tiny/other", &offline, &["`tiny/other` is not whole in", "the listing is missing"])?;
    // A commit and a file are the same bytes always: nobody is asked.
    let file = format!("hf://datasets/tiny/rows@{COMMIT}/{TRAIN}");
    assert_eq!(show(&hub, &file, &[])??, train);
    assert_eq!(hub.mirror().requests.len(), asked);

    // A file, a pattern and a folder; a broken download goes on where it stopped.
    hub.mirror().cuts = 1;
    for source in ["columns", "columns/*.parquet", "columns/rows.parquet"] {
        let shown = show(&hub, &format!("hf://datasets/tiny/rows@main/{source}"), &[])??;
        assert_eq!(shown["source"], "codecontests", "{source}: {shown}");
    }
    let parts = hub.mirror().requests.iter().filter(|request| request.file == COLUMNS).count();
    assert!(hub.mirror().cuts == 0 && parts >= 3, "{parts}");
    Ok(())
}

fn commit_is_an_input() -> Result<(), Failed> {
    let hub = hub()?;
    let folder = tempfile::tempdir()?;
    let (config, run) = (folder.path().join("config.yaml"), folder.path().join("run"));
    fs::write(
        &config,
        "adapter_name: python-lora\nbase_model: examples/tiny-base\nlora: {r: 4, lora_alpha: 8}\n\
         training: {mode: qlora, num_epochs: 1, batch_size: 4, learning_rate: 1e-3, max_seq_length: 256}\n\
         data:\n  source: jsonl\n  files: ['hf://datasets/tiny/rows']\n  evaluation_files: ['hf://datasets/tiny/rows?split=test']\n  \
         domains: [python, data_structures, math, algorithms, policy]\n",
    )?;
    let (config, run_name) = (config.to_string_lossy().into_owned(), run.display().to_string());
    let arguments = ["prepare", "--config", &config, "--run", &run_name];
    let prepare = |more: &[&str]| -> Result<String, Failed> {
        let output = hub.run(&[&arguments[..], more].concat(), &[])?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        if output.status.success() { Ok(told) } else { Err(told.into()) }
    };
    let told = prepare(&["--dry-run"])?;
    assert!(told.contains("would download 2 files") && told.contains(COMMIT), "{told}");
    assert!(!run.exists() && !hub.home.path().join("hub").exists(), "a dry run writes nothing");

    let told = prepare(&[])?;
    assert!(told.contains("16 rows"), "{told}");
    let file = |commit: &str| format!("hf://datasets/tiny/rows@{commit}/{TRAIN}");
    let manifest =
        |run: &Path| -> Result<Value, Failed> { Ok(serde_json::from_slice(&fs::read(run.join("manifest.json"))?)?) };
    let first = manifest(&run)?;
    assert_eq!(first["inputs"][1]["file"], file(COMMIT));
    assert_eq!((&first["counts"]["train_problems"], &first["counts"]["eval_problems"]), (&json!(12), &json!(4)));
    assert!(fs::read_to_string(run.join("config.yaml"))?.contains(&file(COMMIT)));
    assert!(prepare(&[])?.contains("nothing has changed"));

    // The branch is another commit now, with the same rows.
    hub.mirror().commit = ANOTHER_COMMIT.to_owned();
    let told = prepare(&[])?;
    assert!(!told.contains("nothing has changed"), "{told}");
    assert_eq!(manifest(&run)?["inputs"][1]["file"], file(ANOTHER_COMMIT));
    Ok(())
}

fn refusals() -> Result<(), Failed> {
    let hub = hub()?;
    let rows = "hf://datasets/tiny/rows";
    refuse(&hub, "hf://datasets/nobody/rows", &[], &["has no data set `nobody/rows`", "hint: is the name right?"])?;
    refuse(&hub, &format!("{rows}@v2"), &[], &["has no data set `tiny/rows` at `v2`", "hint:"])?;
    refuse(&hub, &format!("{rows}?split=dev"), &[], &["no split `dev`; expected one of `test`, `train`", "hint:"])?;
    refuse(&hub, &format!("{rows}/none"), &[], &["nothing in it is called `none`", "it consists of `README.md`"])?;
    let absent = format!("{rows}@{COMMIT}/data/none.jsonl");
    refuse(
        &hub,
        &absent,
        &[],
        &["the data set `tiny/rows`: it has no file `data/none.jsonl` at that commit", "hint:"],
    )?;
    refuse(&hub, "hf://rows", &[], &["`hf://rows`: it does not begin with `hf://datasets/`; expected hf://datasets/"])?;
    hub.mirror().is_gated = true;
    refuse(&hub, rows, &[], &["refuses `tiny/rows` (HTTP 401), asked without a token", "hint: set HF_TOKEN"])?;
    hub.mirror().is_gated = false;
    hub.mirror().files.retain(|(name, _)| name == "rows.py");
    refuse(&hub, rows, &[], &["no data files, only the loading script rows.py", "@refs/convert/parquet"])?;
    hub.mirror().files = vec![("images.zip".to_owned(), Vec::new())];
    refuse(&hub, rows, &[], &["it has no file of rows; it consists of `images.zip`", "hint:"])
}
