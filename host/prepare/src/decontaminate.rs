//! Decontamination: no problem is trained on that the model is measured on, whatever it is called there.
//!
//! A training problem is left out where
//!
//! - what it asks resembles what a measured problem asks (Jaccard's index, see `fingerprint`), both without the boilerplate
//!   of their collections;
//! - the two share a run of 13 words, none of them boilerplate of the measured problem's set, that says something.
//!   Competitive statements share whole sentences that say nothing of the task ("the first line of the input contains a
//!   single integer n"), so a run that stands in more than ten different problems is taken for such a sentence; GPT-3's
//!   filter drew the same line;
//! - it holds seven tenths of a measured problem's own words in runs of 13 words, whatever the number of problems that do:
//!   a benchmark's problem that a data set repeats is no sentence of many problems;
//! - it holds the whole of a measured problem of 8 to 12 words;
//! - one of its programs is a solution of a measured problem (see `program_index`);
//! - it asks what a measured problem of another set asks in other words (see `paraphrase`).
//!
//! Under another policy the same question is another, and is not left out. Shared runs of 10 and 8 words are counted and
//! reported, and remove nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use rayon::prelude::*;

use super::boilerplate::{Boilerplate, RUN_WORDS, TEXTS_WITH_A_RUN_MAX};
use super::contamination::{Contamination, Shared};
use super::entry::{Decision, Entries, Entry};
use super::error::PrepareError;
use super::evaluation_set::{EvaluationSet, Measured};
use super::fate::Side;
use super::fingerprint::{NEAR, Words};
use super::manifest::{DecontaminatedSet, Decontamination};
use super::near_index::NearIndex;
use super::paraphrase::{ParaphraseMeasure, Paraphrases};
use super::program_index::ProgramIndex;
use super::run_index::{Run, RunIndex};
use super::words_file::{Comparison, Fingerprint, Stretch, WordsFile};

/// Words in runs that are reported.
const REPORTED_RUN_WORDS: [usize; 2] = [10, 8];
/// Percent of a measured problem's own words that a training problem may hold less than.
const OWN_WORDS_PERCENT_MAX: usize = 70;
/// Texts that are read at once.
const TEXTS_PER_CHUNK: usize = 1024;
/// A shorter measured problem is found only where a training problem asks nothing else.
const WHOLE_WORDS_MIN: usize = 8;

