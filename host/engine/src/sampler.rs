//! The sampler: one token from one row of logits.
//!
//! The random number of a token is a function of (seed, stream, position), so a token depends on its row and nothing that
//! was drawn before. Log-probabilities are those of the model's own distribution, untouched by penalty, temperature and
//! filters: ln p(i) = z_i − ln Σ exp(z), by the operation that the trainer's loss is computed with.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::sampling_options::SamplingOptions;
use hilora_kernels::cross_entropy::Normalization;
use hilora_kernels::philox::{Purpose, Sequence};
use hilora_kernels::softmax::softmax;

/// The log-probabilities, in nats, at one place of a completion.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProbabilities {
    /// Of the token that was drawn.
    pub drawn: f64,
    /// The likeliest tokens and theirs, falling; of equally likely ones the smaller id comes first.
    pub top: Vec<(u32, f64)>,
}

/// A token that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) token: u32,
    pub(crate) log_probabilities: Option<LogProbabilities>,
}

/// The first logit that no token can be drawn by, and its token.
pub(crate) fn unusable(logits: &[f32]) -> Option<(usize, f32)> {
    logits.iter().copied().enumerate().find(|(_, logit)| !logit.is_finite())
}

/// Draws the token at a position of a completion. `known` is what comes before it, prompt and completion.
pub(crate) fn draw(options: &SamplingOptions, logits: &[f32], known: &[u32], stream: u64, position: usize) -> Drawn {
    let penalized = penalized(logits, known, options.repetition_penalty as f32);
    let likeliest = first_of_greatest(&penalized);
    let token = match options.temperature {
        0.0 => likeliest,
        _ => {
            let number = Sequence::from(options.seed, Purpose::Sampling, stream, position as u32).uniform();
            by_number(&candidates(options, &penalized, likeliest), number).unwrap_or(likeliest)
        }
    };
    let log_probabilities = options.top_log_probabilities.map(|top| {
        let normalization = Normalization::of(logits);
        let of = |token: usize| -normalization.loss(logits[token]);
        let top = greatest(logits, top).into_iter().map(|token| (token as u32, of(token))).collect();
        LogProbabilities { drawn: of(token), top }
    });
    Drawn { token: token as u32, log_probabilities }
}

/// The logits of what is known already made smaller, each token's once, however often it is known.
fn penalized<'l>(logits: &'l [f32], known: &[u32], penalty: f32) -> Cow<'l, [f32]> {
    if penalty == 1.0 {
        return Cow::Borrowed(logits);
    }
    let mut penalized = logits.to_vec();
    for token in known {
        let token = *token as usize;
        let logit = logits[token];
        penalized[token] = if logit < 0.0 { logit * penalty } else { logit / penalty };
    }
    Cow::Owned(penalized)
}

fn first_of_greatest(logits: &[f32]) -> usize {
    let mut likeliest = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[likeliest] {
            likeliest = token;
        }
    }
    likeliest
}

/// The tokens that may be drawn with their probabilities, which together need not be 1.
fn candidates(options: &SamplingOptions, logits: &[f32], likeliest: usize) -> Vec<(usize, f64)> {
    let inverse = (1.0 / options.temperature as f32).min(f32::MAX);
    let mut probabilities: Vec<f32> = logits.iter().map(|logit| (logit - logits[likeliest]) * inverse).collect();
    softmax(&mut probabilities);
    let mut candidates: Vec<(usize, f64)> = probabilities.iter().map(|p| f64::from(*p)).enumerate().collect();
    if options.top_k > 0 && options.top_k < logits.len() {
        let mut falling = logits.to_vec();
        // By the logits: unlike probabilities, those of unlikely tokens do not all become 0.
        let (_, least, _) = falling.select_nth_unstable_by(options.top_k - 1, |a, b| b.total_cmp(a));
        let least = *least;
        candidates.retain(|(token, _)| logits[*token] >= least);
    }
    if options.top_p < 1.0 {
        let total: f64 = candidates.iter().map(|(_, probability)| probability).sum();
        // All tokens below this together have less than 1 - top_p, so none of them is in the set; this leaves few to be
        // sorted.
        let negligible = (1.0 - options.top_p) * total / candidates.len() as f64;
        candidates.retain(|(_, probability)| *probability >= negligible);
        candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut mass = 0.0;
        let reaches = |(_, probability): &(usize, f64)| {
            mass += probability;
            mass >= options.top_p * total
        };
        let kept = candidates.iter().position(reaches).map_or(candidates.len(), |last| last + 1);
        candidates.truncate(kept);
    }
    if options.min_p > 0.0 {
        let least = options.min_p * f64::from(probabilities[likeliest]);
        candidates.retain(|(_, probability)| *probability >= least);
    }
    candidates
}

