//! Material: what one row of a dataset gives to learn from, on its way to a file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use hilora_contract::artifact::JsonRow;
use hilora_contract::dataset::{
    Action, Attribute, Conversation, Message, PolicyExample, Problem, ProblemChecker, ProblemText, Role, TestCase,
    shared_tests,
};

/// A row that can be learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Material {
    /// Index of the row in reading order, over all files.
    pub(super) row: u64,
    /// What is classified and compared: of a conversation what the users say, of a policy example its instruction.
    pub(super) text: ProblemText,
    /// What is learned.
    pub(super) kind: Kind,
}

/// What kind of material it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A problem with programs that count as its solutions.
    Solved(Box<Solved>),
    /// A conversation.
    Conversation {
        messages: Vec<Message>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tools: Vec<String>,
    },
    /// A case under a policy; the instruction is the text's statement.
    Policy { policy: String, actions: Vec<Action>, outputs: Vec<String> },
}

/// The part of a solved problem that no model is shown, and its solutions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Solved {
    pub(super) solutions: Vec<String>,
    #[serde(with = "shared_tests")]
    pub(super) tests: Arc<[TestCase]>,
    pub(super) entry_point: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) test_code: Option<String>,
    #[serde(default, skip_serializing_if = "ProblemChecker::is_default")]
    pub(super) checker: ProblemChecker,
    pub(super) time_limit_ms: Option<u64>,
    pub(super) memory_limit_bytes: Option<u64>,
    /// See [`hilora_contract::dataset::EvaluationProblem::reference_fuel`].
    pub(super) reference_fuel: Option<u64>,
    pub(super) attributes: Vec<Attribute>,
}

impl JsonRow for Material {
    const EXPECTED: &'static str = "a row that can be learned from";
}

impl Material {
    /// A problem with the programs of it that count.
    pub(super) fn solved(row: u64, problem: Problem, solutions: Vec<String>, reference_fuel: Option<u64>) -> Self {
        let Problem {
            text, tests, entry_point, test_code, checker, time_limit_ms, memory_limit_bytes, attributes, ..
        } = problem;
        let solved = Solved {
            solutions,
            tests,
            entry_point,
            test_code,
            checker: checker.unwrap_or_default(),
            time_limit_ms,
            memory_limit_bytes,
            reference_fuel,
            attributes,
        };
        Self { row, text, kind: Kind::Solved(Box::new(solved)) }
    }

    pub(super) fn conversation(row: u64, conversation: Conversation) -> Self {
        let Conversation { id, messages, tools, tags, difficulty } = conversation;
        let asked: Vec<&str> = messages
            .iter()
            .filter(|message| message.role == Role::User)
            .map(|message| message.content.as_str())
            .collect();
        let text = ProblemText { id, title: String::new(), statement: asked.join("\n\n"), tags, difficulty };
        Self { row, text, kind: Kind::Conversation { messages, tools } }
    }

    pub(super) fn policy(row: u64, example: PolicyExample) -> Self {
        let PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty } = example;
        let text = ProblemText { id, title: String::new(), statement: instruction, tags, difficulty };
        Self { row, text, kind: Kind::Policy { policy, actions, outputs } }
    }

    /// What is compared with other rows: the statement, and of a conversation its answers too, because the same
    /// question with another answer is another lesson.
    pub(super) fn compared(&self) -> String {
        match &self.kind {
            Kind::Solved(_) | Kind::Policy { .. } => self.text.statement.clone(),
            Kind::Conversation { messages, .. } => {
                let said: Vec<&str> = messages.iter().flat_map(Message::texts).collect();
                said.join("\n\n")
            }
        }
    }

    /// The programs that count as solutions; none where it is no problem.
    pub(super) fn solutions(&self) -> &[String] {
        match &self.kind {
            Kind::Solved(solved) => &solved.solutions,
            Kind::Conversation { .. } | Kind::Policy { .. } => &[],
        }
    }

    /// How many lessons it becomes.
    pub(super) fn lessons(&self) -> usize {
        match &self.kind {
            Kind::Solved(solved) => solved.solutions.len(),
            Kind::Conversation { .. } | Kind::Policy { .. } => 1,
        }
    }

    /// How many tests its solutions passed.
    pub(super) fn tests(&self) -> usize {
        match &self.kind {
            Kind::Solved(solved) => solved.tests.len(),
            Kind::Conversation { .. } | Kind::Policy { .. } => 0,
        }
    }
}