/// Decides against every training entry that shares something with an evaluation set or with the entries that are held out.
/// `own` is the report on the latter, `boilerplate` the data set's; `in_other_words` says whether they are looked for in
/// other words, too, as sets are: they were not made together with the rows then.
pub(super) fn decontaminate(
    entries: &mut Entries,
    mut sets: Vec<EvaluationSet>,
    own: DecontaminatedSet,
    boilerplate: Boilerplate,
    in_other_words: bool,
) -> Result<Decontamination, PrepareError> {
    let Entries { rows: entries, words, .. } = entries;
    let held_out = entries.iter().filter(|entry| entry.decision == Decision::Accepted(Side::Eval));
    let problems = held_out.map(|entry| Measured {
        id: entry.id.clone(),
        text: entry.text,
        own: entry.own,
        stems: entry.stems,
        policy: entry.policy,
        // Rows of one data set whose programs resemble each other are on one side; what is given to be measured on is
        // held against as a set is.
        code: if in_other_words { entry.code.clone() } else { Vec::new() },
    });
    sets.push(EvaluationSet { report: own, problems: problems.collect(), boilerplate, in_other_words });

    let trained: Vec<&Entry> =
        entries.iter().filter(|entry| entry.decision == Decision::Accepted(Side::Train)).collect();
    let measured = AllMeasured::new(&sets, words);
    let shared = measured.shared(&trained)?;
    let (mut removed, mut paraphrased) = (vec![0; sets.len()], vec![0; sets.len()]);
    let mut found: HashMap<u64, Contamination> = HashMap::new();
    for (entry, shared) in trained.iter().zip(shared) {
        let Some((place, shared)) = shared else { continue };
        let (set, one) = measured.problems[place];
        removed[set] += 1;
        paraphrased[set] += usize::from(matches!(shared, Shared::Paraphrase { .. }));
        let contamination = Contamination { set: sets[set].report.name.clone(), problem: one.id.clone(), shared };
        found.insert(entry.row, contamination);
    }
    let reported = |run_words| -> Result<Vec<usize>, PrepareError> {
        let runs = RunsFound::in_all(run_words, &measured, &trained)?;
        let left = trained.iter().zip(&runs.found).filter(|(entry, _)| !found.contains_key(&entry.row));
        let mut counts = vec![0; sets.len()];
        for (entry, runs_found) in left {
            if let Some((place, _)) = runs.telling(&measured, entry, runs_found)? {
                counts[measured.problems[place].0] += 1;
            }
        }
        Ok(counts)
    };
    let [tens, eights] = REPORTED_RUN_WORDS.map(reported);
    let (tens, eights) = (tens?, eights?);
    for entry in entries.iter_mut() {
        if let Some(contamination) = found.remove(&entry.row) {
            entry.decision = Decision::Contaminated(contamination);
        }
    }
    let reports = sets.into_iter().zip(removed.into_iter().zip(paraphrased)).zip(tens.into_iter().zip(eights));
    Ok(Decontamination {
        run_words: RUN_WORDS,
        problems_with_a_run_max: TEXTS_WITH_A_RUN_MAX,
        own_words_percent: OWN_WORDS_PERCENT_MAX,
        jaccard_min: NEAR,
        paraphrases: Some(ParaphraseMeasure::OF_OWN_PAIRS),
        sets: reports
            .map(|((set, (removed, paraphrased)), (ten, eight))| DecontaminatedSet {
                problems: set.problems.len(),
                removed,
                paraphrased,
                kept_with_10_words: ten,
                kept_with_8_words: eight,
                ..set.report
            })
            .collect(),
    })
}

/// The problems of all sets, each with the place of its set.
struct AllMeasured<'a> {
    sets: &'a [EvaluationSet],
    problems: Vec<(usize, &'a Measured)>,
    words: &'a WordsFile,
}

/// A measured problem, by its place, and what is shared with it.
type Found = (usize, Shared);

impl<'a> AllMeasured<'a> {
    fn new(sets: &'a [EvaluationSet], words: &'a WordsFile) -> Self {
        let problems =
            sets.iter().enumerate().flat_map(|(set, found)| found.problems.iter().map(move |one| (set, one)));
        Self { sets, problems: problems.collect(), words }
    }

    /// For each training entry what it shares with which measured problem.
    fn shared(&self, trained: &[&Entry]) -> Result<Vec<Option<Found>>, PrepareError> {
        let mut near = NearIndex::with_capacity(self.problems.len());
        for (place, (_, one)) in self.problems.iter().enumerate() {
            if one.own.words.hashes() > 0 {
                near.add(place, &one.own.bands);
            }
        }
        let runs = RunsFound::in_all(RUN_WORDS, self, trained)?;
        let short = ShortProblems::of(self)?;
        let paraphrases = self.paraphrases(trained)?;
        let programs = ProgramIndex::of(self.problems.iter().map(|(_, one)| &one.code[..]), self.words)?;
        let shared = |(entry, runs_found): (&&Entry, &Vec<RunFound>)| -> Result<Option<Found>, PrepareError> {
            let statements = near.candidates(&entry.own.bands).into_iter();
            let statements = statements.filter(|place| self.may_be(*place, entry));
            let statements = statements.map(|place| (place, self.problems[place].1.own.words));
            if entry.own.words.hashes() > 0
                && let Some(place) = Comparison::of(entry.own.words, self.words).first_near(statements)?
            {
                return Ok(Some((place, Shared::Statement)));
            }
            if let Some(telling) = runs.telling(self, entry, runs_found)? {
                return Ok(Some(telling));
            }
            if let Some(part) = runs.part(self, entry, runs_found)? {
                return Ok(Some(part));
            }
            if let Some(whole) = short.within(self, entry)? {
                return Ok(Some(whole));
            }
            if let Some(place) = programs.solved_by(&entry.code, self.words)? {
                return Ok(Some((place, Shared::Program)));
            }
            let Some(paraphrases) = &paraphrases else { return Ok(None) };
            let stems = self.own_stems(entry.text, &entry.own, entry.stems, self.own_boilerplate())?;
            let closest = paraphrases.closest(&stems, |place| self.may_be(place, entry));
            Ok(closest.map(|(place, percent)| (place, Shared::Paraphrase { percent })))
        };
        trained.par_iter().zip(&runs.found).map(shared).collect()
    }

