//! Boilerplate: what many questions of one collection share and none of them asks. A prompt's template, the sentence that
//! every statement opens with, an instruction that is repeated in each turn.
//!
//! A run of 13 words is boilerplate where it stands in more than ten different texts, or in more than half of them and
//! in at least five. A text's own words are those outside of such runs; a text that is boilerplate throughout has nothing
//! else to be known by and stays whole. A collection is the data set that is prepared, or one evaluation set: what is
//! repeated in one may be the very question of another.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::error::PrepareError;
use super::fingerprint::{Bands, Words};
use super::words_file::{Fingerprint, Stretch, WordsFile};

/// Words in a run that may be boilerplate, and in one that removes a problem.
pub(super) const RUN_WORDS: usize = 13;
/// A run that stands in more texts is boilerplate.
pub(super) const TEXTS_WITH_A_RUN_MAX: u32 = 10;
/// In a small collection a run that stands in more than half of the texts is, if they are so many.
const TEXTS_OF_A_SMALL_COLLECTION: u32 = 5;

/// Texts that are read at once.
const TEXTS_PER_CHUNK: usize = 1024;
/// The most counters of the first, rough count.
const COUNTERS_MAX: usize = 1 << 28;

/// A table over hashes.
type Hashes<V> = HashMap<u64, V, foldhash::fast::RandomState>;

/// In so many texts of a collection of this size a run stands that is boilerplate.
pub(super) fn boilerplate_min(texts: usize) -> u32 {
    let half = u32::try_from(texts / 2).unwrap_or(u32::MAX);
    half.saturating_add(1).clamp(TEXTS_OF_A_SMALL_COLLECTION, TEXTS_WITH_A_RUN_MAX + 1)
}

/// The boilerplate of a collection.
#[derive(Default)]
pub(super) struct Boilerplate(HashSet<u64, foldhash::fast::RandomState>);

impl Boilerplate {
    /// What these texts share; texts of the same words count once.
    pub(super) fn of(texts: &[Stretch], file: &WordsFile) -> Result<Self, PrepareError> {
        let runs_of = |text: &Stretch| -> Result<(u64, Vec<u64>), PrepareError> {
            let words = file.read(*text)?;
            let mut runs: Vec<u64> = words.grams(RUN_WORDS).map(|(_, gram)| gram).collect();
            runs.sort_unstable();
            runs.dedup();
            Ok((words.hash(), runs))
        };
        let mut distinct = Vec::new();
        let mut seen: HashSet<u64, foldhash::fast::RandomState> = HashSet::default();
        // First a rough count, in which runs share counters and none is counted too low: nearly all runs stand in one
        // text, and their hashes would take more memory than the words.
        let hashes: usize = texts.iter().map(|text| text.hashes()).sum();
        let counters = hashes.next_power_of_two().clamp(1 << 12, COUNTERS_MAX);
        let mut rough = vec![0_u8; counters];
        let counter = |run: u64| (run >> 20) as usize & (counters - 1);
        for chunk in texts.chunks(TEXTS_PER_CHUNK) {
            let runs: Vec<(u64, Vec<u64>)> = chunk.par_iter().map(runs_of).collect::<Result<_, _>>()?;
            for (text, (hash, runs)) in chunk.iter().zip(runs) {
                if seen.insert(hash) {
                    distinct.push(*text);
                    runs.iter().for_each(|run| rough[counter(*run)] = rough[counter(*run)].saturating_add(1));
                }
            }
        }
        let least = boilerplate_min(distinct.len());
        let frequent = |run: &u64| u32::from(rough[counter(*run)]) >= least;
        let mut counts: Hashes<u32> = Hashes::default();
        for chunk in distinct.chunks(TEXTS_PER_CHUNK) {
            let runs: Vec<(u64, Vec<u64>)> = chunk.par_iter().map(runs_of).collect::<Result<_, _>>()?;
            let runs = runs.into_iter().flat_map(|(_, runs)| runs);
            runs.filter(frequent).for_each(|run| *counts.entry(run).or_default() += 1);
        }
        Ok(Self(counts.into_iter().filter(|(_, texts)| *texts >= least).map(|(run, _)| run).collect()))
    }

