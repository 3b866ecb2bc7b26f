//! Owns the way in for providers' events: `POST /events/<provider>`.
//!
//! Answers: 200 taken; 400 not readable; 401 not signed; 403 signed by another, of a source that is not ours, or stale; 404 a
//! provider that is not configured; 408 and 413 too slow, too large; 409 a copy of what was taken; 503 try again.
//! A copy is known by what was signed, and only after it was taken: what a provider tries again after a 503 is taken. SNS
//! tries again after 5xx alone. SendGrid tries again after every answer but 2xx: where our 200 was lost on the way, its next
//! try is refused as a copy, or taken and found to be known where it is signed anew; in both cases nothing counts twice.
//! Invariants: nothing is believed before its signature holds; what comes is bounded in octets, time and number.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::certificates::Certificates;
use super::web::Web;
use crate::clock::SharedClock;
use crate::config::providers::ProviderSettings;
use crate::core::feedback::Heard;
use crate::feedback::provider::{
    Inside, KeyFrom, Opened, PROVIDERS, Parcel, Place, Provider, Refusal, Why, certificate,
};
use crate::feedback::{Ear, InForce};
use crate::store::{Recorded, StoreError};

/// Longest time in which a post has to come in.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most posts at work at once.
const AT_WORK_MOST: usize = 32;
/// Most copies that are known; beyond, the ids of the events still tell what was taken.
const COPIES_MOST: usize = 20_000;
/// Like lines are logged at most once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Most octets of the answer to a confirmation.
const CONFIRMED_MOST: usize = 64 * 1024;

/// What becomes of events that were heard.
pub type Taking = Pin<Box<dyn Future<Output = Result<Recorded, StoreError>> + Send>>;
/// Takes what was heard.
pub type Take = Arc<dyn Fn(Vec<Heard>) -> Taking + Send + Sync>;
/// Tells the settings in force.
pub type Settings = Arc<dyn Fn() -> ProviderSettings + Send + Sync>;

/// What the routes work with. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

struct Shared {
    take: Take,
    settings: Settings,
    clock: SharedClock,
    web: Web,
    certificates: Certificates,
    at_work: Semaphore,
    copies: Mutex<Copies>,
    logged: Mutex<Logged>,
}

/// When a like line was logged last, by provider and kind, and how many were not since.
type Logged = HashMap<(&'static str, &'static str), (Duration, u64)>;

/// Copies of posts that were taken, and until when since boot they are known.
#[derive(Default)]
struct Copies {
    known: HashSet<[u8; 32]>,
    order: VecDeque<(Duration, [u8; 32])>,
}

impl Events {
    /// Events for `ear`.
    #[must_use]
    pub fn new(ear: Ear, clock: SharedClock, config: InForce) -> Self {
        let take: Take = Arc::new(move |heard| {
            let ear = ear.clone();
            Box::pin(async move { ear.take(heard).await })
        });
        Self::with(take, clock, Arc::new(move || config().feedback.providers.clone()), Web::default())
    }

    /// The same from its parts.
    #[must_use]
    pub fn with(take: Take, clock: SharedClock, settings: Settings, web: Web) -> Self {
        let shared = Shared {
            take,
            settings,
            clock,
            web,
            certificates: Certificates::default(),
            at_work: Semaphore::new(AT_WORK_MOST),
            copies: Mutex::default(),
            logged: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

/// The routes of all providers, to be merged into the server's.
pub fn routes(events: Events) -> Router {
    let with = |router: Router<Events>, provider: &'static Provider| {
        let answer = move |State(events): State<Events>, request: Request| async move {
            let answer = events.shared.answer(provider, request).await;
            answer.unwrap_or_else(|refused| refused.response())
        };
        router.route(&format!("/events/{}", provider.name), post(answer))
    };
    PROVIDERS.iter().fold(Router::new(), with).with_state(events)
}

/// An answer other than 200.
struct Refused {
    status: StatusCode,
    words: String,
}

impl Refused {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }

    /// 503: the provider tries again.
    fn later(words: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, words)
    }

    fn response(self) -> Response {
        let words = format!("{}\n", self.words);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => (self.status, [(header::RETRY_AFTER, "30")], words).into_response(),
            status => (status, words).into_response(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.why {
            Why::Unreadable => StatusCode::BAD_REQUEST,
            Why::Unsigned => StatusCode::UNAUTHORIZED,
            Why::Forged | Why::Foreign | Why::Stale => StatusCode::FORBIDDEN,
        };
        Self { status, words: refusal.words }
    }
}

impl Shared {
    async fn answer(&self, provider: &'static Provider, request: Request) -> Result<Response, Refused> {
        let taken = self.take_in(provider, request).await;
        if let Err(refused) = &taken {
            let kind = refused.status.canonical_reason().unwrap_or("refused");
            self.warn(provider.name, kind, format_args!("answered {}: {}", refused.status.as_u16(), refused.words));
        }
        taken.map(|words| format!("{words}\n").into_response())
    }

