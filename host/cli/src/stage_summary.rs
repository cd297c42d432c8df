//! What a person is told of a stage.

use hilora_enrich::EnrichReport;
use hilora_prepare::{PrepareManifest, SourceCounts, TieCount, WeakTests};
use hilora_run::{StageName, StageReport, StageResult, StageState};
use hilora_trainer::TrainingOutcome;

/// How many reasons, and how many ties, are listed.
const LINES_MAX: usize = 20;

/// A few lines; nothing for a stage that speaks through the closing table.
pub(crate) fn summary(result: &StageResult) -> Option<String> {
    let name = result.name;
    let text = match &result.state {
        StageState::Unchanged => format!("{name}: nothing has changed, no work done"),
        StageState::NotNeeded => match name {
            StageName::Prepare => "prepare: data.train_file names rows that are prepared already".to_owned(),
            StageName::Evaluate => "evaluate: none of the held-out rows has a test".to_owned(),
            StageName::Enrich | StageName::Train | StageName::Control | StageName::Register => return None,
        },
        StageState::WouldRun(report) => match report {
            StageReport::Prepare { manifest } => format!("dry run, nothing written: {}", prepared(manifest)),
            StageReport::Enrich(report) => {
                let EnrichReport { calls, answers_reused, rows, .. } = report;
                format!("enrich: would make {calls} calls for {rows} rows; {answers_reused} are recorded")
            }
            StageReport::Nothing {} | StageReport::Train(_) | StageReport::Register(_) => match name {
                StageName::Register => return None,
                _ => format!("{name}: would run"),
            },
        },
        StageState::Ran(report) | StageState::Interrupted(report) => {
            let is_interrupted = matches!(result.state, StageState::Interrupted(_));
            match report {
                StageReport::Prepare { manifest } => prepared(manifest),
                StageReport::Enrich(report) => enriched(report),
                StageReport::Train(outcome) => trained(name, outcome),
                StageReport::Nothing {} | StageReport::Register(_) if is_interrupted => {
                    format!("{name}: interrupted; what was finished is kept, run again to go on")
                }
                StageReport::Nothing {} | StageReport::Register(_) => return None,
            }
        }
    };
    Some(text)
}

/// The counts, and every reason for which rows were skipped.
fn prepared(manifest: &PrepareManifest) -> String {
    let counts = &manifest.counts;
    let mut text = format!(
        "{} rows: {} problems accepted ({} to train on, {} held out), {} skipped",
        counts.rows, counts.accepted, counts.train_problems, counts.eval_problems, counts.skipped
    );
    for source in &manifest.sources {
        let SourceCounts { name, rows, train_rows, eval_rows, left_out, repeated, train_examples, .. } = source;
        let told = match source.weight {
            None => format!("{eval_rows} held out"),
            Some(weight) => format!(
                "weight {weight}: {train_rows} train on {train_examples} examples, {left_out} left out, {repeated} repeated"
            ),
        };
        let name = if name.is_empty() { "data.files" } else { name };
        text.push_str(&format!("\n  {rows:>6}  rows of `{name}`, {told}"));
    }
    if !manifest.config.verify {
        text.push_str("\n  data.verify is false: no solution was run, the dataset is believed");
    }
    text.push_str(&skipped(manifest));
    for (domain, found) in &manifest.domains {
        let note = if found.taken { "" } else { "  (no specialist of this run takes it)" };
        text.push_str(&format!("\n  {:>6}  domain {domain}{note}", found.problems));
    }
    for TieCount { chosen, tied_with, problems } in manifest.ties.iter().take(LINES_MAX) {
        let others: Vec<&str> = tied_with.iter().map(|domain| domain.0.as_str()).collect();
        text.push_str(&format!("\n  {problems:>6}  tie: {chosen} was chosen, {} scored as high", others.join(", ")));
    }
    if let Some(rest) = manifest.ties.get(LINES_MAX..).filter(|rest| !rest.is_empty()) {
        let problems: usize = rest.iter().map(|tie| tie.problems).sum();
        text.push_str(&format!("\n  {problems:>6}  more in {} other ties", rest.len()));
    }
    let WeakTests { tests, weak, .. } = &manifest.weak_tests;
    if *weak > 0 {
        text.push_str(&format!("\n  {weak:>6}  of {tests} tests are weak: each accepted a wrong program"));
    }
    for set in &manifest.decontamination.sets {
        let paraphrased = match set.paraphrased {
            0 => String::new(),
            paraphrased => format!(", {paraphrased} of them as paraphrases"),
        };
        text.push_str(&format!(
            "\n  {:>6}  left out for `{}`{paraphrased} ({} problems; {} more share 10 words, {} share 8)",
            set.removed, set.name, set.problems, set.kept_with_10_words, set.kept_with_8_words
        ));
    }
    text
}

