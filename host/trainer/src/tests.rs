//! Whole runs over a small model: what is resumed, damaged, stopped early or NaN.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use safetensors::{Dtype, SafeTensors};

use super::config::tests::config_with;
use super::train::train_by_clock;
use super::*;
use crate::small_model::{SMALL_CONFIG, small_lora, small_model};
use hilora_contract::artifact::{ContentHash, hash_of_artifact};
use hilora_contract::fault::{BadInput, Blame, Fault};
use hilora_model::{BaseFiles, ComputeDevice, ComputeType, LoraConfig, ModelError, ModuleNames, ModuleToSave};

fn config(mode: TrainingMode) -> TrainingConfig {
    let keys = r#""gradient_accumulation_steps":2,"warmup_ratio":0.1,"weight_decay":0.01,"save_steps":2"#;
    TrainingConfig { mode, num_epochs: 3, batch_size: 3, learning_rate: 5e-3, max_seq_length: 40, ..config_with(keys) }
}

fn samples() -> Vec<TrainingSample> {
    let sample = |i: u32| {
        let tokens: Vec<u32> = (0..12 + i % 20).map(|j| (i * 11 + j * (1 + i % 3)) % 90).collect();
        let trained = (0..tokens.len()).map(|j| j > 4).collect();
        TrainingSample { tokens, trained }
    };
    (0..20).map(sample).collect()
}

/// A folder with a small model in the Hugging Face layout.
fn base() -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("config.json"), SMALL_CONFIG)?;
    small_model(7)?.save_weights(folder.path(), Dtype::F32)?;
    Ok(folder)
}

type Losses = Vec<f64>;

/// Runs until `stop_after` steps were done in this process; returns the losses and the outcome.
fn run(
    base: &Path,
    config: &TrainingConfig,
    lora: &LoraConfig,
    work: &Path,
    stop_after: usize,
) -> Result<(Losses, TrainingOutcome), TrainingError> {
    run_of_build(b"program", base, config, lora, work, &mut |steps| match steps == stop_after {
        true => AfterStep::SaveAndStop,
        false => AfterStep::Continue,
    })
}

/// The same by a build of the program; `after_step` is told how many steps this process has done.
fn run_of_build(
    build: &[u8],
    base: &Path,
    config: &TrainingConfig,
    lora: &LoraConfig,
    work: &Path,
    after_step: &mut dyn FnMut(usize) -> AfterStep,
) -> Result<(Losses, TrainingOutcome), TrainingError> {
    let samples = samples();
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(base.to_owned()),
        base_files: BaseFiles::hashed(base, &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(build),
        config,
        lora: Some(lora),
        seed: 3,
        samples: &samples,
        validation: None,
        checkpoints: &work.join("checkpoints"),
        output: &work.join("output"),
    };
    let mut losses = Vec::new();
    let outcome = train(&run, &mut |report: &StepReport| {
        losses.push(report.loss);
        after_step(losses.len())
    })?;
    Ok((losses, outcome))
}

fn output(work: &Path, file: &str) -> std::io::Result<Vec<u8>> {
    fs::read(work.join("output").join(file))
}

#[test]
fn a_resumed_run_ends_in_the_same_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let base = base()?;
    let lora = LoraConfig { lora_dropout: 0.1, ..small_lora() };
    for (mode, file) in [
        (TrainingMode::Qlora, "adapter_model.safetensors"),
        (TrainingMode::Lora, "adapter_model.safetensors"),
        (TrainingMode::Full, "model.safetensors"),
    ] {
        let (whole, parts) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let config = config(mode);
        let (losses, outcome) = run(base.path(), &config, &lora, whole.path(), usize::MAX)?;
        assert!(outcome.finished && losses.len() == 12, "{outcome:?}");
        assert!(losses[11] < losses[0] - 0.1, "{mode:?} does not learn: {losses:?}");
        let mut resumed = Vec::new();
        for (stop_after, done) in [(3, 3), (4, 7), (usize::MAX, 12)] {
            let (losses, outcome) = run(base.path(), &config, &lora, parts.path(), stop_after)?;
            assert_eq!(outcome.steps, done);
            resumed.extend(losses);
        }
        assert_eq!(resumed, losses);
        assert_eq!(output(parts.path(), file)?, output(whole.path(), file)?, "{mode:?}");
    }
    Ok(())
}

#[test]
fn max_steps_ends_within_an_epoch_or_goes_on_into_further_ones() -> Result<(), Box<dyn std::error::Error>> {
    let (base, lora, name) = (base()?, small_lora(), "adapter_model.safetensors");
    let epochs = tempfile::tempdir()?;
    let (all, _) = run(base.path(), &config(TrainingMode::Lora), &lora, epochs.path(), usize::MAX)?;
    // Four steps make an epoch, and three epochs twelve steps.
    for max_steps in [6, 12, 17] {
        let config = TrainingConfig { max_steps: Some(max_steps), ..config(TrainingMode::Lora) };
        let (whole, parts) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let (losses, outcome) = run(base.path(), &config, &lora, whole.path(), usize::MAX)?;
        assert!(outcome.finished && outcome.steps_total == max_steps, "{outcome:?}");
        assert_eq!((losses.len(), losses[0]), (max_steps, all[0]));
        // As many steps as the epochs have are the same run; with others the learning rate is another from the start.
        assert_eq!(output(whole.path(), name)? == output(epochs.path(), name)?, max_steps == 12);
        run(base.path(), &config, &lora, parts.path(), 5)?;
        let (_, resumed) = run(base.path(), &config, &lora, parts.path(), usize::MAX)?;
        assert_eq!((resumed.resumed_from, resumed.steps), (Some(5), max_steps));
        assert_eq!(output(parts.path(), name)?, output(whole.path(), name)?);
    }
    Ok(())
}

