//! A classifier: `strings` where a problem speaks of text, `numbers` otherwise.

use hilora_plugin_sdk::classifier::{Classification, DomainClassifier, DomainInfo, Score};
use hilora_plugin_sdk::types::ProblemText;

/// Words that speak of text.
const TEXT_WORDS: [&str; 5] = ["string", "word", "letter", "character", "palindrome"];

/// The plugin.
pub struct CustomClassifier;

impl DomainClassifier for CustomClassifier {
    // Fill in here: the domains that there are. A run's config lists those that it wants in `data.domains`.
    fn domains() -> Vec<DomainInfo> {
        vec![DomainInfo::new("strings", "The input is text"), DomainInfo::new("numbers", "Everything else")]
    }

    // Fill in here: the domain of a problem. `problem.tags` are the dataset's own.
    fn classify(problem: &ProblemText) -> Result<Classification, String> {
        let text = format!("{} {}", problem.title, problem.statement).to_lowercase();
        let found: Vec<&str> = TEXT_WORDS.into_iter().filter(|word| text.contains(word)).collect();
        let strings = Score {
            domain: "strings".to_owned(),
            score: found.len() as f32,
            signals: found.iter().map(|word| format!("keyword:{word}")).collect(),
        };
        Ok(Classification::best(vec![strings], "numbers"))
    }
}

hilora_plugin_sdk::export_classifier!(CustomClassifier);
hilora_plugin_sdk::manifest!("plugin.toml");

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::harness;

    use super::*;

    #[test]
    fn answers_the_golden_cases() {
        harness::golden::classifier::<CustomClassifier>("golden.jsonl");
    }
}
