//! Decontamination: no problem is trained on that the model is measured on, whatever it is called there.
//!
//! A training problem is left out where its statement resembles one of an evaluation set (Jaccard's index, see
//! `fingerprint`), or where the two share a run of 13 words. Competitive statements share whole sentences that say
//! nothing of the task ("the first line of the input contains a single integer n"), so a run that stands in more than
//! ten problems is taken for such a sentence and does not count; GPT-3's filter drew the same line. Shared runs of 10
//! and 8 words are counted and reported, and remove nothing.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Side;
use super::entry::{Decision, Entry};
use super::fate::Skip;
use super::fingerprint::{Bands, HashTable, NearIndex, Shingles, Words, words_in_text};
use super::manifest::{DecontaminatedSet, Decontamination};

/// Words in a run that removes a problem.
const RUN_WORDS: usize = 13;
/// Words in runs that are reported.
const REPORTED_RUN_WORDS: [usize; 2] = [10, 8];
/// A run that stands in more problems is a common sentence.
const PROBLEMS_WITH_A_RUN_MAX: u32 = 10;

/// What a training problem shares with a problem that the model is measured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contamination {
    set: String,
    problem: String,
    shared: Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    /// The statements resemble each other.
    Statement,
    /// So many runs, the first of which begins at this word of the training problem.
    Runs { count: usize, first: usize },
}

impl Contamination {
    /// The reason in words; `statement` is the training problem's.
    pub(super) fn skip(&self, statement: &str) -> Skip {
        let Self { set, problem, shared } = self;
        let what = match shared {
            Shared::Statement => "the statement resembles".to_owned(),
            Shared::Runs { count, first } => {
                let words = words_in_text(statement, *first, RUN_WORDS);
                format!("{count} runs of {RUN_WORDS} words (the first: \"{words}\") stand also in")
            }
        };
        Skip::new("contaminated", format!("{what} `{problem}` of {set}"))
    }
}

/// A problem of an evaluation set as it is compared.
pub(super) struct Measured {
    pub(super) id: String,
    pub(super) words: Words,
    pub(super) shingles: Shingles,
    pub(super) bands: Bands,
}

impl Measured {
    pub(super) fn new(id: String, statement: &str) -> Self {
        let words = Words::of_text(statement);
        let shingles = words.shingles();
        Self { id, bands: shingles.bands(), words, shingles }
    }
}

/// An evaluation set: its name, its problems, and what the report says of it.
pub(super) struct EvaluationSet {
    pub(super) report: DecontaminatedSet,
    pub(super) problems: Vec<Measured>,
}

