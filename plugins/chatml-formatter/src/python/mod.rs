//! Python, as far as it takes to tell programs from everything else that stands in an answer. Nothing is run, and nothing
//! is refused for being wrong: a wrong program is an answer, too.

mod features;
mod statements;
mod tokens;

pub(crate) use features::Features;
pub(crate) use statements::{Kind, Module};
pub(crate) use tokens::{Strings, line_starts};