    /// What is looked for in other words; `None` where no set asks for it.
    fn paraphrases(&self, trained: &[&Entry]) -> Result<Option<Paraphrases>, PrepareError> {
        if !self.problems.iter().any(|(set, _)| self.sets[*set].in_other_words) {
            return Ok(None);
        }
        let problem = |(place, (set, one)): (usize, &(usize, &Measured))| -> Result<Option<Words>, PrepareError> {
            let wanted = self.sets[*set].in_other_words;
            wanted.then(|| self.own_stems(one.text, &one.own, one.stems, self.boilerplate(place))).transpose()
        };
        let problems: Vec<Option<Words>> = self.problems.iter().enumerate().map(problem).collect::<Result<_, _>>()?;
        let mut paraphrases = Paraphrases::of(&problems);
        for entries in trained.chunks(TEXTS_PER_CHUNK) {
            let stems = |entry: &&Entry| self.own_stems(entry.text, &entry.own, entry.stems, self.own_boilerplate());
            let stems: Vec<Words> = entries.par_iter().map(stems).collect::<Result<_, _>>()?;
            stems.iter().for_each(|stems| paraphrases.count(stems));
        }
        Ok(Some(paraphrases.weighed()))
    }

    /// The stems of a text's own words.
    fn own_stems(
        &self,
        text: Stretch,
        own: &Fingerprint,
        stems: Stretch,
        boilerplate: &Boilerplate,
    ) -> Result<Words, PrepareError> {
        let stems = self.words.read(stems)?;
        if own.words == text {
            return Ok(stems);
        }
        let own = boilerplate.own(&self.words.read(text)?);
        let kept = stems.hashes().iter().zip(own).filter(|(_, own)| *own).map(|(stem, _)| *stem);
        Ok(Words::from_hashes(kept.collect()))
    }

    /// The boilerplate of the data set, which is that of its own held-out rows.
    fn own_boilerplate(&self) -> &Boilerplate {
        &self.sets[self.sets.len() - 1].boilerplate
    }

    /// Whether this could be the measured problem at a place: under another policy it is another.
    fn may_be(&self, place: usize, entry: &Entry) -> bool {
        let policies = self.problems[place].1.policy.zip(entry.policy);
        policies.is_none_or(|(measured, trained)| measured == trained)
    }

    fn boilerplate(&self, place: usize) -> &Boilerplate {
        &self.sets[self.problems[place].0].boilerplate
    }
}

/// A run that an entry shares: where it stands among the entry's words, and the run's place in the index.
type RunFound = (Range<usize>, usize);

/// The runs of one length that training entries share with measured problems.
struct RunsFound {
    words: usize,
    runs: RunIndex,
    /// Of each entry, in the order of its words.
    found: Vec<Vec<RunFound>>,
}

