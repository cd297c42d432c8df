//! The store of versions: a registry in one SQLite file. The queries are those that PostgreSQL takes too.
//!
//! A version's number is chosen inside the transaction that adds it, which holds the write lock from its first
//! statement: two processes never choose the same one, and a kill leaves either the whole row or none.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sqlx::Connection;

use super::adapter_store::AdapterStore;
use super::database::Database;
use super::error::{RegistryError, is_damage};
use super::stored_row::{StoredRow, UnreadableRow};
use super::version::{Version, VersionContent};
use hilora_contract::artifact::FileError;

/// An open registry.
pub struct Registry {
    pub(crate) adapters: AdapterStore,
    pub(crate) database: Database,
}

/// What `register` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Registration {
    /// The version, old or new.
    pub version: Version,
    /// Whether it was there before: the same adapter with the same evaluation registers once.
    pub already_there: bool,
}

impl Registry {
    /// Opens the registry in this file, which is made if it is missing.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| FileError::writing(path, error))?;
        }
        Ok(Self { adapters: AdapterStore::beside(path), database: Database::open(path)? })
    }

    /// Opens the registry in this file, which must exist.
    pub fn open_existing(path: &Path) -> Result<Self, RegistryError> {
        if path.is_file() { Self::open(path) } else { Err(RegistryError::Absent { path: path.to_owned() }) }
    }

    /// Copies an adapter's files, which must have the content's hash, and adds a version, or finds the one that already
    /// holds this adapter with this evaluation.
    pub fn register(&self, content: &VersionContent, adapter_folder: &Path) -> Result<Registration, RegistryError> {
        check_name(&content.name)?;
        if !content.gate_passed {
            return Err(RegistryError::Rejected { name: content.name.clone() });
        }
        // The files come first: a kill leaves files that no version names, never a version without files.
        // The store is held until the row is there, so that who holds it never sees files whose row is on its way.
        let held = self.adapters.hold()?;
        held.keep(content.adapter, adapter_folder)?;
        let created_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs() as i64);
        let (row, already_there) = self.add(content, created_unix_s)?;
        drop(held);
        Ok(Registration { version: row.into_version(&self.adapters)?, already_there })
    }

    /// The row of this content, and whether it was there before.
    fn add(&self, content: &VersionContent, created_unix_s: i64) -> Result<(StoredRow, bool), RegistryError> {
        self.database.ask("registering a version", async |connection| {
            // IMMEDIATE takes the write lock at once, so that what is read below still holds when the row is added.
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let same = sqlx::query(sqlx::AssertSqlSafe(format!(
                "SELECT {} FROM adapter_versions WHERE name = $1 AND adapter = $2 AND evaluation = $3",
                StoredRow::COLUMNS
            )))
            .bind(&content.name)
            .bind(content.adapter.to_string())
            .bind(content.evaluation.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some(row) = same {
                return Ok((StoredRow::read(&row)?, true));
            }
            let latest: i64 =
                sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM adapter_versions WHERE name = $1")
                    .bind(&content.name)
                    .fetch_one(&mut *transaction)
                    .await?;
            let row = StoredRow::new(content, latest + 1, created_unix_s);
            row.insert().execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok((row, false))
        })
    }

    /// Every version, by name and number.
    pub fn list(&self) -> Result<Vec<Version>, RegistryError> {
        let query = format!("SELECT {} FROM adapter_versions ORDER BY name, version", StoredRow::COLUMNS);
        let rows: Vec<StoredRow> = self.database.ask("listing versions", async |connection| {
            let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
            rows.iter().map(StoredRow::read).collect()
        })?;
        rows.into_iter().map(|row| row.into_version(&self.adapters)).collect()
    }

    /// Every row by name and number, each read by itself: one that cannot be read hides no other.
    pub(crate) fn rows_one_by_one(&self) -> Result<Vec<Result<StoredRow, UnreadableRow>>, RegistryError> {
        let query = format!("SELECT {} FROM adapter_versions WHERE rowid = $1", StoredRow::COLUMNS);
        let mut rows = self.database.ask("listing versions", async |connection| {
            // The table itself is read and not its index, which another page holds.
            let ids = "SELECT rowid FROM adapter_versions NOT INDEXED ORDER BY rowid";
            let ids: Vec<i64> = sqlx::query_scalar(ids).fetch_all(&mut *connection).await?;
            let mut rows = Vec::new();
            for id in ids {
                let row = sqlx::query(sqlx::AssertSqlSafe(query.as_str())).bind(id).fetch_one(&mut *connection).await;
                rows.push(match row {
                    Ok(row) => StoredRow::read(&row).map_err(|error| UnreadableRow::of(&row, &error)),
                    Err(error) if is_damage(&error) => Err(UnreadableRow::without_columns(&error)),
                    Err(error) => return Err(error),
                });
            }
            Ok(rows)
        })?;
        rows.sort_by_cached_key(|row| match row {
            Ok(row) => (Some(row.name.clone()), Some(row.version)),
            Err(row) => (row.name.clone(), row.version),
        });
        Ok(rows)
    }

    /// One version; without a number, the latest.
    pub fn show(&self, name: &str, version: Option<u64>) -> Result<Version, RegistryError> {
        // The list is by rising version, so the latest is the last that matches.
        let found = self
            .list()?
            .into_iter()
            .rfind(|row| row.content.name == name && version.is_none_or(|number| row.version == number));
        found.ok_or_else(|| RegistryError::not_found(name, version))
    }
}

