//! Why an endpoint gives no answer.

use hilora_contract::fault::{Blame, Fault};

/// An error of an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address is none that can be asked.
    #[error("the base address cannot be asked, expected {0}")]
    BadAddress(&'static str),
    /// The endpoint wants a key and none is known.
    #[error("the environment variable {variable} is not set, expected the API key for {host}")]
    NoKey {
        /// The variable that the config names.
        variable: String,
        /// The endpoint's host.
        host: String,
    },
    /// The key cannot be sent.
    #[error("the environment variable {variable} holds a line break or another character that no key may have")]
    BadKey {
        /// The variable that the config names.
        variable: String,
    },
    /// The client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
    /// The endpoint refuses a request, and would refuse it again.
    #[error("{url} refuses the request with status {status}: {message}")]
    Refused {
        /// Where the request went.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        message: String,
    },
    /// The endpoint failed as often as a call may be made.
    #[error("{url} gave no answer in {attempts} attempts, the last time: {message}")]
    NoAnswer {
        /// Where the request went.
        url: String,
        /// How often it was asked.
        attempts: u32,
        /// The last failure.
        message: String,
    },
    /// The task of a call ended without an outcome.
    #[error("a call ended without an outcome: {0}")]
    LostCall(String),
}

impl Fault for EndpointError {
    fn blame(&self) -> Blame {
        match self {
            Self::BadAddress(_) | Self::NoKey { .. } | Self::BadKey { .. } | Self::Refused { .. } => Blame::User,
            // The config may name a wrong server, but as a rule the right one is down, busy or out of reach, and the
            // same command succeeds later: a script may try again, which the exit code of bad input would forbid.
            Self::NoAnswer { .. } => Blame::Machine,
            // Sockets, threads, certificates.
            Self::Client(_) => Blame::Machine,
            Self::LostCall(_) => Blame::Ours,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoKey { .. } => vec!["a server on this machine is asked without a key if none is set".to_owned()],
            Self::BadAddress(_)
            | Self::BadKey { .. }
            | Self::Client(_)
            | Self::Refused { .. }
            | Self::NoAnswer { .. }
            | Self::LostCall(_) => Vec::new(),
        }
    }
}
