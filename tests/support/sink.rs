//! Owns an SMTP server that takes everything and notes when it came: the end of the line in the tests.
//!
//! One thread per connection, in the test's own process, so that it outlives every worker that is killed. What it answers can
//! be changed command by command; it can also take connections and never say a word.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What came in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When the final dot was read.
    pub at: Instant,
    /// Envelope sender, without brackets.
    pub from: String,
    /// Envelope recipients, without brackets, as they stood on the wire.
    pub to: Vec<String>,
    /// Message-ID with its brackets, empty when there is none.
    pub message_id: String,
    /// The message, dots unstuffed; empty when the sink keeps no bodies.
    pub bytes: Vec<u8>,
}

/// Gives the whole answer (lines without line ends) to a command line, or `None` for the usual one. `.` stands for the end of
/// data, an empty line for the greeting.
pub type Answers = dyn Fn(&str) -> Option<String> + Send + Sync;

/// How a sink behaves.
#[derive(Clone, Default)]
pub struct Manner {
    /// Waiting time before the answer to the end of data.
    pub delay: Duration,
    /// Keep the bytes of the messages.
    pub bodies: bool,
    /// Take connections and never answer.
    pub silent: bool,
    /// Other answers.
    pub answers: Option<Arc<Answers>>,
}

struct Shared {
    manner: Manner,
    closed: AtomicBool,
    arrivals: Mutex<Vec<Arrival>>,
    connections: Mutex<Vec<TcpStream>>,
    opened: AtomicU64,
}

/// A listening sink. Closes with all its connections when dropped.
pub struct Sink {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Sink {
    /// One that takes everything at once and keeps the bytes.
    pub fn open() -> Self {
        Self::with(Manner { bodies: true, ..Manner::default() })
    }

    /// One that behaves as told.
    pub fn with(manner: Manner) -> Self {
        Self::on(0, manner)
    }

    /// One on a port of the caller's choice.
    pub fn on(port: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            manner,
            closed: AtomicBool::new(false),
            arrivals: Mutex::default(),
            connections: Mutex::default(),
            opened: AtomicU64::new(0),
        });
        let inner = Arc::clone(&shared);
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inner.closed.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                inner.opened.fetch_add(1, Ordering::SeqCst);
                inner.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&inner);
                std::thread::spawn(move || {
                    let _ = converse(&stream, &shared);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, shared, listening: Some(listening) }
    }

    /// What came so far.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().unwrap().clone()
    }

    /// How much came so far.
    pub fn count(&self) -> usize {
        self.shared.arrivals.lock().unwrap().len()
    }

    /// Connections opened so far.
    pub fn opened(&self) -> u64 {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Cuts every connection, without a word.
    pub fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.cut();
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
    let mut writer = stream;
    if shared.manner.silent {
        std::io::copy(&mut reader, &mut std::io::sink())?;
        return Ok(());
    }
    let mut say = |command: &str, usual: &str| -> std::io::Result<bool> {
        let other = shared.manner.answers.as_ref().and_then(|answers| answers(command));
        let answer = other.as_deref().unwrap_or(usual);
        writer.write_all(format!("{}\r\n", answer.replace('\n', "\r\n")).as_bytes())?;
        Ok(answer.starts_with(['2', '3']))
    };
    say("", "220 sink.example ESMTP")?;
    let (mut from, mut to, mut line) = (String::new(), Vec::new(), Vec::new());
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let command = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                say(
                    &command,
                    "250-sink.example\n250-PIPELINING\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250 SIZE 52428800",
                )?;
            }
            "MAIL" => {
                to.clear();
                if say(&command, "250 2.1.0 ok")? {
                    from = bracketed(&command);
                }
            }
            "RCPT" => {
                if say(&command, "250 2.1.5 ok")? {
                    to.push(bracketed(&command));
                }
            }
            "DATA" => {
                if to.is_empty() {
                    say(&command, "554 5.5.1 no recipients")?;
                } else if say(&command, "354 go on")? {
                    let bytes = read_message(&mut reader)?;
                    let at = Instant::now();
                    std::thread::sleep(shared.manner.delay);
                    let refused = shared.manner.answers.as_ref().and_then(|answers| answers("."));
                    if refused.as_ref().is_none_or(|answer| answer.starts_with('2')) {
                        let message_id = message_id(&bytes);
                        let bytes = if shared.manner.bodies { bytes } else { Vec::new() };
                        let arrival = Arrival { at, from: from.clone(), to: to.clone(), message_id, bytes };
                        shared.arrivals.lock().unwrap().push(arrival);
                    }
                    say(".", "250 2.0.0 taken")?;
                    to.clear();
                }
            }
            "QUIT" => {
                say(&command, "221 2.0.0 bye")?;
                return Ok(());
            }
            _ => {
                say(&command, "250 2.0.0 ok")?;
            }
        }
    }
}

fn bracketed(command: &str) -> String {
    let open = command.find('<').map_or(0, |n| n + 1);
    let close = command.rfind('>').unwrap_or(command.len());
    command[open..close].to_owned()
}

fn read_message(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let begins = message.len();
        if reader.read_until(b'\n', &mut message)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &message[begins..] == b".\r\n" {
            message.truncate(begins);
            return Ok(message);
        }
        if message[begins..].starts_with(b"..") {
            message.remove(begins);
        }
    }
}

fn message_id(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .lines()
        .take_while(|line| !line.is_empty())
        .find(|line| line.len() > 11 && line[..11].eq_ignore_ascii_case("message-id:"))
        .map(|line| line[11..].trim().to_owned())
        .unwrap_or_default()
}