impl RunsFound {
    fn in_all(words: usize, measured: &AllMeasured<'_>, trained: &[&Entry]) -> Result<Self, PrepareError> {
        let file = measured.words;
        let mut all = Vec::with_capacity(measured.problems.iter().map(|(_, one)| one.text.hashes()).sum());
        // A text that stands in several sets or rows is one problem.
        let mut texts = HashSet::new();
        for (place, (_, one)) in (0..).zip(&measured.problems) {
            let text = file.read(one.text)?;
            let problems = u32::from(texts.insert(text.hash()));
            let hashes = distinct(text.grams(words).map(|(_, gram)| gram));
            all.extend(hashes.into_iter().map(|hash| Run { hash, measured: place, problems }));
        }
        let mut runs = RunIndex::of(all);
        // Of each entry the few runs that are also measured.
        let also_measured = |entry: &&Entry| -> Result<(u64, Vec<RunFound>), PrepareError> {
            let text = file.read(entry.text)?;
            let found = text.grams(words).filter_map(|(run, gram)| Some((run, runs.find(gram)?)));
            Ok((text.hash(), found.collect()))
        };
        let also_measured: Vec<(u64, Vec<RunFound>)> =
            trained.par_iter().map(also_measured).collect::<Result<_, _>>()?;
        let mut found = Vec::with_capacity(also_measured.len());
        for (text, runs_found) in also_measured {
            if !runs_found.is_empty() && texts.insert(text) {
                for run in distinct(runs_found.iter().map(|(_, run)| *run)) {
                    runs.get_mut(run).problems += 1;
                }
            }
            found.push(runs_found);
        }
        Ok(Self { words, runs, found })
    }

    /// The measured problem with which an entry shares a run that says something. A run of a template's end and a
    /// question's first words says that both have the template.
    fn telling(
        &self,
        measured: &AllMeasured<'_>,
        entry: &Entry,
        found: &[RunFound],
    ) -> Result<Option<Found>, PrepareError> {
        if found.is_empty() {
            return Ok(None);
        }
        let text = measured.words.read(entry.text)?;
        let own: Vec<Vec<bool>> = measured.sets.iter().map(|set| set.boilerplate.own(&text)).collect();
        let problem = |at: &Range<usize>, run: usize| {
            let Run { hash, problems, .. } = *self.runs.get(run);
            if problems > TEXTS_WITH_A_RUN_MAX {
                return None;
            }
            self.runs.measured(run).find(|place| {
                let boilerplate = self.words == RUN_WORDS && measured.boilerplate(*place).has(hash);
                let own = &own[measured.problems[*place].0][at.clone()];
                !boilerplate && !own.contains(&false) && measured.may_be(*place, entry)
            })
        };
        let mut telling = found.iter().filter_map(|(at, run)| Some((at, problem(at, *run)?)));
        let Some((first, place)) = telling.next() else { return Ok(None) };
        Ok(Some((place, Shared::Runs { count: 1 + telling.count(), first: first.clone() })))
    }

    /// The measured problem of which an entry holds nearly all own words in shared runs.
    fn part(
        &self,
        measured: &AllMeasured<'_>,
        entry: &Entry,
        found: &[RunFound],
    ) -> Result<Option<Found>, PrepareError> {
        let mut places = BTreeSet::new();
        let mut hashes = HashSet::new();
        for (_, run) in found {
            hashes.insert(self.runs.get(*run).hash);
            let of_run = self.runs.measured(*run);
            // A run of so many measured problems is none's own.
            if of_run.len() <= TEXTS_WITH_A_RUN_MAX as usize {
                places.extend(of_run.filter(|place| measured.may_be(*place, entry)));
            }
        }
        for place in places {
            let text = measured.words.read(measured.problems[place].1.text)?;
            let own = measured.boilerplate(place).own(&text);
            let mut held = vec![false; own.len()];
            for (run, hash) in text.grams(self.words) {
                if hashes.contains(&hash) {
                    held[run].fill(true);
                }
            }
            let own_count = own.iter().filter(|own| **own).count();
            let held_count = held.iter().zip(&own).filter(|(held, own)| **held && **own).count();
            let percent = 100 * held_count / own_count.max(1);
            if percent >= OWN_WORDS_PERCENT_MAX {
                return Ok(Some((place, Shared::Part { percent })));
            }
        }
        Ok(None)
    }
}

/// Measured problems that are shorter than a run.
struct ShortProblems {
    /// By how many hashes they have and by the hash of all: the problems, which may be asked under several policies.
    by_length: Vec<(usize, HashMap<u64, Vec<usize>>)>,
}

