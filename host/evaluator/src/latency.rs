//! Latency: the median time to decode one token, in microseconds, of the base and of the base with an adapter.
//!
//! Both run interleaved, token by token, on the same prompts and the same tokens, and take turns in going first, so
//! that a machine that slows down slows both. The first tokens after a prompt are not counted. Timings differ from run
//! to run: they live in `latency.json` and never enter an artefact that is named by its hash.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::EvaluatorError;
use super::generator::TimedDecoder;
use super::json_file::{DECODE_TIMES, JsonFile, read_json, write_json};
use super::watch::{Watch, Work};
use hilora_engine::{Forward, ModelForward};
use hilora_model::{Adapter, LogitRows, Model, Span};

/// Tokens after each prompt that are decoded but not counted.
const WARM_UP_TOKENS: usize = 2;

/// Prompts whose decoding is timed.
pub(crate) const PROMPTS: usize = 12;

/// Tokens that are timed after each prompt.
pub(crate) const TOKENS_PER_PROMPT: usize = 48;

/// Tokens that must fit after each prompt.
pub(crate) const ROOM_TOKENS: usize = WARM_UP_TOKENS + TOKENS_PER_PROMPT;

/// How far two quotients of the same times may be apart by rounding.
const ROUNDING: f64 = 1e-9;

/// A model, with or without an adapter, decoding one sequence by the passes that the engine takes.
pub struct ModelDecoder<'a> {
    forward: ModelForward<'a>,
    adapter: Option<usize>,
    length: usize,
}

impl<'a> ModelDecoder<'a> {
    /// A decoder at the beginning.
    pub fn new(model: &'a Model, adapter: Option<&'a Adapter>) -> Result<Self, EvaluatorError> {
        let forward = ModelForward::new(model, adapter.as_slice())?;
        Ok(Self { forward, adapter: adapter.map(|_| 0), length: 0 })
    }

    /// Computes more tokens of the sequence.
    fn compute(&mut self, tokens: &[u32]) -> Result<(), EvaluatorError> {
        let end = self.length + tokens.len();
        let blocks = end.div_ceil(self.forward.block_tokens());
        self.forward.reserve(blocks)?;
        let blocks: Vec<u32> = (0..blocks as u32).collect();
        let (start, adapter, logits) = (self.length, self.adapter, LogitRows::Last);
        self.forward.forward(&[Span { tokens, start, blocks: &blocks, adapter, logits }])?;
        self.length = end;
        Ok(())
    }
}

impl TimedDecoder for ModelDecoder<'_> {
    fn start(&mut self, prompt: &[u32]) -> Result<(), EvaluatorError> {
        // Memory is taken before anything is timed.
        self.forward.reserve((prompt.len() + ROOM_TOKENS).div_ceil(self.forward.block_tokens()))?;
        self.length = 0;
        self.compute(prompt)
    }

    fn step(&mut self, token: u32) -> Result<Duration, EvaluatorError> {
        let start = Instant::now();
        self.compute(&[token])?;
        Ok(start.elapsed())
    }
}

/// The decode times of a base and an adapter. Where nothing was timed, none of them is a number (`null` in JSON).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The base's median, in microseconds a token.
    #[serde(deserialize_with = "number_or_none")]
    pub base_us: f64,
    /// The adapter's median, in microseconds a token.
    #[serde(deserialize_with = "number_or_none")]
    pub adapter_us: f64,
    /// How much longer the adapter takes, as a fraction of the base's time.
    #[serde(deserialize_with = "number_or_none")]
    pub increase: f64,
    /// The tokens that were timed, of each.
    pub tokens: u64,
}

/// `null` is what JSON has for a number that is none.
fn number_or_none<'de, D: serde::Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
}

impl JsonFile for Latency {
    const EXPECTED: &'static str = DECODE_TIMES;
    const HINT: &'static str = "`hilora-host evaluate` writes it as `latency.json` beside `evaluation.json`";
}

