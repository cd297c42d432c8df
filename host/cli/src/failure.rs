//! A failure as a person sees it: the error chain, a hint where a fix is known, and the exit code.

use std::fmt;
use std::process::ExitCode;

use hilora_contract::plugin::{PluginError, PluginKind};
use hilora_enrich::TracesError;
use hilora_evaluator::EvaluatorError;
use hilora_hub::HubError;
use hilora_prepare::PrepareError;
use hilora_registry::RegistryError;
use hilora_run::config::ConfigError;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Everything asked for is done.
    Done = 0,
    /// The host failed at something that is not the user's doing.
    InternalError = 1,
    /// An input or the usage is wrong.
    BadInput = 2,
    /// The gate says no.
    GateRefused = 3,
    /// Interrupted after saving.
    Interrupted = 130,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        (status as u8).into()
    }
}

/// An input that only the command line can find wrong.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct BadInput {
    message: String,
    hint: Option<String>,
}

impl BadInput {
    /// Wrong, and no fix is known beyond what the message says.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Wrong, and this would mend it.
    pub(super) fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

/// An error, ready to be shown.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub code: ExitStatus,
    chain: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// Reads the error's chain.
    pub fn of(error: &anyhow::Error) -> Self {
        let mut chain: Vec<String> = Vec::new();
        for cause in error.chain() {
            let text = cause.to_string();
            // A transparent wrapper says what its source says; a person needs to read it once.
            if chain.last().is_none_or(|last| !last.ends_with(&text)) {
                chain.push(text);
            }
        }
        let hint = error.chain().find_map(hint_of);
        let code = if error.chain().any(is_internal) { ExitStatus::InternalError } else { ExitStatus::BadInput };
        Self { code, chain, hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.chain.join(": "))?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// Whether this cause is the host's fault. Everything else is something the user gave.
fn is_internal(cause: Cause<'_>) -> bool {
    matches!(plugin_error_of(cause), Some(PluginError::Engine { .. }))
        || cause.downcast_ref::<serde_json::Error>().is_some_and(serde_json::Error::is_io)
        || cause.downcast_ref::<RegistryError>().is_some_and(|error| !error.is_bad_input())
        || matches!(cause.downcast_ref::<EvaluatorError>(), Some(EvaluatorError::JudgeFailed { .. }))
        || matches!(cause.downcast_ref::<TracesError>(), Some(TracesError::LostCall(_)))
}

/// The plugin's error that this cause is or wraps; a transparent wrapper does not show it in the chain.
fn plugin_error_of(cause: Cause<'_>) -> Option<&PluginError> {
    let prepare = cause.downcast_ref::<PrepareError>();
    let evaluator = cause.downcast_ref::<EvaluatorError>();
    match (cause.downcast_ref::<PluginError>(), prepare, evaluator) {
        (Some(error), _, _)
        | (_, Some(PrepareError::Plugin(error)), _)
        | (_, _, Some(EvaluatorError::Plugin(error))) => Some(error),
        _ => None,
    }
}

/// What would mend it, where that is known.
fn hint_of(cause: Cause<'_>) -> Option<String> {
    if let Some(bad) = cause.downcast_ref::<BadInput>() {
        return bad.hint.clone();
    }
    if let Some(error) = plugin_error_of(cause) {
        return match error {
            PluginError::Unreadable { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
                Some("`cargo xtask build` makes the shipped plugins under plugins/".into())
            }
            PluginError::WrongKind { got, .. } => Some(format!(
                "`--plugin` puts a {got} in its own place; the config's `plugins` section names one per kind"
            )),
            PluginError::NotAPlugin { .. } => Some("`hilora-host plugin inspect FILE` tells what a file is".into()),
            PluginError::Manifest { .. } => Some("`hilora-host plugin pack` gives a component its manifest".into()),
            PluginError::Refused { plugin, .. } if plugin.kind == PluginKind::DatasetLoader => Some(
                "`hilora-host plugin inspect FILE` tells which columns a loader reads; a cut download must be repeated"
                    .into(),
            ),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<PrepareError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<TracesError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<HubError>() {
        return error.hint();
    }
    match cause.downcast_ref::<ConfigError>() {
        Some(ConfigError::Unreadable { .. }) => {
            Some("paths are relative to the current folder; `--config FILE` names another config".into())
        }
        Some(ConfigError::Syntax { .. } | ConfigError::Values { .. }) => {
            Some("configs/quickstart.yaml is a working example".into())
        }
        None => None,
    }
}