impl ShortProblems {
    fn of(measured: &AllMeasured<'_>) -> Result<Self, PrepareError> {
        let mut by_length: HashMap<usize, HashMap<u64, Vec<usize>>> = HashMap::new();
        for (place, (_, one)) in measured.problems.iter().enumerate() {
            // More hashes than this make a run of words in every script.
            if one.text.hashes() < RUN_WORDS * 4 {
                let text = measured.words.read(one.text)?;
                if text.count() >= WHOLE_WORDS_MIN && text.grams(RUN_WORDS).next().is_none() {
                    by_length.entry(text.hashes().len()).or_default().entry(text.hash()).or_default().push(place);
                }
            }
        }
        let mut by_length: Vec<_> = by_length.into_iter().collect();
        by_length.sort_unstable_by_key(|(length, _)| *length);
        Ok(Self { by_length })
    }

    /// The first of them that an entry holds as a whole.
    fn within(&self, measured: &AllMeasured<'_>, entry: &Entry) -> Result<Option<Found>, PrepareError> {
        if self.by_length.is_empty() {
            return Ok(None);
        }
        let text = measured.words.read(entry.text)?;
        for (length, problems) in &self.by_length {
            for (start, words) in text.hashes().windows(*length).enumerate() {
                let mut places = problems.get(&Words::hash_of(words)).into_iter().flatten();
                if let Some(place) = places.find(|place| measured.may_be(**place, entry)) {
                    return Ok(Some((*place, Shared::Whole { at: start..start + length })));
                }
            }
        }
        Ok(None)
    }
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
        let set = EvaluationSet::new(DecontaminatedSet::named("other"), problems, None, &mut entries.words)?;
        let boilerplate = entries.find_boilerplate()?;
        decontaminate(entries, vec![set], DecontaminatedSet::named("own"), boilerplate, false)
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

    /// Against one set of these statements: which rows are left out, and why.
    fn left_out(rows: &[String], set: &[String]) -> Result<Vec<Option<String>>, PrepareError> {
        let mut rows = entries(&rows.iter().map(|row| ("p", row.clone(), Side::Train)).collect::<Vec<_>>())?;
        let measured = |(i, text): (usize, &String)| Measured::new(format!("m{i}"), text, &mut rows.words);
        let problems = set.iter().enumerate().map(measured).collect();
        rows.words.flush()?;
        let set = EvaluationSet::new(DecontaminatedSet::named("set"), problems, None, &mut rows.words)?;
        let boilerplate = rows.find_boilerplate()?;
        decontaminate(&mut rows, vec![set], DecontaminatedSet::named("own"), boilerplate, false)?;
        let why = |entry: Entry| match entry.decision {
            Decision::Contaminated(found) => Some(format!("{}: {:?}", found.problem, found.shared)),
            _ => None,
        };
        Ok(rows.rows.into_iter().map(why).collect())
    }

    #[test]
    fn a_problem_that_many_rows_hold_is_no_common_sentence() -> Result<(), PrepareError> {
        let problem = words(0, 40);
        for held in [words(0, 40), words(5, 30)] {
            for count in [1, 9, 10, 11, 200] {
                let rows: Vec<String> = (1..=count).map(|i| format!("{} {held}", words(1000 * i, 50))).collect();
                let left_out = left_out(&rows, &[problem.clone(), words(100, 40)])?;
                assert!(left_out.iter().all(Option::is_some), "{count}: {left_out:?}");
            }
        }
        // Half of it is a sentence that many have.
        let rows: Vec<String> = (1..=20).map(|i| format!("{} {}", words(1000 * i, 50), words(0, 20))).collect();
        assert_eq!(left_out(&rows, &[problem])?, vec![None; 20]);
        Ok(())
    }

