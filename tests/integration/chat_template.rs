//! Chat templates on real data: Qwen's two templates render as Jinja2 does, and lessons are laid out by them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Message, Role, Segment, SegmentKind};
use hilora_model::{ChatTemplate, Dialogue};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;

use crate::{real_data_trial, repository};

const INSTRUCT: &str = "qwen2_tokenizer/tokenizer_config.qwen2.5-instruct.json";
const QWQ: &str = "qwen2_tokenizer/tokenizer_config.qwq-32b.json";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        real_data_trial("chat_template::qwen_instruct_renders_as_jinja2_does", INSTRUCT, renders),
        real_data_trial("chat_template::qwq_renders_as_jinja2_does", QWQ, renders),
        real_data_trial("chat_template::qwen_instruct_learns_the_answer_and_its_end", INSTRUCT, lays_out_instruct),
        Trial::test("chat_template::a_template_that_takes_the_memory_is_refused_by_the_binary", takes_the_memory),
        Trial::test("chat_template::a_base_without_the_layouts_end_token_is_refused_before_training", no_end_token),
        real_data_trial("chat_template::qwq_learns_from_inside_the_thought", QWQ, lays_out_qwq),
    ]
}

/// A copy of the tiny base, and a job on it that is only checked.
struct Job {
    folder: tempfile::TempDir,
    base: PathBuf,
}

impl Job {
    fn new(more: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let base = folder.path().join("base");
        fs::create_dir(&base)?;
        for entry in fs::read_dir(repository().join("examples/tiny-base"))? {
            let entry = entry?;
            fs::copy(entry.path(), base.join(entry.file_name()))?;
        }
        let config = include_str!("../data/small_job.yaml");
        let config = config.replace("base_model: examples/tiny-base", &format!("base_model: {}", base.display()));
        fs::write(folder.path().join("job.yaml"), format!("{config}{more}"))?;
        Ok(Self { folder, base })
    }

    fn check(&self) -> std::io::Result<std::process::Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).args(["--dry-run", "--config"]).arg(self.folder.path().join("job.yaml"));
        command.arg("--run").arg(self.folder.path().join("run")).output()
    }
}

/// The bound of memory is the binary's allocator.
fn takes_the_memory() -> Result<(), Failed> {
    let job = Job::new("chat_template: model\n")?;
    let template = job.base.join("chat_template.jinja");
    fs::write(&template, "{{ ('x' * 99999999) ~ ('y' * 99999999) }}")?;
    let refused = job.check()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("bytes of memory") && said.matches("error: ").count() == 1, "{said}");
    fs::write(&template, "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}")?;
    let accepted = job.check()?;
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    Ok(())
}

fn no_end_token() -> Result<(), Failed> {
    let job = Job::new("")?;
    let file = job.base.join("tokenizer.json");
    fs::write(&file, fs::read_to_string(&file)?.replace("<|im_end|>", "<|other_end|>"))?;
    let refused = job.check()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("ends a completion at `<|im_end|>`") && said.contains("hint: "), "{said}");
    Ok(())
}

fn template(path: &Path) -> Result<ChatTemplate, Failed> {
    Ok(ChatTemplate::parse(path, &fs::read_to_string(path)?, None)?)
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<String>,
}

