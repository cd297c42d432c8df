//! The nearest-copy score: what would a model score that answers each held-out problem with the solution of the most
//! similar training problem? A specialist that only remembers its training set scores about this.
//!
//! Similarity is Jaccard's over the sets of word 3-grams A and B of two statements:
//!
//! ```text
//! J(A, B) = |A ∩ B| / |A ∪ B|
//! ```
//!
//! Words are runs of letters and digits, in lower case. If no training statement shares a 3-gram with a problem,
//! single words are compared instead. Among equals the earliest example wins. Fractions are compared exactly.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::EvaluatorError;
use super::evaluation::check_problems;
use super::interval::Estimate;
use super::judging::{Answer, judge_answers};
use super::sample_record::SampleRecord;
use super::watch::{Watch, Work};
use hilora_contract::dataset::{EvaluationProblem, Example};
use hilora_judge::{Judge, Verdict};

/// What copying scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearestCopy {
    /// How many problems.
    pub problems: u64,
    /// How many of them the nearest training solution solves.
    pub correct: u64,
    /// The fraction, which is a pass@1.
    pub score: Estimate,
    /// Each problem's nearest example.
    pub neighbours: Vec<Neighbour>,
}

/// One problem's nearest example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The problem.
    pub id: String,
    /// The example's row in the training file, from 0.
    pub example: usize,
    /// The similarity of their statements.
    pub similarity: f64,
    /// What the example's solution scores on the problem's tests.
    pub verdict: Verdict,
}

impl NearestCopy {
    /// Judges the nearest training solution on each problem; what the sample record knows is not run. `None` if the watch ended
    /// it early.
    pub fn measure(
        problems: &[EvaluationProblem],
        examples: &[Example],
        judge: &Judge,
        samples: &mut SampleRecord,
        watch: &Watch<'_>,
    ) -> Result<Option<Self>, EvaluatorError> {
        check_problems(problems)?;
        let statements: Vec<&str> = problems.iter().map(|problem| problem.text.statement.as_str()).collect();
        let candidates: Vec<&str> = examples.iter().map(|example| example.problem.as_str()).collect();
        let nearest = nearest_texts(&statements, &candidates);
        if nearest.len() != problems.len() {
            return Err(EvaluatorError::TooFewExamples { expected: 1, got: examples.len() });
        }
        let answers: Vec<Answer<'_>> = problems
            .iter()
            .zip(&nearest)
            .map(|(problem, near)| Answer { problem, code: &examples[near.index].solution })
            .collect();
        let judged = judge_answers(judge, &answers, Work::CopyNearest, samples, watch)?;
        let Some(judged) = judged else { return Ok(None) };
        let neighbours = problems
            .iter()
            .zip(nearest)
            .zip(judged)
            .map(|((problem, near), answer)| Neighbour {
                id: problem.text.id.clone(),
                example: near.index,
                similarity: near.similarity.as_f64(),
                verdict: answer.verdict,
            })
            .collect();
        Ok(Some(Self::of_neighbours(neighbours)))
    }

    /// The figures that follow from each problem's nearest example.
    pub(crate) fn of_neighbours(neighbours: Vec<Neighbour>) -> Self {
        let problems = neighbours.len();
        let correct = neighbours.iter().filter(|near| near.verdict == Verdict::Accepted).count();
        Self {
            problems: problems as u64,
            correct: correct as u64,
            score: Estimate::of_count(correct as u64, problems as u64),
            neighbours,
        }
    }
}

/// A fraction of two counts.
#[derive(Debug, Clone, Copy)]
struct Similarity {
    shared: u64,
    all: u64,
}

impl Similarity {
    fn as_f64(self) -> f64 {
        if self.all == 0 { 0.0 } else { self.shared as f64 / self.all as f64 }
    }

    fn compare(self, other: Self) -> Ordering {
        // Two empty texts share nothing: 0/1.
        let (left, right) = (self.all.max(1), other.all.max(1));
        (self.shared * right).cmp(&(other.shared * left))
    }
}

/// The nearest of some texts.
#[derive(Debug, Clone, Copy)]
struct Nearest {
    index: usize,
    similarity: Similarity,
}

/// The shingles of a text, sorted, each once.
struct Shingles {
    triples: Vec<[u32; 3]>,
    words: Vec<u32>,
}