    #[test]
    fn a_template_of_set_and_rows_removes_nothing() -> Result<(), PrepareError> {
        let templated = |i: usize| format!("{} {} {}", words(0, 30), words(1000 * i, 6), words(50, 30));
        for (rows, problems) in [(40, 20), (8, 6)] {
            let mut rows: Vec<String> = (1..=rows).map(templated).collect();
            rows.push(templated(500));
            // The question alone, and its beginning.
            rows.push(words(502_000, 6));
            rows.push(words(503_000, 5));
            let set: Vec<String> = (500..500 + problems).map(templated).collect();
            let left_out = left_out(&rows, &set)?;
            let expected = [Some("m0: Statement"), Some("m2: Statement"), None];
            assert!(left_out[..rows.len() - 3].iter().all(Option::is_none), "{left_out:?}");
            assert_eq!(left_out[rows.len() - 3..].iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        }
        Ok(())
    }

    #[test]
    fn a_template_and_a_word_after_it_are_no_shared_run() -> Result<(), PrepareError> {
        // Pairs of questions begin with the same three words.
        let templated = |i: usize| format!("{} {} {}", words(0, 30), words(1000 * (i / 2), 3), words(5000 + 90 * i, 9));
        let rows = (1..=40).map(|i| ("p", templated(i), if i % 2 == 0 { Side::Eval } else { Side::Train }));
        let mut rows = entries(&rows.collect::<Vec<_>>())?;
        let boilerplate = rows.find_boilerplate()?;
        let report = decontaminate(&mut rows, Vec::new(), DecontaminatedSet::named("own"), boilerplate, false)?;
        assert_eq!((report.sets[0].removed, report.sets[0].kept_with_8_words), (0, 0));
        Ok(())
    }

    #[test]
    fn a_short_problem_is_found_within_a_longer_text() -> Result<(), PrepareError> {
        let rows = [8, 7].map(|count| format!("{} {} {}", words(500, 9), words(0, count), words(600, 9)));
        let left_out = |problem: String| left_out(&rows, &[problem]);
        assert_eq!(left_out(words(0, 8))?, [Some("m0: Whole { at: 9..17 }".to_owned()), None]);
        assert_eq!(left_out(words(0, 7))?, [None, None], "so few words are an ordinary phrase");
        Ok(())
    }

    #[test]
    fn text_without_spaces_is_compared_by_its_characters() -> Result<(), PrepareError> {
        for (problem, stranger) in [
            (
                "给定一个正整数列表和一个上限，返回总和不超过该上限的最长连续部分的长度；如果没有这样的部分，则返回零。",
                "给定一个字符串，返回其中出现次数最多的字母；如果有多个字母出现次数相同，则返回字典序最小的那一个字母。",
            ),
            (
                "与えられた整数の配列から、和がちょうど目標値になる二つの要素の添字を返してください。",
                "文字列を逆順にして、母音だけを大文字に変えた新しい文字列を作る関数を書いてください。",
            ),
            (
                "จงเขียนฟังก์ชันที่รับรายการของจำนวนเต็มและคืนค่าผลรวมของจำนวนคู่ทั้งหมดในรายการนั้น",
                "อธิบายว่าทำไมท้องฟ้าจึงเป็นสีฟ้าในเวลากลางวันและเป็นสีแดงในเวลาพระอาทิตย์ตกดิน",
            ),
        ] {
            let within = format!("你好。こんにちは สวัสดี {problem} 谢谢 ありがとう");
            let rows = [within, problem.to_owned(), stranger.to_owned()];
            let left_out = left_out(&rows, &[problem.to_owned()])?;
            assert!(left_out[0].is_some() && left_out[1].is_some() && left_out[2].is_none(), "{left_out:?}");
        }
        Ok(())
    }

    #[test]
    fn the_same_instruction_under_another_policy_is_no_contamination() -> Result<(), PrepareError> {
        let instruction = words(0, 30);
        let mut rows = fakes::policy_examples(&[
            [&instruction, "One.", "yes"],
            [&instruction, "Two.", "no"],
            [&instruction, "one.", "no"],
        ])?;
        for (entry, side) in rows.rows.iter_mut().zip([Side::Eval, Side::Train, Side::Train]) {
            entry.decision = Decision::Accepted(side);
        }
        let boilerplate = rows.find_boilerplate()?;
        let report = decontaminate(&mut rows, Vec::new(), DecontaminatedSet::named("own"), boilerplate, false)?;
        assert_eq!(report.sets[0].removed, 1);
        assert_eq!(rows.rows[1].decision, Decision::Accepted(Side::Train));
        Ok(())
    }

    #[test]
    fn a_short_instruction_is_found_under_the_policy_that_it_shares() -> Result<(), PrepareError> {
        let (short, longer) = (words(0, 9), format!("{} {} {}", words(500, 20), words(0, 9), words(600, 20)));
        let mut rows = fakes::policy_examples(&[[&short, "One.", "y"], [&short, "Two.", "y"], [&longer, "Two.", "n"]])?;
        for (entry, side) in rows.rows.iter_mut().zip([Side::Eval, Side::Eval, Side::Train]) {
            entry.decision = Decision::Accepted(side);
        }
        let boilerplate = rows.find_boilerplate()?;
        decontaminate(&mut rows, Vec::new(), DecontaminatedSet::named("own"), boilerplate, false)?;
        let Decision::Contaminated(found) = &rows.rows[2].decision else { panic!("{:?}", rows.rows[2].decision) };
        assert_eq!((&found.problem, &found.shared), (&rows.rows[1].id, &Shared::Whole { at: 20..29 }));
        Ok(())
    }

    #[test]
    fn a_program_that_solves_a_measured_problem_removes() -> Result<(), PrepareError> {
        let code = "def longest(values, limit):\n    best = 0\n    for start in range(len(values)):\n        best += 1\n    return best\n";
        let answer = format!("Sure:\n```python\n# mine\n{}```", code.replace("    ", "  "));
        let mut rows = fakes::conversations(&[&["Find it.", &answer], &["Do so.", "```\nreturn best\n```"]])?;
        for entry in &mut rows.rows {
            entry.decision = Decision::Accepted(Side::Train);
        }
        let code = vec![rows.words.add(&Words::of_code(code))];
        let problem = Measured { code, ..Measured::new("m".to_owned(), &words(0, 30), &mut rows.words) };
        rows.words.flush()?;
        let set = EvaluationSet::new(DecontaminatedSet::named("set"), vec![problem], None, &mut rows.words)?;
        let boilerplate = rows.find_boilerplate()?;
        let report = decontaminate(&mut rows, vec![set], DecontaminatedSet::named("own"), boilerplate, false)?;
        assert_eq!(report.sets[0].removed, 1);
        let Decision::Contaminated(found) = &rows.rows[0].decision else { panic!("{:?}", rows.rows[0].decision) };
        assert_eq!(found.skip("").detail, "a program is a solution of `m` of set");
        Ok(())
    }

    #[test]
    fn a_program_that_solves_what_is_given_to_be_measured_on_removes() -> Result<(), PrepareError> {
        let code = "def longest(values, limit):\n    best = 0\n    for start in range(len(values)):\n        best += 1\n    return best\n";
        let more = (0..40).map(|n| format!("def helper_{n}(a):\n    return a * {n}\n")).collect::<String>();
        let (solution, answer) = (format!("```python\n{code}```"), format!("```python\n{more}{code}```"));
        let removed = |is_given: bool| -> Result<bool, PrepareError> {
            let mut rows = fakes::conversations(&[&["Find it.", &solution], &["Write a lot.", &answer]])?;
            for (entry, side) in rows.rows.iter_mut().zip([Side::Eval, Side::Train]) {
                entry.decision = Decision::Accepted(side);
            }
            let boilerplate = rows.find_boilerplate()?;
            decontaminate(&mut rows, Vec::new(), DecontaminatedSet::named("own"), boilerplate, is_given)?;
            Ok(matches!(rows.rows[1].decision, Decision::Contaminated(_)))
        };
        assert!(removed(true)?);
        // Of one data set, what resembles a held-out row as a whole is on its side already.
        assert!(!removed(false)?);
        Ok(())
    }
}
