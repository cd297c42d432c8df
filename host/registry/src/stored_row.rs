//! A stored row: a version's columns as they stand in the table, and the hash over all of them.
//!
//! The hash is no secret: it shows damage and edits by hand, not an edit by somebody who computes it anew.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::adapter_store::AdapterStore;
use super::error::RegistryError;
use super::version::{Version, VersionContent};
use hilora_contract::artifact::ContentHash;

/// The columns of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRow {
    pub(crate) name: String,
    pub(crate) version: i64,
    adapter: String,
    adapter_folder: String,
    base_model: String,
    dataset_manifest: String,
    config: String,
    evaluation: String,
    code_version: String,
    summary: String,
    gate: String,
    gate_passed: i64,
    created_unix_s: i64,
    /// Whether the files are the registry's own.
    kept: i64,
    /// What stands there as the hash of the others.
    row_hash: Option<String>,
}

/// A row of which some column cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadableRow {
    /// Its name, if that can be read.
    pub(crate) name: Option<String>,
    /// Its version, if that can be read.
    pub(crate) version: Option<i64>,
    /// The database's words.
    pub(crate) problem: String,
}

impl UnreadableRow {
    /// What can be said of a row that could not be read for this reason.
    pub(crate) fn of(row: &SqliteRow, error: &sqlx::Error) -> Self {
        let (name, version) = (row.try_get("name").ok(), row.try_get("version").ok());
        Self { name, version, ..Self::without_columns(error) }
    }

    /// A row of which the database gives nothing.
    pub(crate) fn without_columns(error: &sqlx::Error) -> Self {
        Self { name: None, version: None, problem: error.to_string() }
    }
}

impl StoredRow {
    /// The columns in the order in which they are hashed and bound; the hash itself is the last.
    pub(crate) const COLUMNS: &str = "name, version, adapter, adapter_folder, base_model, dataset_manifest, config, \
                                      evaluation, code_version, summary, gate, gate_passed, created_unix_s, kept, row_hash";

    /// The row of a version whose files are in the registry's store.
    pub(crate) fn new(content: &VersionContent, version: i64, created_unix_s: i64) -> Self {
        let mut row = Self {
            name: content.name.clone(),
            version,
            adapter: content.adapter.to_string(),
            adapter_folder: AdapterStore::relative(content.adapter),
            base_model: content.base_model.to_string(),
            dataset_manifest: content.dataset_manifest.to_string(),
            config: content.config.to_string(),
            evaluation: content.evaluation.to_string(),
            code_version: content.code_version.clone(),
            summary: content.summary.to_string(),
            gate: content.gate.to_string(),
            gate_passed: i64::from(content.gate_passed),
            created_unix_s,
            kept: 1,
            row_hash: None,
        };
        row.row_hash = Some(row.hash().to_string());
        row
    }

    /// Reads a row as it stands, whatever its hash.
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            version: row.try_get("version")?,
            adapter: row.try_get("adapter")?,
            adapter_folder: row.try_get("adapter_folder")?,
            base_model: row.try_get("base_model")?,
            dataset_manifest: row.try_get("dataset_manifest")?,
            config: row.try_get("config")?,
            evaluation: row.try_get("evaluation")?,
            code_version: row.try_get("code_version")?,
            summary: row.try_get("summary")?,
            gate: row.try_get("gate")?,
            gate_passed: row.try_get("gate_passed")?,
            created_unix_s: row.try_get("created_unix_s")?,
            kept: row.try_get("kept")?,
            row_hash: row.try_get("row_hash")?,
        })
    }

    /// The hash over all other columns.
    pub(crate) fn hash(&self) -> ContentHash {
        let [version, gate_passed, created, kept] =
            [self.version, self.gate_passed, self.created_unix_s, self.kept].map(|number| number.to_le_bytes());
        ContentHash::of_parts([
            self.name.as_bytes(),
            &version,
            self.adapter.as_bytes(),
            self.adapter_folder.as_bytes(),
            self.base_model.as_bytes(),
            self.dataset_manifest.as_bytes(),
            self.config.as_bytes(),
            self.evaluation.as_bytes(),
            self.code_version.as_bytes(),
            self.summary.as_bytes(),
            self.gate.as_bytes(),
            &gate_passed,
            &created,
            &kept,
        ])
    }

    /// The statement that adds the row.
    pub(crate) fn insert(&self) -> sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
        let query = format!(
            "INSERT INTO adapter_versions ({}) VALUES \
             ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            Self::COLUMNS
        );
        sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(&self.name)
            .bind(self.version)
            .bind(&self.adapter)
            .bind(&self.adapter_folder)
            .bind(&self.base_model)
            .bind(&self.dataset_manifest)
            .bind(&self.config)
            .bind(&self.evaluation)
            .bind(&self.code_version)
            .bind(&self.summary)
            .bind(&self.gate)
            .bind(self.gate_passed)
            .bind(self.created_unix_s)
            .bind(self.kept)
            .bind(&self.row_hash)
    }

    /// The version that the row tells of; an error if it is not what was written.
    pub(crate) fn into_version(self, store: &AdapterStore) -> Result<Version, RegistryError> {
        let damaged = |column, message: String| RegistryError::DamagedRow {
            name: self.name.clone(),
            version: self.version,
            column,
            message,
        };
        let hash = self.hash();
        if self.row_hash.as_deref() != Some(hash.to_string().as_str()) {
            let stands = self.row_hash.as_deref().unwrap_or("none");
            return Err(damaged("row_hash", format!("expected {hash}, which is the hash of the row, got {stands}")));
        }
        let of_text = |column, text: &String| text.parse::<ContentHash>().map_err(|message| damaged(column, message));
        let json = |column, text: &str| serde_json::from_str(text).map_err(|error| damaged(column, error.to_string()));
        let adapter = of_text("adapter", &self.adapter)?;
        let stored = store.path(adapter);
        // A version from before there was a store has its files there if the same adapter was registered again.
        let adapter_folder =
            if self.kept != 0 || stored.is_dir() { stored } else { self.adapter_folder.clone().into() };
        let version = u64::try_from(self.version).map_err(|error| damaged("version", error.to_string()))?;
        let content = VersionContent {
            adapter,
            base_model: of_text("base_model", &self.base_model)?,
            dataset_manifest: of_text("dataset_manifest", &self.dataset_manifest)?,
            config: of_text("config", &self.config)?,
            evaluation: of_text("evaluation", &self.evaluation)?,
            summary: json("summary", &self.summary)?,
            gate: json("gate", &self.gate)?,
            gate_passed: self.gate_passed != 0,
            code_version: self.code_version.clone(),
            name: self.name.clone(),
        };
        Ok(Version { version, created_unix_s: self.created_unix_s, adapter_folder, content })
    }
}
