//! The keyword classifier: sorts a problem by its dataset tags first, then by keywords in its text.
//!
//! It knows no meaning: it counts signals, returns every domain that has one, and leaves a tie visible in the scores.

mod domains;
mod words;

use std::sync::LazyLock;

use hilora_plugin_sdk::classifier::{Classification, DomainClassifier, DomainInfo, Score};
use hilora_plugin_sdk::types::ProblemText;

use domains::{DEFAULT_DOMAIN, DOMAINS, DomainSignals};
use words::{Phrases, Words};

/// What a deciding tag weighs. No domain has as many keywords, so tags always come first.
const TAG_WEIGHT: f32 = 100.0;

/// The plugin.
pub struct KeywordClassifier;

impl DomainClassifier for KeywordClassifier {
    fn domains() -> Vec<DomainInfo> {
        let info = |domain: &DomainSignals| DomainInfo {
            name: domain.name.to_owned(),
            description: domain.description.to_owned(),
        };
        DOMAINS.iter().map(info).collect()
    }

    fn classify(problem: &ProblemText) -> Result<Classification, String> {
        Ok(classify(problem))
    }
}

hilora_plugin_sdk::export_classifier!(KeywordClassifier);
hilora_plugin_sdk::manifest!("plugin.toml");

/// The keywords of all domains, one domain's after another's.
static KEYWORDS: LazyLock<Phrases> =
    LazyLock::new(|| Phrases::of(DOMAINS.iter().flat_map(|domain| domain.keywords).copied()));

/// Scores every domain. Keywords are looked for in the title, the statement and the tags; each counts once however
/// often it stands there, so that a long statement is not a stronger one.
fn classify(problem: &ProblemText) -> Classification {
    let tags: Vec<Words> = problem.tags.iter().map(|tag| Words::of(tag)).collect();
    let mut found = vec![false; DOMAINS.iter().map(|domain| domain.keywords.len()).sum()];
    let texts = [Words::of(&problem.title), Words::of(&problem.statement)];
    for text in texts.iter().chain(&tags) {
        KEYWORDS.find(text, |keyword| found[keyword] = true);
    }

    let mut found = found.into_iter();
    let score = |domain| score(domain, &tags, &mut found);
    let mut scores: Vec<Score> = DOMAINS.iter().map(score).collect();
    scores.retain(|score| score.score > 0.0);
    // The sort is stable: equal scores keep the order of `DOMAINS`, which is the documented order of ties.
    scores.sort_by(|a, b| b.score.total_cmp(&a.score));

    let domain = scores.first().map_or(DEFAULT_DOMAIN, |best| &best.domain).to_owned();
    Classification { domain, scores }
}

