//! What the host itself reads, damaged: `damaged_inputs SEED INPUTS`. `cargo xtask attack` runs it, from the repository.
//!
//! An input may be refused or accepted; what is found is a panic, and an input that takes long. (Memory is limited from
//! outside.)

#[path = "../../../tests/support/mutator.rs"]
mod mutator;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::ExitCode;

use hilora_contract::artifact::{ContentHash, read_json_lines};
use hilora_contract::dataset::{Domain, Language, Message, Role};
use hilora_contract::plugin::{
    PluginError, PluginIdentity, PluginKind, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
};
use hilora_evaluator::{
    Comparison, Controls, Evaluation, EvaluationConfig, EvaluationRecord, ProblemOutcome, STATISTICS, SampleOutcome,
};
use hilora_judge::workers::{Confinement, serve};
use hilora_judge::{JudgedProgram, Program, Verdict};
use hilora_model::{
    Adapter, ChatTemplate, ComputeDevice, ConfiningAllocator, Description, Dialogue, LoraConfig, Model, ModelConfig,
    ModelError, Tokenizer,
};
use hilora_run::config::RunConfig;
use hilora_wasm::{HostOptions, PluginHost};

type Failed = Box<dyn std::error::Error>;

/// As in the binary: without it nothing bounds the memory of a chat template.
#[global_allocator]
static ALLOCATOR: ConfiningAllocator<mimalloc::MiMalloc> = ConfiningAllocator(mimalloc::MiMalloc);

/// Whole inputs by what reads them.
struct Campaign {
    seed: u64,
    inputs: u64,
    folder: tempfile::TempDir,
}

impl Campaign {
    fn feed(&self, target: &str, whole: &[Vec<u8>], read: &mut dyn FnMut(&[u8]) -> bool) {
        mutator::feed(target, self.seed, self.inputs, whole, read);
    }