    /// Whether the run of this hash is boilerplate.
    pub(super) fn has(&self, run: u64) -> bool {
        self.0.contains(&run)
    }

    /// Which of a text's words are its own.
    pub(super) fn own(&self, words: &Words) -> Vec<bool> {
        let mut own = vec![true; words.hashes().len()];
        if self.0.is_empty() {
            return own;
        }
        for (run, hash) in words.grams(RUN_WORDS) {
            if self.has(hash) {
                own[run].fill(false);
            }
        }
        if !own.contains(&true) {
            own.fill(true);
        }
        own
    }

    /// A text without its boilerplate; `None` where it has none, or nothing else.
    pub(super) fn without(&self, words: &Words) -> Option<Words> {
        let own = self.own(words);
        let some = own.contains(&false);
        let kept = words.hashes().iter().zip(own).filter(|(_, own)| *own).map(|(hash, _)| *hash);
        some.then(|| Words::from_hashes(kept.collect()))
    }

    /// These texts without it, as they are compared; `None` for a text that stays as it is.
    pub(super) fn fingerprints(
        &self,
        texts: &[Stretch],
        file: &mut WordsFile,
    ) -> Result<Vec<Option<Fingerprint>>, PrepareError> {
        if self.0.is_empty() {
            return Ok(vec![None; texts.len()]);
        }
        let mut found = Vec::with_capacity(texts.len());
        for chunk in texts.chunks(TEXTS_PER_CHUNK) {
            let without = |text: &Stretch| -> Result<Option<(Bands, Words)>, PrepareError> {
                let without = self.without(&file.read(*text)?);
                Ok(without.map(|words| (words.shingles().bands(), words)))
            };
            let read: Vec<Option<(Bands, Words)>> = chunk.par_iter().map(without).collect::<Result<_, _>>()?;
            for without in read {
                found.push(without.map(|(bands, words)| Fingerprint { bands, words: file.add(&words) }));
            }
            file.flush()?;
        }
        Ok(found)
    }

    /// With that of another collection.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(from: usize, count: usize) -> String {
        (from..from + count).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
    }

    fn boilerplate(texts: &[String]) -> Result<Boilerplate, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut file = WordsFile::create(folder.path())?;
        let texts: Vec<Stretch> = texts.iter().map(|text| file.add(&Words::of_text(text))).collect();
        file.flush()?;
        Ok(Boilerplate::of(&texts, &file)?)
    }

    #[test]
    fn what_many_texts_share_is_no_ones_own() -> Result<(), Box<dyn std::error::Error>> {
        let text = |i: usize| format!("{} {}", words(0, 20), words(1000 * i, 4));
        let of = |shared: usize, others: usize| {
            let shared = (1..=shared).map(text);
            boilerplate(&shared.chain((100..100 + others).map(|i| words(1000 * i, 20))).collect::<Vec<_>>())
        };
        for (shared, others, expected) in
            [(11, 1000, true), (10, 1000, false), (10, 9, true), (5, 0, true), (5, 5, false), (4, 0, false)]
        {
            let own = of(shared, others)?.without(&Words::of_text(&text(7)));
            let expected = expected.then(|| Words::of_text(&words(7000, 4)));
            assert_eq!(own, expected, "{shared} of {}", shared + others);
        }
        Ok(())
    }

    #[test]
    fn the_same_text_counts_once_and_a_text_that_is_all_boilerplate_stays_whole()
    -> Result<(), Box<dyn std::error::Error>> {
        let same = boilerplate(&vec![words(0, 20); 30])?;
        assert_eq!(same.without(&Words::of_text(&words(0, 20))), None);
        let sentence = words(0, 20);
        let of = boilerplate(&(1..12).map(|i| format!("{sentence} w{i}000")).collect::<Vec<_>>())?;
        assert_eq!(of.without(&Words::of_text(&sentence)), None);
        assert_eq!(of.own(&Words::of_text(&format!("new {sentence}"))).iter().filter(|own| **own).count(), 1);
        Ok(())
    }
}