    async fn take_in(&self, provider: &'static Provider, request: Request) -> Result<String, Refused> {
        let settings = (self.settings)();
        let name = provider.name;
        if !(provider.configured)(&settings) {
            let words = format!("events of {name} are not taken here: the configuration has no feedback.{name}");
            return Err(Refused::new(StatusCode::NOT_FOUND, words));
        }
        let Ok(_place) = self.at_work.try_acquire() else {
            return Err(Refused::later("too many posts at once"));
        };
        let (headers, body) = read(provider, request).await?;
        let opened = {
            let look_up = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            (provider.open)(&Parcel { header: &look_up, body: &body }, &settings, self.clock.now())?
        };
        self.verify(&opened).await?;
        if self.copies().knows(&opened.copy_of, self.clock.elapsed()) {
            return Err(Refused::new(StatusCode::CONFLICT, "this was taken before; nothing was changed"));
        }
        let words = match &opened.inside {
            Inside::Events(events) => self.events(provider, events).await?,
            Inside::Confirm { topic, place } => self.confirm(name, topic, place).await?,
            Inside::Notice(words) => {
                tracing::warn!(provider = name, "{words}");
                "noted".to_owned()
            }
        };
        self.copies().add(opened.copy_of, self.clock.elapsed() + opened.window * 2);
        Ok(words)
    }

    async fn verify(&self, opened: &Opened) -> Result<(), Refused> {
        match &opened.key {
            KeyFrom::Here(keys) => Ok(opened.verify(keys)?),
            KeyFrom::Certificate(place) => {
                let der = self.certificates.at(place, &self.web, self.clock.elapsed()).await.map_err(|why| {
                    Refused::later(format!(
                        "the certificate cannot be read: {why}; where this network is closed, keep it in a file: \
                         feedback.ses.certificate"
                    ))
                })?;
                Ok(opened.verify(&[certificate::key(&der, self.clock.now())?])?)
            }
        }
    }

    async fn events(&self, provider: &'static Provider, events: &str) -> Result<String, Refused> {
        let contents = (provider.read)(events)?;
        if contents.odd_count > 0 {
            let words = format_args!("{} left out: {}", contents.odd_count, contents.odd.join("; "));
            self.warn(provider.name, "odd events", words);
        }
        let recorded = match contents.heard.is_empty() {
            true => Recorded::default(),
            false => (self.take)(contents.heard).await.map_err(|error| Refused::later(error.to_string()))?,
        };
        let Recorded { new, repeated, unmatched, .. } = recorded;
        let (over, odd) = (contents.passed_over, contents.odd_count);
        tracing::debug!(provider = provider.name, new, repeated, unmatched, over, odd, "events taken");
        Ok(format!("taken: {new} new, {repeated} known before; {over} passed over, {odd} left out"))
    }

    async fn confirm(&self, name: &'static str, topic: &str, place: &Place) -> Result<String, Refused> {
        match self.web.read(place, CONFIRMED_MOST).await {
            Ok(_) => {
                tracing::info!(provider = name, "subscription to {topic} confirmed: its events come from now on");
                Ok("confirmed".to_owned())
            }
            Err(why) => Err(Refused::later(format!(
                "the subscription to {topic} cannot be confirmed: {why}; where this network is closed, confirm it with \
                 `aws sns confirm-subscription` from elsewhere"
            ))),
        }
    }

    /// Logs, but not more often than is useful: anybody can post nonsense.
    fn warn(&self, provider: &'static str, kind: &'static str, words: impl Display) {
        let now = self.clock.elapsed();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = logged.entry((provider, kind));
        let mut unsaid = 0;
        match entry {
            std::collections::hash_map::Entry::Occupied(mut known) if now < known.get().0 + QUIET => {
                known.get_mut().1 += 1;
                return;
            }
            std::collections::hash_map::Entry::Occupied(mut known) => unsaid = known.insert((now, 0)).1,
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert((now, 0));
            }
        }
        tracing::warn!(provider, unsaid, "events: {words}");
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copies {
    fn knows(&mut self, copy: &[u8; 32], now: Duration) -> bool {
        while let Some((until, oldest)) = self.order.front().copied()
            && (until < now || self.order.len() > COPIES_MOST)
        {
            self.order.pop_front();
            self.known.remove(&oldest);
        }
        self.known.contains(copy)
    }

    fn add(&mut self, copy: [u8; 32], until: Duration) {
        if self.known.insert(copy) {
            self.order.push_back((until, copy));
        }
    }
}

/// Headers and body, within the provider's bounds.
async fn read(provider: &Provider, request: Request) -> Result<(HeaderMap, Bytes), Refused> {
    let (parts, body) = request.into_parts();
    let most = provider.octets_most;
    let too_large = || Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("expected at most {most} octets"));
    let announced =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|octets| octets > most as u64) {
        return Err(too_large());
    }
    match timeout(PATIENCE, to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok((parts.headers, body)),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Refused::new(StatusCode::BAD_REQUEST, "the body ended before it was complete")),
        Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.to_string().contains("length limit exceeded") {
            return true;
        }
        source = cause.source();
    }
    false
}
