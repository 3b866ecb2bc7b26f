//! Owns the configuration as meant: what the worker and the commands run on.

mod listen;

pub use listen::{ListenSettings, Socket};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::SecretString;

use super::presets::Preset;
use super::providers::ProviderSettings;
use crate::compose::{Identity, Signer};
use crate::core::names::{PoolName, RelayName};
use crate::core::plan::{Groups, Plan};
use crate::core::reply::Rules;
use crate::core::schedule::{AHEAD, Terms};
use crate::core::units::Rate;

/// A configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// The SQLite file (relative paths are relative to the configuration).
    pub store: PathBuf,
    /// Zone of campaign times and of output.
    pub timezone: TimeZone,
    /// Destination groups.
    pub groups: Arc<Groups>,
    /// Reply rules.
    pub rules: Arc<Rules>,
    /// Relays by name.
    pub relays: BTreeMap<RelayName, Arc<RelaySettings>>,
    /// Pools: relays in order of need.
    pub pools: BTreeMap<PoolName, Vec<RelayName>>,
    /// Worker.
    pub worker: WorkerSettings,
    /// Where it takes what comes back.
    pub listen: ListenSettings,
    /// What comes back from beyond the relay.
    pub feedback: FeedbackSettings,
    /// File of the signing key; `None`: beside the store, made at first run.
    pub signing_key: Option<Secret>,
}

/// One relay.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Name.
    pub name: RelayName,
    /// The known relay that it is, which fills in what is not written.
    pub known: Option<Known>,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM file of a private certificate authority, trusted beside the system's.
    pub ca: Option<PathBuf>,
    /// Login.
    pub auth: Option<Login>,
    /// The sending domain: Message-ID, unsubscribes, EHLO name unless `hello` is set.
    pub domain: String,
    /// Name given in EHLO.
    pub hello: Option<String>,
    /// Plan, resolved.
    pub plan: Arc<Plan>,
    /// Who tells how destinations answer its mail, in words; empty: nobody.
    pub ears: Vec<String>,
    /// Where the plan came from: a path, or the name of a shipped plan.
    pub plan_source: String,
    /// The plan that follows, from one plan day on.
    pub next_plan: Option<NextPlan>,
    /// Where a lane starts when it is first seen.
    pub warmup: Warmup,
    /// The account's own limits.
    pub limits: RelayLimits,
    /// Envelope sender with `{token}`; `None`: the campaign's address.
    pub envelope_from: Option<String>,
    /// Headers added to every message of this relay.
    pub headers: Vec<(String, String)>,
    /// Whose words come back in-band.
    pub answers: Answers,
    /// Who signs with DKIM, when it is not Hikagen; `None`: nobody knows.
    pub signs: Option<Signs>,
    /// Signs with DKIM here.
    pub dkim: Option<Arc<Signer>>,
    /// Local address to connect from.
    pub source_address: Option<IpAddr>,
    /// MAIL, RCPT and DATA in one write when the server offers it.
    pub pipelining: bool,
    /// What becomes of a message whose fate is unknown.
    pub uncertain: Uncertain,
    /// Time limits of the SMTP steps.
    pub timeouts: Timeouts,
    /// Retry schedule.
    pub retry: RetrySettings,
}

/// A plan that follows another.
#[derive(Debug, Clone)]
pub struct NextPlan {
    /// The plan, resolved.
    pub plan: Arc<Plan>,
    /// Where it came from, as [`RelaySettings::plan_source`].
    pub source: String,
    /// The first plan day on which it is in force.
    pub from: Date,
}

impl Config {
    /// The configuration at a time: a next plan whose plan day has come is the plan of its relay.
    #[must_use]
    pub fn in_force_at(mut self, now: Timestamp) -> Self {
        for settings in self.relays.values_mut() {
            if let Some(changed) = settings.in_force_at(now) {
                *settings = Arc::new(changed);
            }
        }
        self
    }
}

impl RelaySettings {
    /// The settings with the next plan in force, where its plan day has come. `None`: they stay as they are.
    #[must_use]
    pub fn in_force_at(&self, now: Timestamp) -> Option<Self> {
        let next = self.next_plan.as_ref()?;
        let mut terms = self.terms();
        terms.come_to(now).then(|| Self {
            plan: terms.plan,
            plan_source: next.source.clone(),
            next_plan: None,
            ..self.clone()
        })
    }

