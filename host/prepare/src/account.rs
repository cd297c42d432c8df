//! The account: the fate of every row that was read, and what is counted over them.

use std::collections::BTreeMap;

use super::entry::{Decision, Entry};
use super::error::{PrepareError, SHOWN_MAX};
use super::fate::{Fate, Fates, RowFate, Side, Skip};
use super::inputs::PrepareInputs;
use super::manifest::{Counts, SideCounts, SkippedReason, counts, skipped_by_reason};
use super::verified::VerifiedSummary;
use hilora_contract::terminal::visible_line;

/// How much of a skipped row an error shows.
const ROW_CHARACTERS_MAX: usize = 400;

/// How many reasons an error tells.
const REASONS_SHOWN_MAX: usize = 20;

/// What became of all rows.
pub(super) struct Account {
    pub(super) counts: Counts,
    /// Skipped rows by reason.
    pub(super) skipped: BTreeMap<String, SkippedReason>,
    /// Every row's fate, in row order.
    pub(super) fates: Vec<RowFate>,
    pub(super) sides: BTreeMap<Side, SideCounts>,
}

/// Every row's fate, and what is counted over them.
pub(super) fn account(summary: &VerifiedSummary, entries: &[Entry]) -> Result<Account, PrepareError> {
    let mut fates = Fates::default();
    let mut sides: BTreeMap<Side, SideCounts> = BTreeMap::new();
    summary.skipped.iter().cloned().for_each(|row| fates.decided(row));
    for entry in entries {
        match &entry.decision {
            Decision::Accepted(side) => {
                let domain = entry.domain.domain.clone();
                let counts = sides.entry(*side).or_default();
                *counts.domains.entry(domain.clone()).or_default() += 1;
                *counts.difficulties.entry(entry.difficulty.clone().unwrap_or_default()).or_default() += 1;
                let tied_with = entry.domain.tied_with.clone();
                let (solutions, tests) = (entry.lessons, entry.tests);
                let copies = entry.copies;
                let fate = Fate::Accepted { side: *side, domain, tied_with, solutions, copies, tests };
                fates.enter(entry.row, Some(entry.id.clone()), fate);
            }
            Decision::Skipped(skip) => fates.skip(entry.row, &entry.id, skip.clone()),
            // No row is left undecided; the fates refuse to close over one.
            Decision::Kept { .. } | Decision::Contaminated(_) => {}
        }
    }
    let fates = fates.close(summary.rows)?;
    let counts = counts(&fates, summary.programs_judged);
    Ok(Account { counts, skipped: skipped_by_reason(&fates), fates, sides })
}

/// Why there is nothing to measure on: the evaluation files are read first, and none of their rows is held out.
pub(super) fn nothing_to_measure(summary: &VerifiedSummary, entries: &[Entry]) -> PrepareError {
    let rows = summary.rows_of_sources.first().copied().unwrap_or(0);
    let mut skipped: Vec<RowFate> = summary.skipped.iter().filter(|row| row.row < rows).cloned().collect();
    skipped.extend(entries.iter().filter(|entry| entry.row < rows).filter_map(|entry| match &entry.decision {
        Decision::Skipped(Skip { reason, detail, .. }) => {
            let fate = Fate::Skipped { reason: (*reason).to_owned(), detail: detail.clone() };
            Some(RowFate { row: entry.row, id: Some(entry.id.clone()), fate })
        }
        _ => None,
    }));
    skipped.sort_by_key(|row| row.row);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut first = Vec::new();
    for row in &skipped {
        let Fate::Skipped { reason, detail } = &row.fate else { continue };
        *reasons.entry(reason).or_default() += 1;
        if first.len() < SHOWN_MAX {
            first.push(skipped_words(row.row, row.id.as_deref(), reason, detail));
        }
    }
    let reasons = reasons.into_iter().map(|(reason, count)| (count, reason)).collect();
    let skipped = reasons_words(reasons).unwrap_or_else(|| "none skipped".to_owned());
    PrepareError::NothingToMeasure { rows, skipped, first }
}

/// Why there is too little to train on.
pub(super) fn too_few(inputs: &PrepareInputs<'_>, account: &Account) -> PrepareError {
    let Account { counts, skipped, .. } = account;
    let mut reasons: Vec<(usize, &str)> = skipped.iter().map(|(reason, rows)| (rows.count, reason.as_str())).collect();
    reasons.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let first = account.fates.iter().filter_map(|row| match &row.fate {
        Fate::Skipped { reason, detail } => Some(skipped_words(row.row, row.id.as_deref(), reason, detail)),
        Fate::Accepted { .. } => None,
    });
    PrepareError::TooFewExamples {
        specialist: inputs.specialist.to_owned(),
        found: counts.train_examples,
        expected: inputs.config.min_examples,
        rows: counts.rows,
        skipped: reasons_words(reasons).unwrap_or_else(|| "none".to_owned()),
        first: first.take(SHOWN_MAX).collect(),
        // A row of another domain is as it should be.
        all_skipped: counts.accepted == 0 && !skipped.contains_key("domain-not-taken"),
    }
}

/// Reasons with their counts. A loader may make up any number of them, and a message holds a few.
pub(super) fn reasons_words(mut reasons: Vec<(usize, &str)>) -> Option<String> {
    let rest = reasons.split_off(reasons.len().min(REASONS_SHOWN_MAX));
    let mut words: Vec<String> = reasons.iter().map(|(count, reason)| format!("{count} {reason}")).collect();
    if !rest.is_empty() {
        let rows: usize = rest.iter().map(|(count, _)| count).sum();
        words.push(format!("{rows} for {} other reasons", rest.len()));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// A skipped row for a person. Which row it is, a loader of files of lines says itself, with file, line and field.
pub(super) fn skipped_words(row: u64, id: Option<&str>, reason: &str, detail: &str) -> String {
    let words = match id {
        Some(id) => format!("{reason}: {detail} (`{id}`)"),
        None => format!("{reason}: {detail} (row {row})"),
    };
    visible_line(&words, ROW_CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_reasons_a_message_holds_a_few() {
        assert_eq!(reasons_words(Vec::new()), None);
        assert_eq!(reasons_words(vec![(2, "no-tests"), (1, "bad")]).as_deref(), Some("2 no-tests, 1 bad"));
        let names: Vec<String> = (0..20_000).map(|place| format!("r{place}")).collect();
        let words = reasons_words(names.iter().map(|name| (2, name.as_str())).collect()).unwrap_or_default();
        assert!(words.ends_with("2 r19, 39960 for 19980 other reasons") && words.len() < 300, "{words}");
    }
}