#[test]
fn the_schedule_runs_over_max_steps() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work, samples, lora) = (base()?, tempfile::tempdir()?, samples(), small_lora());
    let config = TrainingConfig { max_steps: Some(20), warmup_ratio: Some(0.15), ..config(TrainingMode::Lora) };
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(base.path().to_owned()),
        base_files: BaseFiles::hashed(base.path(), &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(b"program"),
        config: &TrainingConfig { learning_rate: 2e-3, ..config },
        lora: Some(&lora),
        seed: 3,
        samples: &samples,
        validation: None,
        checkpoints: &work.path().join("checkpoints"),
        output: &work.path().join("output"),
    };
    let mut rates = Vec::new();
    train(&run, &mut |report: &StepReport| {
        rates.push(report.learning_rate);
        AfterStep::Continue
    })?;
    // get_cosine_schedule_with_warmup(optimizer, 3, 20).get_last_lr() for a peak of 2e-3.
    assert_eq!((rates.len(), rates[0]), (20, 0.0));
    assert!((rates[3] - 2e-3).abs() < 1e-12 && (rates[4] - 0.001_982_973_099_683_901_7).abs() < 1e-12, "{rates:?}");
    Ok(())
}

#[test]
fn checkpointed_blocks_give_the_same_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let base = base()?;
    let lora = LoraConfig { lora_dropout: 0.2, modules_to_save: ModuleToSave::ALL.to_vec(), ..small_lora() };
    for (mode, file) in [(TrainingMode::Qlora, "adapter_model.safetensors"), (TrainingMode::Full, "model.safetensors")]
    {
        let (kept, again) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let config = TrainingConfig { neftune_noise_alpha: Some(5.0), ..config(mode) };
        run(base.path(), &config, &lora, kept.path(), usize::MAX)?;
        let config = TrainingConfig { gradient_checkpointing: true, ..config };
        run(base.path(), &config, &lora, again.path(), usize::MAX)?;
        assert_eq!(output(kept.path(), file)?, output(again.path(), file)?, "{mode:?}");
    }
    Ok(())
}

/// Updates of tables, magnitudes, and biases of B.
fn other_kinds() -> [LoraConfig; 3] {
    let tables = ModuleNames::Named(["v_proj", "embed_tokens", "lm_head"].map(str::to_owned).to_vec());
    let plain = LoraConfig { lora_dropout: 0.2, ..small_lora() };
    [
        LoraConfig { target_modules: tables, r: 48, ..plain.clone() },
        LoraConfig { use_dora: true, ..plain.clone() },
        LoraConfig { lora_bias: true, ..plain },
    ]
}

#[test]
fn adapters_of_other_kinds_learn_and_resume_to_the_same_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let (base, name) = (base()?, "adapter_model.safetensors");
    for lora in other_kinds() {
        let (whole, parts) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let config = TrainingConfig { optim: OptimizerKind::Adamw8bit, ..config(TrainingMode::Qlora) };
        let (losses, _) = run(base.path(), &config, &lora, whole.path(), usize::MAX)?;
        assert!(losses[11] < losses[0] - 0.1, "{losses:?}");
        run(base.path(), &config, &lora, parts.path(), 5)?;
        let (_, outcome) = run(base.path(), &config, &lora, parts.path(), usize::MAX)?;
        assert_eq!(outcome.resumed_from, Some(5));
        assert_eq!(output(whole.path(), name)?, output(parts.path(), name)?);
        let (again, checkpointed) = (tempfile::tempdir()?, TrainingConfig { gradient_checkpointing: true, ..config });
        run(base.path(), &checkpointed, &lora, again.path(), usize::MAX)?;
        assert_eq!(output(whole.path(), name)?, output(again.path(), name)?);
        // A run goes on from the adapter, and its tables of the base are carried along.
        let next = TrainingConfig { init_adapter: Some(whole.path().join("output")), ..checkpointed };
        let work = tempfile::tempdir()?;
        let (resumed, _) = run(base.path(), &next, &lora, work.path(), usize::MAX)?;
        assert!(resumed[0] < losses[0] - 0.1, "begins at {}, where the first began at {}", resumed[0], losses[0]);
        let (first, second) = (output(whole.path(), name)?, output(work.path(), name)?);
        let names = |bytes: &[u8]| -> Result<BTreeSet<String>, safetensors::SafeTensorError> {
            Ok(SafeTensors::deserialize(bytes)?.names().into_iter().map(str::to_owned).collect())
        };
        assert_eq!(names(&first)?, names(&second)?);
    }
    Ok(())
}

#[test]
fn a_rate_of_lora_plus_is_refused_beside_an_update_of_the_embedding() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work) = (base()?, tempfile::tempdir()?);
    let [tables, ..] = other_kinds();
    let config = TrainingConfig { loraplus_lr_ratio: Some(8.0), ..config(TrainingMode::Lora) };
    let error = run(base.path(), &config, &tables, work.path(), 1).err().ok_or("it was trained")?.to_string();
    assert!(error.contains("training.loraplus_lr_ratio: expected none beside an update of embed_tokens"), "{error}");
    Ok(())
}

#[test]
fn a_checkpoint_of_another_run_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work) = (base()?, tempfile::tempdir()?);
    let lora = small_lora();
    run(base.path(), &config(TrainingMode::Lora), &lora, work.path(), 3)?;
    let other = TrainingConfig { learning_rate: 1e-3, ..config(TrainingMode::Lora) };
    let error = run(base.path(), &other, &lora, work.path(), 1).err().ok_or("resumed another run")?.to_string();
    assert!(error.contains("a checkpoint of another run"), "{error}");
    Ok(())
}