fn conversations() -> Result<BTreeMap<String, Conversation>, Failed> {
    let path = repository().join("tests/data/chat_templates/conversations.json");
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// `tests/oracle/chat_templates.py` made the hashes.
fn renders(path: PathBuf) -> Result<(), Failed> {
    type Renderings = BTreeMap<String, BTreeMap<String, [Option<ContentHash>; 2]>>;
    let renderings: Renderings =
        serde_json::from_slice(&fs::read(repository().join("tests/data/chat_templates/renderings.json"))?)?;
    let name = path.file_name().ok_or("a file has a name")?.to_string_lossy().into_owned();
    let (template, conversations) = (template(&path)?, conversations()?);
    let expected = renderings.get(&name).ok_or("no hashes of this template")?;
    assert_eq!(expected.len(), conversations.len());
    for (case, hashes) in expected {
        for (add_generation_prompt, hash) in [false, true].into_iter().zip(hashes) {
            let Conversation { messages, tools } = &conversations[case];
            let text = template.render(Dialogue { messages, tools }, add_generation_prompt);
            let rendered = text.as_ref().ok().map(|text| ContentHash::of(text.as_bytes()));
            assert_eq!(rendered, *hash, "{case}, {add_generation_prompt}: {text:?}");
        }
    }
    Ok(())
}

fn text(pieces: &[Segment]) -> String {
    pieces.iter().map(|piece| piece.text.as_str()).collect()
}

fn trained(pieces: &[Segment]) -> String {
    pieces.iter().filter(|piece| piece.trained).map(|piece| piece.text.as_str()).collect()
}

/// Every conversation that ends with an answer: what is learned, and that nothing foreign became control.
fn lays_out_instruct(path: PathBuf) -> Result<(), Failed> {
    let template = template(&path)?;
    for (case, Conversation { messages, tools }) in conversations()? {
        if messages.last().is_none_or(|last| last.role != Role::Assistant) {
            continue;
        }
        let dialogue = Dialogue { messages: &messages, tools: &tools };
        let pieces = template.lay_out_lesson(dialogue, None, &[])?;
        assert_eq!(text(&pieces), template.render(dialogue, false)?, "{case}");
        let answers = messages.iter().filter(|message| message.role == Role::Assistant);
        let learned: String = match case.as_str() {
            "a tool is called" => {
                "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich \\\"<|im_end|>\\\"\\n\", \
                 \"days\": 2, \"scale\": 1.5, \"z\": [1e-07, null, true], \"a\": {}}}\n</tool_call>\n<tool_call>\n\
                 {\"name\": \"clock\", \"arguments\": {}}\n</tool_call><|im_end|>Rain at noon.<|im_end|>"
                    .to_owned()
            }
            "a call ends it" => {
                "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call><|im_end|>".to_owned()
            }
            _ => answers.map(|message| format!("{}<|im_end|>", message.content)).collect(),
        };
        assert_eq!(trained(&pieces), learned, "{case}");
        // A dataset's own end of a turn stands in a definition, in an argument and in what a tool answered.
        let is_foreign = |piece: &&Segment| piece.text.contains("forged") || piece.text.contains("Zürich");
        assert!(pieces.iter().filter(is_foreign).all(|piece| piece.kind == SegmentKind::Content), "{case}");
        if !tools.is_empty() {
            continue;
        }
        let prompt = template.lay_out_prompt(&messages[..messages.len() - 1])?;
        assert!(text(&pieces).starts_with(&text(&prompt)), "{case}");
    }
    Ok(())
}

fn lays_out_qwq(path: PathBuf) -> Result<(), Failed> {
    let template = template(&path)?;
    let conversations = conversations()?;
    for (case, reasoning, learned) in [
        (
            "one turn",
            Some("Read it, add it to itself."),
            "Read it, add it to itself.\n</think>\n\n```python\nn = int(input())\nprint(n + n)\n```<|im_end|>",
        ),
        ("two turns", None, "4<|im_end|>\n</think>\n\n6<|im_end|>"),
        ("thoughts", None, "4<|im_end|>I count again.\n</think>\n\nYes.<|im_end|>"),
    ] {
        let messages = &conversations[case].messages;
        let pieces = template.lay_out_lesson(Dialogue::without_tools(messages), reasoning, &[])?;
        assert_eq!(trained(&pieces), learned, "{case}");
        let prompt = text(&template.lay_out_prompt(&messages[..messages.len() - 1])?);
        assert!(prompt.ends_with("<|im_start|>assistant\n<think>\n"), "{prompt}");
        assert!(text(&pieces).starts_with(&prompt), "{case}");
    }
    Ok(())
}
