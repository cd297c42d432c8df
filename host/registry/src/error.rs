//! What can go wrong with a registry.

use std::io;
use std::path::PathBuf;

use sqlx::migrate::MigrateError;

use hilora_contract::artifact::{ContentHash, FileError};
use hilora_contract::fault::{Blame, Fault};

/// An error of the registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no registry where one was expected.
    #[error("no registry at {path}", path = path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file or folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The machine gives no threads or timers for the database.
    #[error("cannot open the registry {path}", path = path.display())]
    Unopened {
        /// The database's file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The file cannot be opened as a registry.
    #[error("cannot open the registry {path}", path = path.display())]
    Unusable {
        /// The database's file.
        path: PathBuf,
        /// The database's words.
        source: sqlx::Error,
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
    #[error("the registry has no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// An adapter's files are not those that were measured.
    #[error(
        "the adapter in {folder} has changed since it was measured: expected the hash {expected}, got {got}",
        folder = folder.display()
    )]
    OtherFiles {
        /// The adapter's folder.
        folder: PathBuf,
        /// The hash of what was measured.
        expected: ContentHash,
        /// The hash of what is there.
        got: ContentHash,
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
    #[error("the registry {path} failed while {doing}", path = path.display())]
    Database {
        /// The database's file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The database's words.
        source: sqlx::Error,
    },
}

impl Fault for RegistryError {
    fn blame(&self) -> Blame {
        match self {
            Self::Absent { .. }
            | Self::Rejected { .. }
            | Self::BadName { .. }
            | Self::NotFound { .. }
            | Self::OtherFiles { .. } => Blame::User,
            Self::File(error) => error.blame(),
            Self::Unusable { source, .. } | Self::Database { source, .. } => blame_of_database(source),
            Self::DamagedRow { .. } | Self::Unopened { .. } => Blame::Machine,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::Absent { .. } => "the main job registers there what passes the gate; `--registry FILE` names another",
            Self::NotFound { .. } => "`hilora-host registry list` shows what it has",
            Self::OtherFiles { .. } => "`hilora-host evaluate` measures what is there now",
            Self::Unopened { .. }
            | Self::Unusable { .. }
            | Self::Rejected { .. }
            | Self::BadName { .. }
            | Self::DamagedRow { .. }
            | Self::Database { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Whose fault it is that the database refuses. A file that is no database, one that a newer program wrote and a path that
/// cannot be one were named by the user.
fn blame_of_database(error: &sqlx::Error) -> Blame {
    const SQLITE_CANTOPEN: u32 = 14;
    const SQLITE_NOTADB: u32 = 26;
    match error {
        sqlx::Error::Io(error) => Blame::of_writing(error),
        sqlx::Error::Migrate(migration) => match &**migration {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => blame_of_database(error),
            // What the file says of its own shape is not what any version of this program writes.
            _ => Blame::User,
        },
        other => match sqlite_code(other) {
            Some(SQLITE_CANTOPEN | SQLITE_NOTADB) => Blame::User,
            _ => Blame::Machine,
        },
    }
}

/// SQLite's code of an error, without what its extended codes refine.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(|database| database.code());
    code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_machines_and_a_changed_adapter_the_users() {
        let writing = |kind| RegistryError::from(FileError::writing("adapters", io::Error::from(kind)));
        assert_eq!(writing(io::ErrorKind::StorageFull).blame(), Blame::Machine);
        let hash = ContentHash::of(b"");
        let other = RegistryError::OtherFiles { folder: PathBuf::new(), expected: hash, got: hash };
        assert_eq!((other.blame(), other.hints().len()), (Blame::User, 1));
        let damaged = |source| RegistryError::Database { path: PathBuf::new(), doing: "listing versions", source };
        assert_eq!(damaged(sqlx::Error::PoolClosed).blame(), Blame::Machine);
        let newer = sqlx::Error::from(MigrateError::VersionMissing(7));
        assert_eq!(RegistryError::Unusable { path: PathBuf::new(), source: newer }.blame(), Blame::User);
    }
}
