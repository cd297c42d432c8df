//! Takes optimizer steps for `cargo xtask bench train`; prints one JSON object: what `tests/oracle/bench_train.py` prints.
//!
//! Arguments: the folder that the script has made, a batch of it, `f32` or `bf16`, the number of steps, and
//! `checkpointing` where blocks are computed again. With `plan` no step is taken, and what `train --plan` says of it is
//! printed instead. The number of threads comes from `RAYON_NUM_THREADS`.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hilora_model::{Adapter, BasePrecision, ComputeType, Model, ModelConfig, StoredType};
use hilora_run::metrics::resident_bytes;
use hilora_trainer::{
    Learner, LearnerOptions, PlanRequest, StepOptions, TrainingConfig, TrainingPlan, TrainingSample, plan,
};
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
    let checkpointing = rest.iter().any(|word| word == "checkpointing");
    if rest.iter().any(|word| word == "plan") {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&planned(folder, &samples, compute, checkpointing)?)?)?;
        return Ok(());
    }
    let model = Model::load(&folder.join("model"), BasePrecision::Nf4)?.computing_in(compute)?;
    let adapter = Adapter::load(&folder.join("adapter"))?;
    let mut learner = Learner::of_adapter(model, adapter, 1, &LearnerOptions::default())?;
    let options = StepOptions {
        learning_rate: 1e-4,
        weight_decay: 0.01,
        max_grad_norm: f64::INFINITY,
        gradient_checkpointing: checkpointing,
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

/// The plan of one step over all samples.
fn planned(
    folder: &Path,
    samples: &[TrainingSample],
    compute: ComputeType,
    checkpointing: bool,
) -> Result<TrainingPlan, Box<dyn Error>> {
    let training: TrainingConfig = serde_json::from_value(json!({
        "num_epochs": 1,
        "batch_size": samples.len(),
        "learning_rate": 1e-4,
        "max_seq_length": samples.iter().map(|sample| sample.tokens.len()).max(),
        "bf16": compute == ComputeType::Bf16,
        "gradient_checkpointing": checkpointing,
    }))?;
    let (base, adapter) = (folder.join("model"), Adapter::load(&folder.join("adapter"))?);
    let request = PlanRequest {
        model: &ModelConfig::load(&base)?,
        stored: StoredType::load(&base)?,
        block_bytes: None,
        training: &training,
        compute,
        lora: adapter.config(),
        seed: 1,
        samples,
        validation: None,
        process_bytes: resident_bytes().ok_or("the kernel does not say what is resident")?,
    };
    Ok(plan(&request, &mut || ())?)
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