/// Changes one bit, drawn from the seed.
fn damage(path: &Path, seed: usize) -> std::io::Result<()> {
    let mut bytes = fs::read(path)?;
    let at = seed.wrapping_mul(2_654_435_761) % bytes.len();
    bytes[at] ^= 1 << (seed % 8);
    fs::write(path, bytes)
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() -> Result<(), Box<dyn std::error::Error>> {
    let (base, lora, config) = (base()?, small_lora(), config(TrainingMode::Lora));
    let whole = tempfile::tempdir()?;
    run(base.path(), &config, &lora, whole.path(), usize::MAX)?;
    let name = "adapter_model.safetensors";
    for seed in 0..8 {
        let work = tempfile::tempdir()?;
        let checkpoints = work.path().join("checkpoints");
        run(base.path(), &config, &lora, work.path(), 7)?;
        // What was being written when the power went: both files, one changed or the other, or one cut short.
        let newest = checkpoints.join("step-000007");
        match seed % 4 {
            0 | 1 => damage(&newest.join("state.safetensors"), seed)?,
            2 => damage(&newest.join("state.json"), seed)?,
            _ => fs::write(newest.join("state.safetensors"), b"short")?,
        }
        let (_, outcome) = run(base.path(), &config, &lora, work.path(), usize::MAX)?;
        assert_eq!(outcome.resumed_from, Some(6), "seed {seed}");
        assert_eq!(output(work.path(), name)?, output(whole.path(), name)?, "seed {seed}");
    }
    // Where none is whole, nothing is begun in their place.
    let work = tempfile::tempdir()?;
    let checkpoints = work.path().join("checkpoints");
    run(base.path(), &config, &lora, work.path(), 7)?;
    for step in steps_in(&checkpoints)? {
        damage(&checkpoints.join(step).join("state.safetensors"), 5)?;
    }
    let before = hash_of_artifact(&checkpoints)?;
    let error = run(base.path(), &config, &lora, work.path(), usize::MAX).err().ok_or("it began anew")?;
    let told = error.to_string();
    for step in steps_in(&checkpoints)? {
        assert!(told.contains(&format!("{step} is damaged: state.safetensors: expected the hash ")), "{told}");
    }
    assert!(
        told.starts_with(&format!("{}: no checkpoint here can be gone on from: ", checkpoints.display())),
        "{told}"
    );
    assert_eq!((error.blame(), error.hints().len(), hash_of_artifact(&checkpoints)?), (Blame::User, 1, before));
    // Moved away, as the hint says, they are not in the way.
    fs::rename(&checkpoints, work.path().join("moved"))?;
    let (losses, outcome) = run(base.path(), &config, &lora, work.path(), usize::MAX)?;
    assert_eq!((outcome.resumed_from, losses.len()), (None, outcome.steps_total));
    assert_eq!(output(work.path(), name)?, output(whole.path(), name)?);
    Ok(())
}

/// The names of the checkpoints.
fn steps_in(checkpoints: &Path) -> std::io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(checkpoints)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    names.sort();
    Ok(names)
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_not_passed_over() -> Result<(), Box<dyn std::error::Error>> {
    let (base, lora, config, work) = (base()?, small_lora(), config(TrainingMode::Lora), tempfile::tempdir()?);
    run(base.path(), &config, &lora, work.path(), 7)?;
    let checkpoints = work.path().join("checkpoints");
    for file in ["state.json", "state.safetensors"] {
        let (path, aside) = (checkpoints.join("step-000007").join(file), work.path().join(file));
        // A folder is there, and reading it fails.
        fs::rename(&path, &aside)?;
        fs::create_dir(&path)?;
        let error = run(base.path(), &config, &lora, work.path(), 1).err().ok_or("it was passed over")?.to_string();
        assert!(error.starts_with(&format!("cannot read {}: ", path.display())), "{error}");
        fs::remove_dir(&path)?;
        fs::rename(&aside, &path)?;
    }
    assert_eq!(run(base.path(), &config, &lora, work.path(), 1)?.1.resumed_from, Some(7));
    Ok(())
}

#[test]
fn no_flipped_byte_of_a_checkpoint_is_gone_on_from() -> Result<(), Box<dyn std::error::Error>> {
    let (base, lora, config) = (base()?, small_lora(), config(TrainingMode::Lora));
    let work = tempfile::tempdir()?;
    run(base.path(), &config, &lora, work.path(), 7)?;
    let newest = work.path().join("checkpoints/step-000007");
    let read =
        || -> std::io::Result<_> { Ok(["state.json", "state.safetensors"].map(|file| fs::read(newest.join(file)))) };
    let whole: Vec<Vec<u8>> = read()?.into_iter().collect::<std::io::Result<_>>()?;
    for (file, bytes) in ["state.json", "state.safetensors"].iter().zip(&whole) {
        for turn in 0..24 {
            let position = (turn * bytes.len() / 24 + turn).min(bytes.len() - 1);
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << (turn % 8);
            fs::write(newest.join(file), damaged)?;
            // The step is taken again, and its checkpoint is what it was.
            let (_, outcome) = run(base.path(), &config, &lora, work.path(), 1)?;
            assert_eq!(outcome.resumed_from, Some(6), "{file}, byte {position}");
            let again: Vec<Vec<u8>> = read()?.into_iter().collect::<std::io::Result<_>>()?;
            assert!(again == whole, "{file}, byte {position}");
        }
    }
    Ok(())
}

#[test]
fn a_checkpoint_of_another_build_is_not_gone_on_from_and_outlives_it() -> Result<(), Box<dyn std::error::Error>> {
    let (base, lora, config) = (base()?, small_lora(), config(TrainingMode::Lora));
    let stop_at = |last: usize| move |steps| if steps == last { AfterStep::SaveAndStop } else { AfterStep::Continue };
    let work = tempfile::tempdir()?;
    let of_build =
        |build: &[u8], last| run_of_build(build, base.path(), &config, &lora, work.path(), &mut stop_at(last));
    of_build(b"one", 3)?;
    assert_eq!(of_build(b"one", 1)?.1.resumed_from, Some(3));
    let checkpoints = work.path().join("checkpoints");
    let before = hash_of_artifact(&checkpoints)?;
    let error = of_build(b"another", 3).err().ok_or("it began anew")?;
    let told = error.to_string();
    assert!(told.contains("step-000004 is of another build of this program"), "{told}");
    assert!(error.hints()[0].contains("the build of this program that wrote them"), "{:?}", error.hints());
    assert_eq!(hash_of_artifact(&checkpoints)?, before);
    assert_eq!(of_build(b"one", usize::MAX)?.1.resumed_from, Some(4));
    Ok(())
}

#[test]
fn nothing_is_saved_of_a_base_that_was_written_into() -> Result<(), Box<dyn std::error::Error>> {
    use std::os::unix::fs::FileExt;
    let (base, lora, config, name) = (base()?, small_lora(), config(TrainingMode::Lora), "adapter_model.safetensors");
    let (whole, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    run(base.path(), &config, &lora, whole.path(), usize::MAX)?;
    let weights = base.path().join("model.safetensors");
    let written = fs::read(&weights)?;
    let overwrite = |bytes: &[u8]| -> std::io::Result<()> {
        std::thread::sleep(Duration::from_millis(30));
        fs::OpenOptions::new().write(true).open(&weights)?.write_all_at(bytes, 0)
    };
    let mut steps_taken = 0;
    let refused = run_of_build(b"program", base.path(), &config, &lora, work.path(), &mut |steps| {
        steps_taken = steps;
        if steps == 3 {
            let mut others = written.clone();
            *others.last_mut().expect("weights") ^= 1;
            overwrite(&others).expect("the file can be written into");
        }
        AfterStep::Continue
    });
    let error = refused.err().ok_or("it was saved")?;
    assert!(error.to_string().ends_with("has changed while it was in use: it was written into"), "{error}");
    assert_eq!((error.blame(), steps_taken), (Blame::Machine, 4));
    let steps: Vec<_> = fs::read_dir(work.path().join("checkpoints"))?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<Result<_, _>>()?;
    assert_eq!(steps, ["step-000002"]);
    assert!(!work.path().join("output").exists());
    // With the weights as they were, it goes on from there.
    overwrite(&written)?;
    let (_, outcome) = run(base.path(), &config, &lora, work.path(), usize::MAX)?;
    assert_eq!(outcome.resumed_from, Some(2));
    assert_eq!(output(work.path(), name)?, output(whole.path(), name)?);
    Ok(())
}

/// The keys that have a state of their own, or draw numbers: packing, states in 8 bits, two learning rates, noise, copies
/// of tables.
fn every_state() -> (TrainingConfig, LoraConfig) {
    let keys = r#""packing":true,"optim":"adamw_8bit","loraplus_lr_ratio":4.0,"warmup_steps":2,"save_steps":3,
        "neftune_noise_alpha":5.0"#;
    let config =
        TrainingConfig { num_epochs: 6, batch_size: 2, learning_rate: 5e-3, max_seq_length: 40, ..config_with(keys) };
    // At rank 64 the factors have 4,096 elements and more, which is where 8 bits begin.
    let modules_to_save = ModuleToSave::ALL.to_vec();
    (config, LoraConfig { r: 64, lora_dropout: 0.1, modules_to_save, ..small_lora() })
}

/// Runs with validation whose pass@1 is a function of the step, until `stop_after` steps were done in this process.
fn run_validated(
    base: &Path,
    work: &Path,
    validation: &ValidationConfig,
    measured: &dyn Fn(usize) -> Option<f64>,
    stop_after: usize,
) -> Result<(Vec<EvaluationReport>, TrainingOutcome), TrainingError> {
    run_measured(base, work, validation, &|step| Ok(measured(step)), stop_after)
}

/// What measuring a step may bring.
type Rate = Result<Option<f64>, Box<dyn Fault + Send + Sync>>;

/// The same with measurements that may fail.
fn run_measured(
    base: &Path,
    work: &Path,
    validation: &ValidationConfig,
    measured: &dyn Fn(usize) -> Rate,
    stop_after: usize,
) -> Result<(Vec<EvaluationReport>, TrainingOutcome), TrainingError> {
    struct Watch<'a> {
        steps: usize,
        stop_after: usize,
        step: &'a std::cell::Cell<usize>,
        reports: Vec<EvaluationReport>,
    }
    impl TrainingObserver for Watch<'_> {
        fn begun(&mut self, step: usize, _: usize, _: &[String]) {
            self.step.set(step);
        }
        fn stepped(&mut self, report: &StepReport) -> AfterStep {
            self.step.set(report.step);
            self.steps += 1;
            if self.steps == self.stop_after { AfterStep::SaveAndStop } else { AfterStep::Continue }
        }
        fn evaluated(&mut self, report: &EvaluationReport) {
            self.reports.push(*report);
        }
    }
    let (config, lora) = every_state();
    let samples = samples();
    let step = std::cell::Cell::new(0);
    let pass_at_1: &PassAt1<'_> = &|_, adapter| {
        assert!(adapter.is_some());
        measured(step.get())
    };
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(base.to_owned()),
        base_files: BaseFiles::hashed(base, &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(b"program"),
        config: &config,
        lora: Some(&lora),
        seed: 3,
        samples: &samples[..15],
        validation: Some(Validation { config: validation, samples: &samples[15..], pass_at_1: Some(pass_at_1) }),
        checkpoints: &work.join("checkpoints"),
        output: &work.join("output"),
    };
    let mut watch = Watch { steps: 0, stop_after, step: &step, reports: Vec::new() };
    let outcome = train(&run, &mut watch)?;
    Ok((watch.reports, outcome))
}

