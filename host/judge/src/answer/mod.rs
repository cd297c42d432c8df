//! Answers: whether a text ends in the right mathematical answer, as GSM8K and MATH ask for it.
//!
//! Two answers are equal where they are the same number, the same expression, or the same words: `0.5`, `1/2`, `\frac12` and
//! `50\%`; `1,234` and `1234`; `\sqrt{8}` and `2\sqrt2`; `(x+1)^2` and `x^2+2x+1`; the intervals `[0,1)`, tuples in their order,
//! sets and lists in any. A unit that one of them leaves out does not count. What cannot be read is compared as text: this
//! module never guesses in favour of an answer, and rounds no rational number;
//! formulas with roots, π or letters are the same where their values agree to ten digits.

mod token;

mod ratio;

mod expression;

mod residue;

mod approximation;

mod formula;

mod unit;

mod value;

mod parser;

mod equality;

mod final_answer;

pub use equality::answers_match;
pub use final_answer::final_answer;

#[cfg(test)]
mod tests;
