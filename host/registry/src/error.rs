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
    /// The file is something else.
    #[error("{path} is no registry: expected an SQLite database with its tables, got another file", path = path.display())]
    NoRegistry {
        /// The file.
        path: PathBuf,
    },
    /// A newer program made the tables.
    #[error("the registry {path} was written by a newer version of this program: its tables have the version {user_version}", path = path.display())]
    Newer {
        /// The database's file.
        path: PathBuf,
        /// What its header says.
        user_version: i64,
    },
    /// The file is not what any version of this program writes.
    #[error("the registry {path} is damaged: {found}", path = path.display())]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The same, for whoever verifies: nothing of the file can be verified.
    #[error("the registry {path} is damaged: {found}", path = path.display())]
    Unverifiable {
        /// The database's file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The database takes too long.
    #[error("the registry {path} gave no answer within {seconds} s while {doing}", path = path.display())]
    NoAnswer {
        /// The database's file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// Another process holds the store of the adapters for too long.
    #[error("another process held the adapters' store {folder} for more than {seconds} s", folder = folder.display())]
    StoreHeld {
        /// The store's folder.
        folder: PathBuf,
        /// The limit.
        seconds: u64,
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
        version: i64,
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

impl RegistryError {
    /// The error for whoever verifies already.
    pub(crate) fn while_verifying(self) -> Self {
        match self {
            Self::Damaged { path, found } => Self::Unverifiable { path, found },
            other => other,
        }
    }

    /// No such version; without a number, no version at all.
    pub(crate) fn not_found(name: &str, version: Option<u64>) -> Self {
        Self::NotFound {
            what: match version {
                Some(number) => format!("version {number} of `{name}`"),
                None => format!("adapter `{name}`"),
            },
        }
    }
}

/// Where the adapters are, whatever has become of the database.
const FILES: &str = "the adapters' files are in `adapters/` beside the file, each in a folder named by its hash";
/// What mends a database.
const RESCUE: &str = "bring the file back from a copy, or rescue what can be read of it: `sqlite3 OLD .recover | sqlite3 \
                      NEW`; a run whose adapter passed the gate registers it again";

impl Fault for RegistryError {
    fn blame(&self) -> Blame {
        match self {
            Self::Absent { .. }
            | Self::Rejected { .. }
            | Self::BadName { .. }
            | Self::NotFound { .. }
            | Self::NoRegistry { .. }
            | Self::Newer { .. }
            | Self::OtherFiles { .. } => Blame::User,
            Self::File(error) => error.blame(),
            Self::Unusable { source, .. } | Self::Database { source, .. } => blame_of_database(source),
            // Nobody but this program writes the file: what has become of it is the disk's doing.
            Self::Damaged { .. }
            | Self::Unverifiable { .. }
            | Self::DamagedRow { .. }
            | Self::NoAnswer { .. }
            | Self::StoreHeld { .. }
            | Self::Unopened { .. } => Blame::Machine,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::Absent { .. } => "the main job registers there what passes the gate; `--registry FILE` names another",
            Self::NotFound { .. } => "`hilora-host registry list` shows what it has",
            Self::OtherFiles { .. } => "`hilora-host evaluate` measures what is there now",
            Self::NoRegistry { .. } => "`--registry FILE` names another",
            Self::Newer { .. } => "use the newer version of this program",
            Self::Damaged { .. } | Self::DamagedRow { .. } => {
                return vec![
                    format!("`hilora-host registry verify` tells all that is wrong; {FILES}"),
                    RESCUE.to_owned(),
                ];
            }
            Self::Unverifiable { .. } => return vec![FILES.to_owned(), RESCUE.to_owned()],
            Self::NoAnswer { .. } => "does another process hold it?",
            Self::StoreHeld { .. } => "wait for that process to end, then try again",
            Self::Unopened { .. }
            | Self::Unusable { .. }
            | Self::Rejected { .. }
            | Self::BadName { .. }
            | Self::Database { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Whether the database's words are about a file that is not what was written, and not about the machine or a question.
/// The header has been looked at before, so a file that is no database for SQLite is damaged.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    const SQLITE_ERROR: u32 = 1;
    const SQLITE_CORRUPT: u32 = 11;
    const SQLITE_FORMAT: u32 = 24;
    const SQLITE_NOTADB: u32 = 26;
    match error {
        sqlx::Error::Migrate(migration) => match &**migration {
            // A statement that does not fit the tables lost a race against another process's migration.
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                sqlite_code(error) != Some(SQLITE_ERROR) && is_damage(error)
            }
            // The tables are the expected ones, so it is their table of migrations that says something else.
            MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => true,
            _ => false,
        },
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound
        | sqlx::Error::WorkerCrashed => true,
        // Every question is about tables that were just looked at: one that makes no sense meets others.
        other => matches!(sqlite_code(other), Some(SQLITE_ERROR | SQLITE_CORRUPT | SQLITE_FORMAT | SQLITE_NOTADB)),
    }
}

/// Whose fault it is that the database refuses. A path that cannot be a database was named by the user.
fn blame_of_database(error: &sqlx::Error) -> Blame {
    const SQLITE_CANTOPEN: u32 = 14;
    match error {
        sqlx::Error::Io(error) => Blame::of_writing(error),
        sqlx::Error::Migrate(migration) => match &**migration {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => blame_of_database(error),
            _ => Blame::Ours,
        },
        other => match sqlite_code(other) {
            Some(SQLITE_CANTOPEN) => Blame::User,
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
        let newer = RegistryError::Newer { path: PathBuf::new(), user_version: 7 };
        assert_eq!((newer.blame(), newer.hints().len()), (Blame::User, 1));
        let damaged = RegistryError::Damaged { path: PathBuf::new(), found: String::new() };
        assert_eq!((damaged.blame(), damaged.hints().len()), (Blame::Machine, 2));
    }
}
