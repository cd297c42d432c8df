//! An answer: what an endpoint wrote, choice by choice, read from either API's JSON.
//!
//! What cannot be read is no answer, and the call is made again. What can be read and holds nothing is one; whether that is
//! enough is the demand of who asked.

use serde::Deserialize;
use serde_json::Value;

use super::config::Api;

/// The finish reason of what a model or its server would not answer.
pub const REFUSAL: &str = "refusal";
/// The finish reason of what was cut at the most tokens it might have.
pub const LENGTH: &str = "length";

/// An endpoint's answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was written, in the order of the endpoint's own numbers; at least one.
    pub choices: Vec<Choice>,
    /// Tokens of the prompt, as the endpoint counts them.
    pub prompt_tokens: u64,
    /// Tokens of all choices together.
    pub completion_tokens: u64,
}

/// One of the texts that an endpoint wrote after the same prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its text.
    pub text: Option<String>,
    /// What the model thought before, where the server tells it apart from the text.
    pub reasoning: Option<String>,
    /// Why the endpoint ended it.
    pub finish_reason: Option<String>,
    /// The log-probability of each of its tokens, where they were asked for and given.
    pub log_probabilities: Option<Vec<f64>>,
}

/// What must hold of an answer; one of which it does not is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Nothing more than that it can be read.
    Readable,
    /// Every choice has a text, was cut, or is a refusal: an answer without any is the server's failure, not the model's.
    Content,
}

impl Demand {
    pub(crate) fn check(self, answer: Answer) -> Result<Answer, String> {
        match self {
            Self::Content if answer.choices.iter().any(Choice::is_nothing) => {
                Err("a choice without content".to_owned())
            }
            Self::Readable | Self::Content => Ok(answer),
        }
    }
}

impl Choice {
    fn is_nothing(&self) -> bool {
        self.text.is_none() && self.finish_reason.as_deref() != Some(LENGTH)
    }
}

#[derive(Deserialize)]
struct AnswerBody {
    choices: Vec<ChoiceBody>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct ChoiceBody {
    index: Option<u64>,
    /// Of a chat.
    message: Option<AnswerMessage>,
    /// Of a text that was gone on with.
    text: Option<String>,
    finish_reason: Option<String>,
    logprobs: Option<Value>,
}

#[derive(Deserialize)]
struct AnswerMessage {
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Answer {
    /// Reads a body.
    pub(crate) fn read(api: Api, body: &[u8]) -> Result<Self, String> {
        let AnswerBody { mut choices, usage } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if choices.is_empty() {
            return Err("it has no choices".to_owned());
        }
        choices.sort_by_key(|choice| choice.index);
        let (prompt_tokens, completion_tokens) =
            usage.map_or((None, None), |usage| (usage.prompt_tokens, usage.completion_tokens));
        Ok(Self {
            choices: choices.into_iter().map(|choice| choice.read(api)).collect::<Result<_, _>>()?,
            prompt_tokens: prompt_tokens.unwrap_or(0),
            completion_tokens: completion_tokens.unwrap_or(0),
        })
    }

    /// What stands for the answer to a request that the endpoint refuses.
    pub(crate) fn refused(message: String) -> Self {
        let finish_reason = Some(REFUSAL.to_owned());
        let choice = Choice { text: Some(message), reasoning: None, finish_reason, log_probabilities: None };
        Self { choices: vec![choice], prompt_tokens: 0, completion_tokens: 0 }
    }
}

impl ChoiceBody {
    fn read(self, api: Api) -> Result<Choice, String> {
        let log_probabilities = self.logprobs.as_ref().and_then(log_probabilities);
        let Self { message, text, finish_reason, .. } = self;
        if api == Api::Completions {
            return Ok(Choice { text, reasoning: None, finish_reason, log_probabilities });
        }
        let AnswerMessage { content, refusal, reasoning_content, reasoning } =
            message.ok_or("a choice has no message")?;
        // Some servers send an empty refusal beside an answer.
        let refusal = refusal.filter(|words| !words.trim().is_empty());
        let finish_reason = if refusal.is_some() { Some(REFUSAL.to_owned()) } else { finish_reason };
        let reasoning = reasoning_content.or(reasoning).filter(|thought| !thought.is_empty());
        Ok(Choice { text: content.or(refusal), reasoning, finish_reason, log_probabilities })
    }
}

/// The tokens' log-probabilities: a chat lists tokens, the other API has parallel lists. In any other form they are left
/// out, because an answer is one without them.
fn log_probabilities(logprobs: &Value) -> Option<Vec<f64>> {
    match (&logprobs["content"], &logprobs["token_logprobs"]) {
        (Value::Array(tokens), _) => tokens.iter().map(|token| token["logprob"].as_f64()).collect(),
        (_, Value::Array(values)) => values.iter().map(Value::as_f64).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_apis_are_read_in_the_order_of_their_numbers() -> Result<(), String> {
        let chat = r#"{"choices": [
            {"index": 1, "message": {"content": "b"}, "finish_reason": "length"},
            {"index": 0, "message": {"content": "a", "refusal": ""}, "finish_reason": "stop",
             "logprobs": {"content": [{"token": "a", "logprob": -0.5}]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": null}}"#;
        let answer = Answer::read(Api::Chat, chat.as_bytes())?;
        let texts: Vec<_> = answer.choices.iter().map(|choice| choice.text.as_deref().unwrap_or_default()).collect();
        assert_eq!((texts, answer.prompt_tokens, answer.completion_tokens), (vec!["a", "b"], 3, 0));
        assert_eq!(answer.choices[0].log_probabilities, Some(vec![-0.5]));
        assert_eq!(answer.choices[1].log_probabilities, None);
        let text = r#"{"choices": [{"text": "a", "logprobs": {"token_logprobs": [-0.25, -1.0]}}]}"#;
        let answer = Answer::read(Api::Completions, text.as_bytes())?;
        assert_eq!(answer.choices[0].log_probabilities, Some(vec![-0.25, -1.0]));
        Ok(())
    }

    #[test]
    fn what_holds_no_choice_is_no_answer_and_one_without_a_text_only_if_that_is_demanded() -> Result<(), String> {
        for nothing in ["<html>", "{}", r#"{"choices": []}"#, r#"{"choices": [{"finish_reason": "stop"}]}"#] {
            assert!(Answer::read(Api::Chat, nothing.as_bytes()).is_err(), "{nothing}");
        }
        for (message, is_enough) in [
            (r#""message": {"content": null}, "finish_reason": "stop""#, false),
            (r#""message": {}"#, false),
            (r#""message": {"content": ""}, "finish_reason": "stop""#, true),
            (r#""message": {"content": null}, "finish_reason": "length""#, true),
            (r#""message": {"content": null, "refusal": "no"}"#, true),
        ] {
            let answer = Answer::read(Api::Chat, format!(r#"{{"choices": [{{{message}}}]}}"#).as_bytes())?;
            assert!(Demand::Readable.check(answer.clone()).is_ok());
            assert_eq!(Demand::Content.check(answer).is_ok(), is_enough, "{message}");
        }
        Ok(())
    }
}