/// The candidate in whose part of [0, 1) a number lies.
fn by_number(candidates: &[(usize, f64)], number: f64) -> Option<usize> {
    let kept: f64 = candidates.iter().map(|(_, probability)| probability).sum();
    let mut left = kept * number;
    for (token, probability) in candidates {
        left -= probability;
        if left < 0.0 {
            return Some(*token);
        }
    }
    // Rounding has left a little.
    candidates.iter().rev().find(|(_, probability)| *probability > 0.0).map(|(token, _)| *token)
}

/// The places of the `count` greatest, falling.
fn greatest(logits: &[f32], count: usize) -> Vec<usize> {
    if count == 0 {
        return Vec::new();
    }
    let falling = |a: &usize, b: &usize| -> Ordering { logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)) };
    let mut tokens: Vec<usize> = (0..logits.len()).collect();
    let count = count.min(tokens.len());
    if count < tokens.len() {
        tokens.select_nth_unstable_by(count - 1, falling);
    }
    tokens.truncate(count);
    tokens.sort_unstable_by(falling);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(temperature: f64, top_p: f64) -> SamplingOptions {
        SamplingOptions { max_new_tokens: 1, temperature, top_p, seed: 11, ..SamplingOptions::default() }
    }

    fn token(options: &SamplingOptions, logits: &[f32], stream: u64, position: usize) -> u32 {
        draw(options, logits, &[], stream, position).token
    }

    /// softmax of these at temperature 1 is 0.1, 0.2, 0.7.
    fn three() -> [f32; 3] {
        [0.1f32.ln(), 0.2f32.ln(), 0.7f32.ln()]
    }

    /// The tokens that ever come up, of 1,000 streams.
    fn support(options: &SamplingOptions, logits: &[f32], known: &[u32]) -> Vec<u32> {
        let mut seen = std::collections::BTreeSet::new();
        for stream in 0..1_000 {
            seen.insert(draw(options, logits, known, stream, 3).token);
        }
        seen.into_iter().collect()
    }

    #[test]
    fn draws_in_proportion_to_the_probabilities() {
        let mut counts = [0.0f64; 3];
        for stream in 0..20_000 {
            counts[token(&options(1.0, 1.0), &three(), stream, 0) as usize] += 1.0 / 20_000.0;
        }
        for (count, expected) in counts.iter().zip([0.1, 0.2, 0.7]) {
            assert!((count - expected).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_it() {
        assert_eq!(support(&options(1.0, 0.6), &three(), &[]), [2]);
        assert_eq!(support(&options(1.0, 0.85), &three(), &[]), [1, 2]);
    }

    #[test]
    fn top_k_keeps_what_is_as_likely_as_the_last() {
        let of = |top_k| SamplingOptions { top_k, ..options(1.0, 1.0) };
        assert_eq!(support(&of(1), &three(), &[]), [2]);
        assert_eq!(support(&of(2), &three(), &[]), [1, 2]);
        assert_eq!(support(&of(9), &three(), &[]), [0, 1, 2]);
        assert_eq!(support(&of(2), &[0.0, 1.0, 0.0, -1.0], &[]), [0, 1, 2]);
    }

    #[test]
    fn top_p_counts_what_top_k_left() {
        // Of all, 0.7 is below 0.75; of the two likeliest it is 0.78.
        let narrow = SamplingOptions { top_k: 2, ..options(1.0, 0.75) };
        assert_eq!(support(&narrow, &three(), &[]), [2]);
        assert_eq!(support(&options(1.0, 0.75), &three(), &[]), [1, 2]);
    }

    #[test]
    fn min_p_is_a_part_of_the_likeliest() {
        let of = |min_p| SamplingOptions { min_p, ..options(1.0, 1.0) };
        assert_eq!(support(&of(0.3), &three(), &[]), [2]);
        assert_eq!(support(&of(0.28), &three(), &[]), [1, 2]);
        assert_eq!(support(&of(1.0), &three(), &[]), [2]);
        // The temperature comes before it: at 2 the quotients are their roots.
        assert_eq!(support(&SamplingOptions { temperature: 2.0, ..of(0.5) }, &three(), &[]), [1, 2]);
    }

    #[test]
    fn a_penalty_counts_each_known_token_once() {
        let of = |repetition_penalty| SamplingOptions { repetition_penalty, ..options(0.0, 1.0) };
        assert_eq!(draw(&of(1.0), &[3.0, 2.0, -1.0], &[0, 0], 0, 0).token, 0);
        // 3 / 1.4 is above 2 still, 3 / 1.6 is not, and 3 / 1.4² would not be.
        assert_eq!(draw(&of(1.4), &[3.0, 2.0, -1.0], &[0, 0], 0, 0).token, 0);
        assert_eq!(draw(&of(1.6), &[3.0, 2.0, -1.0], &[0], 0, 0).token, 1);
        assert_eq!(draw(&of(2.0), &[-1.0, -1.5], &[0], 0, 0).token, 1);
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_likeliest() {
        assert_eq!(token(&options(0.0, 1.0), &[1.0, 3.0, 3.0], 0, 0), 1);
    }

    #[test]
    fn a_logit_that_is_no_number_is_found() {
        assert_eq!(unusable(&[1.0, -3e38]), None);
        assert_eq!(unusable(&[1.0, f32::INFINITY, f32::NAN]), Some((1, f32::INFINITY)));
        assert_eq!(unusable(&[f32::NEG_INFINITY]), Some((0, f32::NEG_INFINITY)));
        assert!(unusable(&[1.0, f32::NAN]).is_some_and(|(token, logit)| token == 1 && logit.is_nan()));
    }

    #[test]
    fn log_probabilities_are_the_models_whatever_is_drawn() {
        let asked =
            SamplingOptions { top_log_probabilities: Some(2), repetition_penalty: 9.0, top_k: 1, ..options(0.1, 0.5) };
        let drawn = draw(&asked, &three(), &[2], 0, 0);
        let reported = drawn.log_probabilities.expect("they were asked for");
        let near = |got: f64, expected: f64| (got - expected.ln()).abs() < 1e-6;
        assert!(near(reported.drawn, [0.1, 0.2, 0.7][drawn.token as usize]), "{reported:?}");
        assert_eq!(reported.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [2, 1]);
        assert!(near(reported.top[0].1, 0.7) && near(reported.top[1].1, 0.2), "{reported:?}");
        let none = SamplingOptions { top_log_probabilities: None, ..asked };
        assert_eq!(draw(&none, &three(), &[2], 0, 0).log_probabilities, None);
    }

    /// `tests/oracle/sampling.py` made the cases with transformers' own processors.
    #[test]
    fn the_filters_leave_what_those_of_transformers_leave() -> Result<(), Box<dyn std::error::Error>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/oracle/sampling/cases.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        assert_eq!(cases.len(), 72);
        for case in cases {
            let numbers = |name: &str| case[name].as_array().into_iter().flatten().filter_map(|number| number.as_f64());
            let option = |name: &str| case["options"][name].as_f64().ok_or("an option is missing");
            let options = SamplingOptions {
                temperature: option("temperature")?,
                top_k: option("top_k")? as usize,
                top_p: option("top_p")?,
                min_p: option("min_p")?,
                ..SamplingOptions::default()
            };
            let logits: Vec<f32> = numbers("logits").map(|logit| logit as f32).collect();
            let known: Vec<u32> = numbers("known").map(|token| token as u32).collect();
            let penalized = penalized(&logits, &known, option("repetition_penalty")? as f32);
            let kept = candidates(&options, &penalized, first_of_greatest(&penalized));
            let total: f64 = kept.iter().map(|(_, probability)| probability).sum();
            let mut got = vec![0.0; logits.len()];
            kept.iter().for_each(|(token, probability)| got[*token] = probability / total);
            assert_eq!(numbers("probabilities").count(), got.len());
            for (got, expected) in got.iter().zip(numbers("probabilities")) {
                assert!(
                    (got - expected).abs() < 1e-5 && (*got == 0.0) == (expected == 0.0),
                    "{got} {expected}: {case}"
                );
            }
        }
        Ok(())
    }
}