fn check_name(name: &str) -> Result<(), RegistryError> {
    let fine = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if fine { Ok(()) } else { Err(RegistryError::BadName { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::AdapterFiles;
    use hilora_contract::artifact::{ContentHash, hash_of_artifact};
    use serde_json::json;
    use sqlx::migrate::Migrator;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
    use std::path::PathBuf;

    /// The folder of an adapter with these weights, and a version of it.
    fn adapter(folder: &Path, name: &str, weights: &str) -> (VersionContent, PathBuf) {
        let adapter = folder.join("runs").join(weights);
        std::fs::create_dir_all(&adapter).expect("a folder can be made");
        std::fs::write(adapter.join("adapter_model.safetensors"), weights).expect("a file can be written");
        let hash = hash_of_artifact(&adapter).expect("it can be read");
        (content(name, hash), adapter)
    }

    fn content(name: &str, adapter: ContentHash) -> VersionContent {
        VersionContent {
            name: name.to_owned(),
            adapter,
            base_model: ContentHash::of(b"base"),
            dataset_manifest: ContentHash::of(b"manifest"),
            config: ContentHash::of(b"config"),
            evaluation: ContentHash::of(b"evaluation"),
            code_version: "0.1.0".to_owned(),
            summary: json!({"pass_at_1": 0.66}),
            gate: json!({"passed": true}),
            gate_passed: true,
        }
    }

    #[test]
    fn versions_count_up_for_each_name_and_survive_closing() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("new/registry.sqlite");
        let registry = Registry::open(&path)?;
        let (one, one_folder) = adapter(folder.path(), "python-lora", "1");
        let (two, two_folder) = adapter(folder.path(), "python-lora", "2");
        let other = VersionContent { name: "math-lora".to_owned(), ..one.clone() };
        assert_eq!(registry.register(&one, &one_folder)?.version.version, 1);
        assert_eq!(registry.register(&two, &two_folder)?.version.version, 2);
        assert_eq!(registry.register(&other, &one_folder)?.version.version, 1);
        drop(registry);
        let registry = Registry::open_existing(&path)?;
        let listed: Vec<_> = registry.list()?.into_iter().map(|row| (row.content.name, row.version)).collect();
        assert_eq!(listed, [("math-lora".into(), 1), ("python-lora".into(), 1), ("python-lora".into(), 2)]);
        assert_eq!(registry.show("python-lora", None)?.content, two);
        assert_eq!(registry.show("python-lora", Some(1))?.content, one);
        Ok(())
    }

    #[test]
    fn the_same_adapter_and_evaluation_register_once() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::open(&folder.path().join("registry.sqlite"))?;
        let (content, from) = adapter(folder.path(), "python-lora", "1");
        let first = registry.register(&content, &from)?;
        let again = registry.register(&content, &from)?;
        assert!(!first.already_there && again.already_there);
        assert_eq!(first.version, again.version);
        // The same adapter measured anew is a new version.
        let measured_anew = VersionContent { evaluation: ContentHash::of(b"another evaluation"), ..content };
        assert_eq!(registry.register(&measured_anew, &from)?.version.version, 2);
        Ok(())
    }

    #[test]
    fn a_version_outlives_its_run_and_says_when_its_own_files_do_not() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::open(&folder.path().join("registry.sqlite"))?;
        let (content, from) = adapter(folder.path(), "python-lora", "1");
        let registered = registry.register(&content, &from)?.version;
        assert_eq!(registered.adapter_folder, folder.path().join("adapters").join(content.adapter.to_string()));
        std::fs::remove_dir_all(&from).expect("the run can be removed");
        let version = registry.show("python-lora", None)?;
        assert_eq!((&version, version.has_files()), (&registered, true));
        assert_eq!(version.check_files(), AdapterFiles::Whole);

        let weights = version.adapter_folder.join("adapter_model.safetensors");
        std::fs::write(&weights, "others").expect("a file can be written");
        let hash = hash_of_artifact(&version.adapter_folder).expect("it can be read");
        assert_eq!((version.has_files(), version.check_files()), (true, AdapterFiles::Changed { hash }));
        std::fs::remove_dir_all(&version.adapter_folder).expect("it can be removed");
        assert_eq!((version.has_files(), version.check_files()), (false, AdapterFiles::Missing));
        // The same adapter from another run heals it.
        let (content, from) = adapter(folder.path(), "python-lora", "1");
        assert!(registry.register(&content, &from)?.already_there);
        assert_eq!(registry.show("python-lora", None)?.check_files(), AdapterFiles::Whole);
        Ok(())
    }

    #[test]
    fn versions_from_before_there_was_a_store_keep_their_folder() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("registry.sqlite");
        let (content, from) = adapter(folder.path(), "python-lora", "1");
        // What the first migration alone made, with a row as it was written then.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("a database");
            let all = sqlx::migrate!("src/migrations/sqlite");
            let first = Migrator { migrations: all.migrations[..1].to_vec().into(), ..Migrator::DEFAULT };
            first.run(&pool).await.expect("the first migration");
            let hash = content.adapter.to_string();
            sqlx::query("INSERT INTO adapter_versions VALUES ('python-lora', 1, $1, $2, $1, $1, $1, $1, '0.1.0', '{}', '{}', 1, 7)")
                .bind(&hash)
                .bind(from.display().to_string())
                .execute(&pool)
                .await
                .expect("a row of then");
            pool.close().await;
        });
        let registry = Registry::open_existing(&path)?;
        let version = registry.show("python-lora", Some(1))?;
        assert_eq!((&version.adapter_folder, version.created_unix_s), (&from, 7));
        assert_eq!(version.check_files(), AdapterFiles::Whole);
        // A new version of the same adapter puts its files into the store, where the old one finds them, too.
        let added = registry.register(&content, &from)?;
        assert_eq!((added.version.version, added.already_there), (2, false));
        let stored = folder.path().join("adapters").join(content.adapter.to_string());
        assert_eq!(registry.show("python-lora", Some(1))?.adapter_folder, stored);
        Ok(())
    }

    #[test]
    fn refuses_a_rejected_adapter_and_a_bad_name() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::open(&folder.path().join("registry.sqlite"))?;
        let (content, from) = adapter(folder.path(), "python-lora", "1");
        let rejected = VersionContent { gate_passed: false, ..content.clone() };
        assert!(matches!(registry.register(&rejected, &from), Err(RegistryError::Rejected { .. })));
        let misnamed = VersionContent { name: "../python".to_owned(), ..content.clone() };
        assert!(matches!(registry.register(&misnamed, &from), Err(RegistryError::BadName { .. })));
        let other = VersionContent { adapter: ContentHash::of(b"other files"), ..content };
        assert!(matches!(registry.register(&other, &from), Err(RegistryError::OtherFiles { .. })));
        assert!(registry.list()?.is_empty());
        assert!(matches!(registry.show("python-lora", None), Err(RegistryError::NotFound { .. })));
        Ok(())
    }

    #[test]
    fn rows_never_change() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::open(&folder.path().join("registry.sqlite"))?;
        let (content, from) = adapter(folder.path(), "python-lora", "1");
        registry.register(&content, &from)?;
        for statement in ["UPDATE adapter_versions SET version = 7", "DELETE FROM adapter_versions"] {
            let refused = registry
                .database
                .ask("changing a row", async |connection| sqlx::query(statement).execute(connection).await.map(|_| ()));
            let refused = refused.expect_err("a trigger stands in the way");
            let message = std::error::Error::source(&refused).expect("the database's words").to_string();
            assert!(message.contains("append only"), "{message}");
        }
        assert_eq!(registry.list()?.len(), 1);
        Ok(())
    }

    #[test]
    fn a_file_that_is_no_database_is_left_alone() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("registry.sqlite");
        std::fs::write(
            &path,
            "a text that is longer than the header of a database file, which has 100 bytes. ".repeat(9),
        )?;
        let before = std::fs::read(&path)?;
        assert!(matches!(Registry::open(&path), Err(RegistryError::NoRegistry { .. })));
        assert_eq!(std::fs::read(&path)?, before);
        assert!(matches!(Registry::open_existing(&folder.path().join("none")), Err(RegistryError::Absent { .. })));
        assert!(!folder.path().join("none").exists());
        Ok(())
    }
}