const PASS_AT_1: ValidationConfig =
    ValidationConfig { eval_steps: 2, metric: ValidationMetric::PassAt1, early_stopping_patience: Some(3) };

/// Rises to step 6 and falls after it.
fn peak(step: usize) -> Option<f64> {
    Some(1.0 - (step as f64 - 6.0).abs() / 100.0)
}

#[test]
fn patience_ends_a_run_and_the_best_weights_are_its_output() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work) = (base()?, tempfile::tempdir()?);
    let (reports, outcome) = run_validated(base.path(), work.path(), &PASS_AT_1, &peak, usize::MAX)?;
    let steps: Vec<(usize, bool)> = reports.iter().map(|report| (report.step, report.is_best)).collect();
    assert_eq!(steps, [(2, true), (4, true), (6, true), (8, false), (10, false), (12, false)]);
    assert!(outcome.finished && outcome.stopped_early, "{outcome:?}");
    assert_eq!((outcome.steps, outcome.best), (12, Some(BestStep { step: 6, value: 1.0 })));
    assert!(reports[5].eval_loss < reports[0].eval_loss, "{reports:?}");
    let checkpoint = fs::read(work.path().join("checkpoints/step-000006/state.safetensors"))?;
    let (checkpoint, adapter) =
        (SafeTensors::deserialize(&checkpoint)?, output(work.path(), "adapter_model.safetensors")?);
    let adapter = SafeTensors::deserialize(&adapter)?;
    assert_eq!(adapter.len(), 28 + 2);
    for (name, tensor) in adapter.iter() {
        assert!(checkpoint.tensor(&format!("parameter.{name}"))?.data() == tensor.data(), "{name}");
    }
    // All but B of keys and values, which have 2,048 elements, in two layers; of the tables the output layer's alone.
    assert_eq!(checkpoint.iter().filter(|(_, tensor)| tensor.dtype() == Dtype::U8).count(), 2 * (28 - 4 + 1));
    let of_table = |name: &str| checkpoint.tensor(&format!("first_moment.base_model.model.{name}.weight"));
    assert_eq!((of_table("model.embed_tokens")?.dtype(), of_table("lm_head")?.dtype()), (Dtype::F32, Dtype::U8));
    Ok(())
}

