//! What became of commits afterwards, for people: reverted, expired, overridden, or still to expire.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::undo::Override;
use super::{Journal, RecordError};
use crate::model::outcome::Became;

/// A reaction in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionRow {
    /// The plugin's name.
    pub plugin: String,
    /// Its end, or `pending`.
    pub outcome: String,
    /// The reaction that it takes back.
    pub reverts: Option<i64>,
    /// What became of its commit.
    pub became: Option<Became>,
}

/// What became of a reaction's commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Afterwards {
    /// The reaction that takes it back, or has.
    pub reverted_by: Option<i64>,
    /// When the gateway takes it back by itself.
    pub expires_us: Option<i64>,
    /// Why the gateway cannot take it back.
    pub irrevertible: Option<String>,
    /// Where a person's revert of it was seen.
    pub overridden: Option<Override>,
    /// All that in one word.
    pub became: Option<Became>,
}

/// What is read of each reaction beside its own row, and from where.
pub(super) const COLUMNS: &str = "v.id AS revert_id, v.outcome AS revert_outcome, v.reverted_by AS revert_by, \
     u.expires_us, u.missing, o.head, o.seen_us";
pub(super) const TABLES: &str = "LEFT JOIN undos u ON u.reaction_id = r.id \
     LEFT JOIN overrides o ON o.reaction_id = r.id LEFT JOIN reactions v ON v.reverts = r.id \
     AND (v.outcome IS NULL OR v.outcome IN ('committed', 'unchanged'))";

/// The condition that a reaction `r` has this word.
pub(super) fn condition(became: Became) -> &'static str {
    match became {
        Became::Overridden => "EXISTS (SELECT 1 FROM overrides o WHERE o.reaction_id = r.id)",
        Became::Expired => {
            "EXISTS (SELECT 1 FROM reactions v WHERE v.reverts = r.id AND v.reverted_by = 'expiry' \
             AND v.outcome IN ('committed', 'unchanged'))"
        }
        Became::Reverted => {
            "EXISTS (SELECT 1 FROM reactions v WHERE v.reverts = r.id AND v.reverted_by = 'request' \
             AND v.outcome IN ('committed', 'unchanged'))"
        }
    }
}

/// Of a row that has [`COLUMNS`].
pub(super) fn read(row: &SqliteRow, reaction: i64) -> Result<Afterwards, RecordError> {
    let overridden = match row.try_get::<Option<String>, _>("head")? {
        Some(head) => Some(Override { reaction, head, seen_us: row.try_get("seen_us")? }),
        None => None,
    };
    let is_done = row.try_get::<Option<&str>, _>("revert_outcome")?.is_some();
    let became = match row.try_get::<Option<&str>, _>("revert_by")? {
        _ if overridden.is_some() => Some(Became::Overridden),
        Some("expiry") if is_done => Some(Became::Expired),
        Some(_) if is_done => Some(Became::Reverted),
        _ => None,
    };
    Ok(Afterwards {
        reverted_by: row.try_get("revert_id")?,
        expires_us: row.try_get("expires_us")?,
        irrevertible: row.try_get("missing")?,
        overridden,
        became,
    })
}

impl Journal {
    /// An event's reactions, in the order they were made.
    pub(super) async fn reaction_rows(&self, event: i64) -> Result<Vec<ReactionRow>, RecordError> {
        let sql = "SELECT r.id, r.plugin, coalesce(r.outcome, 'pending') AS ended, r.reverts, ";
        let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(sql);
        query.push(COLUMNS).push(" FROM reactions r ").push(TABLES);
        query.push(" WHERE r.event_seq = ").push_bind(event).push(" ORDER BY r.id");
        let rows = query.build().fetch_all(&self.readers).await?;
        let reaction = |row: &SqliteRow| {
            Ok(ReactionRow {
                plugin: row.try_get("plugin")?,
                outcome: row.try_get("ended")?,
                reverts: row.try_get("reverts")?,
                became: read(row, row.try_get("id")?)?.became,
            })
        };
        rows.iter().map(reaction).collect()
    }
}
