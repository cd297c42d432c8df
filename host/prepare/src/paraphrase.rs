//! Paraphrases: a measured problem told in other words.
//!
//! No model is asked. A text is a vector over stems (the first five characters of each word, or two neighbouring
//! characters of a script without spaces), without its collection's boilerplate; a stem that occurs n times has the weight
//!
//! ```text
//! w = (1 + ln n) · (1 + ln((N + 1) / (d + 1)))        d of N different texts have it
//! ```
//!
//! and two texts are paraphrases where the cosine of their vectors is at least 0.65 and stems that few measured problems
//! have give it at least 0.2. That finds a problem whose sentences are turned round and whose words are mostly kept. It
//! does not find one that is told anew in words of its own: [`ParaphraseMeasure`] says how many of either.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::fingerprint::Words;

/// The least cosine of two paraphrases.
const COSINE_MIN: f64 = 0.65;
/// How much of it rare stems must give.
const RARE_COSINE_MIN: f64 = 0.2;
/// A stem that more of the measured problems have is not rare: so many, or one in so many.
const RARE_PROBLEMS_MAX: usize = 16;
const RARE_PROBLEMS_PART: usize = 20;
/// A text of fewer different stems is too short to be told in other words.
const STEMS_MIN: usize = 8;

/// How well paraphrases are found: measured on pairs that were written for it, `tests/data/prepare/paraphrases.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ParaphraseMeasure {
    /// Two texts are paraphrases from this cosine on.
    pub cosine_min: f64,
    /// The pairs of each kind.
    pub pairs: usize,
    /// Of problems whose sentences were turned round and whose words were mostly kept, the part that is found.
    pub recall_reworded: f64,
    /// Of problems that were told anew in other words, the part that is found.
    pub recall_retold: f64,
    /// Of problems that ask something else about the same things, the part that is wrongly left out.
    pub loss: f64,
}

impl ParaphraseMeasure {
    /// What is measured on those pairs; a test computes it again.
    pub const OF_OWN_PAIRS: Self =
        Self { cosine_min: COSINE_MIN, pairs: 36, recall_reworded: 0.889, recall_retold: 0.0, loss: 0.028 };
}

/// A vector of length 1, by stems in their order.
type Vector = Vec<(u32, f64)>;

/// The vectors of measured problems.
pub(super) struct Paraphrases {
    /// Their stems, until all texts are counted.
    problems: Vec<Option<Words>>,
    /// The hashes of the texts that were counted.
    seen: HashSet<u64>,
    /// In how many different texts each stem stands, and how many texts there are.
    texts_with: HashMap<u32, u32, foldhash::fast::RandomState>,
    texts: usize,
    /// By the places of the problems; without content where a problem is too short.
    vectors: Vec<Vector>,
    /// Rare stems: the problems that have them.
    rare: HashMap<u32, Vec<usize>, foldhash::fast::RandomState>,
}

impl Paraphrases {
    /// Of the stems of problems, `None` for one that is not looked for.
    pub(super) fn of(problems: &[Option<Words>]) -> Self {
        let mut found = Self {
            problems: problems.to_vec(),
            seen: HashSet::new(),
            texts_with: HashMap::default(),
            texts: 0,
            vectors: Vec::new(),
            rare: HashMap::default(),
        };
        problems.iter().flatten().for_each(|stems| found.count(stems));
        found
    }

    /// Counts the stems of a text that the problems are looked for in.
    pub(super) fn count(&mut self, stems: &Words) {
        if self.seen.insert(stems.hash()) {
            self.texts += 1;
            for (stem, _) in counted(stems.hashes()) {
                *self.texts_with.entry(stem).or_default() += 1;
            }
        }
    }

    /// Makes the vectors, now that all texts are counted.
    pub(super) fn weighed(mut self) -> Self {
        self.seen = HashSet::new();
        let problems = std::mem::take(&mut self.problems);
        let vector = |problem: &Option<Words>| problem.as_ref().map(|stems| self.vector(stems)).unwrap_or_default();
        self.vectors = problems.iter().map(vector).collect();
        for (place, vector) in self.vectors.iter().enumerate() {
            vector.iter().for_each(|(stem, _)| self.rare.entry(*stem).or_default().push(place));
        }
        let rare_max = RARE_PROBLEMS_MAX.max(problems.iter().flatten().count() / RARE_PROBLEMS_PART);
        self.rare.retain(|_, problems| problems.len() <= rare_max);
        self
    }

    /// The place of the problem that the text of these stems is the closest paraphrase of, and the cosine in percent.
    pub(super) fn closest(&self, stems: &Words, may_be: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let vector = self.vector(stems);
        let mut by_rare: HashMap<usize, f64> = HashMap::new();
        for (stem, weight) in &vector {
            for place in self.rare.get(stem).into_iter().flatten() {
                *by_rare.entry(*place).or_default() += weight_of(&self.vectors[*place], *stem) * weight;
            }
        }
        let enough = by_rare.into_iter().filter(|(place, cosine)| *cosine >= RARE_COSINE_MIN && may_be(*place));
        let cosines = enough.map(|(place, _)| (cosine(&self.vectors[place], &vector), place));
        let closest = cosines.filter(|(cosine, _)| *cosine >= COSINE_MIN);
        // The first of those that are equally close.
        let closest = closest.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        closest.map(|(cosine, place)| (place, (100.0 * cosine) as usize))
    }

