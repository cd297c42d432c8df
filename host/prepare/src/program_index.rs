//! The programs that solve measured problems, and which of them stand in a row's answers.
//!
//! A program of a row is such a solution where it resembles one (Jaccard's index over 5-grams of its words, both with at
//! least fifty of them), or holds the whole of one that has at least twenty words: names, numbers, and every other
//! character. White space and whole-line comments make no difference. What is shorter, anybody writes.

use std::collections::HashMap;

use super::entry::PROGRAM_SHINGLES_MIN;
use super::error::PrepareError;
use super::fingerprint::Words;
use super::near_index::NearIndex;
use super::words_file::{Comparison, Stretch, WordsFile};

/// Words of a program that is found in a longer one.
const HELD_WORDS_MIN: usize = 20;

/// Solutions, each with the place of its problem.
pub(super) struct ProgramIndex {
    solutions: Vec<(usize, Stretch)>,
    near: NearIndex,
    /// Solutions by their first words.
    first_words: HashMap<u64, Vec<usize>>,
}

impl ProgramIndex {
    /// The programs of each measured problem.
    pub(super) fn of<'a>(
        problems: impl Iterator<Item = &'a [Stretch]>,
        file: &WordsFile,
    ) -> Result<Self, PrepareError> {
        let solutions: Vec<(usize, Stretch)> =
            problems.enumerate().flat_map(|(place, code)| code.iter().map(move |code| (place, *code))).collect();
        let mut near = NearIndex::with_capacity(solutions.len());
        let mut first_words: HashMap<u64, Vec<usize>> = HashMap::new();
        for (name, (_, code)) in solutions.iter().enumerate() {
            let code = file.read(*code)?;
            if let Some((_, first)) = code.grams(HELD_WORDS_MIN).next() {
                first_words.entry(first).or_default().push(name);
            }
            let shingles = code.shingles();
            if shingles.count() >= PROGRAM_SHINGLES_MIN {
                near.add(name, &shingles.bands());
            }
        }
        Ok(Self { solutions, near, first_words })
    }

    /// The first problem, by its place, that one of these programs solves.
    pub(super) fn solved_by(&self, programs: &[Stretch], file: &WordsFile) -> Result<Option<usize>, PrepareError> {
        if self.first_words.is_empty() {
            return Ok(None);
        }
        for program in programs {
            let code = file.read(*program)?;
            let mut found = self.held(&code, file)?;
            let shingles = code.shingles();
            if shingles.count() >= PROGRAM_SHINGLES_MIN {
                let candidates = self.near.candidates(&shingles.bands()).into_iter();
                let candidates = candidates.map(|name| (name, self.solutions[name].1));
                found.extend(Comparison::of(*program, file).first_near(candidates)?);
            }
            if let Some(name) = found.into_iter().min() {
                return Ok(Some(self.solutions[name].0));
            }
        }
        Ok(None)
    }

    /// The solutions that a program holds as a whole.
    fn held(&self, code: &Words, file: &WordsFile) -> Result<Vec<usize>, PrepareError> {
        let mut found = Vec::new();
        for (run, first) in code.grams(HELD_WORDS_MIN) {
            for name in self.first_words.get(&first).into_iter().flatten() {
                let solution = file.read(self.solutions[*name].1)?;
                if code.hashes()[run.start..].starts_with(solution.hashes()) {
                    found.push(*name);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_is_found_as_a_part_and_where_it_was_changed_a_little() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut file = WordsFile::create(folder.path())?;
        let body = "    total = 0\n    for value in values:\n        total += value * value\n    return total % modulus\n    # done\n";
        let long = (0..30).map(|i| format!("value_{i} = input_{i} + {i}\n")).collect::<String>();
        let mut add = |code: &str| file.add(&Words::of_code(code));
        let solutions = [vec![add("return 0")], vec![add(body), add(&long)]];
        let held = add(&format!(
            "def squares(values):\n  \"\"\"Why not.\"\"\"\n{}print(squares([1]))",
            body.replace("    ", "\t")
        ));
        let near = add(&long.replace("input_29", "x"));
        let others = [add("return 0"), add(&body.replace("total", "sum")), add(&long[..long.len() / 2])];
        file.flush()?;
        let index = ProgramIndex::of(solutions.iter().map(Vec::as_slice), &file)?;
        for program in [held, near] {
            assert_eq!(index.solved_by(&[others[0], program], &file)?, Some(1));
        }
        assert_eq!(index.solved_by(&others, &file)?, None);
        Ok(())
    }
}
