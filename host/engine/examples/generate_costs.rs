//! Draws answers with the engine for `cargo xtask bench generate`; prints one JSON object: what
//! `tests/oracle/bench_generate.py` prints, and what only we can say.
//!
//! Arguments: a model's folder, `bf16` or `nf4` for its weights, `f32` or `bf16` for its activations, a batch, tokens of a
//! prompt, tokens to draw, rounds. With `bandwidth` alone it measures how fast all threads together read memory. The number
//! of threads comes from `RAYON_NUM_THREADS`.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hilora_engine::{Completion, Engine, Event, Limits, ModelForward, Request, SamplingOptions};
use hilora_kernels::cross_entropy::{Normalization, chunk_rows};
use hilora_model::{BasePrecision, ComputeType, KeyValueBlocks, Model, PackedDocuments};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// The host's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sequences whose log-probabilities are computed again by the trainer's forward pass.
const CHECKED_SEQUENCES: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed = match arguments[..] {
        ["bandwidth"] => json!({ "bytes_per_second": bandwidth() }),
        [folder, precision, compute, batch, prompt, new, rounds] => {
            let precision = match precision {
                "bf16" => BasePrecision::Bf16,
                "nf4" => BasePrecision::Nf4,
                _ => return Err(format!("expected bf16 or nf4, got `{precision}`").into()),
            };
            let compute = match compute {
                "f32" => ComputeType::F32,
                "bf16" => ComputeType::Bf16,
                _ => return Err(format!("expected f32 or bf16, got `{compute}`").into()),
            };
            let model = Model::load(Path::new(folder), precision)?.computing_in(compute)?;
            Generation { model: &model, batch: batch.parse()?, prompt: prompt.parse()?, new: new.parse()? }
                .measured(rounds.parse()?)?
        }
        _ => {
            return Err("expected a folder, two types, a batch, tokens of a prompt, tokens to draw, rounds".into());
        }
    };
    writeln!(std::io::stdout(), "{printed}")?;
    Ok(())
}

/// What is drawn: a batch of prompts of one length, each completed by as many of the likeliest tokens.
struct Generation<'m> {
    model: &'m Model,
    batch: usize,
    prompt: usize,
    new: usize,
}

/// What one round took.
#[derive(Clone, Copy)]
struct Round {
    /// Up to the first token of each, in seconds.
    prefill: f64,
    /// All others.
    decode: f64,
    decode_processor: f64,
}

impl Generation<'_> {
    /// The prompt of a row, as `bench_generate.py` makes it: no two begin alike.
    fn prompt(&self, row: usize) -> Vec<u32> {
        let vocabulary = self.model.config().vocab_size;
        (0..self.prompt).map(|i| ((i * i * 5 + i * 37 + row * 101 + 3) % vocabulary) as u32).collect()
    }

    fn measured(&self, rounds: usize) -> Result<serde_json::Value, Box<dyn Error>> {
        let mut measured = Vec::new();
        let mut completions = Vec::new();
        // The first round pays for what is set up once.
        for _ in 0..=rounds {
            let (round, drawn) = self.round()?;
            measured.push(round);
            completions = drawn;
        }
        let least = |of: fn(&Round) -> f64| measured[rounds.min(1)..].iter().map(of).fold(f64::INFINITY, f64::min);
        let (tokens, greatest_difference) = self.against_the_trainer(&completions)?;
        Ok(json!({
            "prefill_seconds": least(|round| round.prefill),
            "decode_seconds": least(|round| round.decode),
            "decode_processor_seconds": least(|round| round.decode_processor),
            "weight_bytes": self.model.weights.block_bytes() + self.model.weights.output().bytes(),
            "compared_tokens": tokens,
            "greatest_difference": greatest_difference,
        }))
    }

    fn round(&self) -> Result<(Round, Vec<Completion>), Box<dyn Error>> {
        let blocks = (self.prompt + self.new).div_ceil(KeyValueBlocks::BLOCK_TOKENS);
        let limits = Limits {
            blocks: self.batch * blocks,
            rows_max: self.batch,
            step_tokens_max: self.batch * self.prompt,
            waiting_max: self.batch,
        };
        let mut engine = Engine::new(ModelForward::new(self.model, &[])?, None, limits)?;
        for row in 0..self.batch {
            let options = SamplingOptions {
                max_new_tokens: self.new,
                temperature: 0.0,
                top_log_probabilities: Some(0),
                ..SamplingOptions::default()
            };
            engine.admit(Request { prompt: self.prompt(row), adapter: None, streams: vec![0], options })?;
        }
        let started = Instant::now();
        engine.step()?;
        let prefill = started.elapsed().as_secs_f64();
        let (started, busy) = (Instant::now(), processor_seconds());
        let mut completions = Vec::new();
        while !engine.is_idle() {
            for event in engine.step()? {
                if let Event::End { completion, .. } = event {
                    completions.push(completion);
                }
            }
        }
        let (decode, decode_processor) = (started.elapsed().as_secs_f64(), processor_seconds() - busy);
        Ok((Round { prefill, decode, decode_processor }, completions))
    }

    /// How many log-probabilities were compared with those of the trainer's forward pass over the whole sequence, and
    /// their greatest difference. The sum of a sequence must be the trainer's loss to the bit, too.
    fn against_the_trainer(&self, completions: &[Completion]) -> Result<(usize, f64), Box<dyn Error>> {
        let vocabulary = self.model.config().vocab_size;
        let (mut compared, mut greatest) = (0, 0.0f64);
        for (row, completion) in completions.iter().enumerate().take(CHECKED_SEQUENCES) {
            let tokens = [self.prompt(row), completion.tokens.clone()].concat();
            let mut documents = PackedDocuments::default();
            documents.push(&tokens, |token| token >= self.prompt);
            let rows: Vec<usize> = (self.prompt - 1..tokens.len() - 1).collect();
            let logits = self.model.logits(&*self.model.hidden(&documents, None)?, &rows, None)?;
            let mut losses = Vec::new();
            for ((row, token), reported) in
                logits.chunks_exact(vocabulary).zip(&completion.tokens).zip(&completion.log_probabilities)
            {
                let loss = Normalization::of(row).loss(row[*token as usize]);
                greatest = greatest.max((loss + reported.drawn).abs());
                losses.push(-reported.drawn);
            }
            let chunks = losses.chunks(chunk_rows(vocabulary, losses.len()));
            let sum: f64 = chunks.map(|losses| losses.iter().sum::<f64>()).sum();
            let loss = self.model.loss(&documents, None)?;
            if sum.to_bits() != loss.to_bits() {
                return Err(format!("sequence {row}: the trainer's loss is {loss}, the engine's {sum}").into());
            }
            compared += losses.len();
        }
        Ok((compared, greatest))
    }
}

/// Bytes a second that all threads together read from memory: more than any cache holds, the best of some rounds.
fn bandwidth() -> f64 {
    const BYTES: usize = 1 << 29;
    const ROUNDS: usize = 6;
    let values = vec![1u64; BYTES / 8];
    let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut best = 0.0f64;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for part in values.chunks(values.len().div_ceil(threads)) {
                scope.spawn(|| std::hint::black_box(part.iter().fold(0u64, |sum, value| sum.wrapping_add(*value))));
            }
        });
        best = best.max(BYTES as f64 / started.elapsed().as_secs_f64());
    }
    best
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