#[test]
fn every_state_is_resumed_to_the_same_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let (base, whole) = (base()?, tempfile::tempdir()?);
    let name = "adapter_model.safetensors";
    let (reports, _) = run_validated(base.path(), whole.path(), &PASS_AT_1, &peak, usize::MAX)?;
    // Stopped at every step, and at steps that are measured before they are.
    for stop_after in [1, 2, 5] {
        let work = tempfile::tempdir()?;
        let mut resumed = Vec::new();
        for _ in 0..13 {
            let (reports, outcome) = run_validated(base.path(), work.path(), &PASS_AT_1, &peak, stop_after)?;
            resumed.extend(reports);
            if outcome.finished {
                break;
            }
        }
        assert_eq!(resumed, reports, "stopped after {stop_after}");
        assert_eq!(output(work.path(), name)?, output(whole.path(), name)?, "stopped after {stop_after}");
    }
    Ok(())
}

#[test]
fn a_measurement_that_is_stopped_is_made_by_the_next_run() -> Result<(), Box<dyn std::error::Error>> {
    let (base, whole, parts) = (base()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let (expected, _) = run_validated(base.path(), whole.path(), &PASS_AT_1, &peak, usize::MAX)?;
    let until = |last: usize| move |step: usize| peak(step).filter(|_| step < last);
    let (mut reports, outcome) = run_validated(base.path(), parts.path(), &PASS_AT_1, &until(4), usize::MAX)?;
    assert!(!outcome.finished && outcome.steps == 4 && reports.len() == 1, "{outcome:?}");
    let (more, outcome) = run_validated(base.path(), parts.path(), &PASS_AT_1, &until(4), usize::MAX)?;
    assert!(outcome.steps == 4 && outcome.resumed_from == Some(4) && more.is_empty(), "{outcome:?}");
    let (more, outcome) = run_validated(base.path(), parts.path(), &PASS_AT_1, &peak, usize::MAX)?;
    assert!(outcome.finished, "{outcome:?}");
    reports.extend(more);
    assert_eq!(reports, expected);
    let name = "adapter_model.safetensors";
    assert_eq!(output(parts.path(), name)?, output(whole.path(), name)?);
    Ok(())
}

#[test]
fn bf16_is_close_to_f32_and_resumed_to_the_same_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let (base, exact) = (base()?, config(TrainingMode::Qlora));
    let lora = LoraConfig { modules_to_save: ModuleToSave::ALL.to_vec(), ..small_lora() };
    let rounded = TrainingConfig { bf16: true, ..exact.clone() };
    let (f32_run, whole, parts) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let (expected, _) = run(base.path(), &exact, &lora, f32_run.path(), usize::MAX)?;
    let (losses, _) = run(base.path(), &rounded, &lora, whole.path(), usize::MAX)?;
    assert_eq!(ComputePrecision::choose(true, ComputeDevice::Cpu).computed == ComputeType::F32, losses == expected);
    for (loss, expected) in losses.iter().zip(&expected) {
        assert!((loss - expected).abs() < 0.05 * expected, "{losses:?} {expected:?}");
    }
    run(base.path(), &rounded, &lora, parts.path(), 5)?;
    run(base.path(), &rounded, &lora, parts.path(), usize::MAX)?;
    let name = "adapter_model.safetensors";
    assert_eq!(output(parts.path(), name)?, output(whole.path(), name)?);
    Ok(())
}

#[test]
fn a_sample_that_the_model_cannot_take_is_refused_before_the_first_step() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work, config) = (base()?, tempfile::tempdir()?, config(TrainingMode::Lora));
    let mut samples = samples();
    // The vocabulary has 96 tokens; this sample is in no batch of the first step.
    samples[17].tokens[3] = 96;
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(base.path().to_owned()),
        base_files: BaseFiles::hashed(base.path(), &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(b"program"),
        config: &TrainingConfig { shuffle: false, ..config },
        lora: Some(&small_lora()),
        seed: 3,
        samples: &samples,
        validation: None,
        checkpoints: &work.path().join("checkpoints"),
        output: &work.path().join("output"),
    };
    let mut steps = 0;
    let outcome = train(&run, &mut |_: &StepReport| {
        steps += 1;
        AfterStep::Continue
    });
    let error = outcome.err().ok_or("it trained")?.to_string();
    assert!(error.starts_with("sample 17: token id 96") && steps == 0, "{steps} steps: {error}");
    Ok(())
}

