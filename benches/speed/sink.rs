//! Owns the end of the line of the benchmarks: an SMTP server that takes everything, fast, and notes when it came.
//!
//! One thread serves all connections: a wake-up then serves many of them, and the senders have the rest of the machine.
//! Says its port as its first line. Each line `count` on standard input is answered with what came so far; the end of standard
//! input ends it, and it writes the log (`--log`): nanoseconds of the monotonic clock, recipient.

use std::fmt::Write as _;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::children::{Seen, now_ns};
use crate::dialogue::{Dialogue, Message};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 is a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Writes one line per message here, at the end.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Milliseconds by which everything that is said comes later: the round trip of a far relay. What came together waits together.
    #[arg(long, default_value_t = 0)]
    delay: u64,
}

type Lines = Arc<Mutex<Vec<(i64, Message)>>>;

/// What all connections share.
#[derive(Default)]
struct Totals {
    messages: AtomicU64,
    octets: AtomicU64,
    opened: AtomicU64,
    live: AtomicU64,
    most_live: AtomicU64,
    first: AtomicI64,
    last: AtomicI64,
    lines: Mutex<Vec<Lines>>,
}

impl Totals {
    fn summary(&self) -> Seen {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Seen {
            messages: read(&self.messages),
            octets: read(&self.octets),
            connections: read(&self.opened),
            most_live: read(&self.most_live),
            first_ns: self.first.load(Ordering::Relaxed),
            last_ns: self.last.load(Ordering::Relaxed),
        }
    }

    fn count(&self, at: i64, octets: usize) {
        self.first.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed).ok();
        self.last.fetch_max(at, Ordering::Relaxed);
        self.octets.fetch_add(octets as u64, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    fn log(&self) -> String {
        let connections = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(i64, Message)> = Vec::new();
        for lines in connections.iter() {
            all.append(&mut lines.lock().unwrap_or_else(PoisonError::into_inner));
        }
        all.sort_unstable_by_key(|(at, _)| *at);
        let mut text = String::new();
        for (at, message) in all {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{at}\t{}", message.recipient);
        }
        text
    }
}

/// Where replies go: at once, or later by a task of their own, so that the delay adds to every round trip once and no more.
enum Mouth {
    Direct(OwnedWriteHalf),
    Late(UnboundedSender<(Instant, Vec<u8>)>, Duration),
}

impl Mouth {
    fn new(stream: OwnedWriteHalf, delay: Duration) -> Self {
        if delay.is_zero() {
            return Self::Direct(stream);
        }
        let (send, mut receive) = unbounded_channel::<(Instant, Vec<u8>)>();
        tokio::spawn(async move {
            let mut stream = stream;
            while let Some((due, words)) = receive.recv().await {
                tokio::time::sleep_until(due).await;
                if stream.write_all(&words).await.is_err() {
                    break;
                }
            }
        });
        Self::Late(send, delay)
    }

    async fn say(&mut self, words: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Self::Direct(stream) => {
                stream.write_all(words).await?;
                words.clear();
                Ok(())
            }
            Self::Late(send, delay) => {
                let sent = send.send((Instant::now() + *delay, std::mem::take(words)));
                sent.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
            }
        }
    }
}

async fn converse(stream: TcpStream, totals: &Totals, lines: Option<&Lines>, delay: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut stream, write) = stream.into_split();
    let mut mouth = Mouth::new(write, delay);
    let mut dialogue = Dialogue::default();
    let mut replies = Dialogue::GREETING.to_vec();
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        if !replies.is_empty() {
            mouth.say(&mut replies).await?;
        }
        if dialogue.has_ended() {
            return Ok(());
        }
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        dialogue.take(&buffer[..n], &mut replies, |message| {
            let at = now_ns();
            totals.count(at, message.octets);
            if let Some(lines) = lines {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push((at, message));
            }
        });
    }
}

async fn listen(listener: TcpListener, totals: Arc<Totals>, logs: bool, delay: Duration) {
    while let Ok((stream, _)) = listener.accept().await {
        totals.opened.fetch_add(1, Ordering::Relaxed);
        let live = totals.live.fetch_add(1, Ordering::Relaxed) + 1;
        totals.most_live.fetch_max(live, Ordering::Relaxed);
        let lines = logs.then(Lines::default);
        if let Some(lines) = &lines {
            totals.lines.lock().unwrap_or_else(PoisonError::into_inner).push(lines.clone());
        }
        let totals = totals.clone();
        tokio::spawn(async move {
            // A connection that breaks ends like one that is closed: what it brought is counted.
            let _ = converse(stream, &totals, lines.as_ref(), delay).await;
            totals.live.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(args.listen))?;
    let totals = Arc::new(Totals::default());
    println!("{}", listener.local_addr()?.port());
    let (logs, delay) = (args.log.is_some(), Duration::from_millis(args.delay));
    thread::spawn({
        let totals = totals.clone();
        move || runtime.block_on(listen(listener, totals, logs, delay))
    });
    for line in std::io::stdin().lock().lines() {
        if line?.trim() == "count" {
            println!("{}", serde_json::to_string(&totals.summary())?);
        }
    }
    if let Some(path) = &args.log {
        std::fs::write(path, totals.log())?;
    }
    println!("{}", serde_json::to_string(&totals.summary())?);
    Ok(())
}
