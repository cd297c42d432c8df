//! The database: one SQLite file, held against what this program writes before anything in it is believed.
//!
//! sqlx runs SQLite on a thread of its own, and a value that it does not expect makes that thread panic, which ends a
//! list of rows as if there were no more. So each question here has an end: its answer, an error, the thread's panic, or
//! a limit of time. A file is opened only if its header, its tables and its pages are whole.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::error::{RegistryError, is_damage, sqlite_code};
use super::schema::{self, Found};
use super::sqlite_thread::{SqliteThread, watch_for_panics};
use hilora_contract::artifact::FileError;

/// How long a process waits for another one, before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long any question may take, waiting for another process included. A registry has a row for each version, so that
/// even the check of all its pages takes milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);
/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether SQLite's thread has panicked.
const PANIC_POLL: Duration = Duration::from_millis(20);

/// What is being done first.
const OPENING: &str = "opening it";

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The connection, or what was being done when it was last waited for: one that was given up in the middle of an answer
/// is of no use.
type Held = Result<SqliteConnection, &'static str>;

/// An open database.
pub(crate) struct Database {
    path: PathBuf,
    // Fields drop in order: the connection must close while its runtime still lives.
    connection: Mutex<Held>,
    /// How long any question may take.
    answer_timeout: Duration,
    thread: SqliteThread,
    runtime: Runtime,
}

impl Database {
    /// Opens the file, which is made if it is missing, holds it against what this program writes and brings its tables to
    /// this code's shape.
    pub(crate) fn open(path: &Path) -> Result<Self, RegistryError> {
        let (database, damage) = Self::open_to_verify(path)?;
        match damage.into_iter().next() {
            Some(found) => Err(RegistryError::Damaged { path: path.to_owned(), found }),
            None => Ok(database),
        }
    }

    /// The same, for whoever looks for damage: what is wrong with the file's pages is told, and such a file is left as it
    /// is.
    ///
    /// Another process may be making the same file at this moment, and SQLite has no lock that spans migrations: the one
    /// that loses tries again.
    pub(crate) fn open_to_verify(path: &Path) -> Result<(Self, Vec<String>), RegistryError> {
        check_header(path)?;
        watch_for_panics();
        let give_up = Instant::now() + BUSY_TIMEOUT;
        // What fails three times as a migration is no race.
        let mut failed_migrations = 0;
        loop {
            let error = match Self::open_once(path) {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let lost = match &error {
                RegistryError::Unusable { source: sqlx::Error::Migrate(migration), .. } => match &**migration {
                    MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
                        failed_migrations += 1;
                        is_busy(cause) || failed_migrations <= 3
                    }
                    _ => false,
                },
                RegistryError::Unusable { source, .. } | RegistryError::Database { source, .. } => is_busy(source),
                _ => false,
            };
            if !lost || Instant::now() >= give_up {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn open_once(path: &Path) -> Result<(Self, Vec<String>), RegistryError> {
        let unopened = |source| RegistryError::Unopened { path: path.to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(unopened)?;
        let thread = SqliteThread::new();
        let name = thread.name().to_owned();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            // A rollback journal and no write-ahead log: what was committed stands in the one file that is checked here,
            // and not for a while in another one whose damaged end SQLite drops without a word.
            .journal_mode(SqliteJournalMode::Delete)
            .foreign_keys(true)
            // The file may say anything: no function of a damaged or foreign schema is called, and each cell is looked
            // at before it is read.
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .busy_timeout(BUSY_TIMEOUT)
            .thread_name(move |_| name.clone())
            .disable_statement_logging();
        let connection = Mutex::new(Err(OPENING));
        let database = Self { path: path.to_owned(), connection, answer_timeout: ANSWER_TIMEOUT, thread, runtime };
        let opening = |source| match is_damage(&source) {
            true => RegistryError::Damaged { path: path.to_owned(), found: source.to_string() },
            false => RegistryError::Unusable { path: path.to_owned(), source },
        };
        let connection = database.within_limits(OPENING, options.connect())?.map_err(opening)?;
        *database.connection.lock().unwrap_or_else(PoisonError::into_inner) = Ok(connection);
        let found = database.ask("looking at its tables", async |connection| schema::look(connection).await)?;
        match found {
            Found::Nothing | Found::Ours => {}
            Found::Newer { user_version } => return Err(RegistryError::Newer { path: path.to_owned(), user_version }),
            Found::Other => return Err(RegistryError::NoRegistry { path: path.to_owned() }),
            Found::Damaged(found) => return Err(RegistryError::Damaged { path: path.to_owned(), found }),
        }
        let damage = database.ask("checking its pages", async |connection| schema::check_pages(connection).await)?;
        if damage.is_empty() {
            let migrated = database.ask("migrating it", async |connection| Ok(schema::migrate(connection).await))?;
            migrated.map_err(opening)?;
            database.ask("sealing its rows", async |connection| schema::seal(connection).await)?;
        }
        Ok((database, damage))
    }

    /// Asks the database. `doing` is what an error says was being done.
    pub(crate) fn ask<T>(
        &self,
        doing: &'static str,
        question: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, RegistryError> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // It is put back only after a whole answer.
        let mut connection = match std::mem::replace(&mut *held, Err(doing)) {
            Ok(connection) => connection,
            Err(earlier) => {
                *held = Err(earlier);
                return Err(self.given_up(earlier));
            }
        };
        let answer = self.within_limits(doing, question(&mut connection))?;
        *held = Ok(connection);
        answer.map_err(|source| self.failed(doing, source))
    }

    /// The answer, unless SQLite's thread panics before or it takes too long.
    fn within_limits<T>(&self, doing: &'static str, answer: impl Future<Output = T>) -> Result<T, RegistryError> {
        let panicked = async {
            while !self.thread.has_panicked() {
                sleep(PANIC_POLL).await;
            }
        };
        let answered = self.runtime.block_on(async {
            let (answer, panicked) = (pin!(answer), pin!(panicked));
            let first = async {
                tokio::select! {
                    answer = answer => Some(answer),
                    () = panicked => None,
                }
            };
            timeout(self.answer_timeout, first).await
        });
        match answered {
            // After a panic an answer is what came before it.
            Ok(Some(answer)) if !self.thread.has_panicked() => Ok(answer),
            _ => Err(self.given_up(doing)),
        }
    }

    /// Why there is no connection any more: its thread has panicked, or gave no answer in time, which says nothing about
    /// the file.
    fn given_up(&self, doing: &'static str) -> RegistryError {
        let path = self.path.clone();
        match self.thread.panic() {
            Some(words) => {
                RegistryError::Damaged { path, found: format!("SQLite's thread ended while {doing}: {words}") }
            }
            None => RegistryError::NoAnswer { path, doing, seconds: self.answer_timeout.as_secs() },
        }
    }

    /// An error of the database while something was being done.
    pub(crate) fn failed(&self, doing: &'static str, source: sqlx::Error) -> RegistryError {
        if is_damage(&source) {
            return RegistryError::Damaged { path: self.path.clone(), found: format!("{doing}: {source}") };
        }
        RegistryError::Database { path: self.path.clone(), doing, source }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let held = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Ok(connection) = std::mem::replace(held, Err("closing it")) {
            // Nothing is lost if it does not close in time: what was committed is in the file.
            let _closed = self.runtime.block_on(async { timeout(CLOSE_TIMEOUT, connection.close()).await });
        }
    }
}

/// Refuses what is no database, before SQLite sees it. An empty file is one in which nothing stands yet.
fn check_header(path: &Path) -> Result<(), RegistryError> {
    use std::io::Read;
    let mut header = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut header));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::reading(path, error).into()),
        Ok(_) if header.is_empty() || header == MAGIC => Ok(()),
        Ok(_) => Err(RegistryError::NoRegistry { path: path.to_owned() }),
    }
}