#[test]
fn noise_changes_what_is_trained_on() -> Result<(), Box<dyn std::error::Error>> {
    let (base, lora, silent) = (base()?, small_lora(), config(TrainingMode::Lora));
    let noisy = TrainingConfig { neftune_noise_alpha: Some(5.0), ..silent.clone() };
    let first_loss = |config: &TrainingConfig| -> Result<f64, Box<dyn std::error::Error>> {
        let work = tempfile::tempdir()?;
        Ok(run(base.path(), config, &lora, work.path(), 1)?.0[0])
    };
    let (plain, with_noise) = (first_loss(&silent)?, first_loss(&noisy)?);
    assert!(plain != with_noise && (plain - with_noise).abs() < 0.5, "{plain} {with_noise}");
    Ok(())
}

#[test]
fn a_measurement_that_fails_costs_no_step() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work, whole) = (base()?, tempfile::tempdir()?, tempfile::tempdir()?);
    run_validated(base.path(), whole.path(), &PASS_AT_1, &peak, usize::MAX)?;
    // Step 8 is measured and is neither the best nor saved for another reason.
    let fails = |step| match step {
        8 => Err(Box::new(BadInput::new("not judged")) as Box<dyn Fault + Send + Sync>),
        step => Ok(peak(step)),
    };
    let error = run_measured(base.path(), work.path(), &PASS_AT_1, &fails, usize::MAX).err().ok_or("it went on")?;
    assert_eq!(error.to_string(), "measuring after step 8: not judged");
    let (reports, outcome) = run_validated(base.path(), work.path(), &PASS_AT_1, &peak, usize::MAX)?;
    assert_eq!((outcome.resumed_from, reports[0].step), (Some(8), 8));
    let name = "adapter_model.safetensors";
    assert_eq!(output(work.path(), name)?, output(whole.path(), name)?);
    Ok(())
}

#[test]
fn the_best_checkpoint_outlives_the_limit() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work) = (base()?, tempfile::tempdir()?);
    let best_first = ValidationConfig { early_stopping_patience: None, ..PASS_AT_1 };
    run_validated(base.path(), work.path(), &best_first, &|step| Some(1.0 / step as f64), 11)?;
    let mut kept: Vec<String> = fs::read_dir(work.path().join("checkpoints"))?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    kept.sort();
    assert_eq!(kept, ["step-000002", "step-000011"]);
    Ok(())
}

#[test]
fn a_checkpoint_whose_best_is_damaged_is_passed_over() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work) = (base()?, tempfile::tempdir()?);
    let (best_first, falling) =
        (ValidationConfig { early_stopping_patience: None, ..PASS_AT_1 }, |step: usize| Some(1.0 / step as f64));
    run_validated(base.path(), work.path(), &best_first, &falling, 11)?;
    let checkpoints = work.path().join("checkpoints");
    let best = checkpoints.join("step-000002/state.safetensors");
    let whole = fs::read(&best)?;
    damage(&best, 3)?;
    let error = run_validated(base.path(), work.path(), &best_first, &falling, 1).err().ok_or("it went on")?;
    let told = error.to_string();
    assert_eq!(told.matches("step-000002 is damaged: state.safetensors: expected the hash").count(), 2, "{told}");
    fs::write(&best, whole)?;
    let (_, outcome) = run_validated(base.path(), work.path(), &best_first, &falling, 1)?;
    assert_eq!(outcome.resumed_from, Some(11));
    Ok(())
}

#[test]
fn a_metric_that_cannot_be_measured_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work, samples) = (base()?, tempfile::tempdir()?, samples());
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(base.path().to_owned()),
        base_files: BaseFiles::hashed(base.path(), &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(b"program"),
        config: &config(TrainingMode::Lora),
        lora: Some(&small_lora()),
        seed: 3,
        samples: &samples,
        validation: Some(Validation { config: &PASS_AT_1, samples: &samples, pass_at_1: None }),
        checkpoints: &work.path().join("checkpoints"),
        output: &work.path().join("output"),
    };
    let error = train(&run, &mut |_: &StepReport| AfterStep::Continue).err().ok_or("it began")?.to_string();
    assert!(error.starts_with("validation.metric: pass@1 needs held-out problems"), "{error}");
    Ok(())
}

