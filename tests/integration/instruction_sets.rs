//! Bits do not depend on the processor: AVX-512, AVX2 and what every x86-64 has give the same probe, the same decoded
//! tokens and the same trained adapter.
//!
//! `tests/data/instruction_sets.json` holds them. Every machine that runs this test is held against the file, so the
//! first one with AVX-512 compares AVX-512 with AVX2, on which the file was made (`HILORA_BLESS=1` makes it
//! anew). Other processors are emulated by qemu-user; without it those tests show as ignored, unless `HILORA_TEST_QEMU=1`
//! demands them. Training and decoding run in this very program, started again.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hilora_contract::artifact::ContentHash;
use hilora_engine::{Engine, Event, Limits, ModelForward, Request, SamplingOptions};
use hilora_model::{Adapter, BasePrecision, Model};
use hilora_trainer::{Learner, LearnerOptions, OptimizerKind, StepOptions};
use libtest_mimic::{Failed, Trial};

use crate::parity::{Numbers, fixture, samples};
use crate::repository;

/// Where a program that was started again writes what it computed.
const OUTPUT_VARIABLE: &str = "HILORA_TEST_BITS";
/// Makes the committed file anew.
const BLESS_VARIABLE: &str = "HILORA_BLESS";
/// Demands the emulated processors.
const DEMAND_VARIABLE: &str = "HILORA_TEST_QEMU";
const EMULATOR: &str = "qemu-x86_64";
/// Processors that the emulator knows, and their widest instructions.
const PROCESSORS: [(&str, &str); 2] = [("Haswell", "avx2"), ("Nehalem", "sse4_2")];
/// Two optimizer steps after the first see its moments.
const STEPS: u64 = 3;

/// What was computed, by name: hashes of files, tokens as text.
type Bits = BTreeMap<String, String>;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("instruction_sets::this_processor_gives_the_committed_bits", committed)];
    let absent = !cfg!(target_arch = "x86_64") || emulator().is_none();
    for (processor, widest) in PROCESSORS {
        let name = format!("instruction_sets::an_emulated_processor_with_{widest}_gives_the_committed_bits");
        let ignored = absent && env::var_os(DEMAND_VARIABLE).is_none();
        trials.push(Trial::test(name, move || emulated(processor)).with_ignored_flag(ignored));
    }
    trials
}

fn emulator() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(EMULATOR)).find(|path| path.is_file())
}

fn golden() -> PathBuf {
    repository().join("tests/data/instruction_sets.json")
}

fn committed() -> Result<(), Failed> {
    let bits = all_bits(&[])?;
    if env::var_os(BLESS_VARIABLE).is_some() {
        fs::write(golden(), serde_json::to_string_pretty(&bits)? + "\n")?;
    }
    compare(&bits)
}

fn emulated(processor: &str) -> Result<(), Failed> {
    let emulator = emulator().ok_or(format!("{DEMAND_VARIABLE} is set, and there is no {EMULATOR}"))?;
    compare(&all_bits(&[emulator.as_os_str(), "-cpu".as_ref(), processor.as_ref()])?)
}

fn compare(got: &Bits) -> Result<(), Failed> {
    let expected: Bits = serde_json::from_slice(&fs::read(golden())?)?;
    let names = expected.keys().chain(got.keys().filter(|name| !expected.contains_key(*name)));
    let differing: Vec<_> = names
        .filter(|name| expected.get(*name) != got.get(*name))
        .map(|name| format!("{name}: expected {:?}, got {:?}", expected.get(name), got.get(name)))
        .collect();
    if differing.is_empty() { Ok(()) } else { Err(differing.join("\n").into()) }
}

/// Everything, computed by programs that are started behind `prefix`.
fn all_bits(prefix: &[&OsStr]) -> Result<Bits, Failed> {
    let folder = tempfile::tempdir()?;
    let mut bits = Bits::new();
    for (architecture, base) in [("qwen2", "f32"), ("qwen2", "bf16"), ("qwen3", "nf4"), ("llama", "nf4")] {
        let output = folder.path().join("probe.safetensors");
        let mut probe = behind(prefix, Path::new(env!("CARGO_BIN_EXE_hilora-host")));
        probe.args(["model", "probe", "--base", base, "--model"]).arg(fixture(architecture).join("model"));
        probe.arg("--adapter").arg(fixture(architecture).join("adapter"));
        probe.arg("--batch").arg(fixture(architecture).join("batch.safetensors")).arg("--output").arg(&output);
        succeed(&mut probe)?;
        bits.insert(format!("probe of {architecture} in {base}"), hash(&output)?);
    }
    let output = folder.path().join("bits.json");
    succeed(behind(prefix, &env::current_exe()?).env(OUTPUT_VARIABLE, &output))?;
    bits.append(&mut serde_json::from_slice(&fs::read(&output)?)?);
    Ok(bits)
}