/// The reasons for which rows were skipped, most frequent first where there are more than can be read: a loader may make up
/// any number.
fn skipped(manifest: &PrepareManifest) -> String {
    let mut reasons: Vec<(&String, usize)> =
        manifest.skipped.iter().map(|(reason, rows)| (reason, rows.count)).collect();
    if reasons.len() > LINES_MAX {
        reasons.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    }
    let rest = reasons.split_off(reasons.len().min(LINES_MAX));
    let mut text: String = reasons.iter().map(|(reason, rows)| format!("\n  {rows:>6}  {reason}")).collect();
    if !rest.is_empty() {
        let rows: usize = rest.iter().map(|(_, rows)| rows).sum();
        text.push_str(&format!("\n  {rows:>6}  for {} other reasons, which the manifest lists", rest.len()));
    }
    text
}

/// The counts, and every reason for which an answer was rejected.
fn enriched(report: &EnrichReport) -> String {
    let cost = report.cost.map(|cost| format!(", cost {cost:.4}")).unwrap_or_default();
    let mut text = format!(
        "enrich: {} calls ({} recorded before), {} input and {} output tokens{cost}",
        report.calls_answered, report.answers_reused, report.prompt_tokens, report.completion_tokens
    );
    if !report.finished {
        let left = report.calls - report.calls_answered;
        text.push_str(&format!("\ninterrupted with {left} calls left; what was answered is kept, run again to go on"));
        return text;
    }
    text.push_str(&format!("\n  {:>6}  rows", report.rows));
    let counts = [("traces accepted", report.accepted), ("had a reasoning", report.had_reasoning)];
    for (what, count) in counts.into_iter().chain([("are no solved problems", report.other_rows)]) {
        if count > 0 {
            text.push_str(&format!("\n  {count:>6}  {what}"));
        }
    }
    for (reason, count) in &report.rejected {
        text.push_str(&format!("\n  {count:>6}  rejected: {reason}"));
    }
    text
}

/// The steps, the best of them, and what became of rows that are too long.
fn trained(stage: StageName, outcome: &TrainingOutcome) -> String {
    let TrainingOutcome { steps, steps_total, final_loss, .. } = outcome;
    let ended = match (outcome.finished, outcome.stopped_early) {
        (false, _) => ": interrupted, saved; run again to go on",
        (true, true) => ": stopped early, its patience was used up",
        (true, false) => "",
    };
    let loss = if final_loss.is_nan() { "no step taken now".to_owned() } else { format!("last loss {final_loss:.4}") };
    let mut text = format!("{stage}: {steps} steps of {steps_total}, {loss}{ended}");
    if let Some(best) = outcome.best {
        text.push_str(&format!("\n  best at step {}: {:.4}; its weights are kept", best.step, best.value));
    }
    for (count, what) in [
        (outcome.samples_cut.len(), "rows cut to training.max_seq_length"),
        (outcome.samples_without_targets.len(), "rows left out: cut, they have no target"),
        (outcome.held_out_without_targets, "held-out rows left out: cut, they have no target"),
    ] {
        if count > 0 {
            text.push_str(&format!("\n  {count:>6}  {what}"));
        }
    }
    text
}
