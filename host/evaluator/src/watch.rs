//! A watch over a measurement: who is told how far it is, and who may end it early. It prints nothing itself.

use std::fmt;

use super::endpoint_config::Side;
use hilora_model::ModelError;

/// Whose answers are drawn and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The base without an adapter.
    Base,
    /// The base with the adapter.
    Adapter,
    /// The base with the adapter that was trained on shuffled answers.
    ShuffledAnswers,
    /// A model that is measured by itself, such as one in training.
    HeldOut,
    /// A model that somebody else asked.
    Given,
    /// A model on the problems of a benchmark.
    Benchmark {
        /// The benchmark.
        name: &'static str,
        /// Which model.
        side: Side,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Benchmark { name, side: Side::Base } => return write!(f, "{name}, base"),
            Self::Benchmark { name, side: Side::Adapter } => return write!(f, "{name}, adapter"),
            Self::Base => "base",
            Self::Adapter => "adapter",
            Self::ShuffledAnswers => "shuffled",
            Self::HeldOut => "held out",
            Self::Given => "completions",
        })
    }
}

/// A piece of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Drawing answers.
    Draw(Subject),
    /// Running answers on their problems' tests.
    Judge(Subject),
    /// Running the nearest training problem's solution on each problem's tests.
    CopyNearest,
    /// Timing tokens.
    TimeDecoding,
}

impl Work {
    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Draw(_) | Self::Judge(_) | Self::CopyNearest => "answers",
            Self::TimeDecoding => "tokens",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draw(subject) => write!(f, "{subject}: draw"),
            Self::Judge(subject) => write!(f, "{subject}: run"),
            Self::CopyNearest => f.write_str("nearest copy"),
            Self::TimeDecoding => f.write_str("decode time"),
        }
    }
}

/// Who is told how far a measurement is. Pieces of work follow each other; there are never two at once.
pub trait Observer: Sync {
    /// A piece of work begins, with its total in its unit.
    fn begin(&self, work: Work, total: u64);

    /// More of the piece that began last is done. What was kept from an earlier run is told in one call at its beginning.
    fn advance(&self, more: u64);

    /// The piece that began last ends, whole or interrupted.
    fn end(&self);
}

/// A watch.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Who is told.
    pub observer: &'a dyn Observer,
    /// Whether to end early. It is asked often: before every token and after every judged program.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
    /// Whether the files that the model computes with are still what its content's hash says; an error if they are not.
    /// It is asked before a completion is kept, which would be taken for that model's ever after.
    pub check_model: &'a (dyn Fn() -> Result<(), ModelError> + Sync),
}

impl Watch<'static> {
    /// Tells nobody and never ends early.
    pub const SILENT: Self = Watch { observer: &Silence, should_stop: &|| false, check_model: &|| Ok(()) };
}

impl Watch<'_> {
    /// Whether to end early.
    pub(crate) fn stops(&self) -> bool {
        (self.should_stop)()
    }
}

/// Tells nobody.
struct Silence;

impl Observer for Silence {
    fn begin(&self, _work: Work, _total: u64) {}

    fn advance(&self, _more: u64) {}

    fn end(&self) {}
}
