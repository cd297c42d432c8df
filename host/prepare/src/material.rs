//! Material: what one row of a dataset gives to learn from, on its way to a file.

use std::borrow::Cow;
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
    /// Which of the sources it is of, in reading order.
    #[serde(default)]
    pub(super) source: usize,
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
        Self { row, source: 0, text, kind: Kind::Solved(Box::new(solved)) }
    }

    pub(super) fn conversation(row: u64, conversation: Conversation) -> Self {
        let Conversation { id, messages, tools, tags, difficulty } = conversation;
        let asked: Vec<&str> = messages
            .iter()
            .filter(|message| message.role == Role::User)
            .map(|message| message.content.as_str())
            .collect();
        let text = ProblemText { id, title: String::new(), statement: asked.join("\n\n"), tags, difficulty };
        Self { row, source: 0, text, kind: Kind::Conversation { messages, tools } }
    }

    pub(super) fn policy(row: u64, example: PolicyExample) -> Self {
        let PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty } = example;
        let text = ProblemText { id, title: String::new(), statement: instruction, tags, difficulty };
        Self { row, source: 0, text, kind: Kind::Policy { policy, actions, outputs } }
    }

    /// What is asked, by which rows are compared: the statement, the instruction, what the users say. Of a conversation
    /// in which no user says anything, what is answered; system prompts count for nothing.
    pub(super) fn asked(&self) -> Cow<'_, str> {
        match &self.kind {
            Kind::Conversation { .. } if self.text.statement.trim().is_empty() => {
                Cow::Owned(self.answered().unwrap_or_default())
            }
            _ => Cow::Borrowed(&self.text.statement),
        }
    }

    /// What the user of a conversation says first.
    pub(super) fn opening(&self) -> Option<&str> {
        let Kind::Conversation { messages, .. } = &self.kind else { return None };
        let first = messages.iter().find(|message| message.role == Role::User)?;
        Some(&first.content)
    }

    /// The policy that the question is asked under.
    pub(super) fn policy_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Policy { policy, .. } => Some(policy),
            Kind::Solved(_) | Kind::Conversation { .. } => None,
        }
    }

    /// What is answered: everything worded by others than users and systems, or the actions and outputs. `None` of a
    /// problem, which is the same problem whatever solves it.
    pub(super) fn answered(&self) -> Option<String> {
        let texts: Vec<&str> = match &self.kind {
            Kind::Solved(_) => return None,
            Kind::Conversation { messages, .. } => {
                let asked = |role: &Role| matches!(role, Role::User | Role::System | Role::Developer);
                messages.iter().filter(|message| !asked(&message.role)).flat_map(Message::texts).collect()
            }
            Kind::Policy { actions, outputs, .. } => {
                let actions = actions.iter().flat_map(|action| [action.name.as_str(), action.arguments.as_str()]);
                actions.chain(outputs.iter().map(String::as_str)).collect()
            }
        };
        Some(texts.join("\n\n"))
    }

    /// The programs in its answers: its solutions, and of a conversation the fenced code of the assistant.
    pub(super) fn code(&self) -> Vec<Cow<'_, str>> {
        match &self.kind {
            Kind::Solved(solved) => solved.solutions.iter().map(|code| Cow::Borrowed(code.as_str())).collect(),
            Kind::Conversation { messages, .. } => {
                let answers = messages.iter().filter(|message| message.role == Role::Assistant);
                answers.flat_map(|message| fenced_code(&message.content)).map(Cow::Owned).collect()
            }
            Kind::Policy { .. } => Vec::new(),
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

/// What stands between fences of an answer; a fence that is not closed ends with the text.
fn fenced_code(answer: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in answer.lines() {
        let mark = line.trim_start();
        let fence = ["```", "~~~"].into_iter().find(|fence| mark.starts_with(fence));
        open = match (open, fence) {
            (None, Some(fence)) => Some((fence, Vec::new())),
            (None, None) => None,
            (Some((opened, lines)), Some(fence)) if opened == fence => {
                found.push(lines.join("\n"));
                None
            }
            (Some((opened, mut lines)), _) => {
                lines.push(line);
                Some((opened, lines))
            }
        };
    }
    found.extend(open.map(|(_, lines)| lines.join("\n")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(messages: &[(Role, &str)]) -> Material {
        let messages = messages.iter().map(|(role, text)| Message::new(role.clone(), *text)).collect();
        let (id, tools, tags) = ("c".to_owned(), Vec::new(), Vec::new());
        Material::conversation(0, Conversation { id, messages, tools, tags, difficulty: None })
    }

    #[test]
    fn a_conversation_is_what_its_users_ask_and_its_answers_are_apart() {
        let answer = "So:\n```python\nx = 1\n```\nand\n  ~~~\n```\n~~~\nend\n```\ny";
        let asked =
            [(Role::System, "Be brief."), (Role::User, "One?"), (Role::Assistant, answer), (Role::User, "Two?")];
        let material = conversation(&asked);
        assert_eq!((&*material.asked(), material.opening()), ("One?\n\nTwo?", Some("One?")));
        assert_eq!(material.answered().as_deref(), Some(answer));
        assert_eq!(material.code(), ["x = 1", "```", "y"]);
        let told = conversation(&[(Role::System, "Be brief."), (Role::Assistant, "Once upon a time.")]);
        assert_eq!((&*told.asked(), told.opening()), ("Once upon a time.", None));
    }
}