    /// Feeds a file of this name in the campaign's folder.
    fn feed_file(
        &self,
        target: &str,
        name: &str,
        whole: &[Vec<u8>],
        read: &dyn Fn(&Path) -> bool,
    ) -> Result<(), Failed> {
        let path = self.folder.path().join(name);
        let mut failure = None;
        self.feed(target, whole, &mut |bytes| match fs::write(&path, bytes) {
            Ok(()) => read(&path),
            Err(error) => {
                failure = Some(error);
                false
            }
        });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

fn main() -> ExitCode {
    let Some((seed, inputs)) = mutator::arguments() else { return ExitCode::from(2) };
    match run(seed, inputs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(seed: u64, inputs: u64) -> Result<(), Failed> {
    // In memory where there is such a folder: a million files are written.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let campaign = Campaign { seed, inputs, folder };
    let base = Path::new("examples/tiny-base");

    wire(&campaign);
    components(&campaign)?;
    adapters(&campaign, base)?;
    checkpoint(&campaign, base)?;

    let tokenizer = vec![small_tokenizer(&fs::read(base.join("tokenizer.json"))?)?];
    campaign.feed_file("tokenizer.json", "tokenizer.json", &tokenizer, &|path| {
        let used = |tokenizer: Tokenizer| -> Result<String, ModelError> {
            let tokens = tokenizer.encode_content("print(1) if x else [2]")?;
            tokenizer.decode(&[&tokens[..], &[0, 7, 1_000_000]].concat())
        };
        path.parent().is_some_and(|folder| Tokenizer::load(folder).and_then(used).is_ok())
    })?;
    let config = vec![fs::read(base.join("config.json"))?];
    campaign.feed("model config", &config, &mut |bytes| {
        ModelConfig::parse(Path::new("config.json"), &String::from_utf8_lossy(bytes)).is_ok()
    });
    let configs = vec![fs::read("configs/quickstart.yaml")?, fs::read("tests/data/small_job.yaml")?];
    campaign.feed_file("run config", "run.yaml", &configs, &|path| RunConfig::load(path).is_ok())?;
    let programs = vec![fs::read("examples/judge/programs.jsonl")?];
    campaign.feed_file("programs to judge", "programs.jsonl", &programs, &|path| {
        read_json_lines::<Program>(path).is_ok()
    })?;
    let receipt = format!(
        "{{\"id\":\"a\",\"verdict\":\"accepted\",\"tests\":[{{\"verdict\":\"accepted\",\"exit_code\":0,\"exception\":null,\
         \"fuel\":1,\"cpu_ms\":0.5,\"wall_ms\":0.5,\"memory_bytes\":1,\"stdout_bytes\":1,\"detail\":\"\"}}],\"receipt\":\
         {{\"code\":\"{hash}\",\"tests\":\"{hash}\",\"entry_point\":null,\"checker\":\"lines\",\"runner\":\"{hash}\",\
         \"limits\":{{\"fuel\":1,\"cpu_time_ms\":1,\"wall_time_ms\":1,\"memory_bytes_max\":1,\"output_bytes_max\":1,\
         \"reproducible\":true}}}}}}\n",
        hash = ContentHash::of(b"")
    );
    campaign.feed_file("receipts", "judged.jsonl", &[receipt.into_bytes()], &|path| {
        read_json_lines::<JudgedProgram>(path).is_ok()
    })?;
    let evaluation = [evaluation()?];
    campaign
        .feed_file("evaluation.json", "evaluation.json", &evaluation, &|path| EvaluationRecord::read(path).is_ok())?;
    templates(&campaign, base)
}

/// A whole `evaluation.json`: two problems, one of which the adapter solves and the base does not.
fn evaluation() -> Result<Vec<u8>, Failed> {
    let config = EvaluationConfig { samples_per_problem: 1, k: vec![1], ..EvaluationConfig::default() };
    let evaluation = |solved: usize| {
        let outcome = |problem: usize| {
            let verdict = if problem < solved { Verdict::Accepted } else { Verdict::WrongAnswer };
            let sample = SampleOutcome {
                completion: "print(1)".to_owned(),
                tokens: 4,
                cut: false,
                verdict: Some(verdict),
                error: None,
                program: None,
                failed_test: None,
                log_probability: None,
            };
            let domain = Domain("python".to_owned());
            ProblemOutcome { id: format!("p{problem}"), title: "a".to_owned(), domain, samples: vec![sample] }
        };
        Evaluation::of_outcomes((0..2).map(outcome).collect(), &[1])
    };
    let comparison = Comparison::of(evaluation(0)?, evaluation(1)?)?;
    Ok(serde_json::to_vec(&EvaluationRecord {
        benchmarks: Vec::new(),
        statistics: STATISTICS,
        adapter_name: "a".to_owned(),
        made_from: BTreeMap::new(),
        seed: 1,
        config: config.clone(),
        breakdowns: Vec::new(),
        comparison,
        controls: Controls::default(),
    })?)
}

/// A base's checkpoint: what stands before its numbers, damaged, with whole numbers behind it.
fn checkpoint(campaign: &Campaign, base: &Path) -> Result<(), Failed> {
    let whole = fs::read(base.join("model.safetensors"))?;
    let length = whole.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let (header, numbers) = whole.split_at((8 + length).min(whole.len()));
    let folder = campaign.folder.path().join("base");
    fs::create_dir(&folder)?;
    fs::copy(base.join("config.json"), folder.join("config.json"))?;
    let mut file = File::create(folder.join("model.safetensors"))?;
    let mut failure = None;
    campaign.feed("base checkpoint", &[header.to_vec()], &mut |bytes| {
        // The numbers are holes: nobody reads them for a description.
        let length = (bytes.len() + numbers.len()) as u64;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(bytes));
        match written.and_then(|()| file.set_len(length)) {
            Ok(()) => Description::of(&folder).is_ok(),
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    });
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// A tokenizer of a size that a thousand can be read of in a second.
fn small_tokenizer(whole: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut value: serde_json::Value = serde_json::from_slice(whole)?;
    if let Some(merges) = value["model"]["merges"].as_array_mut() {
        merges.clear();
    }
    if let Some(vocabulary) = value["model"]["vocab"].as_object_mut() {
        vocabulary.retain(|token, _| token.chars().count() == 1);
    }
    Ok(serde_json::to_vec(&value)?)
}

/// Runs nothing: what is fed is the way to it.
struct NoRunner(PluginIdentity);

impl SolutionRunner for NoRunner {
    fn identity(&self) -> &PluginIdentity {
        &self.0
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        Ok(RunnerInfo {
            language: Language::PYTHON3,
            file_extension: "py".to_owned(),
            interpreter: String::new(),
            calls_functions: false,
        })
    }

    fn run(&self, _: &str, _: Option<&str>, stdin: &[u8], _: &RunLimits) -> Result<RunReport, PluginError> {
        Ok(RunReport {
            termination: Termination::Exited(0),
            stdout: stdin.to_vec(),
            stderr: Vec::new(),
            fuel: 0,
            cpu_time_us: 0,
            wall_time_us: 0,
            memory_bytes: 0,
        })
    }
}

/// What host and worker say to each other.
fn wire(campaign: &Campaign) {
    let head = br#"{"limits":{"fuel":1,"cpu_time_ms":1,"wall_time_ms":1,"memory_bytes_max":1,"output_bytes_max":1,"reproducible":true},"entry_point":null}"#;
    let mut request = Vec::new();
    for part in [&head[..], b"print(1)", b"input"] {
        request.extend((part.len() as u64).to_le_bytes());
        request.extend(part);
    }
    let identity = PluginIdentity {
        name: "none".to_owned(),
        version: "1".to_owned(),
        kind: PluginKind::SolutionRunner,
        content: ContentHash::of(b""),
    };
    let runner = NoRunner(identity);
    campaign.feed("worker's wire", &[request.clone(), request.repeat(3)], &mut |bytes| {
        serve(&runner, Confinement::Full, bytes, Vec::new()).is_ok()
    });
}

/// Components, which are looked into and not run.
fn components(campaign: &Campaign) -> Result<(), Failed> {
    let options = HostOptions { cache_dir: campaign.folder.path().join("cache"), ..HostOptions::default() };
    let host = PluginHost::new(&options)?;
    let whole = vec![fs::read("plugins/any-order-checker.wasm")?];
    campaign.feed_file("component", "plugin.wasm", &whole, &|path| host.inspect(path).is_ok())
}

/// Chat templates, which are rendered.
fn templates(campaign: &Campaign, base: &Path) -> Result<(), Failed> {
    let config = fs::read_to_string(base.join("tokenizer_config.json"))?;
    let mut whole = Vec::new();
    for entry in fs::read_dir("tests/data/chat_templates")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jinja") {
            whole.push(fs::read(path)?);
        }
    }
    whole.sort();
    whole.push(
        b"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m['content']|trim }}<|im_end|>\n{% endfor %}\
          {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}{% set n = namespace(x='a') %}\
          {% for i in range(3) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x.replace('a', 'b').split('b') | length }}"
            .to_vec(),
    );
    let messages = [Message::new(Role::System, "s"), Message::new(Role::User, "u"), Message::new(Role::Assistant, "a")];
    campaign.feed("chat template", &whole, &mut |bytes| {
        let template = String::from_utf8_lossy(bytes).into_owned();
        let template = ChatTemplate::parse(Path::new("chat_template.jinja"), &config, Some(template));
        template.is_ok_and(|template| template.render(Dialogue::without_tools(&messages), true).is_ok())
    });
    Ok(())
}

/// An adapter: its configuration beside whole tensors, and its tensors beside a whole configuration.
fn adapters(campaign: &Campaign, base: &Path) -> Result<(), Failed> {
    let config = ModelConfig::parse(Path::new("config.json"), &fs::read_to_string(base.join("config.json"))?)?;
    let lora: LoraConfig = serde_json::from_str(r#"{"r":1,"lora_alpha":2,"target_modules":["q_proj"]}"#)?;
    let folder = campaign.folder.path().to_owned();
    Model::random(config, 1, ComputeDevice::Cpu)?.new_adapter(&lora, 1)?.save(&folder, None)?;
    let names = ["adapter_config.json", "adapter_model.safetensors"];
    let whole = names.map(|name| fs::read(folder.join(name)));
    for (name, whole) in names.into_iter().zip(whole) {
        let whole = whole?;
        campaign.feed_file(name, name, std::slice::from_ref(&whole), &|path| {
            let folder = path.parent().unwrap_or(path);
            Adapter::load(folder).is_ok() && Description::of(folder).is_ok()
        })?;
        fs::write(folder.join(name), whole)?;
    }
    Ok(())
}