#[test]
fn a_run_goes_on_from_an_adapter_of_its_own_shape_only() -> Result<(), Box<dyn std::error::Error>> {
    let (base, first, second) = (base()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let (lora, config) = (small_lora(), config(TrainingMode::Lora));
    let (losses, _) = run(base.path(), &config, &lora, first.path(), usize::MAX)?;
    let again = TrainingConfig { init_adapter: Some(first.path().join("output")), ..config };
    let (resumed, _) = run(base.path(), &again, &lora, second.path(), 1)?;
    assert!(resumed[0] < losses[0] - 0.1, "begins at {}, where the first run began at {}", resumed[0], losses[0]);
    let other = LoraConfig { lora_alpha: 16.0, ..lora };
    let error = run(base.path(), &again, &other, first.path(), 1).err().ok_or("took another shape")?.to_string();
    assert!(error.contains("as the section `lora` says (r 4, lora_alpha 16"), "{error}");
    Ok(())
}

#[test]
fn copies_of_tied_tables_part_and_a_run_goes_on_from_them() -> Result<(), Box<dyn std::error::Error>> {
    let (base, first, second) = (base()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let lora = LoraConfig { modules_to_save: ModuleToSave::ALL.to_vec(), ..small_lora() };
    let config = config(TrainingMode::Lora);
    let (losses, outcome) = run(base.path(), &config, &lora, first.path(), usize::MAX)?;
    let (plain, without) = run(base.path(), &config, &small_lora(), second.path(), usize::MAX)?;
    // The copies begin as the base's: nothing differs before they were trained.
    assert_eq!(losses[0], plain[0]);
    assert!(losses[11] < plain[11], "{losses:?} {plain:?}");
    assert_eq!(outcome.trained_parameters - without.trained_parameters, 2 * 96 * 64);
    let (adapter, model) =
        (output(first.path(), "adapter_model.safetensors")?, fs::read(base.path().join("model.safetensors"))?);
    let (adapter, model) = (SafeTensors::deserialize(&adapter)?, SafeTensors::deserialize(&model)?);
    let began = model.tensor("model.embed_tokens.weight")?;
    let tables = ["model.embed_tokens", "lm_head"].map(|name| format!("base_model.model.{name}.weight"));
    let [embedding, head] = [adapter.tensor(&tables[0])?, adapter.tensor(&tables[1])?];
    assert!(embedding.data() != began.data() && head.data() != began.data() && embedding.data() != head.data());

    let again = TrainingConfig { init_adapter: Some(first.path().join("output")), ..config };
    let other = tempfile::tempdir()?;
    let (resumed, _) = run(base.path(), &again, &lora, other.path(), 1)?;
    assert!(resumed[0] < losses[0] - 0.1, "begins at {}, where the first run began at {}", resumed[0], losses[0]);
    let error = run(base.path(), &again, &small_lora(), first.path(), 1).err().ok_or("took another shape")?;
    assert!(error.to_string().ends_with("down_proj, embed_tokens saved, lm_head saved"), "{error}");
    assert_eq!(error.hints(), ["give `lora` the values of its adapter_config.json"]);
    Ok(())
}

#[test]
fn a_loss_that_is_nan_stops_at_its_step() -> Result<(), Box<dyn std::error::Error>> {
    let (base, work) = (base()?, tempfile::tempdir()?);
    let hot = TrainingConfig {
        learning_rate: 1e36,
        lr_scheduler: LearningRateSchedule::Constant,
        warmup_ratio: None,
        ..config(TrainingMode::Full)
    };
    let error = run(base.path(), &hot, &small_lora(), work.path(), usize::MAX).err().ok_or("went on")?;
    let TrainingError::NotFinite { step: 2, samples, .. } = &error else { return Err(error.into()) };
    assert!(!samples.is_empty() && samples.len() <= 3, "{samples:?}");
    assert!(error.to_string().contains("its batch is rows"), "{error}");
    assert!(!work.path().join("output").exists());
    Ok(())
}

#[test]
fn numbers_do_not_depend_on_the_number_of_threads() -> Result<(), Box<dyn std::error::Error>> {
    let base = base()?;
    let bytes = |threads| -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| {
            let work = tempfile::tempdir()?;
            run(base.path(), &config(TrainingMode::Full), &small_lora(), work.path(), usize::MAX)?;
            Ok(output(work.path(), "model.safetensors")?)
        })
    };
    let alone = bytes(1).map_err(|e| e.to_string())?;
    assert!(bytes(4).map_err(|e| e.to_string())? == alone);
    Ok(())
}