fn behind(prefix: &[&OsStr], program: &Path) -> Command {
    let mut words = prefix.iter().copied().chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn succeed(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn hash(file: &Path) -> Result<String, Failed> {
    Ok(ContentHash::of(&fs::read(file)?).to_string())
}

/// Where this program was started for it, computes and writes the bits of decoding and training; whether it was.
pub(crate) fn write_bits_where_asked() -> Result<bool, Failed> {
    let Some(output) = env::var_os(OUTPUT_VARIABLE) else { return Ok(false) };
    let mut bits = Bits::new();
    for base in [BasePrecision::F32, BasePrecision::Nf4] {
        bits.insert(format!("decoded over {base:?}"), decoded(base)?);
    }
    for kind in [OptimizerKind::Adamw, OptimizerKind::Adamw8bit] {
        bits.insert(format!("trained by {kind:?}"), trained(kind)?);
    }
    fs::write(output, serde_json::to_string(&bits)?)?;
    Ok(true)
}

/// Tokens that are drawn after the rows of a batch, as text.
fn decoded(base: BasePrecision) -> Result<String, Failed> {
    let model = Model::load(&fixture("qwen2/model"), base)?;
    let adapter = Adapter::load(&fixture("qwen2/adapter"))?;
    let (length, ids) = Numbers::load(fixture("qwen2/batch.safetensors"))?.integers("input_ids")?;
    let options =
        SamplingOptions { max_new_tokens: 48, temperature: 0.9, top_p: 0.95, seed: 7, ..SamplingOptions::default() };
    let limits = Limits { blocks: 64, rows_max: 2, step_tokens_max: 48, waiting_max: ids.len() };
    let mut engine = Engine::new(ModelForward::new(&model, &[&adapter])?, None, limits)?;
    for (row, stream) in ids.chunks(length).zip(0..) {
        let prompt = row[..length / 2].iter().map(|id| *id as u32).collect();
        engine.admit(Request { prompt, adapter: Some(0), streams: vec![stream], options: options.clone() })?;
    }
    let mut drawn = BTreeMap::new();
    while !engine.is_idle() {
        for event in engine.step()? {
            if let Event::End { request, completion, .. } = event {
                drawn.insert(request, completion.tokens);
            }
        }
    }
    let tokens: Vec<Vec<u32>> = drawn.into_values().collect();
    assert!(tokens.iter().all(|tokens| tokens.len() == options.max_new_tokens));
    Ok(serde_json::to_string(&tokens)?)
}

/// The adapter after some steps over the NF4 base, with dropout and noise; and every loss and norm on the way.
fn trained(kind: OptimizerKind) -> Result<String, Failed> {
    let batches = Numbers::load(fixture("qwen2/trajectory_batches.safetensors"))?;
    let model = Model::load(&fixture("qwen2/model"), BasePrecision::Nf4)?;
    let options = LearnerOptions { optim: kind, loraplus_lr_ratio: 16.0, neftune_noise_alpha: Some(5.0) };
    let mut learner = Learner::of_adapter(model, Adapter::load(&fixture("qwen2/adapter"))?, 7, &options)?;
    let mut numbers = Vec::new();
    for step in 0..STEPS {
        let options = StepOptions {
            learning_rate: 1e-2,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            gradient_checkpointing: step % 2 == 1,
        };
        let packed = [samples(&batches, 2 * step + 1)?, samples(&batches, 2 * step + 2)?];
        let step = learner.step(&packed, &options)?;
        numbers.push(format!("{:016x} {:016x}", step.loss.to_bits(), step.gradient_norm.to_bits()));
    }
    let folder = tempfile::tempdir()?;
    learner.adapter().ok_or("no adapter")?.save(folder.path(), None)?;
    Ok(format!("{} {}", numbers.join(" "), hash(&folder.path().join("adapter_model.safetensors"))?))
}
