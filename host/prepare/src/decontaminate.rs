//! Decontamination: no problem is trained on that the model is measured on, whatever it is called there.
//!
//! A training problem is left out where its statement resembles one of an evaluation set (Jaccard's index, see
//! `fingerprint`), or where the two share a run of 13 words. Competitive statements share whole sentences that say
//! nothing of the task ("the first line of the input contains a single integer n"), so a run that stands in more than
//! ten problems is taken for such a sentence and does not count; GPT-3's filter drew the same line. Shared runs of 10
//! and 8 words are counted and reported, and remove nothing.

use std::collections::HashMap;

use rayon::prelude::*;

use super::contamination::{Contamination, RUN_WORDS, Shared};
use super::entry::{Decision, Entries, Entry};
use super::error::PrepareError;
use super::evaluation_set::{EvaluationSet, Measured};
use super::fate::Side;
use super::fingerprint::NEAR;
use super::manifest::{DecontaminatedSet, Decontamination};
use super::near_index::NearIndex;
use super::run_index::{Run, RunIndex};
use super::words_file::{Comparison, WordsFile};

/// Words in runs that are reported.
const REPORTED_RUN_WORDS: [usize; 2] = [10, 8];
/// A run that stands in more problems is a common sentence.
const PROBLEMS_WITH_A_RUN_MAX: u32 = 10;

/// Decides against every training entry that shares words with an evaluation set or with the entries that are held out.
/// `own` is the report on the latter.
pub(super) fn decontaminate(
    entries: &mut Entries,
    mut sets: Vec<EvaluationSet>,
    own: DecontaminatedSet,
) -> Result<Decontamination, PrepareError> {
    let Entries { rows: entries, words } = entries;
    let held_out = entries.iter().filter(|entry| entry.decision == Decision::Accepted(Side::Eval));
    let held_out = held_out.map(|entry| Measured { id: entry.id.clone(), text: entry.text });
    let problems: Vec<Measured> = held_out.collect();
    sets.push(EvaluationSet { report: own, problems });

    let measured: Vec<(usize, &Measured)> =
        sets.iter().enumerate().flat_map(|(set, found)| found.problems.iter().map(move |one| (set, one))).collect();
    let trained: Vec<&Entry> =
        entries.iter().filter(|entry| entry.decision == Decision::Accepted(Side::Train)).collect();
    let runs = shared_runs(RUN_WORDS, &measured, &trained, words)?;
    let mut near = NearIndex::with_capacity(measured.len());
    for (place, (_, one)) in measured.iter().enumerate() {
        near.add(place, &one.text.bands);
    }
    let mut found: HashMap<u64, Contamination> = HashMap::new();
    let mut removed = vec![0; sets.len()];
    for (entry, shared) in trained.iter().zip(&runs) {
        let statements =
            near.candidates(&entry.text.bands).into_iter().map(|place| (place, measured[place].1.text.words));
        let alike = Comparison::of(entry.text.words, words).first_near(statements)?;
        let alike = alike.map(|place| (place, Shared::Statement));
        let by_runs = shared.as_ref().map(|run| (run.measured, Shared::Runs { count: run.count, first: run.first }));
        let Some((place, shared)) = alike.or(by_runs) else { continue };
        let (set, one) = measured[place];
        removed[set] += 1;
        let contamination = Contamination { set: sets[set].report.name.clone(), problem: one.id.clone(), shared };
        found.insert(entry.row, contamination);
    }
    let reported = |run_words| -> Result<Vec<usize>, PrepareError> {
        let runs = shared_runs(run_words, &measured, &trained, words)?;
        let left = trained.iter().zip(runs).filter(|(entry, _)| !found.contains_key(&entry.row));
        let mut counts = vec![0; sets.len()];
        left.filter_map(|(_, run)| run).for_each(|run| counts[measured[run.measured].0] += 1);
        Ok(counts)
    };
    let [tens, eights] = REPORTED_RUN_WORDS.map(reported);
    let (tens, eights) = (tens?, eights?);
    for entry in entries.iter_mut() {
        if let Some(contamination) = found.remove(&entry.row) {
            entry.decision = Decision::Contaminated(contamination);
        }
    }
    let reports = sets.into_iter().zip(removed).zip(tens.into_iter().zip(eights));
    Ok(Decontamination {
        run_words: RUN_WORDS,
        problems_with_a_run_max: PROBLEMS_WITH_A_RUN_MAX,
        jaccard_min: NEAR,
        sets: reports
            .map(|((set, removed), (ten, eight))| DecontaminatedSet {
                problems: set.problems.len(),
                removed,
                kept_with_10_words: ten,
                kept_with_8_words: eight,
                ..set.report
            })
            .collect(),
    })
}

/// The runs that a training entry shares with the measured problems.
#[derive(Debug, Clone, Copy)]
struct SharedRuns {
    /// The first measured problem that it shares one with.
    measured: usize,
    count: usize,
    /// The word at which the first begins.
    first: usize,
}

