//! An identifier: the name of a problem in somebody's file of completions, a text or a whole number (`2` of MBPP). It is
//! compared as text and written as it was read.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The name of a problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Identifier {
    /// As most files have it.
    Text(String),
    /// As a row's number.
    Number(i64),
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdentifierVisitor)
    }
}

/// Reads a name. An untagged enum would not say what it found.
struct IdentifierVisitor;

impl Visitor<'_> for IdentifierVisitor {
    type Value = Identifier;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Identifier, E> {
        Ok(Identifier::Text(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Identifier, E> {
        Ok(Identifier::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Identifier, E> {
        let number_of = i64::try_from(number).map(Identifier::Number);
        number_of.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_it_was_read() -> Result<(), serde_json::Error> {
        for (json, text) in [(r#""HumanEval/0""#, "HumanEval/0"), ("601", "601"), (r#""601""#, "601")] {
            let id: Identifier = serde_json::from_str(json)?;
            assert_eq!((id.to_string().as_str(), serde_json::to_string(&id)?.as_str()), (text, json));
        }
        for wrong in ["1.5", "null", "[1]"] {
            assert!(serde_json::from_str::<Identifier>(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
