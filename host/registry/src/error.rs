//! What can go wrong with a registry.

use std::path::PathBuf;

/// An error of the registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no registry where one was expected.
    #[error("no registry at {path}\nhint: an adapter that passes the gate is registered there by the main job", path = path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be opened as a registry.
    #[error("cannot open the registry {path}: {message}", path = path.display())]
    Unusable {
        /// The database's file.
        path: PathBuf,
        /// The database's words.
        message: String,
    },
    /// The gate said no.
    #[error("{name} was rejected by the gate and is not registered")]
    Rejected {
        /// The adapter.
        name: String,
    },
    /// The name cannot be an adapter's.
    #[error("expected an adapter's name of letters, digits, `-`, `_` and `.`, got `{name}`")]
    BadName {
        /// What was given.
        name: String,
    },
    /// No such version.
    #[error("the registry has no {what}\nhint: `hilora-host registry list` shows what it has")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// A stored row cannot be read.
    #[error("{name} version {version}: column `{column}` is damaged: {message}")]
    DamagedRow {
        /// The adapter.
        name: String,
        /// Its version.
        version: u64,
        /// The column.
        column: &'static str,
        /// Expected and got.
        message: String,
    },
    /// The database refused.
    #[error("the registry {path} failed while {doing}: {source}", path = path.display())]
    Database {
        /// The database's file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The database's words.
        source: sqlx::Error,
    },
}

impl RegistryError {
    /// Whether the caller gave or asked for something wrong, rather than something breaking.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Database { .. } | Self::DamagedRow { .. })
    }
}