impl Latency {
    /// Of models whose decoding cannot be timed, such as those behind an endpoint. It passes no gate.
    pub const NOT_MEASURED: Self = Self { base_us: f64::NAN, adapter_us: f64::NAN, increase: f64::NAN, tokens: 0 };

    /// Whether anything was timed.
    pub fn is_measured(&self) -> bool {
        self.tokens > 0
    }

    /// Times both on every prompt, `tokens_per_prompt` tokens after each. `None` if the watch ended it early.
    pub fn measure(
        base: &mut dyn TimedDecoder,
        adapter: &mut dyn TimedDecoder,
        prompts: &[Vec<u32>],
        tokens_per_prompt: usize,
        watch: &Watch<'_>,
    ) -> Result<Option<Self>, EvaluatorError> {
        watch.observer.begin(Work::TimeDecoding, (prompts.len() * tokens_per_prompt) as u64);
        let measured = Self::time(base, adapter, prompts, tokens_per_prompt, watch);
        watch.observer.end();
        measured
    }

    fn time(
        base: &mut dyn TimedDecoder,
        adapter: &mut dyn TimedDecoder,
        prompts: &[Vec<u32>],
        tokens_per_prompt: usize,
        watch: &Watch<'_>,
    ) -> Result<Option<Self>, EvaluatorError> {
        let mut base_times = Vec::new();
        let mut adapter_times = Vec::new();
        for prompt in prompts.iter().filter(|prompt| !prompt.is_empty()) {
            if watch.stops() {
                return Ok(None);
            }
            base.start(prompt)?;
            adapter.start(prompt)?;
            for index in 0..WARM_UP_TOKENS + tokens_per_prompt {
                if watch.stops() {
                    return Ok(None);
                }
                // Which token is decoded does not change the work; the prompt's own are at hand and the same for both.
                let token = prompt[index % prompt.len()];
                let (base_time, adapter_time) = if index % 2 == 0 {
                    let base_time = base.step(token)?;
                    (base_time, adapter.step(token)?)
                } else {
                    let adapter_time = adapter.step(token)?;
                    (base.step(token)?, adapter_time)
                };
                if index >= WARM_UP_TOKENS {
                    watch.observer.advance(1);
                    base_times.push(base_time);
                    adapter_times.push(adapter_time);
                }
            }
        }
        let tokens = base_times.len() as u64;
        let (Some(base_us), Some(adapter_us)) = (median_us(base_times), median_us(adapter_times)) else {
            return Err(EvaluatorError::NothingToTime { tokens: tokens_per_prompt });
        };
        Ok(Some(Self { base_us, adapter_us, increase: adapter_us / base_us - 1.0, tokens }))
    }

    /// Reads `latency.json`. An increase that does not follow from the two times is refused.
    pub fn read(path: &Path) -> Result<Self, EvaluatorError> {
        let latency: Self = read_json(path)?;
        if !latency.is_measured()
            && [latency.base_us, latency.adapter_us, latency.increase].iter().all(|us| us.is_nan())
        {
            return Ok(Self::NOT_MEASURED);
        }
        let refused = |figure: &str, expected: String, got: f64| EvaluatorError::Figure {
            path: path.to_owned(),
            figure: figure.to_owned(),
            from: "its times",
            expected,
            got: got.to_string(),
        };
        for (figure, time_us) in [("base_us", latency.base_us), ("adapter_us", latency.adapter_us)] {
            if time_us.is_nan() || time_us <= 0.0 {
                return Err(refused(figure, "a time above 0".to_owned(), time_us));
            }
        }
        let increase = latency.adapter_us / latency.base_us - 1.0;
        if (latency.increase - increase).abs() > ROUNDING * (1.0 + increase.abs()) {
            return Err(refused("increase", increase.to_string(), latency.increase));
        }
        Ok(Self { increase, ..latency })
    }

    /// Writes `latency.json`.
    pub fn write(&self, path: &Path) -> Result<(), EvaluatorError> {
        write_json(path, self)
    }
}