/// Decides against every training entry that shares words with an evaluation set or with the entries that are held out.
/// `own` is the report on the latter.
pub(super) fn decontaminate(
    entries: &mut [Entry],
    mut sets: Vec<EvaluationSet>,
    own: DecontaminatedSet,
) -> Decontamination {
    let held_out = entries.iter().filter(|entry| entry.decision == Decision::Accepted(Side::Eval));
    let held_out = held_out.map(|entry| Measured {
        id: entry.id.clone(),
        words: entry.words.clone(),
        shingles: entry.shingles.clone(),
        bands: entry.bands,
    });
    let problems: Vec<Measured> = held_out.collect();
    sets.push(EvaluationSet { report: own, problems });

    let measured: Vec<(usize, &Measured)> =
        sets.iter().enumerate().flat_map(|(set, found)| found.problems.iter().map(move |one| (set, one))).collect();
    let trained: Vec<&Entry> =
        entries.iter().filter(|entry| entry.decision == Decision::Accepted(Side::Train)).collect();
    let runs = shared_runs(RUN_WORDS, &measured, &trained);
    let mut near = NearIndex::default();
    for (place, (_, one)) in measured.iter().enumerate() {
        near.add(place, &one.shingles, &one.bands);
    }
    let mut found: HashMap<u64, Contamination> = HashMap::new();
    let mut removed = vec![0; sets.len()];
    for (entry, shared) in trained.iter().zip(&runs) {
        let alike = near.near(&entry.shingles, &entry.bands).first().map(|&place| (place, Shared::Statement));
        let by_runs = shared.as_ref().map(|run| (run.measured, Shared::Runs { count: run.count, first: run.first }));
        let Some((place, shared)) = alike.or(by_runs) else { continue };
        let (set, one) = measured[place];
        removed[set] += 1;
        let contamination = Contamination { set: sets[set].report.name.clone(), problem: one.id.clone(), shared };
        found.insert(entry.row, contamination);
    }
    let reported = REPORTED_RUN_WORDS.map(|words| {
        let runs = shared_runs(words, &measured, &trained);
        let left = trained.iter().zip(runs).filter(|(entry, _)| !found.contains_key(&entry.row));
        let mut counts = vec![0; sets.len()];
        left.filter_map(|(_, run)| run).for_each(|run| counts[measured[run.measured].0] += 1);
        counts
    });
    for entry in entries.iter_mut() {
        if let Some(contamination) = found.remove(&entry.row) {
            entry.decision = Decision::Contaminated(contamination);
        }
    }
    let [tens, eights] = reported;
    let reports = sets.into_iter().zip(removed).zip(tens.into_iter().zip(eights));
    Decontamination {
        run_words: RUN_WORDS,
        problems_with_a_run_max: PROBLEMS_WITH_A_RUN_MAX,
        jaccard_min: super::fingerprint::NEAR,
        sets: reports
            .map(|((set, removed), (ten, eight))| DecontaminatedSet {
                problems: set.problems.len(),
                removed,
                kept_with_10_words: ten,
                kept_with_8_words: eight,
                ..set.report
            })
            .collect(),
    }
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
fn shared_runs(words: usize, measured: &[(usize, &Measured)], trained: &[&Entry]) -> Vec<Option<SharedRuns>> {
    // For each run of a measured problem: where it stands first, and in how many problems of all it stands.
    let mut runs: HashTable<u64, (usize, u32)> = HashTable::default();
    for (place, (_, one)) in measured.iter().enumerate() {
        for gram in distinct(one.words.grams(words).map(|(_, gram)| gram)) {
            runs.entry(gram).or_insert((place, 0)).1 += 1;
        }
    }
    // Of each entry the few runs that are also measured, with the places where they begin.
    let also_measured = |entry: &&Entry| -> Vec<(usize, u64)> {
        entry.words.grams(words).filter(|(_, gram)| runs.contains_key(gram)).collect()
    };
    let also_measured: Vec<Vec<(usize, u64)>> = trained.par_iter().map(also_measured).collect();
    for grams in &also_measured {
        for gram in distinct(grams.iter().map(|(_, gram)| *gram)) {
            if let Some((_, problems)) = runs.get_mut(&gram) {
                *problems += 1;
            }
        }
    }
    let shared = |grams: Vec<(usize, u64)>| {
        let telling = grams.into_iter().filter_map(|(start, gram)| {
            let (place, problems) = runs.get(&gram)?;
            (*problems <= PROBLEMS_WITH_A_RUN_MAX).then_some((start, *place))
        });
        telling.fold(None, |found: Option<SharedRuns>, (start, place)| match found {
            None => Some(SharedRuns { measured: place, count: 1, first: start }),
            Some(found) => Some(SharedRuns { count: found.count + 1, ..found }),
        })
    };
    also_measured.into_iter().map(shared).collect()
}

fn distinct(grams: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut grams: Vec<u64> = grams.collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}

#[cfg(test)]
mod tests {
    use super::super::fakes::entry;
    use super::*;

    fn words(from: usize, count: usize) -> String {
        (from..from + count).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
    }

    fn set(name: &str, statements: &[String]) -> EvaluationSet {
        let problems =
            statements.iter().enumerate().map(|(i, text)| Measured::new(format!("{name}-{i}"), text)).collect();
        EvaluationSet { report: DecontaminatedSet::named(name), problems }
    }

    fn entries(statements: &[(&str, String, Side)]) -> Vec<Entry> {
        let entries = statements.iter().enumerate().map(|(row, (id, statement, side))| Entry {
            row: row as u64,
            decision: Decision::Accepted(*side),
            ..entry(id, statement, &["print(1)"])
        });
        entries.collect()
    }

    #[test]
    fn thirteen_shared_words_remove_and_twelve_do_not() {
        let mut rows = entries(&[
            ("thirteen", format!("{} {}", words(500, 30), words(0, 13)), Side::Train),
            ("twelve", format!("{} {}", words(600, 30), words(0, 12)), Side::Train),
            ("held-out", words(0, 13), Side::Eval),
        ]);
        let report = decontaminate(&mut rows, vec![set("other", &[words(0, 40)])], DecontaminatedSet::named("own"));
        let Decision::Contaminated(found) = &rows[0].decision else { panic!("{:?}", rows[0].decision) };
        let detail = found.skip(&format!("{} {}", words(500, 30), words(0, 13))).detail;
        let shared = words(0, 13);
        assert_eq!(detail, format!("1 runs of 13 words (the first: \"{shared}\") stand also in `other-0` of other"));
        assert_eq!(rows[1].decision, Decision::Accepted(Side::Train));
        assert_eq!(rows[2].decision, Decision::Accepted(Side::Eval), "what is measured on is not removed");
        assert_eq!((report.sets[0].removed, report.sets[1].removed), (1, 0));
        assert_eq!((report.sets[0].kept_with_10_words, report.sets[0].kept_with_8_words), (1, 1));
        assert_eq!(report.sets[1].problems, 1);
    }

    #[test]
    fn a_sentence_of_many_problems_does_not_count() {
        let sentence = words(0, 20);
        let statement = |i: usize| format!("{} {sentence}", words(1000 * i, 40));
        let rows = |count: usize| {
            let mut rows = entries(&(1..=count).map(|i| ("p", statement(i), Side::Train)).collect::<Vec<_>>());
            let report =
                decontaminate(&mut rows, vec![set("other", &[statement(99)])], DecontaminatedSet::named("own"));
            report.sets[0].removed
        };
        assert_eq!(rows(9), 9, "ten problems in all have it");
        assert_eq!(rows(10), 0, "eleven have");
    }

    #[test]
    fn a_short_statement_is_found_as_a_whole() {
        let mut rows = entries(&[("p", "Print twice the number.".to_owned(), Side::Train)]);
        let sets = vec![set("other", &["print TWICE the number".to_owned()])];
        let report = decontaminate(&mut rows, sets, DecontaminatedSet::named("own"));
        assert_eq!(report.sets[0].removed, 1);
        let Decision::Contaminated(found) = &rows[0].decision else { panic!("{:?}", rows[0].decision) };
        assert_eq!(found.skip("").detail, "the statement resembles `other-0` of other");
    }
}
