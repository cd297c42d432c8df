//! A lesson: one row of a specialist's training or evaluation file, of one of three kinds. The kind is told by the
//! row's fields, so that a file of solved problems keeps the five fields that everybody reads.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Action, Domain, Example, Message};

/// A row to learn from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Lesson {
    /// A solved problem.
    Solved(Example),
    /// A conversation.
    Conversation(ConversationLesson),
    /// A case under a policy.
    Policy(PolicyLesson),
}

/// A conversation to learn from; the messages that are trained on are what is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationLesson {
    /// What is said, in order.
    pub messages: Vec<Message>,
    /// The tools that the assistant can call: of each the text of a JSON object that defines it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The domain a classifier gave it.
    pub domain: Domain,
    /// The dataset's own word for how hard it is; `null` where it has none.
    pub difficulty: Option<String>,
}

/// A case under a policy to learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyLesson {
    /// What the user wants.
    pub instruction: String,
    /// The policy's text.
    pub policy: String,
    /// The actions that follow, in order.
    pub actions: Vec<Action>,
    /// What the answer must tell the user.
    pub outputs: Vec<String>,
    /// The domain a classifier gave it.
    pub domain: Domain,
    /// The dataset's own word for how hard it is; `null` where it has none.
    pub difficulty: Option<String>,
}

impl Lesson {
    /// The domain a classifier gave it.
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Solved(example) => &example.domain,
            Self::Conversation(lesson) => &lesson.domain,
            Self::Policy(lesson) => &lesson.domain,
        }
    }

    /// The dataset's own word for how hard it is.
    pub fn difficulty(&self) -> Option<&str> {
        match self {
            Self::Solved(example) => example.difficulty.as_deref(),
            Self::Conversation(lesson) => lesson.difficulty.as_deref(),
            Self::Policy(lesson) => lesson.difficulty.as_deref(),
        }
    }
}

impl<'de> Deserialize<'de> for Lesson {
    /// Tells the kind by `messages` or `instruction`; an error then names the field that is wrong in that kind.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let row = Value::deserialize(deserializer)?;
        let read = if row.get("messages").is_some() {
            serde_json::from_value(row).map(Self::Conversation)
        } else if row.get("instruction").is_some() {
            serde_json::from_value(row).map(Self::Policy)
        } else {
            serde_json::from_value(row).map(Self::Solved)
        };
        read.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_back_as_the_kind_it_was() -> Result<(), serde_json::Error> {
        for row in [
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","trained":false},{"role":"assistant","content":"b"}],"tools":["{}"],"domain":"math","difficulty":null}"#,
            r#"{"problem":"p","reasoning":null,"solution":"s","domain":"math","difficulty":null}"#,
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"domain":"math","difficulty":"A"}"#,
            r#"{"instruction":"i","policy":"p","actions":[{"name":"n","arguments":"{\"b\":1.50,\"a\":[]}"}],"outputs":["o"],"domain":"policy","difficulty":null}"#,
        ] {
            let lesson: Lesson = serde_json::from_str(row)?;
            let written: Value = serde_json::to_value(&lesson)?;
            assert_eq!(written, serde_json::from_str::<Value>(row)?);
        }
        Ok(())
    }

    #[test]
    fn a_wrong_row_is_named_by_its_field() {
        let error = |row: &str| serde_json::from_str::<Lesson>(row).expect_err("it is wrong").to_string();
        assert!(error(r#"{"problem":"p"}"#).contains("missing field `solution`"), "{}", error(r#"{"problem":"p"}"#));
        assert!(error(r#"{"messages":[{"role":"a b","content":""}],"domain":"d"}"#).contains("expected a role"));
    }
}
