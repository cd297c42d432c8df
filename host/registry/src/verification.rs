//! Verification: whether everything that was registered is still what it was. The file's pages, every row, every adapter's
//! files, and what in the store no version names. It finds and mends nothing.

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
    /// The name that stands there.
    pub name: String,
    /// The version that stands there.
    pub version: i64,
    /// What is wrong.
    pub problem: String,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        let files_are_whole = self.versions.iter().all(|version| version.files == AdapterFiles::Whole);
        self.database.is_empty() && self.damaged_rows.is_empty() && self.unnamed.is_empty() && files_are_whole
    }
}

impl Registry {
    /// Verifies the registry in this file: all of it, or the versions of one name, or one version. A file of which nothing
    /// can be read is an error.
    pub fn verify(path: &Path, only: Option<(&str, Option<u64>)>) -> Result<Verification, RegistryError> {
        if !path.is_file() {
            return Err(RegistryError::Absent { path: path.to_owned() });
        }
        let (database, damage) = Database::open_to_verify(path)?;
        let registry = Self { adapters: AdapterStore::beside(path), database };
        let mut found = Verification { database: damage, ..Verification::default() };
        let rows = match registry.rows() {
            Ok(rows) => rows,
            // What is wrong with the file is the reason, and is told.
            Err(error) if !found.database.is_empty() => {
                found.database.push(error.to_string());
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let is_wanted = |name: &str, version: i64| {
            only.is_none_or(|(wanted, number)| {
                name == wanted && number.is_none_or(|number| u64::try_from(version) == Ok(number))
            })
        };
        let mut named = BTreeSet::new();
        for row in rows {
            let (name, number) = (row.name.clone(), row.version);
            let version = row.into_version(&registry.adapters);
            named.extend(version.as_ref().ok().map(|version| version.content.adapter));
            if !is_wanted(&name, number) {
                continue;
            }
            match version {
                Ok(version) => found.versions.push(VerifiedVersion { files: version.check_files(), version }),
                Err(error) => found.damaged_rows.push(DamagedRow { name, version: number, problem: error.to_string() }),
            }
        }
        let Some((name, number)) = only else {
            let (adapters, others) = registry.adapters.entries()?;
            let unnamed = adapters.into_iter().filter(|adapter| !named.contains(adapter));
            found.unnamed = unnamed.map(|adapter| registry.adapters.path(adapter)).chain(others).collect();
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
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
    use sqlx::{ConnectOptions, Connection};
    use std::fs;

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
        for edit in [
            "UPDATE adapter_versions SET summary = replace(summary, '0.66', '0.96') WHERE version = 2",
            "UPDATE adapter_versions SET created_unix_s = created_unix_s + 1 WHERE version = 2",
            "UPDATE adapter_versions SET row_hash = NULL WHERE version = 2",
            "UPDATE adapter_versions SET adapter = (SELECT adapter FROM adapter_versions WHERE version = 1) WHERE version = 2",
        ] {
            let folder = tempfile::tempdir()?;
            let (path, _) = registry(folder.path(), 3)?;
            raw(&path, SqliteJournalMode::Delete, async |connection| {
                let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'adapter_versions_never_change'";
                let trigger: String =
                    sqlx::query_scalar(trigger).fetch_one(&mut *connection).await.expect("the trigger");
                execute(connection, "DROP TRIGGER adapter_versions_never_change").await;
                execute(connection, edit).await;
                sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(connection).await.expect("the trigger as it was");
            });
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