    /// What it puts on a message.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            domain: self.domain.clone(),
            envelope_from: self.envelope_from.clone(),
            headers: self.headers.clone(),
            dkim: self.dkim.clone(),
            message_bytes: self.limits.message_bytes,
        }
    }

    /// The kind of relay, when it is one that is known.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        self.known.as_ref().map(|known| known.preset.kind.as_str())
    }

    /// What the relay's decisions rest on.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            relay: self.name.clone(),
            plan: Arc::clone(&self.plan),
            next: self.next_plan.as_ref().map(|next| (next.from, Arc::clone(&next.plan))),
            first_day: self.warmup.day,
            started: self.warmup.started,
            rate: self.limits.rate,
            burst: self.limits.burst,
            per_hour: self.limits.per_hour,
            per_day: self.limits.per_day,
            connections: self.limits.connections.map_or(DEFAULT_CONNECTIONS, NonZeroU32::get),
            answers_own: self.answers == Answers::Own,
            ears: self.ears.clone(),
            ahead: AHEAD,
        }
    }
}

/// Connections at once where the configuration names no number.
pub const DEFAULT_CONNECTIONS: u32 = 4;

/// Messages before a connection is given up, when neither relay nor lane say.
pub const DEFAULT_MESSAGES_PER_CONNECTION: u32 = 100;

/// Age at which a connection is given up, when the relay does not say.
pub const DEFAULT_CONNECTION_AGE: Duration = Duration::from_secs(300);

/// How the connection to a relay is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// STARTTLS, required, never downgraded.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// In clear: loopback only.
    None,
}

impl TlsMode {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
            Self::None => "none",
        }
    }
}

/// A known relay, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// What is known of it.
    pub preset: &'static Preset,
    /// The account's region.
    pub region: Option<String>,
}

/// A login.
#[derive(Debug, Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// How it is shown who logs in.
    pub proof: Proof,
}

/// How it is shown who logs in.
#[derive(Debug, Clone)]
pub enum Proof {
    /// By a password, through one mechanism or whichever is offered.
    Password(Secret, Mechanism),
    /// By an OAuth 2.0 access token (XOAUTH2).
    Token(TokenSource),
}

impl Proof {
    /// Where it is kept or comes from, which tells two logins of one user apart; never the secret.
    #[must_use]
    pub fn kept(&self) -> String {
        match self {
            Self::Password(secret, _) | Self::Token(TokenSource::Kept(secret)) => secret.place.clone(),
            Self::Token(TokenSource::File(path)) => format!("file {}", path.display()),
            Self::Token(TokenSource::Command { words, .. }) => format!("command {}", words.join(" ")),
        }
    }
}

/// SASL mechanisms that take a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN, or LOGIN where the server offers nothing better.
    Offered,
    /// PLAIN.
    Plain,
    /// LOGIN.
    Login,
}

/// Where an access token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// It was read with the configuration.
    Kept(Secret),
    /// A file, read at each login: another program keeps it fresh.
    File(PathBuf),
    /// A program that prints it.
    Command {
        /// Program and arguments.
        words: Vec<String>,
        /// Longest time that it may run.
        timeout: Duration,
    },
}

impl std::fmt::Display for TokenSource {
    /// Where it comes from, never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kept(secret) => write!(f, "{secret:?}"),
            Self::File(path) => write!(f, "(file {}, read at each login, hidden)", path.display()),
            Self::Command { words, .. } => {
                write!(f, "(command {}, hidden)", words.first().map_or("", String::as_str))
            }
        }
    }
}

/// A secret and where it is kept. Its text is never shown; `Debug` shows the place.
#[derive(Clone)]
pub struct Secret {
    /// `env NAME` or `file PATH`.
    pub place: String,
    /// The text.
    pub text: SecretString,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, hidden)", self.place)
    }
}

/// Where a lane starts when it is first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmup {
    /// Warm-up day of the first plan day, from 1 (declared history).
    pub day: u32,
    /// Nothing leaves before this plan day.
    pub started: Option<Date>,
}

