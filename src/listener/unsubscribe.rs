//! Owns the unsubscribe link: one click by a mail program (RFC 8058), or a page with a button for a person.
//!
//! Invariants: a GET changes nothing, so that programs that follow links take nobody off a list; a POST acts at once, without login or
//! cookie; whose link it is is told by the signed token alone; an address is never shown whole.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::compose::Tokens;
use crate::core::feedback::{Diagnostic, Fate, Heard, Way};
use crate::feedback::Ear;
use crate::store::{Recipient, Store, StoreError};

/// Most octets of a POST: the form of RFC 8058 has 26.
const BODY_MOST: usize = 16 * 1_024;
/// The way, in the store and in output.
const ONE_CLICK: Way = Way::provider("one-click");

/// What the routes work with.
#[derive(Clone)]
pub struct Desk {
    ear: Ear,
    tokens: Arc<Tokens>,
    store: Arc<dyn Store>,
}

impl Desk {
    /// Takes wishes to leave through `ear`.
    #[must_use]
    pub fn new(ear: Ear, tokens: Arc<Tokens>, store: Arc<dyn Store>) -> Self {
        Self { ear, tokens, store }
    }

    async fn recipient(&self, token: &str) -> Result<Option<Recipient>, StoreError> {
        match self.tokens.verify(token) {
            Some(message) => self.store.recipient_of(message).await,
            None => Ok(None),
        }
    }

    async fn leave(&self, token: &str, recipient: &Recipient, by: &str) -> Result<(), StoreError> {
        let heard = Heard {
            way: ONE_CLICK,
            id: token.to_lowercase(),
            at: None,
            fate: Fate::Unsubscribed,
            said: Diagnostic { text: format!("left by {by}"), ..Diagnostic::default() },
            stage: None,
            remote: None,
            clues: vec![token.to_lowercase()],
            recipient: Some(recipient.key.clone()),
            evidence: String::new(),
        };
        self.ear.take(vec![heard]).await.map(drop)
    }
}

/// `GET` and `POST /u/{token}`.
pub fn routes(desk: Desk) -> Router {
    Router::new().route("/u/{token}", get(show).post(act)).with_state(desk)
}

async fn show(State(desk): State<Desk>, Path(token): Path<String>, request: Request) -> Response {
    let language = Language::of(&request);
    match desk.recipient(&token).await {
        Ok(Some(recipient)) => page(StatusCode::OK, language, &asks(language, &recipient)),
        Ok(None) => page(StatusCode::NOT_FOUND, language, &unknown(language)),
        Err(error) => later(language, &error),
    }
}

async fn act(State(desk): State<Desk>, Path(token): Path<String>, request: Request) -> Response {
    let language = Language::of(&request);
    let Ok(body) = to_bytes(request.into_body(), BODY_MOST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    // A form in either encoding that a mail program may choose; what else stands in it does not matter.
    let by_program = String::from_utf8_lossy(&body).contains("One-Click");
    let recipient = match desk.recipient(&token).await {
        Ok(Some(recipient)) => recipient,
        Ok(None) => return page(StatusCode::NOT_FOUND, language, &unknown(language)),
        Err(error) => return later(language, &error),
    };
    let by = if by_program { "one click in a mail program" } else { "the button of the page" };
    match desk.leave(&token, &recipient, by).await {
        Ok(()) if by_program => (StatusCode::OK, "unsubscribed\n").into_response(),
        Ok(()) => page(StatusCode::OK, language, &done(language, &recipient)),
        Err(error) => later(language, &error),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Japanese,
    English,
}

impl Language {
    /// By `?lang=`, else by what the browser likes best; Japanese where nothing says.
    fn of(request: &Request) -> Self {
        let asked = request.uri().query().unwrap_or_default();
        if asked.split('&').any(|pair| pair == "lang=en") {
            return Self::English;
        }
        if asked.split('&').any(|pair| pair == "lang=ja") {
            return Self::Japanese;
        }
        Self::liked(request.headers())
    }

    fn liked(headers: &HeaderMap) -> Self {
        let liked = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("ja");
        let ranked = liked.split(',').map(|one| {
            let (name, quality) = one.split_once(';').unwrap_or((one, "q=1"));
            let quality: f32 = quality.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(0.0);
            (name.trim().to_lowercase(), quality)
        });
        let best = |start: &str, all: &[(String, f32)]| {
            all.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, q)| *q).fold(0.0_f32, f32::max)
        };
        let all: Vec<(String, f32)> = ranked.collect();
        let (japanese, english) = (best("ja", &all), best("en", &all));
        if japanese > 0.0 && japanese >= english { Self::Japanese } else { Self::English }
    }

    fn code(self) -> &'static str {
        if self == Self::Japanese { "ja" } else { "en" }
    }
}

