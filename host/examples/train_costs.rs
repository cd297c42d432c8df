//! Takes optimizer steps for `cargo xtask bench train`; prints one JSON object: what `tests/oracle/bench_train.py` prints.
//!
//! Arguments: the folder that the script has made, a batch of it, `f32` or `bf16`, the number of steps, and
//! `checkpointing` where blocks are computed again. The number of threads comes from `RAYON_NUM_THREADS`.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hilora_host::model::{Adapter, BasePrecision, ComputeType, Model};
use hilora_host::trainer::{Learner, StepOptions, TrainingSample};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// The host's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, batch, compute, steps, rest @ ..] = &arguments[..] else {
        return Err("expected a folder, a batch, a type, a number of steps".into());
    };
    let folder = Path::new(folder);
    let compute = match compute.as_str() {
        "f32" => ComputeType::F32,
        "bf16" => ComputeType::Bf16,
        _ => return Err(format!("expected f32 or bf16, got `{compute}`").into()),
    };
    let rows: Vec<Vec<u32>> = serde_json::from_str(&fs::read_to_string(folder.join(format!("{batch}.json")))?)?;
    let samples: Vec<TrainingSample> =
        rows.into_iter().map(|tokens| TrainingSample { trained: vec![true; tokens.len()], tokens }).collect();
    let tokens: usize = samples.iter().map(|sample| sample.tokens.len()).sum();
    let model = Model::load(&folder.join("model"), BasePrecision::Nf4)?.computing_in(compute)?;
    let adapter = Adapter::load(&folder.join("adapter"))?;
    let mut learner = Learner::of_adapter(model, adapter, 1)?;
    let options = StepOptions {
        learning_rate: 1e-4,
        weight_decay: 0.01,
        max_grad_norm: f64::INFINITY,
        gradient_checkpointing: rest.iter().any(|word| word == "checkpointing"),
    };
    let (mut wall, mut processor, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=steps.parse::<usize>()? {
        let (started, busy) = (Instant::now(), processor_seconds());
        let numbers = learner.step(std::slice::from_ref(&samples), &options)?;
        wall.push(started.elapsed().as_secs_f64());
        processor.push(processor_seconds() - busy);
        losses.push(numbers.loss);
    }
    let measured = json!({
        "tokens": tokens,
        "step_seconds": median(&wall[1..]),
        "step_processor_seconds": median(&processor[1..]),
        "peak_memory_bytes": peak_memory_bytes()?,
        "losses": losses,
    });
    writeln!(std::io::stdout(), "{measured}")?;
    Ok(())
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn peak_memory_bytes() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
