//! An example classifier: `strings` where a statement speaks of text, `numbers` otherwise.

use hilora_plugin_sdk::classifier::{Classification, ClassifyError, DomainClassifier, DomainInfo, Score};
use hilora_plugin_sdk::types::ProblemText;

/// Words that speak of text.
const TEXT_WORDS: [&str; 5] = ["string", "word", "letter", "character", "palindrome"];

/// The plugin.
pub struct CustomClassifier;

impl DomainClassifier for CustomClassifier {
    fn domains() -> Vec<DomainInfo> {
        let info =
            |name: &str, description: &str| DomainInfo { name: name.to_owned(), description: description.to_owned() };
        vec![info("strings", "The input is text"), info("numbers", "Everything else")]
    }

    fn classify(problems: Vec<ProblemText>) -> Result<Vec<Classification>, ClassifyError> {
        Ok(problems.iter().map(classify).collect())
    }
}

hilora_plugin_sdk::export_classifier!(CustomClassifier);
hilora_plugin_sdk::manifest!("plugin.toml");

fn classify(problem: &ProblemText) -> Classification {
    let statement = problem.statement.to_lowercase();
    let found: Vec<String> =
        TEXT_WORDS.iter().filter(|word| statement.contains(**word)).map(|word| format!("keyword:{word}")).collect();
    if found.is_empty() {
        return Classification { domain: "numbers".to_owned(), scores: Vec::new() };
    }
    let score = Score { domain: "strings".to_owned(), score: found.len() as f32, signals: found };
    Classification { domain: "strings".to_owned(), scores: vec![score] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_by_the_words_of_the_statement() {
        for (statement, domain) in [("Reverse the String.", "strings"), ("Add two integers.", "numbers")] {
            let problem = ProblemText {
                id: "p".to_owned(),
                title: String::new(),
                statement: statement.to_owned(),
                tags: Vec::new(),
                difficulty: None,
            };
            assert_eq!(classify(&problem).domain, domain);
        }
    }
}