/// The first letters of the local part, the whole domain.
fn masked(key: &str) -> String {
    let (local, domain) = key.rsplit_once('@').unwrap_or((key, ""));
    let shown: String = local.chars().take(if local.chars().count() > 3 { 2 } else { 1 }).collect();
    format!("{shown}***@{domain}")
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}

/// Heading and body of a page.
type Words = (String, String);

fn asks(language: Language, recipient: &Recipient) -> Words {
    let (address, sender) = (escaped(&masked(&recipient.key)), escaped(&recipient.sender_domain));
    match language {
        Language::Japanese => (
            "配信を停止しますか？".to_owned(),
            format!(
                "<p><b>{sender}</b> から <b>{address}</b> へのお知らせメールの配信を停止します。</p>\
                 <form method=\"post\"><button>配信を停止する</button></form>"
            ),
        ),
        Language::English => (
            "Stop these mails?".to_owned(),
            format!(
                "<p>No more newsletters from <b>{sender}</b> to <b>{address}</b>.</p>\
                 <form method=\"post\"><button>Unsubscribe</button></form>"
            ),
        ),
    }
}

fn done(language: Language, recipient: &Recipient) -> Words {
    let (address, sender) = (escaped(&masked(&recipient.key)), escaped(&recipient.sender_domain));
    match language {
        Language::Japanese => (
            "配信を停止しました".to_owned(),
            format!("<p><b>{sender}</b> から <b>{address}</b> へのお知らせメールは、今後お送りしません。</p>"),
        ),
        Language::English => {
            ("Done".to_owned(), format!("<p>You get no more newsletters from <b>{sender}</b> at <b>{address}</b>.</p>"))
        }
    }
}

fn unknown(language: Language) -> Words {
    match language {
        Language::Japanese => (
            "このリンクは使えません".to_owned(),
            "<p>リンクが途中で切れているか、変わっています。メールのリンクをもう一度開いてください。</p>".to_owned(),
        ),
        Language::English => (
            "This link does not work".to_owned(),
            "<p>It is cut off or was changed. Please open the link in the mail again.</p>".to_owned(),
        ),
    }
}

fn later(language: Language, error: &StoreError) -> Response {
    tracing::warn!(%error, "a wish to leave could not be recorded; its sender was asked to try again");
    let words = match language {
        Language::Japanese => ("しばらくしてからもう一度お試しください", "<p>いま手続きができません。</p>"),
        Language::English => ("Please try again in a moment", "<p>This cannot be done right now.</p>"),
    };
    let mut response = page(StatusCode::SERVICE_UNAVAILABLE, language, &(words.0.to_owned(), words.1.to_owned()));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
    response
}

const STYLE: &str = ":root{color-scheme:light dark}body{font-family:system-ui,sans-serif;line-height:1.7;margin:0;\
    display:grid;place-items:center;min-height:100vh;background:Canvas;color:CanvasText}main{max-width:30rem;padding:2rem 1.25rem}\
    h1{font-size:1.4rem;margin:0 0 1rem}p{margin:0 0 1.5rem;overflow-wrap:anywhere}button{font:inherit;padding:.75rem 1.5rem;\
    border-radius:.5rem;border:0;background:#b3261e;color:#fff;cursor:pointer}button:focus-visible{outline:3px solid Highlight;\
    outline-offset:2px}";

fn page(status: StatusCode, language: Language, (heading, body): &Words) -> Response {
    let mut html = String::new();
    let _ = writeln!(
        html,
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\"><title>{heading}</title>\
         <style>{STYLE}</style></head><body><main><h1>{heading}</h1>{body}</main></body></html>",
        language.code()
    );
    let mut response = (status, Html(html)).into_response();
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.code()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_speaks_what_the_browser_likes_best() {
        for (accepts, expected) in [
            ("ja", Language::Japanese),
            ("ja-JP,en;q=0.5", Language::Japanese),
            ("en-US,en;q=0.9,ja;q=0.8", Language::English),
            ("fr", Language::English),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(accepts));
            assert_eq!(Language::liked(&headers), expected, "{accepts}");
        }
        assert_eq!(Language::liked(&HeaderMap::new()), Language::Japanese);
    }

    #[test]
    fn no_address_is_shown_whole_and_nothing_of_it_is_markup() {
        assert_eq!(masked("hanako@docomo.ne.jp"), "ha***@docomo.ne.jp");
        assert_eq!(masked("ab@docomo.ne.jp"), "a***@docomo.ne.jp");
        assert_eq!(escaped("<b>&\"x\""), "&lt;b&gt;&amp;&quot;x&quot;");
    }
}
