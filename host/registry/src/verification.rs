//! Verification: whether everything that was registered is still what it was: the file's pages, every row, every adapter's
//! files, and what in the store no version names. It tells what is wrong and mends nothing; opening a file of an earlier
//! version of this program brings its tables to this one's shape first, unless its pages are damaged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::adapter_store::AdapterStore;
use super::database::Database;
use super::error::RegistryError;
use super::store::Registry;
use super::version::{AdapterFiles, Version};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verification {
    /// What is wrong with the database's file; empty if it is whole.
    pub database: Vec<String>,
    /// The versions whose rows are whole, and what has become of their files.
    pub versions: Vec<VerifiedVersion>,
    /// The rows that are not what was written.
    pub damaged_rows: Vec<DamagedRow>,
    /// What is in the store and no version names: files of a registration that was killed before its version was added,
    /// or of a version whose row is lost. Empty if only some versions were asked for.
    pub unnamed: Vec<PathBuf>,
    /// Adapters in the store that no whole row names, while something is wrong with the database: they may be the files of
    /// a row that cannot be read. Empty if only some versions were asked for.
    pub unassigned: Vec<PathBuf>,
}

/// A version whose row is whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifiedVersion {
    /// The version.
    #[serde(flatten)]
    pub version: Version,
    /// Its files, which were read.
    pub files: AdapterFiles,
}

/// A row that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedRow {
    /// The name that stands there, if it can be read.
    pub name: Option<String>,
    /// The version that stands there, if it can be read.
    pub version: Option<i64>,
    /// What is wrong.
    pub problem: String,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        let files_are_whole = self.versions.iter().all(|version| version.files == AdapterFiles::Whole);
        let store_is_whole = self.unnamed.is_empty() && self.unassigned.is_empty();
        self.database.is_empty() && self.damaged_rows.is_empty() && store_is_whole && files_are_whole
    }
}

