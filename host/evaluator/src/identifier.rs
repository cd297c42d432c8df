//! An identifier: the name of a problem in somebody's file of completions, a text or a whole number (`2` of MBPP). It is
//! compared as text and written as it was read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, expecting = "a string or a whole number")]
pub enum Identifier {
    /// As most files have it.
    Text(String),
    /// As a row's number.
    Number(i64),
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