/// The median in microseconds; `None` of nothing.
fn median_us(mut times: Vec<Duration>) -> Option<f64> {
    times.sort_unstable();
    let middle = times.len() / 2;
    let us = |time: &Duration| time.as_secs_f64() * 1e6;
    match times.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(us(&times[middle])),
        _ => Some(f64::midpoint(us(&times[middle - 1]), us(&times[middle]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_read_back_as_that_and_a_half_of_it_is_refused() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("latency.json");
        Latency::NOT_MEASURED.write(&path)?;
        let read = Latency::read(&path)?;
        assert!(!read.is_measured() && read.increase.is_nan());
        let text = std::fs::read_to_string(&path).expect("it was written");
        for (from, to) in [("\"tokens\": 0", "\"tokens\": 9"), ("\"increase\": null", "\"increase\": 0.0")] {
            assert!(text.contains(from), "{text}");
            std::fs::write(&path, text.replace(from, to)).expect("it can be written");
            assert!(matches!(Latency::read(&path), Err(EvaluatorError::Figure { .. })), "{to}");
        }
        Ok(())
    }
    use std::cell::RefCell;

    /// A fake that writes down when it is called and takes as long as it is told.
    struct FakeDecoder<'a> {
        name: char,
        calls: &'a RefCell<String>,
        times_us: Vec<u64>,
        steps: usize,
    }

    impl TimedDecoder for FakeDecoder<'_> {
        fn start(&mut self, _prompt: &[u32]) -> Result<(), EvaluatorError> {
            self.calls.borrow_mut().push('|');
            self.steps = 0;
            Ok(())
        }

        fn step(&mut self, _token: u32) -> Result<Duration, EvaluatorError> {
            self.calls.borrow_mut().push(self.name);
            self.steps += 1;
            Ok(Duration::from_micros(self.times_us[self.steps - 1]))
        }
    }

    #[test]
    fn takes_turns_and_leaves_the_warm_up_out() -> Result<(), EvaluatorError> {
        let calls = RefCell::new(String::new());
        let decoder =
            |name, times_us: &[u64]| FakeDecoder { name, calls: &calls, times_us: times_us.to_vec(), steps: 0 };
        let mut base = decoder('b', &[900, 900, 100, 300, 200]);
        let mut adapter = decoder('a', &[900, 900, 110, 330, 220]);
        let latency = Latency::measure(&mut base, &mut adapter, &[vec![1, 2], vec![], vec![3]], 3, &Watch::SILENT)?
            .expect("a silent watch ends nothing early");
        assert_eq!(*calls.borrow(), "||baabbaabba||baabbaabba");
        assert_eq!((latency.base_us, latency.adapter_us, latency.tokens), (200.0, 220.0, 6));
        assert!((latency.increase - 0.1).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn nothing_timed_is_an_error() {
        let calls = RefCell::new(String::new());
        let mut decoder = FakeDecoder { name: 'b', calls: &calls, times_us: vec![], steps: 0 };
        let mut other = FakeDecoder { name: 'a', calls: &calls, times_us: vec![], steps: 0 };
        assert!(Latency::measure(&mut decoder, &mut other, &[], 3, &Watch::SILENT).is_err());
    }

    #[test]
    fn an_edited_increase_is_refused() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("latency.json");
        let latency = Latency { base_us: 100.0, adapter_us: 150.0, increase: 0.5, tokens: 10 };
        latency.write(&path)?;
        assert_eq!(Latency::read(&path)?, latency);
        Latency { increase: 0.05, ..latency }.write(&path)?;
        let refused = Latency::read(&path).expect_err("the increase was edited").to_string();
        assert!(refused.ends_with("increase: expected 0.5, which follows from its times, got 0.05"), "{refused}");
        Latency { base_us: 0.0, increase: 0.05, ..latency }.write(&path)?;
        assert!(Latency::read(&path).is_err());
        Ok(())
    }
}