/// A relay account's own limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RelayLimits {
    /// Pace.
    pub rate: Option<Rate>,
    /// Depth of its bucket.
    pub burst: Option<NonZeroU32>,
    /// In any rolling 60 minutes.
    pub per_hour: Option<NonZeroU32>,
    /// In any rolling 24 hours.
    pub per_day: Option<NonZeroU32>,
    /// Connections at once (default 4).
    pub connections: Option<NonZeroU32>,
    /// Messages before a connection is given up (default 100).
    pub messages_per_connection: Option<NonZeroU32>,
    /// Age at which a connection is given up (default 5 min).
    pub connection_age: Option<Duration>,
    /// Largest message, octets.
    pub message_bytes: Option<NonZeroU32>,
}

/// Whose words a relay's in-band answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Its own: a 250 says nothing about the carrier.
    Own,
    /// It passes the carrier's replies through.
    Carrier,
}

/// Who signs messages with DKIM behind Hikagen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// The relay, as the domain of the From that its account was set up for.
    Relay,
    /// Nobody.
    Nobody,
}

/// What becomes of a message whose fate is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncertain {
    /// Retried once, then parked.
    Retry,
    /// Parked at once.
    Park,
}

/// Time limits of the SMTP steps (RFC 5321 4.5.3.2 asks for more patience than a bulk sender wants; all settable).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connection.
    pub connect: Duration,
    /// Greeting, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA: each.
    pub command: Duration,
    /// Writing the message.
    pub data: Duration,
    /// From the final dot to its reply (RFC 5321: 10 min).
    pub end_of_data: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            command: Duration::from_secs(60),
            data: Duration::from_secs(180),
            end_of_data: Duration::from_secs(600),
        }
    }
}

/// When a deferred message is tried again, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySettings {
    /// Waiting time after the first, second, ... failed attempt; the last repeats.
    pub after: Vec<Duration>,
    /// From the first attempt on; judged when an attempt fails.
    pub lifetime: Duration,
    /// Waiting time of an uncertain message.
    pub uncertain: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(m * 60);
        Self {
            after: vec![minutes(15), minutes(30), minutes(60), minutes(120), minutes(240)],
            lifetime: minutes(24 * 60),
            uncertain: minutes(15),
        }
    }
}

/// The worker's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Program and arguments that get an event as JSON on standard input.
    pub on_event: Option<Vec<String>>,
    /// Longest time that SIGTERM waits for what is in the air.
    pub drain: Duration,
    /// Free space on the store's disk below which nothing is released, bytes.
    pub disk_floor: u64,
    /// Text or JSON logs.
    pub log: LogFormat,
    /// How long the details of messages and attempts are kept after their campaign ended, 1 to 400 days; `None`: for ever.
    pub retention: Option<Duration>,
}

/// How long details are kept where the configuration does not say: later than any audit, late bounce or complaint that is
/// acted on.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(90 * 86_400);

/// Shortest time that details are kept: limits look back a day, and an operator a little further.
pub const RETENTION_LEAST: Duration = Duration::from_secs(86_400);

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            on_event: None,
            drain: Duration::from_secs(30),
            disk_floor: 200 * 1024 * 1024,
            log: LogFormat::Text,
            retention: Some(DEFAULT_RETENTION),
        }
    }
}

/// What comes back from beyond the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackSettings {
    /// Reports of a full or suspended mailbox, without a delivery between them, after which its address is suppressed; 1 to 100.
    pub full_mailbox_after: u32,
    /// Maildir folders to which bounces and complaints come.
    pub mailboxes: Vec<PathBuf>,
    /// Logs of relays.
    pub logs: Vec<LogSettings>,
    /// Providers whose events are taken.
    pub providers: ProviderSettings,
}

impl Default for FeedbackSettings {
    fn default() -> Self {
        Self { full_mailbox_after: 3, mailboxes: Vec::new(), logs: Vec::new(), providers: ProviderSettings::default() }
    }
}

/// The log of one relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The relay.
    pub relay: RelayName,
    /// Where its log is.
    pub place: LogPlace,
}

/// Where a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// In a file, which may be rotated.
    File(PathBuf),
    /// In the systemd journal, under this unit.
    Journal(String),
}

/// How the worker logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