    fn vector(&self, stems: &Words) -> Vector {
        let mut vector: Vector = counted(stems.hashes())
            .map(|(stem, count)| {
                let texts = self.texts_with.get(&stem).copied().unwrap_or_default();
                let rarity = 1.0 + ((self.texts as f64 + 1.0) / (f64::from(texts) + 1.0)).ln();
                (stem, (1.0 + f64::from(count).ln()) * rarity)
            })
            .collect();
        if vector.len() < STEMS_MIN {
            return Vector::new();
        }
        let length = vector.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|(_, weight)| *weight /= length);
        vector
    }
}

/// Each stem with how often it occurs, in the stems' order.
fn counted(stems: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    let mut stems = stems.to_vec();
    stems.sort_unstable();
    let mut counted: Vec<(u32, u32)> = Vec::new();
    for stem in stems {
        match counted.last_mut() {
            Some((last, count)) if *last == stem => *count += 1,
            _ => counted.push((stem, 1)),
        }
    }
    counted.into_iter()
}

/// The cosine of a problem's vector with another's, in a time that hardly grows with how long the other is.
fn cosine(problem: &Vector, other: &Vector) -> f64 {
    problem.iter().map(|(stem, weight)| weight * weight_of(other, *stem)).sum()
}

fn weight_of(vector: &Vector, stem: u32) -> f64 {
    vector.binary_search_by_key(&stem, |(stem, _)| *stem).map_or(0.0, |at| vector[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Pair {
        problem: String,
        paraphrases: [String; 2],
        neighbour: String,
    }

    #[test]
    fn what_the_manifest_says_of_paraphrases_is_what_is_measured() -> Result<(), Box<dyn std::error::Error>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/prepare/paraphrases.jsonl");
        let pairs = std::fs::read_to_string(path)?;
        let pairs: Vec<Pair> = pairs.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let problems: Vec<Option<Words>> = pairs.iter().map(|pair| Some(Words::stems(&pair.problem))).collect();
        let rows = |row: fn(&Pair) -> &String| pairs.iter().map(|pair| Words::stems(row(pair))).collect::<Vec<_>>();
        let kinds =
            [rows(|pair| &pair.paraphrases[0]), rows(|pair| &pair.paraphrases[1]), rows(|pair| &pair.neighbour)];
        let mut paraphrases = Paraphrases::of(&problems);
        kinds.iter().flatten().for_each(|row| paraphrases.count(row));
        let paraphrases = paraphrases.weighed();
        let found = |rows: &[Words]| -> Vec<Option<usize>> {
            rows.iter().map(|row| paraphrases.closest(row, |_| true).map(|(place, _)| place)).collect()
        };
        let [reworded, retold, neighbours] = kinds.each_ref().map(|rows| found(rows));
        for found in [&reworded, &retold] {
            let others = found.iter().enumerate().filter(|(pair, found)| found.is_some_and(|found| found != *pair));
            assert_eq!(others.count(), 0, "{found:?}");
        }
        // In thousandths.
        let part = |found: &[Option<usize>]| {
            (1000.0 * found.iter().flatten().count() as f64 / found.len() as f64).round() / 1000.0
        };
        let measured = ParaphraseMeasure {
            cosine_min: COSINE_MIN,
            pairs: pairs.len(),
            recall_reworded: part(&reworded),
            recall_retold: part(&retold),
            loss: part(&neighbours),
        };
        assert_eq!(measured, ParaphraseMeasure::OF_OWN_PAIRS);
        Ok(())
    }

    #[test]
    fn a_problem_with_its_sentences_turned_round_is_found_in_any_script() {
        for (problem, paraphrase, stranger) in [
            (
                "Given the weights of parcels and the load of a van, compute how many trips the courier must make.",
                "Compute how many trips a courier must make with his van, given its load and the weights of the parcels.",
                "Given the ages of trees and the height of a fence, compute how many trees the gardener may plant.",
            ),
            (
                "给定包裹的重量和货车的载重，计算快递员最少需要往返多少次才能送完全部包裹。",
                "计算快递员最少需要往返多少次才能送完全部包裹，已知货车的载重和每个包裹的重量。",
                "给定一个只含小写字母的字符串，判断删除至多一个字符后它能否成为回文。",
            ),
        ] {
            let texts = [paraphrase, stranger].map(Words::stems);
            let mut paraphrases = Paraphrases::of(&[None, Some(Words::stems(problem))]);
            texts.iter().for_each(|text| paraphrases.count(text));
            let paraphrases = paraphrases.weighed();
            let found = texts.map(|text| paraphrases.closest(&text, |_| true).map(|(place, _)| place));
            assert_eq!(found, [Some(1), None], "{problem}");
        }
    }
}
