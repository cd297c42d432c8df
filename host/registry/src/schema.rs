//! The schema: the tables that this program's migrations make, and whether a file has exactly those.
//!
//! What is expected is not written down a second time: an empty database in memory goes through the same migrations. A
//! file may be as any of them left it, because another version of this program wrote it or a process was killed between
//! two.

use sqlx::Connection;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

use super::stored_row::StoredRow;

/// Says in the file's header that it is a registry ("HiLo").
const APPLICATION_ID: i64 = 0x4869_4c6f;
/// The shape of this code's tables, in the file's header once every row has its hash.
const USER_VERSION: i64 = 3;

/// The most problems that are told of a file's pages.
const PROBLEMS_MAX: u32 = 20;

static MIGRATIONS: Migrator = sqlx::migrate!("src/migrations/sqlite");

/// A table, an index or a trigger: its kind, its name, its table and its SQL.
type Entry = (String, String, String, String);

/// What a file holds.
pub(crate) enum Found {
    /// Nothing yet.
    Nothing,
    /// Tables that this code's migrations made, some of them or all.
    Ours,
    /// Tables of a newer program.
    Newer {
        /// What its header says.
        user_version: i64,
    },
    /// Another program's tables.
    Other,
    /// A registry whose schema is not what any version of this program writes.
    Damaged(String),
}

/// Holds a file's schema against what the migrations make.
pub(crate) async fn look(connection: &mut SqliteConnection) -> Result<Found, sqlx::Error> {
    let entries = entries(connection).await?;
    if entries.is_empty() {
        return Ok(Found::Nothing);
    }
    let user_version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let application_id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let stages = stages().await?;
    let stage = stages.iter().position(|expected| *expected == entries);
    let is_sealed = user_version == USER_VERSION && application_id == APPLICATION_ID;
    let is_new = user_version == 0 && application_id == 0;
    Ok(match stage {
        Some(stage) if is_new || (is_sealed && stage + 1 == stages.len()) => Found::Ours,
        Some(_) => Found::Damaged(format!(
            "its header names the application {application_id} and the version {user_version}, which do not fit its tables"
        )),
        None if application_id == APPLICATION_ID && user_version > USER_VERSION => Found::Newer { user_version },
        None if !entries.iter().any(|(_, name, ..)| name == "_sqlx_migrations" || name == "adapter_versions") => {
            Found::Other
        }
        None => {
            let is_expected = |entry: &Entry| stages.iter().any(|stage| stage.contains(entry));
            let odd = entries.iter().find(|entry| !is_expected(entry));
            let name = odd.map_or("an entry is missing".to_owned(), |(kind, name, ..)| format!("{kind} `{name}`"));
            Found::Damaged(format!("its schema is none that this program writes: {name}"))
        }
    })
}

async fn entries(connection: &mut SqliteConnection) -> Result<Vec<Entry>, sqlx::Error> {
    let query = "SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_schema ORDER BY type, name";
    let rows = sqlx::query(query).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))).collect()
}

/// What the schema is before the first migration, and after each.
async fn stages() -> Result<Vec<Vec<Entry>>, sqlx::Error> {
    let mut memory = SqliteConnectOptions::new().in_memory(true).connect().await?;
    let mut stages = Vec::new();
    for count in 0..=MIGRATIONS.migrations.len() {
        let migrations = MIGRATIONS.migrations[..count].to_vec().into();
        Migrator { migrations, ..Migrator::DEFAULT }.run_direct(None, &mut memory, false).await?;
        stages.push(entries(&mut memory).await?);
    }
    memory.close().await?;
    Ok(stages)
}

/// What is wrong with the file's pages and indexes; nothing if they are whole.
pub(crate) async fn check_pages(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let query = format!("PRAGMA integrity_check({PROBLEMS_MAX})");
    let lines: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
    if lines == ["ok"] {
        return Ok(Vec::new());
    }
    let lines: Vec<String> = lines
        .iter()
        .flat_map(|line| line.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    // A list without an `ok` is no clean bill either.
    Ok(if lines.is_empty() { vec!["the check of its pages said nothing".to_owned()] } else { lines })
}

/// Brings the tables to this code's shape.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    Ok(MIGRATIONS.run_direct(None, connection, false).await?)
}

/// Gives every row from before there were hashes its own, and says in the header that all have one. From then on a row
/// without is damaged.
pub(crate) async fn seal(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let sealed = "PRAGMA user_version";
    if sqlx::query_scalar::<_, i64>(sealed).fetch_one(&mut *connection).await? == USER_VERSION {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Another process may have done it until now.
    if sqlx::query_scalar::<_, i64>(sealed).fetch_one(&mut *transaction).await? != USER_VERSION {
        let query = format!("SELECT {} FROM adapter_versions WHERE row_hash IS NULL", StoredRow::COLUMNS);
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut *transaction).await?;
        for row in &rows {
            let row = StoredRow::read(row)?;
            sqlx::query("UPDATE adapter_versions SET row_hash = $1 WHERE name = $2 AND version = $3")
                .bind(row.hash().to_string())
                .bind(&row.name)
                .bind(row.version)
                .execute(&mut *transaction)
                .await?;
        }
        for pragma in
            [format!("PRAGMA application_id = {APPLICATION_ID}"), format!("PRAGMA user_version = {USER_VERSION}")]
        {
            sqlx::query(sqlx::AssertSqlSafe(pragma)).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::artifact::ContentHash;

    /// A file is held against the text of every table, and sqlx writes that of its own: if a new sqlx words it otherwise,
    /// registries that are there would count as damaged. Then both texts must pass.
    #[test]
    fn the_table_of_migrations_is_worded_as_it_ever_was() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let stages = runtime.block_on(stages()).expect("an empty database can be migrated");
        assert_eq!(stages.len(), 4);
        let (_, _, _, sql) = stages[0].iter().find(|(kind, ..)| kind == "table").expect("sqlx makes its table");
        assert!(sql.starts_with("CREATE TABLE _sqlx_migrations ("), "{sql}");
        assert_eq!(ContentHash::of(sql.as_bytes()).short(), "9e366fd739e7");
    }
}