impl Registry {
    /// Verifies the registry in this file: all of it, or the versions of one name, or one version. A file of which nothing
    /// can be read is an error.
    pub fn verify(path: &Path, only: Option<(&str, Option<u64>)>) -> Result<Verification, RegistryError> {
        if !path.is_file() {
            return Err(RegistryError::Absent { path: path.to_owned() });
        }
        let (database, damage) = Database::open_to_verify(path).map_err(RegistryError::while_verifying)?;
        let registry = Self { adapters: AdapterStore::beside(path), database };
        let mut found = Verification { database: damage, ..Verification::default() };
        // The store comes first: whatever is in it has its row by then, because a registration holds the store until the
        // row is there.
        let (listed, held) = registry.adapters.hold_to_list()?;
        let rows = match registry.rows_one_by_one() {
            Ok(rows) => rows,
            // What is wrong with the file is the reason, and is told.
            Err(error) if matches!(error, RegistryError::Damaged { .. }) || !found.database.is_empty() => {
                found.database.push(error.to_string());
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        // The files are read without: that may take long, and what has its row stays.
        drop(held);
        let is_wanted = |name: Option<&str>, version: Option<i64>| {
            only.is_none_or(|(wanted, number)| {
                name.is_none_or(|name| name == wanted)
                    && (number.is_none() || version.is_none_or(|version| u64::try_from(version).ok() == number))
            })
        };
        let mut named = BTreeSet::new();
        for row in rows {
            let (name, number) = match &row {
                Ok(row) => (Some(row.name.clone()), Some(row.version)),
                Err(row) => (row.name.clone(), row.version),
            };
            let version = row
                .map_err(|row| row.problem)
                .and_then(|row| row.into_version(&registry.adapters).map_err(|error| error.to_string()));
            named.extend(version.as_ref().ok().map(|version| version.content.adapter));
            if !is_wanted(name.as_deref(), number) {
                continue;
            }
            match version {
                Ok(version) => found.versions.push(VerifiedVersion { files: version.check_files(), version }),
                Err(problem) => found.damaged_rows.push(DamagedRow { name, version: number, problem }),
            }
        }
        let Some((name, number)) = only else {
            let not_named = listed.adapters.into_iter().filter(|adapter| !named.contains(adapter));
            let not_named = not_named.map(|adapter| registry.adapters.path(adapter));
            // What a damaged row names cannot be known, nor how many rows are lost.
            if found.database.is_empty() && found.damaged_rows.is_empty() {
                found.unnamed.extend(not_named);
            } else {
                found.unassigned.extend(not_named);
            }
            found.unnamed.extend(listed.others);
            return Ok(found);
        };
        if found.database.is_empty() && found.versions.is_empty() && found.damaged_rows.is_empty() {
            return Err(RegistryError::not_found(name, number));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored_row::StoredRow;
    use crate::version::VersionContent;
    use hilora_contract::artifact::{ContentHash, hash_of_artifact};
    use hilora_contract::fault::Fault;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
    use sqlx::{ConnectOptions, Connection};
    use std::fs;
    use std::time::Duration;

    /// A registry with this many versions of `python-lora`, and what each holds.
    fn registry(folder: &Path, versions: u8) -> Result<(PathBuf, Vec<VersionContent>), RegistryError> {
        let path = folder.join("registry.sqlite");
        let registry = Registry::open(&path)?;
        let contents: Vec<(VersionContent, PathBuf)> = (0..versions).map(|number| content(folder, number)).collect();
        contents.iter().try_for_each(|(content, from)| registry.register(content, from).map(drop))?;
        Ok((path, contents.into_iter().map(|(content, _)| content).collect()))
    }

    fn content(folder: &Path, number: u8) -> (VersionContent, PathBuf) {
        let from = folder.join(format!("run-{number}"));
        fs::create_dir_all(&from).expect("a folder can be made");
        fs::write(from.join("adapter_model.safetensors"), [number; 90]).expect("a file can be written");
        let hash = ContentHash::of(&[number]);
        let adapter = hash_of_artifact(&from).expect("it can be read");
        let content = VersionContent {
            name: "python-lora".to_owned(),
            adapter,
            base_model: hash,
            dataset_manifest: hash,
            config: hash,
            evaluation: hash,
            code_version: "0.1.0".to_owned(),
            summary: serde_json::json!({"adapter": {"pass_at": {"1": {"value": 0.66}}}}),
            gate: serde_json::json!({"passed": true}),
            gate_passed: true,
        };
        (content, from)
    }

    /// Opens the file without any of this program's checks.
    fn raw<T>(path: &Path, mode: SqliteJournalMode, question: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(path).journal_mode(mode);
            let mut connection = options.connect().await.expect("it can be opened");
            let answer = question(&mut connection).await;
            connection.close().await.expect("it can be closed");
            answer
        })
    }

    async fn execute(connection: &mut SqliteConnection, statement: &'static str) {
        sqlx::query(statement).execute(connection).await.expect(statement);
    }

    /// Changes rows by hand, past the trigger that forbids it.
    fn edit(path: &Path, statement: &str) {
        raw(path, SqliteJournalMode::Delete, async |connection| {
            let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'adapter_versions_never_change'";
            let trigger: String = sqlx::query_scalar(trigger).fetch_one(&mut *connection).await.expect("the trigger");
            execute(connection, "DROP TRIGGER adapter_versions_never_change").await;
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await.expect("an edit");
            sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(connection).await.expect("the trigger as it was");
        });
    }

    #[test]
    fn what_is_gone_changed_or_unnamed_is_told() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (path, contents) = registry(folder.path(), 3)?;
        let whole = Registry::verify(&path, None)?;
        assert!(whole.is_whole() && whole.versions.len() == 3, "{whole:?}");
        let place = |number: usize| folder.path().join("adapters").join(contents[number].adapter.to_string());
        fs::remove_dir_all(place(0))?;
        fs::write(place(1).join("adapter_model.safetensors"), "others")?;
        // A process that was killed between the copy and the row, and one that was killed in the copy.
        let stale = folder.path().join("adapters").join(ContentHash::of(b"stale").to_string());
        let half = folder.path().join("adapters/.hilora-partial-half-a1B2c3");
        [&stale, &half].iter().try_for_each(fs::create_dir)?;
        let found = Registry::verify(&path, None)?;
        let files: Vec<_> = found.versions.iter().map(|version| version.files.clone()).collect();
        assert_eq!(
            files,
            [AdapterFiles::Missing, AdapterFiles::Changed { hash: hash_of_artifact(&place(1))? }, AdapterFiles::Whole]
        );
        assert_eq!((found.unnamed.clone(), found.is_whole()), (vec![stale, half], false));
        // One version alone.
        let only = |name, version| Registry::verify(&path, Some((name, version)));
        assert!(only("python-lora", Some(3))?.is_whole() && !only("python-lora", Some(1))?.is_whole());
        assert_eq!(only("python-lora", None)?.versions.len(), 3);
        for (name, version) in [("python-lora", Some(4)), ("math-lora", None)] {
            assert!(matches!(only(name, version), Err(RegistryError::NotFound { .. })));
        }
        let absent = Registry::verify(&folder.path().join("none"), None);
        assert!(matches!(absent, Err(RegistryError::Absent { .. })));
        Ok(())
    }

    #[test]
    fn a_row_that_was_edited_is_refused_and_the_others_are_verified() -> Result<(), Box<dyn std::error::Error>> {
        for edit_of_a_row in [
            "UPDATE adapter_versions SET summary = replace(summary, '0.66', '0.96') WHERE version = 2",
            "UPDATE adapter_versions SET created_unix_s = created_unix_s + 1 WHERE version = 2",
            "UPDATE adapter_versions SET row_hash = NULL WHERE version = 2",
            "UPDATE adapter_versions SET adapter = (SELECT adapter FROM adapter_versions WHERE version = 1) WHERE version = 2",
        ] {
            let folder = tempfile::tempdir()?;
            let (path, _) = registry(folder.path(), 3)?;
            edit(&path, edit_of_a_row);
            let refused = Registry::open_existing(&path)?.list().expect_err("a row was edited");
            assert!(
                refused.to_string().starts_with("python-lora version 2: column `row_hash` is damaged"),
                "{refused}"
            );
            let found = Registry::verify(&path, None)?;
            assert_eq!((found.versions.len(), found.damaged_rows.len(), found.is_whole()), (2, 1, false));
        }
        Ok(())
    }

    /// SQLite's own check passes text that is no UTF-8. The other versions are verified, and no adapter counts as unnamed
    /// while a row cannot be read.
    #[test]
    fn a_cell_that_cannot_be_read_is_one_damaged_row() -> Result<(), Box<dyn std::error::Error>> {
        for (column, name, version) in [
            ("summary", Some("python-lora"), Some(2)),
            ("adapter", Some("python-lora"), Some(2)),
            ("name", None, Some(2)),
            ("version", Some("python-lora"), None),
        ] {
            let folder = tempfile::tempdir()?;
            let (path, contents) = registry(folder.path(), 3)?;
            // Of the length that the table asks for.
            let text = if column == "adapter" { "41c142".to_owned() + &"61".repeat(61) } else { "41c142".to_owned() };
            edit(&path, &format!("UPDATE adapter_versions SET {column} = CAST(X'{text}' AS TEXT) WHERE version = 2"));
            let refused = Registry::open_existing(&path)?.list().expect_err("a row cannot be read");
            assert!(matches!(refused, RegistryError::Damaged { .. }), "{column}: {refused:?}");
            let found = Registry::verify(&path, None)?;
            let [damaged] = found.damaged_rows.as_slice() else { panic!("{column}: {found:?}") };
            assert_eq!((damaged.name.as_deref(), damaged.version), (name, version), "{column}");
            assert!(damaged.problem.contains(column), "{}", damaged.problem);
            let files: Vec<_> = found.versions.iter().map(|one| (one.version.version, one.files.clone())).collect();
            assert_eq!(files, [(1, AdapterFiles::Whole), (3, AdapterFiles::Whole)], "{column}");
            let kept = folder.path().join("adapters").join(contents[1].adapter.to_string());
            assert_eq!((found.unnamed.as_slice(), found.unassigned.as_slice()), (&[][..], &[kept][..]), "{column}");
            assert!(!found.is_whole(), "{column}");
            // It may be one of those that were asked for.
            assert!(!Registry::verify(&path, Some(("python-lora", Some(2))))?.is_whole(), "{column}");
            assert!(Registry::verify(&path, Some(("python-lora", Some(3))))?.versions.len() == 1, "{column}");
        }
        Ok(())
    }

    /// Where nothing of the file can be read, the hint does not send to where one has just been.
    #[test]
    fn verifying_never_names_itself_as_what_would_help() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (path, _) = registry(folder.path(), 1)?;
        raw(&path, SqliteJournalMode::Delete, async |connection| {
            execute(connection, "DROP TRIGGER adapter_versions_never_go").await;
        });
        let listing = Registry::open_existing(&path).err().ok_or("its schema is another")?;
        let verifying = Registry::verify(&path, None).expect_err("its schema is another");
        assert_eq!(listing.to_string(), verifying.to_string());
        assert!(listing.hints().concat().contains("registry verify"));
        assert!(!verifying.hints().concat().contains("registry verify") && !verifying.hints().is_empty());
        assert_eq!(listing.blame(), verifying.blame());
        Ok(())
    }

