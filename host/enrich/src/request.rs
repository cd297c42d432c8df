//! A request for one reasoning trace: the prompt and the settings, as the bytes that go over the wire, and the key that
//! names them. The endpoint's address is no part of it: the same model behind another address gives the same trace.

use serde::Serialize;

use super::config::EnrichConfig;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::Example;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraceRequest {
    /// The hash of `body`.
    pub(super) key: ContentHash,
    /// The JSON that is posted.
    pub(super) body: String,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: [Message<'a>; 1],
    temperature: f64,
    max_tokens: u32,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

impl TraceRequest {
    /// Asks how one gets from the example's problem to its solution.
    pub(super) fn of(example: &Example, config: &EnrichConfig) -> Self {
        let prompt = prompt(&example.problem, &example.solution);
        let body = Body {
            model: &config.model,
            messages: [Message { role: "user", content: &prompt }],
            temperature: config.temperature,
            max_tokens: config.max_tokens,
        };
        let body = serde_json::to_string(&body).expect("text and numbers always serialize");
        Self { key: ContentHash::of(body.as_bytes()), body }
    }
}

/// What the model is asked.
fn prompt(problem: &str, solution: &str) -> String {
    let fence = fence_around(solution);
    format!(
        "Below are a programming problem and a solution that passed all of its tests. Write down the reasoning that \
         leads from the problem to this solution, as someone would who solves it for the first time.\n\
         \n\
         Cover, in this order and in plain prose:\n\
         1. What is asked: input, output and the limits that matter.\n\
         2. The key observations.\n\
         3. The algorithm, why it is right, and its complexity.\n\
         4. The implementation: how the program carries it out, and the cases that need care.\n\
         \n\
         Do not repeat the whole program, do not mention that a solution was given, and use no test data beyond the \
         examples in the problem.\n\
         \n\
         Problem:\n{problem}\n\
         \n\
         Solution:\n{fence}python\n{}\n{fence}\n",
        solution.trim_matches('\n')
    )
}

/// A fence of backticks that is longer than any in the text.
fn fence_around(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat((longest + 1).max(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::dataset::Domain;

    fn request(problem: &str, model: &str) -> TraceRequest {
        let example = Example {
            problem: problem.to_owned(),
            reasoning: None,
            solution: "print('```')".to_owned(),
            domain: Domain("python".to_owned()),
            difficulty: None,
        };
        let config = format!(r#"{{"base_url": "http://127.0.0.1/v1", "model": "{model}"}}"#);
        TraceRequest::of(&example, &serde_json::from_str(&config).expect("a config"))
    }

    #[test]
    fn the_key_is_the_bodys_and_changes_with_what_is_asked() {
        let asked = request("Add.", "m");
        assert_eq!(asked.key, ContentHash::of(asked.body.as_bytes()));
        assert_eq!(asked, request("Add.", "m"));
        assert_ne!(asked.key, request("Add!", "m").key);
        assert_ne!(asked.key, request("Add.", "n").key);
    }

    #[test]
    fn the_prompt_asks_for_the_four_parts_and_fences_the_solution() {
        let body: serde_json::Value = serde_json::from_str(&request("Add.", "m").body).expect("it is JSON");
        let prompt = body["messages"][0]["content"].as_str().expect("it is text");
        for part in
            ["What is asked", "key observations", "algorithm", "implementation", "Problem:\nAdd.\n", "````python"]
        {
            assert!(prompt.contains(part), "{part}: {prompt}");
        }
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&0.3.into(), &1024.into()));
    }
}
