//! The programs that solve measured problems, and which of them stand in a row's answers.
//!
//! A program of a row is such a solution where it resembles one (Jaccard's index over 5-grams of its words, both with at
//! least fifty of them), or holds the whole of one that has at least twenty words: names, numbers, and every other
//! character. White space and whole-line comments make no difference. What is shorter, anybody writes.

use std::collections::{BTreeMap, HashMap};

use super::entry::PROGRAM_SHINGLES_MIN;
use super::error::PrepareError;
use super::fingerprint::{StretchHashes, Words};
use super::near_index::NearIndex;
use super::words_file::{Comparison, Stretch, WordsFile};

/// Words of a program that is found in a longer one.
const HELD_WORDS_MIN: usize = 20;

/// Solutions that begin with the same words, by how many words they have and by the hash of all: the first of such.
/// Programs of one author begin alike by thousands; comparing each with all would take a time that grows with their square.
type BeginAlike = BTreeMap<usize, HashMap<u64, usize>>;

/// Solutions, each with the place of its problem.
pub(super) struct ProgramIndex {
    solutions: Vec<(usize, Stretch)>,
    near: NearIndex,
    /// Solutions by their first words.
    first_words: HashMap<u64, BeginAlike>,
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
        let mut first_words: HashMap<u64, BeginAlike> = HashMap::new();
        for (name, (_, code)) in solutions.iter().enumerate() {
            let code = file.read(*code)?;
            if let Some((_, first)) = code.grams(HELD_WORDS_MIN).next() {
                let words = code.hashes().len();
                let of_length = first_words.entry(first).or_default().entry(words).or_default();
                of_length.entry(StretchHashes::of(&code).of_stretch(0..words)).or_insert(name);
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
            let mut found = self.first_held(&code, file)?;
            let shingles = code.shingles();
            if shingles.count() >= PROGRAM_SHINGLES_MIN {
                let candidates = self.near.candidates(&shingles.bands()).into_iter();
                let candidates = candidates.map(|name| (name, self.solutions[name].1));
                let near = Comparison::of(*program, file).first_near(candidates)?;
                found = found.into_iter().chain(near).min();
            }
            if let Some(name) = found {
                return Ok(Some(self.solutions[name].0));
            }
        }
        Ok(None)
    }

    /// The first of the solutions that a program holds as a whole.
    fn first_held(&self, code: &Words, file: &WordsFile) -> Result<Option<usize>, PrepareError> {
        let mut found = None;
        let mut hashes = None;
        for (run, first) in code.grams(HELD_WORDS_MIN) {
            let Some(begin_alike) = self.first_words.get(&first) else { continue };
            let hashes = hashes.get_or_insert_with(|| StretchHashes::of(code));
            let left = &code.hashes()[run.start..];
            for (words, of_length) in begin_alike.range(..=left.len()) {
                let Some(&name) = of_length.get(&hashes.of_stretch(run.start..run.start + words)) else { continue };
                let is_first = found.is_none_or(|found| name < found);
                if is_first && left.starts_with(file.read(self.solutions[name].1)?.hashes()) {
                    found = Some(name);
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
    /// With each read for each, this took most of a minute.
    #[test]
    fn programs_that_begin_alike_are_told_apart_in_linear_time() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut file = WordsFile::create(folder.path())?;
        let head = (0..12).map(|i| format!("import module_{i}\n")).collect::<String>();
        let solution = |i: usize| format!("{head}a = {i}\nprint(a)\n{}", "a += 1\n".repeat(i % 50));
        let solutions: Vec<Vec<Stretch>> = (0..6_000).map(|i| vec![file.add(&Words::of_code(&solution(i)))]).collect();
        let programs: Vec<Stretch> = (0..6_000)
            .map(|i| file.add(&Words::of_code(&format!("{}print({i})", solution(if i < 6 { i } else { 90_000 + i })))))
            .collect();
        file.flush()?;
        let index = ProgramIndex::of(solutions.iter().map(Vec::as_slice), &file)?;
        for (i, program) in programs.iter().enumerate() {
            assert_eq!(index.solved_by(&[*program], &file)?, (i < 6).then_some(i), "{i}");
        }
        Ok(())
    }
}