    #[test]
    fn a_registration_on_its_way_is_no_damage() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (path, _) = registry(folder.path(), 1)?;
        let registry = Registry::open(&path)?;
        let (next, from) = content(folder.path(), 9);
        // The row waits for another writer, and so the files have no row yet.
        let other = Database::open(&path)?;
        let (registered, verified) = std::thread::scope(|threads| {
            let mut running = None;
            let held = other.ask("holding it", async |connection| {
                sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
                let registering = threads.spawn(|| registry.register(&next, &from));
                while !registry.adapters.path(next.adapter).exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let verifying = threads.spawn(|| Registry::verify(&path, None));
                std::thread::sleep(Duration::from_millis(300));
                assert!(!verifying.is_finished(), "it waits for the row");
                running = Some((registering, verifying));
                sqlx::query("ROLLBACK").execute(connection).await.map(drop)
            });
            held.expect("it was held");
            let (registering, verifying) = running.expect("they were begun");
            (registering.join().expect("no panic"), verifying.join().expect("no panic"))
        });
        assert_eq!(registered?.version.version, 2);
        let verified = verified?;
        assert!(verified.is_whole() && verified.versions.len() == 2, "{verified:?}");
        Ok(())
    }

    /// A trigger that is gone, another program's tables, and a shape that this code does not know yet.
    #[test]
    fn tables_that_are_not_those_of_the_migrations_are_refused() -> Result<(), Box<dyn std::error::Error>> {
        type Expected = fn(&RegistryError) -> bool;
        let cases: [(&[&str], Expected); 4] = [
            (&["DROP TRIGGER adapter_versions_never_go"], |error| matches!(error, RegistryError::Damaged { .. })),
            (&["PRAGMA user_version = 2"], |error| matches!(error, RegistryError::Damaged { .. })),
            (&["ALTER TABLE adapter_versions ADD COLUMN later TEXT", "PRAGMA user_version = 4"], |error| {
                matches!(error, RegistryError::Newer { user_version: 4, .. })
            }),
            (
                &["DROP TABLE adapter_versions", "DROP TABLE _sqlx_migrations", "CREATE TABLE notes (note TEXT)"],
                |error| matches!(error, RegistryError::NoRegistry { .. }),
            ),
        ];
        for (statements, expected) in cases {
            let folder = tempfile::tempdir()?;
            let (path, _) = registry(folder.path(), 1)?;
            raw(&path, SqliteJournalMode::Delete, async |connection| {
                for statement in statements {
                    execute(connection, statement).await;
                }
            });
            let refused = Registry::open_existing(&path).err().ok_or("its tables are others")?;
            assert!(expected(&refused), "{statements:?}: {refused}");
        }
        Ok(())
    }

    /// Versions before this one kept a write-ahead log, which a kill leaves. SQLite ends it without a word at the first
    /// damaged frame: what was lost by that shows as files that no version names.
    #[test]
    fn a_damaged_write_ahead_log_never_hangs_and_what_it_loses_is_told() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (path, mut contents) = registry(folder.path(), 2)?;
        let (third, from) = content(folder.path(), 9);
        AdapterStore::beside(&path).hold()?.keep(third.adapter, &from)?;
        let left = folder.path().join("left.sqlite");
        raw(&path, SqliteJournalMode::Wal, async |connection| {
            StoredRow::new(&third, 3, 7).insert().execute(connection).await.expect("a row");
            for end in ["", "-wal"] {
                fs::copy(
                    path.with_file_name(format!("registry.sqlite{end}")),
                    left.with_file_name(format!("left.sqlite{end}")),
                )
                .expect("it can be copied");
            }
        });
        contents.push(third);
        let (file, log) = (fs::read(&left)?, fs::read(left.with_file_name("left.sqlite-wal"))?);
        let list = |log: &[u8]| -> Result<Vec<VersionContent>, RegistryError> {
            fs::write(&path, &file).expect("it can be written");
            fs::write(path.with_file_name("registry.sqlite-wal"), log).expect("it can be written");
            Ok(Registry::open_existing(&path)?.list()?.into_iter().map(|version| version.content).collect())
        };
        assert_eq!(list(&log)?, contents);
        for position in (0..log.len()).step_by(log.len() / 40) {
            let mut damaged = log.clone();
            damaged[position] ^= 0x41;
            let Ok(listed) = list(&damaged) else { continue };
            assert!(contents.starts_with(&listed), "byte {position}: {listed:?}");
            let is_whole = Registry::verify(&path, None)?.is_whole();
            assert_eq!(is_whole, listed.len() == contents.len(), "byte {position}");
        }
        Ok(())
    }
}