/// For each training entry, which runs of `words` words it shares that are no common sentences.
fn shared_runs(
    words: usize,
    measured: &[(usize, &Measured)],
    trained: &[&Entry],
    file: &WordsFile,
) -> Result<Vec<Option<SharedRuns>>, PrepareError> {
    let runs_max = measured.iter().map(|(_, one)| one.text.words.grams(words)).sum();
    let mut all = Vec::with_capacity(runs_max);
    for (place, (_, one)) in (0..).zip(measured) {
        let text = file.read(one.text.words)?;
        let hashes = distinct(text.grams(words).map(|(_, gram)| gram));
        all.extend(hashes.into_iter().map(|hash| Run { hash, measured: place, problems: 1 }));
    }
    let mut runs = RunIndex::of(all);
    // Of each entry the few runs that are also measured, with the places where they begin.
    let also_measured = |entry: &&Entry| -> Result<Vec<(usize, usize)>, PrepareError> {
        let text = file.read(entry.text.words)?;
        Ok(text.grams(words).filter_map(|(start, gram)| Some((start, runs.find(gram)?))).collect())
    };
    let also_measured: Vec<Vec<(usize, usize)>> = trained.par_iter().map(also_measured).collect::<Result<_, _>>()?;
    for found in &also_measured {
        for run in distinct(found.iter().map(|(_, run)| *run)) {
            runs.get_mut(run).problems += 1;
        }
    }
    let shared = |found: Vec<(usize, usize)>| {
        let mut telling = found.into_iter().filter(|(_, run)| runs.get(*run).problems <= PROBLEMS_WITH_A_RUN_MAX);
        let (first, run) = telling.next()?;
        Some(SharedRuns { measured: runs.get(run).measured as usize, count: 1 + telling.count(), first })
    };
    Ok(also_measured.into_iter().map(shared).collect())
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::super::fakes;
    use super::*;

    fn words(from: usize, count: usize) -> String {
        (from..from + count).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
    }

    fn entries(statements: &[(&str, String, Side)]) -> Result<Entries, PrepareError> {
        let problems: Vec<(&str, &str, &[&str])> =
            statements.iter().map(|(id, statement, _)| (*id, statement.as_str(), &["print(1)"][..])).collect();
        let mut entries = fakes::entries(&problems)?;
        for (entry, (_, _, side)) in entries.rows.iter_mut().zip(statements) {
            entry.decision = Decision::Accepted(*side);
        }
        Ok(entries)
    }

    /// Decontaminates against a set `other` of one statement, and against the held-out entries.
    fn against(entries: &mut Entries, statement: &str) -> Result<Decontamination, PrepareError> {
        let problems = vec![Measured::new("other-0".to_owned(), statement, &mut entries.words)];
        entries.words.flush()?;
        let set = EvaluationSet { report: DecontaminatedSet::named("other"), problems };
        decontaminate(entries, vec![set], DecontaminatedSet::named("own"))
    }

    #[test]
    fn thirteen_shared_words_remove_and_twelve_do_not() -> Result<(), PrepareError> {
        let mut rows = entries(&[
            ("thirteen", format!("{} {}", words(500, 30), words(0, 13)), Side::Train),
            ("twelve", format!("{} {}", words(600, 30), words(0, 12)), Side::Train),
            ("held-out", words(0, 13), Side::Eval),
        ])?;
        let report = against(&mut rows, &words(0, 40))?;
        let rows = rows.rows;
        let Decision::Contaminated(found) = &rows[0].decision else { panic!("{:?}", rows[0].decision) };
        let detail = found.skip(&format!("{} {}", words(500, 30), words(0, 13))).detail;
        let shared = words(0, 13);
        assert_eq!(detail, format!("1 runs of 13 words (the first: \"{shared}\") stand also in `other-0` of other"));
        assert_eq!(rows[1].decision, Decision::Accepted(Side::Train));
        assert_eq!(rows[2].decision, Decision::Accepted(Side::Eval), "what is measured on is not removed");
        assert_eq!((report.sets[0].removed, report.sets[1].removed), (1, 0));
        assert_eq!((report.sets[0].kept_with_10_words, report.sets[0].kept_with_8_words), (1, 1));
        assert_eq!(report.sets[1].problems, 1);
        Ok(())
    }

    #[test]
    fn a_sentence_of_many_problems_does_not_count() -> Result<(), PrepareError> {
        let sentence = words(0, 20);
        let statement = |i: usize| format!("{} {sentence}", words(1000 * i, 40));
        let removed = |count: usize| -> Result<usize, PrepareError> {
            let mut rows = entries(&(1..=count).map(|i| ("p", statement(i), Side::Train)).collect::<Vec<_>>())?;
            Ok(against(&mut rows, &statement(99))?.sets[0].removed)
        };
        assert_eq!(removed(9)?, 9, "ten problems in all have it");
        assert_eq!(removed(10)?, 0, "eleven have");
        Ok(())
    }

    #[test]
    fn a_short_statement_is_found_as_a_whole() -> Result<(), PrepareError> {
        let mut rows = entries(&[("p", "Print twice the number.".to_owned(), Side::Train)])?;
        assert_eq!(against(&mut rows, "print TWICE the number")?.sets[0].removed, 1);
        let Decision::Contaminated(found) = &rows.rows[0].decision else { panic!("{:?}", rows.rows[0].decision) };
        assert_eq!(found.skip("").detail, "the statement resembles `other-0` of other");
        Ok(())
    }
}