/// Scores one domain; `found` says of each of its keywords whether it stands in the problem.
fn score(domain: &DomainSignals, tags: &[Words], found: &mut impl Iterator<Item = bool>) -> Score {
    let mut score = 0.0;
    let mut signals = Vec::new();
    for tag in domain.deciding_tags {
        if tags.iter().any(|words| words.is(tag)) {
            score += TAG_WEIGHT;
            signals.push(format!("tag:{tag}"));
        }
    }
    for (keyword, _) in domain.keywords.iter().zip(found).filter(|(_, found)| *found) {
        score += 1.0;
        signals.push(format!("keyword:{keyword}"));
    }
    Score { domain: domain.name.to_owned(), score, signals }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(statement: &str, tags: &[&str]) -> ProblemText {
        ProblemText {
            id: "p".to_owned(),
            title: String::new(),
            statement: statement.to_owned(),
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            difficulty: None,
        }
    }

    fn domain_of(statement: &str, tags: &[&str]) -> String {
        classify(&problem(statement, tags)).domain
    }

    #[test]
    fn deciding_tags_beat_any_number_of_keywords() {
        let all_python = "python pythonic list comprehension generator decorator class";
        for tag in ["math", "number theory", "combinatorics"] {
            assert_eq!(domain_of(all_python, &[tag]), "math", "{tag}");
        }
        for tag in ["dp", "graphs", "trees", "greedy"] {
            assert_eq!(domain_of(all_python, &[tag]), "algorithms", "{tag}");
        }
        let found = classify(&problem("Prove the lemma.", &["dp", "Greedy", "math"]));
        assert_eq!(found.domain, "algorithms", "two tags beat one: {found:?}");
    }

    #[test]
    fn only_its_tag_makes_a_policy_example() {
        assert_eq!(domain_of("Sort the refunds by a formula.", &["policy"]), "policy");
        assert_eq!(domain_of("Print the policy, the policies and the compliance.", &["retail policy"]), "python");
        assert_eq!(domain_of("A request.", &["policy", "math"]), "policy", "of two tags the first domain wins");
    }

    #[test]
    fn keywords_decide_where_no_tag_does() {
        for (statement, domain) in [
            ("Find the expected value of the sum.", "math"),
            ("Print the probability. Use modular arithmetic.", "math"),
            ("Find the shortest path between two towns.", "algorithms"),
            ("Solve it with BFS.", "algorithms"),
            ("Implement a priority queue with a heap.", "data_structures"),
            ("Merge the sets with union-find.", "data_structures"),
            ("Write a decorator.", "python"),
            ("Print the sum of two numbers.", "python"),
        ] {
            assert_eq!(domain_of(statement, &["implementation"]), domain, "{statement}");
        }
    }

    #[test]
    fn keywords_stand_at_word_boundaries() {
        for statement in ["A handpicked street.", "The adpt unit", "subclasses", "stackless", "tree_count", "dps"] {
            assert_eq!(classify(&problem(statement, &[])).scores, [], "{statement}");
        }
        for statement in ["(dp)", "A tree's root", "DP: tabulate", "Trees grow", "dp-based", "…dp…"] {
            assert_eq!(domain_of(statement, &[]), "algorithms", "{statement}");
        }
    }

    #[test]
    fn nothing_found_is_python_without_a_score() {
        let found = classify(&problem("Print the answer.", &["implementation"]));
        assert_eq!((found.domain.as_str(), found.scores), ("python", vec![]));
    }

    #[test]
    fn a_tie_is_visible_and_broken_by_the_order_of_the_domains() {
        let found = classify(&problem("A stack and a lemma.", &[]));
        assert_eq!(found.domain, "math");
        let scores: Vec<(&str, f32)> = found.scores.iter().map(|s| (s.domain.as_str(), s.score)).collect();
        assert_eq!(scores, [("math", 1.0), ("data_structures", 1.0)]);
        assert_eq!(found.scores[1].signals, ["keyword:stack"]);
    }

    #[test]
    fn a_repeated_keyword_counts_once_and_a_tag_is_also_text() {
        let found = classify(&problem("stack stack stack; a queue of stacks", &["binary search"]));
        assert_eq!(found.domain, "data_structures");
        assert_eq!(found.scores[0].signals, ["keyword:stack", "keyword:queue"]);
        assert_eq!(found.scores[1].signals, ["keyword:binary search"]);
    }

    #[test]
    fn an_answer_does_not_depend_on_its_batch() {
        let problems = vec![problem("a tree", &[]), problem("a heap", &[]), problem("a proof", &["math"])];
        let domains: Vec<String> = hilora_plugin_sdk::harness::classify::<KeywordClassifier>(&problems)
            .into_iter()
            .map(|answer| answer.domain)
            .collect();
        assert_eq!(domains, ["algorithms", "data_structures", "math"]);
    }

    #[test]
    fn only_listed_domains_are_answered_and_tags_always_outweigh_keywords() {
        assert!(DOMAINS.iter().any(|domain| domain.name == DEFAULT_DOMAIN));
        assert!(DOMAINS.iter().all(|domain| (domain.keywords.len() as f32) < TAG_WEIGHT));
    }
}
