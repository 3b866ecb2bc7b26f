//! Owns the SMTP relay: opening connections (name, TCP, TLS, greeting, EHLO, login) and handing messages over, one at a time.
//!
//! Invariants: lettre's connection writes commands and waits for replies, over a stream of ours that bounds and checks every
//! reply; TLS is never downgraded and certificates are always verified; no login in clear except on loopback; every wait on
//! the network has a time limit; a password is never logged nor part of any answer.

mod body;
mod capabilities;
mod faults;
mod hiding;
mod login;
mod replies;
mod session;
mod stream;
mod tcp;
mod tls;
mod token;
mod transaction;

use std::sync::Arc;

use async_trait::async_trait;
use lettre::transport::smtp::extension::ClientId;

use super::{Connection, Relay};
use crate::clock::{SharedClock, SystemClock};
use crate::config::settings::{Login, Proof, RelaySettings, TlsMode};
use crate::core::reply::Delivery;
use session::Session;
use tls::TlsClient;
use token::Tokens;
use transaction::SmtpConnection;

/// A relay reached by SMTP.
pub struct SmtpRelay {
    settings: Arc<RelaySettings>,
    hello: ClientId,
    tls: Option<TlsClient>,
    tokens: Option<Tokens>,
}

impl SmtpRelay {
    /// Makes a relay of its settings. The certificates to trust are read here, once; TLS sessions are resumed across its
    /// connections.
    ///
    /// # Errors
    /// In words for the operator: a CA file that cannot be read or holds no certificate, a host that no certificate can
    /// name, an EHLO name that SMTP cannot carry.
    pub fn new(settings: Arc<RelaySettings>) -> Result<Self, String> {
        let hello = settings.hello.as_deref().unwrap_or(&settings.domain);
        if hello.is_empty() || !hello.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!(
                "relay {}: \"{}\" cannot be given in EHLO: expected a host name in ASCII without blanks; set `hello`",
                settings.name,
                hello.escape_debug()
            ));
        }
        let hello = ClientId::Domain(hello.to_owned());
        let tls = match settings.tls {
            TlsMode::None => None,
            TlsMode::Starttls | TlsMode::Implicit => Some(
                TlsClient::new(&settings.host, settings.ca.as_deref())
                    .map_err(|why| format!("relay {}: {why}", settings.name))?,
            ),
        };
        // A token ends in the machine's time, whatever clock the mail runs by.
        let clock: SharedClock = Arc::new(SystemClock);
        let tokens = match &settings.auth {
            Some(Login { proof: Proof::Token(source), .. }) => Some(Tokens::new(source.clone(), clock)),
            _ => None,
        };
        Ok(Self { settings, hello, tls, tokens })
    }
}

/// How many complete replies stand at the front of `bytes`, read as a session reads them. The entry of the fuzz target, which
/// cannot wait for a server to answer so.
///
/// # Errors
/// In words: what is wrong with what came.
#[doc(hidden)]
pub fn read_replies(bytes: &[u8]) -> Result<usize, String> {
    let mut left = bytes.to_vec();
    let mut count = 0;
    while let Some(reply) = replies::take(&mut left)? {
        reply.reply();
        count += 1;
    }
    Ok(count)
}

#[async_trait]
impl Relay for SmtpRelay {
    async fn connect(&self) -> Result<Box<dyn Connection>, Delivery> {
        let session = Session::open(&self.settings, &self.hello, self.tls.as_ref(), self.tokens.as_ref()).await?;
        Ok(Box::new(SmtpConnection::new(session, &self.settings)))
    }
}
