//! The shuffled-answers control: the training set with every answer under another problem. An adapter trained on it
//! sees the same statements and the same programs but can learn only the form of an answer, so its pass@1 shows how
//! much of the real adapter's comes from the pairing.
//!
//! Answers (reasoning and solution together) move along one cycle through all examples, drawn from a seed, so that
//! none stays. Where an answer would meet an equal one it is exchanged with another; what cannot be helped is counted.

use super::error::EvaluatorError;
use super::seeded_stream::SeededStream;
use hilora_contract::dataset::Example;

/// A training set with its answers shuffled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShuffledAnswers {
    /// The examples, in their old order.
    pub examples: Vec<Example>,
    /// Examples whose solution equals their own, because too many examples share it.
    pub unchanged: u64,
}

impl ShuffledAnswers {
    /// Shuffles the answers of at least two examples.
    pub fn of(examples: &[Example], seed: u64) -> Result<Self, EvaluatorError> {
        if examples.len() < 2 {
            return Err(EvaluatorError::TooFewExamples { expected: 2, got: examples.len() });
        }
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut stream = SeededStream::new(seed);
        // Sattolo's algorithm: exchanging only with earlier places makes one cycle of all.
        for last in (1..order.len()).rev() {
            order.swap(last, stream.below(last));
        }
        let same = |place: usize, answer: usize| examples[place].solution == examples[answer].solution;
        for place in 0..order.len() {
            if same(place, order[place]) {
                let exchange = (0..order.len()).find(|&other| !same(place, order[other]) && !same(other, order[place]));
                if let Some(other) = exchange {
                    order.swap(place, other);
                }
            }
        }
        let unchanged = (0..order.len()).filter(|&place| same(place, order[place])).count() as u64;
        let shuffled = examples.iter().zip(&order).map(|(example, &answer)| Example {
            reasoning: examples[answer].reasoning.clone(),
            solution: examples[answer].solution.clone(),
            ..example.clone()
        });
        Ok(Self { examples: shuffled.collect(), unchanged })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::dataset::Domain;

    fn examples(solutions: &[&str]) -> Vec<Example> {
        let example = |(index, solution): (usize, &&str)| Example {
            problem: format!("problem {index}"),
            reasoning: Some(format!("reasoning to {solution}")),
            solution: (*solution).to_owned(),
            domain: Domain("python".to_owned()),
            difficulty: None,
        };
        solutions.iter().enumerate().map(example).collect()
    }

    #[test]
    fn no_answer_stays_and_none_is_lost() -> Result<(), EvaluatorError> {
        let solutions: Vec<String> = (0..50).map(|index| format!("print({})", index / 2)).collect();
        let before = examples(&solutions.iter().map(String::as_str).collect::<Vec<_>>());
        for seed in 0..20 {
            let ShuffledAnswers { examples: after, unchanged } = ShuffledAnswers::of(&before, seed)?;
            assert_eq!(unchanged, 0);
            let mut moved: Vec<&str> = after.iter().map(|example| example.solution.as_str()).collect();
            moved.sort_unstable();
            let mut all: Vec<&str> = solutions.iter().map(String::as_str).collect();
            all.sort_unstable();
            assert_eq!(moved, all);
            for (old, new) in before.iter().zip(&after) {
                assert_eq!(old.problem, new.problem);
                assert_ne!(old.solution, new.solution);
                assert_eq!(new.reasoning, Some(format!("reasoning to {}", new.solution)));
            }
        }
        assert_ne!(ShuffledAnswers::of(&before, 1)?, ShuffledAnswers::of(&before, 2)?);
        Ok(())
    }

    #[test]
    fn what_cannot_move_is_counted() -> Result<(), EvaluatorError> {
        assert_eq!(ShuffledAnswers::of(&examples(&["a", "a", "a", "b"]), 5)?.unchanged, 2);
        assert!(ShuffledAnswers::of(&examples(&["a"]), 5).is_err());
        Ok(())
    }
}