/// The nearest candidate of each text; nothing if there is no candidate.
fn nearest_texts(texts: &[&str], candidates: &[&str]) -> Vec<Nearest> {
    let mut numbers = BTreeMap::new();
    let candidates: Vec<Shingles> = candidates.iter().map(|text| shingles(text, &mut numbers)).collect();
    let texts: Vec<Shingles> = texts.iter().map(|text| shingles(text, &mut numbers)).collect();
    texts
        .par_iter()
        .filter_map(|text| {
            let by_triples = nearest(&text.triples, candidates.iter().map(|candidate| &candidate.triples[..]))?;
            if by_triples.similarity.shared > 0 {
                return Some(by_triples);
            }
            nearest(&text.words, candidates.iter().map(|candidate| &candidate.words[..]))
        })
        .collect()
}

fn nearest<'a, T: Ord + 'a>(text: &[T], candidates: impl Iterator<Item = &'a [T]>) -> Option<Nearest> {
    candidates.enumerate().map(|(index, candidate)| Nearest { index, similarity: jaccard(text, candidate) }).reduce(
        |best, next| match next.similarity.compare(best.similarity) {
            Ordering::Greater => next,
            Ordering::Less | Ordering::Equal => best,
        },
    )
}

/// Jaccard's similarity of two sorted sets.
fn jaccard<T: Ord>(left: &[T], right: &[T]) -> Similarity {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while i < left.len() && j < right.len() {
        match left[i].cmp(&right[j]) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                shared += 1;
                i += 1;
                j += 1;
            }
        }
    }
    Similarity { shared, all: (left.len() + right.len()) as u64 - shared }
}

/// A text's shingles; `numbers` gives each word a number, the same in every text.
fn shingles(text: &str, numbers: &mut BTreeMap<String, u32>) -> Shingles {
    let mut words: Vec<u32> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            let next = numbers.len() as u32;
            *numbers.entry(word.to_lowercase()).or_insert(next)
        })
        .collect();
    let mut triples: Vec<[u32; 3]> = words.windows(3).map(|window| [window[0], window[1], window[2]]).collect();
    triples.sort_unstable();
    triples.dedup();
    words.sort_unstable();
    words.dedup();
    Shingles { triples, words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{doubling_problem, fake_judge};
    use hilora_contract::dataset::Domain;

    fn indices_and_similarities(texts: &[&str], candidates: &[&str]) -> Vec<(usize, f64)> {
        nearest_texts(texts, candidates).iter().map(|near| (near.index, near.similarity.as_f64())).collect()
    }

    #[test]
    fn compares_triples_then_words_then_order() {
        let candidates =
            ["print the sum of two numbers", "Print the product of two numbers.", "sort words", "words, sort!"];
        let found =
            indices_and_similarities(&["print the product of three numbers", "sort these words", "?"], &candidates);
        // Triples "print the product" and "the product of" are shared, of 4 + 4 − 2.
        assert_eq!(found[0], (1, 2.0 / 6.0));
        // No triple is shared; "sort" and "words" are, with both of the last two: the earlier one wins.
        assert_eq!(found[1], (2, 2.0 / 3.0));
        assert_eq!(found[2], (0, 0.0));
    }

    #[test]
    fn scores_the_nearest_solution_on_the_problems_own_tests() -> Result<(), EvaluatorError> {
        let example = |problem: &str, solution: &str| Example {
            problem: problem.to_owned(),
            reasoning: None,
            solution: solution.to_owned(),
            domain: Domain("python".to_owned()),
            difficulty: None,
        };
        let problems = [doubling_problem("one"), doubling_problem("two")];
        let examples =
            [example("print twice the number, in the way of two", "raise"), example("in the way of one", "double")];
        let judge = fake_judge();
        let measure = |examples: &[Example]| {
            let mut samples = SampleRecord::forgetful();
            let copy = NearestCopy::measure(&problems, examples, &judge, &mut samples, &Watch::SILENT)?;
            Ok::<_, EvaluatorError>(copy.expect("a silent watch ends nothing early"))
        };
        let copy = measure(&examples[..1])?;
        assert_eq!((copy.correct, copy.score.value), (0, 0.0));
        let copy = measure(&examples[1..])?;
        assert_eq!((copy.correct, copy.score.value), (2, 1.0));
        let copy = measure(&examples)?;
        assert_eq!(copy.neighbours[1].example, 0);
        assert_eq!(copy.neighbours[1].verdict, Verdict::RuntimeError);
        assert!(measure(&[]).is_err());
        Ok(())
    }
}