/// `tests/oracle/trl_trajectory.py` made the file with TRL's SFTTrainer and PEFT.
#[test]
fn every_step_equals_trls() -> Result<(), Box<dyn std::error::Error>> {
    #[derive(serde::Deserialize)]
    struct Row {
        input_ids: Vec<u32>,
        completion_mask: Vec<u8>,
    }
    #[derive(serde::Deserialize)]
    struct Step {
        learning_rate: f64,
        loss: f64,
        gradient_norm: f64,
    }
    #[derive(serde::Deserialize)]
    struct Trajectory {
        config: serde_json::Map<String, serde_json::Value>,
        rows: Vec<Row>,
        steps: Vec<Step>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/qwen2");
    let mut theirs: Trajectory = serde_json::from_str(&fs::read_to_string(folder.join("trl.json"))?)?;
    for (key, value) in [("mode", "lora".into()), ("shuffle", false.into())] {
        theirs.config.insert(key.to_owned(), value);
    }
    let config: TrainingConfig = serde_json::from_value(theirs.config.into())?;
    let config = TrainingConfig { init_adapter: Some(folder.join("adapter")), ..config };
    let sample = |row: &Row| {
        let trained = row.completion_mask.iter().map(|mask| *mask == 1).collect();
        TrainingSample { tokens: row.input_ids.clone(), trained }
    };
    let samples: Vec<TrainingSample> = theirs.rows.iter().map(sample).collect();
    let work = tempfile::tempdir()?;
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(folder.join("model")),
        base_files: BaseFiles::hashed(&folder.join("model"), &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(b"program"),
        config: &config,
        lora: Some(&small_lora()),
        seed: 0,
        samples: &samples,
        validation: None,
        checkpoints: &work.path().join("checkpoints"),
        output: &work.path().join("output"),
    };
    let mut ours = Vec::new();
    let outcome = train(&run, &mut |report: &StepReport| {
        ours.push(*report);
        AfterStep::Continue
    })?;
    assert_eq!((ours.len(), outcome.samples_without_targets), (theirs.steps.len(), vec![7]));
    for (ours, theirs) in ours.iter().zip(&theirs.steps) {
        assert!((ours.learning_rate - theirs.learning_rate).abs() < 1e-12, "{ours:?}, {}", theirs.learning_rate);
        assert!((ours.loss - theirs.loss).abs() < 1e-5, "{ours:?}, expected {}", theirs.loss);
        let norm = theirs.gradient_norm;
        assert!((ours.gradient_norm - norm).abs() < 1e-4 * norm, "{ours:?}, expected {norm}");
    }
    Ok(())
}

/// Runs by a clock that a step moves on by four minutes; returns which checkpoints stand there after each step.
fn run_by_clock(
    base: &Path,
    save_steps: Option<usize>,
    work: &Path,
    after_step: &dyn Fn(usize),
) -> Result<Vec<Vec<String>>, Box<dyn std::error::Error>> {
    let (samples, lora) = (samples(), small_lora());
    let config = TrainingConfig { save_steps, ..config(TrainingMode::Lora) };
    let checkpoints = work.join("checkpoints");
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(base.to_owned()),
        base_files: BaseFiles::hashed(base, &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(b"program"),
        config: &config,
        lora: Some(&lora),
        seed: 3,
        samples: &samples,
        validation: None,
        checkpoints: &checkpoints,
        output: &work.join("output"),
    };
    let minutes = std::cell::Cell::new(0);
    let mut seen = Vec::new();
    let mut observer = |report: &StepReport| {
        let entries = fs::read_dir(&checkpoints).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        seen.push(names);
        after_step(report.step);
        minutes.set(minutes.get() + 4);
        AfterStep::Continue
    };
    train_by_clock(&run, &mut observer, &|| Duration::from_mins(minutes.get()))?;
    Ok(seen)
}

#[test]
fn without_save_steps_a_kill_costs_ten_minutes_and_a_step() -> Result<(), Box<dyn std::error::Error>> {
    let (base, name) = (base()?, "adapter_model.safetensors");
    let (timed, never, killed) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    // What a kill after step 8 leaves behind.
    let left = |step: usize| {
        if step == 8 {
            let (from, to) = (timed.path().join("checkpoints"), killed.path().join("checkpoints"));
            for checkpoint in ["step-000003", "step-000006"] {
                fs::create_dir_all(to.join(checkpoint)).expect("a folder");
                for file in ["state.json", "state.safetensors"] {
                    fs::copy(from.join(checkpoint).join(file), to.join(checkpoint).join(file)).expect("a file");
                }
            }
        }
    };
    let seen = run_by_clock(base.path(), None, timed.path(), &left)?;
    // Three steps take twelve minutes. A checkpoint is there when the next step is reported.
    let newest: Vec<Option<&str>> = seen.iter().map(|names| names.last().map(String::as_str)).collect();
    let (third, sixth, ninth) = (Some("step-000003"), Some("step-000006"), Some("step-000009"));
    assert_eq!(newest, [None, None, None, third, third, third, sixth, sixth, sixth, ninth, ninth, ninth]);

    let seen = run_by_clock(base.path(), Some(0), never.path(), &|_| ())?;
    assert!(seen.iter().all(Vec::is_empty), "{seen:?}");
    assert_eq!(output(timed.path(), name)?, output(never.path(), name)?);
    // Under another schedule it is the same run, and goes on from what is left of it.
    let seen = run_by_clock(base.path(), Some(0), killed.path(), &|_| ())?;
    assert_eq!(seen.len(), 12 - 6);
    assert_eq!(output(killed.path(), name)?, output(timed.path(), name)?);
    Ok(())
}

#[test]
fn a_measurement_that_fails_keeps_its_blame_and_its_hints() {
    let failed = |fault: Box<dyn Fault + Send + Sync>| {
        let error = TrainingError::Measurement { step: 4, source: MeasurementError(fault) };
        (error.to_string(), error.blame(), error.hints())
    };
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let text = format!("measuring after step 4: cannot write answers: {full}");
    assert_eq!(failed(Box::new(ModelError::writing("answers", full))), (text, Blame::Machine, Vec::new()));
    let wrong = BadInput::with_hint("no problems", "give some");
    let expected = ("measuring after step 4: no problems".to_owned(), Blame::User, vec!["give some".to_owned()]);
    assert_eq!(failed(Box::new(wrong)), expected);
}

/// Stops at the `asked`-th question within a step, and counts the steps.
struct StopsWithinAStep {
    asked: usize,
    steps: usize,
}

impl TrainingObserver for StopsWithinAStep {
    fn stop_requested(&mut self) -> bool {
        self.asked = self.asked.saturating_sub(1);
        self.asked == 0
    }

    fn stepped(&mut self, _report: &StepReport) -> AfterStep {
        self.steps += 1;
        AfterStep::Continue
    }
}

#[test]
fn a_step_that_is_abandoned_is_taken_again() -> Result<(), Box<dyn std::error::Error>> {
    let (base, samples, name) = (base()?, samples(), "adapter_model.safetensors");
    let lora = LoraConfig { lora_dropout: 0.1, ..small_lora() };
    let config = config(TrainingMode::Lora);
    let (whole, parts) = (tempfile::tempdir()?, tempfile::tempdir()?);
    run(base.path(), &config, &lora, whole.path(), usize::MAX)?;
    let abandoned = TrainingRun {
        base: StartingPoint::Checkpoint(base.path().to_owned()),
        base_files: BaseFiles::hashed(base.path(), &mut |_, _| ())?,
        base_model: None,
        program: ContentHash::of(b"program"),
        config: &config,
        lora: Some(&lora),
        seed: 3,
        samples: &samples,
        validation: None,
        checkpoints: &parts.path().join("checkpoints"),
        output: &parts.path().join("output"),
    };
    // A step has two micro-batches, so the sixth question comes in the middle of the third step.
    let mut observer = StopsWithinAStep { asked: 6, steps: 0 };
    let outcome = train(&abandoned, &mut observer)?;
    assert_eq!((observer.steps, outcome.steps, outcome.finished), (2, 2, false));
    let (losses, outcome) = run(base.path(), &config, &lora, parts.path(), usize::MAX)?;
    assert_eq!((losses.len(), outcome.resumed_from), (10, Some(2)));
    assert_eq!(output(parts.path(), name)?, output(whole.path(), name)?);
    Ok(())
}