/// Whether another process holds what was asked for.
fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    sqlite_code(error) == Some(SQLITE_BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::fault::Fault;

    /// Another process that holds the file is no damage, however often it is asked.
    #[test]
    fn a_question_that_takes_too_long_is_no_damage_then_or_later() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("registry.sqlite");
        let mut database = Database::open(&path).expect("a new registry");
        let other = Database::open(&path).expect("the same registry");
        let begun = Instant::now();
        database.answer_timeout = Duration::from_millis(200);
        other
            .ask("holding it", async |connection| {
                sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
                for doing in ["waiting for the other", "asking again"] {
                    let refused = std::thread::scope(|threads| {
                        let question = || {
                            database.ask(doing, async |connection| {
                                sqlx::query("BEGIN IMMEDIATE").execute(connection).await.map(drop)
                            })
                        };
                        threads.spawn(question).join().expect("no panic").expect_err("the other holds it")
                    });
                    assert!(
                        matches!(refused, RegistryError::NoAnswer { doing: "waiting for the other", .. }),
                        "{refused:?}"
                    );
                    assert!(!refused.hints().concat().contains("copy"), "{refused:?}");
                }
                sqlx::query("ROLLBACK").execute(connection).await.map(drop)
            })
            .expect("it was held");
        assert!(begun.elapsed() < BUSY_TIMEOUT, "{:?}", begun.elapsed());
    }

    /// sqlx panics over a column's type that is no text. The schema is held against the expected one before any table is
    /// read, so it takes a question of its own to come so far.
    #[test]
    fn a_panic_of_sqlites_thread_is_an_error_at_once_and_for_ever() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("registry.sqlite");
        let database = Database::open(&path).expect("a new registry");
        let begun = Instant::now();
        let refused = database.ask("looking at an odd table", async |connection| {
            for statement in [
                "CREATE TABLE odd (a T)",
                "INSERT INTO odd VALUES ('a')",
                "PRAGMA writable_schema = ON",
                // CREATE TABLE odd (a T\xff)
                "UPDATE sqlite_schema SET sql = CAST(X'435245415445205441424c45206f646420286120\
                 54ff29' AS TEXT) WHERE name = 'odd'",
                "PRAGMA writable_schema = RESET",
            ] {
                sqlx::query(statement).execute(&mut *connection).await?;
            }
            sqlx::query("SELECT a FROM odd").fetch_all(connection).await.map(|rows| rows.len())
        });
        let error = refused.expect_err("its thread has panicked");
        assert!(matches!(error, RegistryError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("SQLite's thread ended while looking at an odd table: "), "{error}");
        let again = database.ask("asking again", async |_| Ok(())).expect_err("there is no thread");
        assert_eq!(again.to_string(), error.to_string());
        drop(database);
        assert!(begun.elapsed() < CLOSE_TIMEOUT, "{:?}", begun.elapsed());
        // What it left is refused, without a panic.
        let refused = Database::open(&path).err().expect("its schema is another");
        assert!(matches!(refused, RegistryError::Damaged { .. }), "{refused:?}");
    }
}
