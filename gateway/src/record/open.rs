//! Opening the journal: the directory, its lock, SQLite's settings, migrations.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, SqliteConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Config, Journal, RecordError, writer};
use crate::clock;

const READERS_MAX: u32 = 4;
const BUSY_MS: u64 = 5_000;
/// The first release without the WAL-reset corruption.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

impl Journal {
    /// Opens the journal under `config.dir`, making it on the first start.
    ///
    /// The handle ends when the last `Journal` is dropped and all writes are on disk; it holds the
    /// directory's lock until then.
    ///
    /// # Errors
    /// When another process holds the directory, or SQLite cannot open or migrate the file.
    pub async fn open(config: &Config) -> Result<(Self, JoinHandle<()>), RecordError> {
        let lock = lock(&config.dir)?;
        let file = config.dir.join("riposte.db");
        let reading = SqliteConnectOptions::new()
            .filename(&file)
            .read_only(true)
            .busy_timeout(Duration::from_millis(BUSY_MS))
            .disable_statement_logging();
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_millis(BUSY_MS))
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        check_version(&mut connection).await?;
        MIGRATIONS.run(&mut connection).await?;
        let name = journal_name(&mut connection).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(reading).await?;
        let (writes, queue) = mpsc::channel(config.queue_writes_max);
        let task = tokio::spawn(writer::run(options, connection, queue, lock));
        Ok((Self { name, writes, readers, queue_writes_max: config.queue_writes_max }, task))
    }
}

/// Two gateways on one journal would both act on each event.
fn lock(dir: &Path) -> Result<File, RecordError> {
    let failed = |reason: String| RecordError::Directory { dir: dir.to_owned(), reason };
    std::fs::create_dir_all(dir).map_err(|error| failed(error.to_string()))?;
    let file = File::create(dir.join("lock")).map_err(|error| failed(error.to_string()))?;
    file.try_lock().map_err(|_| {
        failed("another riposte holds its lock; stop that one, or give this one another directory".to_owned())
    })?;
    Ok(file)
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), RecordError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let found = (next(), next(), next());
    if found < SQLITE_MIN { Err(RecordError::Version(version)) } else { Ok(()) }
}

async fn journal_name(connection: &mut SqliteConnection) -> Result<String, RecordError> {
    sqlx::query(
        "INSERT INTO journal (one, name, created_us) VALUES (1, lower(hex(randomblob(4))), ?) ON CONFLICT DO NOTHING",
    )
    .bind(clock::now_us())
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query("SELECT name FROM journal").fetch_one(connection).await?;
    Ok(row.try_get("name")?)
}
