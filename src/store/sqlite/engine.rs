//! Owns the threads that own connections, and group commit.
//!
//! Invariants: a writing request is answered only after the commit that holds it; a request that fails is rolled back alone; a
//! commit that fails fails every request of its group.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::codec::Result;
use super::names::Names;
use crate::store::StoreError;

/// At most so many requests share a commit, so that the first is not kept waiting for long.
const GROUP: usize = 256;

/// A connection with what is remembered beside it.
#[derive(Debug)]
pub(super) struct Db {
    pub(super) conn: Connection,
    pub(super) names: Names,
}

impl Db {
    pub(super) fn new(conn: Connection) -> Self {
        Self { conn, names: Names::default() }
    }

    fn run(&self, sql: &str) -> Result<()> {
        Ok(self.conn.prepare_cached(sql)?.raw_execute().map(drop)?)
    }

    fn begin(&mut self) -> Result<()> {
        self.abandon();
        self.run("BEGIN IMMEDIATE")
    }

    /// Rolls back whatever is open. SQLite may have done so itself (a full disk).
    fn abandon(&mut self) {
        if !self.conn.is_autocommit() {
            // A rollback that fails leaves the connection in the transaction; the next `BEGIN` then fails and says so.
            drop(self.run("ROLLBACK"));
            self.names.forget();
        }
    }

    fn commit(&mut self) -> Result<()> {
        let done = self.run("COMMIT");
        if done.is_err() {
            self.abandon();
            self.names.forget();
        }
        done
    }

    /// Runs `work` alone in a writing transaction.
    pub(super) fn write<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.begin()?;
        let result = work(self);
        if result.is_err() {
            self.abandon();
            self.names.forget();
            return result;
        }
        self.commit()?;
        result
    }

    /// Runs `work` on one consistent view, which it cannot change.
    pub(super) fn read<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.abandon();
        self.run("BEGIN")?;
        let result = work(self);
        self.run("COMMIT")?;
        result
    }
}

/// A request with the place its answer goes to.
trait Request: Send {
    /// Runs it and keeps the result; says whether it failed.
    fn run(&mut self, db: &mut Db) -> Result<()>;
    /// Sends the kept result, or `fate` where that is an error.
    fn answer(self: Box<Self>, fate: Result<()>);
}

struct Call<T, W> {
    work: Option<W>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

fn gone() -> StoreError {
    StoreError::Unavailable("the thread that owns it has ended; restart the program".to_owned())
}

impl<T: Send, W: FnOnce(&mut Db) -> Result<T> + Send> Request for Call<T, W> {
    fn run(&mut self, db: &mut Db) -> Result<()> {
        let result = self.work.take().map_or_else(|| Err(gone()), |work| work(db));
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, fate: Result<()>) {
        let result = match (fate, self.result) {
            // A request that failed by itself keeps its own words.
            (_, Some(Err(own))) => Err(own),
            (Err(fate), _) => Err(fate),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(gone()),
        };
        // Nobody waits any more: the work is done all the same.
        drop(self.reply.send(result));
    }
}

/// A thread that owns a connection.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Option<Sender<Box<dyn Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread that writes, with group commit.
    pub(super) fn writer(db: Db) -> Result<Self> {
        Self::start("store-writer", db, write_loop)
    }

    /// Starts a thread that reads.
    pub(super) fn reader(name: &str, db: Db) -> Result<Self> {
        Self::start(name, db, read_loop)
    }

    fn start(name: &str, db: Db, body: fn(Db, &Receiver<Box<dyn Request>>)) -> Result<Self> {
        let (jobs, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || body(db, &inbox))
            .map_err(|error| StoreError::Unavailable(format!("no thread can be started: {error}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` there and waits for its answer.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let call = Call { work: Some(work), result: None, reply };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Box::new(call)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Worker {
    /// Waits for the thread, so that the file is closed when the store is gone.
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn read_loop(mut db: Db, inbox: &Receiver<Box<dyn Request>>) {
    while let Ok(mut request) = inbox.recv() {
        let fate = db.read(|db| request.run(db));
        request.answer(fate);
    }
}

fn write_loop(mut db: Db, inbox: &Receiver<Box<dyn Request>>) {
    while let Ok(first) = inbox.recv() {
        let mut group = vec![first];
        group.extend(inbox.try_iter().take(GROUP - 1));
        let fate = write_group(&mut db, &mut group);
        for request in group {
            request.answer(fate.clone());
        }
    }
}

/// Runs all requests in one transaction, each behind a savepoint of its own.
fn write_group(db: &mut Db, group: &mut [Box<dyn Request>]) -> Result<()> {
    db.begin()?;
    for request in group {
        db.run("SAVEPOINT request").inspect_err(|_| db_undo(&db.conn))?;
        let outcome = request.run(db);
        if let Err(error) = outcome {
            db.names.forget();
            if db.conn.is_autocommit() {
                // SQLite has rolled back everything (full disk, input or output error): the whole group failed.
                return Err(error);
            }
            db.run("ROLLBACK TO request")?;
        }
        db.run("RELEASE request")?;
    }
    db.commit()
}

fn db_undo(conn: &Connection) {
    if !conn.is_autocommit() {
        drop(conn.execute_batch("ROLLBACK"));
    }
}
