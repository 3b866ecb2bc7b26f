//! Owns who signs the messages of each relay, and whether that speaks for the From of the campaigns that may use it.

use serde::Serialize;

use crate::compose::{Alignment, Mailbox, alignment};
use crate::config::config_file::Written;
use crate::config::problem::Problem;
use crate::config::{Config, RelaySettings, Signs};
use crate::core::names::PoolName;

/// A campaign, as far as signing is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its name.
    pub campaign: String,
    /// Its pool.
    pub pool: PoolName,
    /// Its From, as written.
    pub from: String,
}

/// Who signs what leaves by a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signing {
    /// `dkim` (Hikagen itself), `relay`, `nobody` or `unknown`.
    pub signs: &'static str,
    /// The domain that signs: of `dkim`, or that a relay is expected to sign as.
    pub domain: String,
    /// The campaigns whose pool has the relay.
    pub campaigns: Vec<Aligned>,
}

/// A campaign and the signature's word for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Aligned {
    /// Its name.
    pub campaign: String,
    /// Domain of its From.
    pub from: String,
    /// Whether the signature speaks for it.
    pub alignment: Alignment,
}

/// Who signs for `relay`, seen from the campaigns that may use it.
#[must_use]
pub fn signing(relay: &RelaySettings, config: &Config, senders: &[Sender]) -> Signing {
    let (signs, domain) = match (&relay.dkim, relay.signs) {
        (Some(signer), _) => ("dkim", signer.domain()),
        (None, Some(Signs::Relay)) => ("relay", relay.domain.as_str()),
        (None, Some(Signs::Nobody)) => ("nobody", relay.domain.as_str()),
        (None, None) => ("unknown", relay.domain.as_str()),
    };
    let uses = |pool: &PoolName| config.pools.get(pool).is_some_and(|relays| relays.contains(&relay.name));
    let campaigns = senders.iter().filter(|sender| uses(&sender.pool)).filter_map(|sender| {
        let from = Mailbox::parse(&sender.from).ok()?.address.domain().to_owned();
        let alignment = alignment(domain, &from);
        Some(Aligned { campaign: sender.campaign.clone(), from, alignment })
    });
    Signing { signs, domain: domain.to_owned(), campaigns: campaigns.collect() }
}

impl Signing {
    /// What is wrong with it for its campaigns, at the relay's place in the configuration.
    #[must_use]
    pub fn problems(&self, relay: &RelaySettings, written: &Written) -> Vec<Problem> {
        let (key, help) = match self.signs {
            "dkim" => ("dkim", "sign as the From's domain, or send the campaign by a pool whose relays do"),
            "relay" => ("domain", "set the relay's account up to sign as the From's domain, or sign here with `dkim`"),
            _ => return Vec::new(),
        };
        let place = written.place(&relay.name, key).or_else(|| written.place(&relay.name, "dkim"));
        let apart = self.campaigns.iter().filter(|one| one.alignment == Alignment::None);
        let problem = |one: &Aligned| {
            let (name, domain, Aligned { campaign, from, .. }) = (&relay.name, &self.domain, one);
            let message = if self.signs == "dkim" {
                format!(
                    "{name}: a signature as {domain} does not align with the From {from} of the campaign {campaign}, so DMARC does not count it"
                )
            } else {
                format!(
                    "{name}: the campaign {campaign} is From {from}, which does not align with {domain}; DMARC counts the relay's signature only where its account signs as {from}"
                )
            };
            Problem::at(&written.file, place.unwrap_or_default(), message).help(help).lint()
        };
        apart.map(problem).collect()
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let who = match self.signs {
            "dkim" => format!("DKIM is signed here as {}", self.domain),
            "relay" => "DKIM is signed by the relay, as far as its account is set up for the From's domain".to_owned(),
            "nobody" => "nobody signs with DKIM".to_owned(),
            _ => "nobody is known to sign with DKIM".to_owned(),
        };
        let signed = ["dkim", "relay"].contains(&self.signs);
        let each = self.campaigns.iter().map(|one| {
            let word = match one.alignment {
                Alignment::Strict => "aligned",
                Alignment::Relaxed => "aligned, relaxed",
                Alignment::None => "not aligned",
            };
            let word = if signed { word } else { "not signed" };
            format!("campaign {} (From {}): {word}", one.campaign, one.from)
        });
        let campaigns: Vec<String> = each.collect();
        if campaigns.is_empty() { who } else { format!("{who}; {}", campaigns.join("; ")) }
    }
}
