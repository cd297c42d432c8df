//! A classifier for the host's tests: it does what a problem's statement says, and most of what it can do is wrong.

use hilora_plugin_sdk::classifier::{Classification, ClassifyError, DomainClassifier, DomainInfo, Score};
use hilora_plugin_sdk::types::ProblemText;

/// Clears a screen, rings, goes back to the line's beginning and turns the line around.
const TERMINAL_COMMANDS: &str = "\u{1b}[2J\u{9b}2J\u{7}\rnothing wrong\u{202e}";

/// The plugin.
pub struct HostileClassifier;

impl DomainClassifier for HostileClassifier {
    fn domains() -> Vec<DomainInfo> {
        vec![DomainInfo { name: "python".to_owned(), description: "everything".to_owned() }]
    }

    fn classify(_: &ProblemText) -> Result<Classification, String> {
        Err("this classifier answers whole batches".to_owned())
    }

    fn classify_batch(problems: Vec<ProblemText>) -> Result<Vec<Classification>, ClassifyError> {
        let mut answers = Vec::new();
        for (index, problem) in problems.iter().enumerate() {
            let mut domain = "python";
            let mut score = 1.0;
            let mut signals = Vec::new();
            match problem.statement.as_str() {
                "loop" => loop {
                    std::hint::spin_loop();
                },
                "sleep" => std::thread::sleep(std::time::Duration::from_secs(86_400)),
                "allocate" => allocate(),
                "panic" => panic!("the statement asked for it"),
                "exit" => std::process::exit(0),
                "print" => print_without_end(),
                "refuse" => {
                    let index = u32::try_from(index).expect("a batch is small");
                    return Err(ClassifyError::Rejected((index, "not today".to_owned())));
                }
                "refuse in colour" => {
                    let index = u32::try_from(index).expect("a batch is small");
                    return Err(ClassifyError::Rejected((index, TERMINAL_COMMANDS.to_owned())));
                }
                "refuse without end" => {
                    let index = u32::try_from(index).expect("a batch is small");
                    return Err(ClassifyError::Rejected((index, "x".repeat(20 << 20))));
                }
                "signal without end" => signals = vec!["x".repeat(10 << 20); 2],
                "unknown domain in colour" => domain = TERMINAL_COMMANDS,
                "refuse a stranger" => return Err(ClassifyError::Rejected((99, "who?".to_owned()))),
                "answer too little" => continue,
                "unknown domain" => domain = "astrology",
                "negative score" => score = -1.0,
                "undefined score" => score = f32::NAN,
                statement if statement.starts_with("count the batch") => score = problems.len() as f32,
                _ => {}
            }
            let scores = vec![Score { domain: domain.to_owned(), score, signals }];
            answers.push(Classification { domain: domain.to_owned(), scores });
        }
        Ok(answers)
    }
}

fn allocate() {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

fn print_without_end() {
    use std::io::Write;
    let mut output = std::io::stdout();
    while output.write_all(&[b'x'; 4096]).is_ok() {}
}

hilora_plugin_sdk::export_classifier!(HostileClassifier);
hilora_plugin_sdk::manifest!("plugin.toml");
