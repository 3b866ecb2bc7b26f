//! Owns the small numbers that stand for names in keys.
//!
//! Invariant: a name keeps its number for ever. After a rollback the memory of numbers is dropped, since some of them may
//! never have been stored.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::codec::{Result, damaged};
use crate::core::names::{BucketName, PoolName, RelayName};

/// What this connection knows of table `name`.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: HashMap<Arc<str>, i64>,
    texts: HashMap<i64, Arc<str>>,
}

impl Names {
    /// Drops the memory.
    pub(super) fn forget(&mut self) {
        self.ids.clear();
        self.texts.clear();
    }

    fn remember(&mut self, id: i64, text: Arc<str>) {
        self.ids.insert(text.clone(), id);
        self.texts.insert(id, text);
    }

    /// The number of a name, when it has one.
    pub(super) fn find(&mut self, conn: &Connection, text: &str) -> Result<Option<i64>> {
        if let Some(id) = self.ids.get(text) {
            return Ok(Some(*id));
        }
        let mut statement = conn.prepare_cached("SELECT id FROM name WHERE text = ?1")?;
        let id = statement.query_row([text], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.remember(id, text.into());
        }
        Ok(id)
    }

    /// The number by which rows are narrowed to a name: `Some(None)` for all of them; `None` when the store has never seen it.
    pub(super) fn narrowed(&mut self, conn: &Connection, text: Option<&str>) -> Result<Option<Option<i64>>> {
        match text {
            None => Ok(Some(None)),
            Some(text) => Ok(self.find(conn, text)?.map(Some)),
        }
    }

    /// The number of a name; a new one gets a number. Only within a writing transaction.
    pub(super) fn id(&mut self, conn: &Connection, text: &str) -> Result<i64> {
        if let Some(id) = self.find(conn, text)? {
            return Ok(id);
        }
        conn.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.execute([text])?;
        let id = conn.last_insert_rowid();
        self.remember(id, text.into());
        Ok(id)
    }

    /// The name of a number.
    pub(super) fn text(&mut self, conn: &Connection, id: i64) -> Result<Arc<str>> {
        if let Some(text) = self.texts.get(&id) {
            return Ok(text.clone());
        }
        let mut statement = conn.prepare_cached("SELECT text FROM name WHERE id = ?1")?;
        let text: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
        let text: Arc<str> = text.ok_or_else(|| damaged("the name number", id))?.into();
        self.remember(id, text.clone());
        Ok(text)
    }

    pub(super) fn relay(&mut self, conn: &Connection, id: i64) -> Result<RelayName> {
        let text = self.text(conn, id)?;
        RelayName::new(&text).map_err(|_| damaged("the relay name", text))
    }

    pub(super) fn bucket(&mut self, conn: &Connection, id: i64) -> Result<BucketName> {
        let text = self.text(conn, id)?;
        BucketName::new(&text).map_err(|_| damaged("the bucket name", text))
    }

    pub(super) fn pool(&mut self, conn: &Connection, id: i64) -> Result<PoolName> {
        let text = self.text(conn, id)?;
        PoolName::new(&text).map_err(|_| damaged("the pool name", text))
    }
}
