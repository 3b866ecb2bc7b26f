//! Owns the entries of Postfix that tell of a message: its identity, its recipients' statuses, its end.
//!
//! Invariant: an entry of any other kind is `None`; a line that the log cut short is read as far as it goes.

use super::words::host_name;
use crate::core::reply::Enhanced;

/// Longest address or Message-ID that is kept (RFC 5321 has 254 for an address, RFC 5322 998 for a line).
const IDENTITY_MOST: usize = 998;

/// What one entry says of the message with a queue id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told<'a> {
    /// The queue id, long or short.
    pub(super) queue_id: &'a str,
    /// What.
    pub(super) what: What<'a>,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// Its Message-ID (`cleanup`), without angle brackets.
    MessageId(&'a str),
    /// Its envelope sender (`qmgr`).
    From(&'a str),
    /// What became of one recipient.
    Status(Status<'a>),
    /// It stayed in the queue for too long and is sent back; every recipient that is left is meant.
    Expired,
    /// It left the queue.
    Removed,
    /// A notification about it was made, with this queue id.
    Notification(&'a str),
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status<'a> {
    /// The recipient as delivered to.
    pub(super) to: &'a str,
    /// As it was before aliases, where that differs.
    pub(super) original: Option<&'a str>,
    /// The host or agent that it was handed to.
    pub(super) relay: Option<String>,
    /// The enhanced code.
    pub(super) dsn: Option<Enhanced>,
    /// `sent`, `bounced`, `deferred`, ...
    pub(super) status: &'a str,
    /// What stands in the brackets.
    pub(super) words: &'a str,
}

/// Reads the text of an entry.
pub(super) fn told(text: &str) -> Option<Told<'_>> {
    let (queue_id, rest) = text.split_once(": ")?;
    if !is_queue_id(queue_id) {
        return None;
    }
    let what = if let Some(rest) = rest.strip_prefix("to=<") {
        What::Status(status(rest)?)
    } else if let Some(rest) = rest.strip_prefix("from=<") {
        let (from, rest) = rest.split_once(">, ")?;
        // `expired`, or `force-expired` by the operator's word.
        match rest.strip_prefix("status=") {
            Some(status) if status.contains("expired") => What::Expired,
            _ => What::From(bounded(from)),
        }
    } else if let Some(rest) = rest.strip_prefix("message-id=") {
        let id = rest.trim().trim_start_matches('<');
        What::MessageId(bounded(id.split_once('>').map_or(id, |(id, _)| id)))
    } else if rest.trim_end() == "removed" {
        What::Removed
    } else if rest.starts_with("sender ") || rest.starts_with("postmaster ") {
        let (_, id) = rest.rsplit_once("notification: ")?;
        What::Notification(Some(id.trim_end()).filter(|id| is_queue_id(id))?)
    } else {
        return None;
    };
    Some(Told { queue_id, what })
}

/// Short ids are hexadecimal, long ones of letters without vowels and digits; both are plain letters and digits.
fn is_queue_id(text: &str) -> bool {
    (5..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(IDENTITY_MOST)]
}

/// What follows `to=<`.
fn status(rest: &str) -> Option<Status<'_>> {
    let (addresses, rest) = rest.split_once(">, relay=")?;
    let (to, original) = match addresses.split_once(">, orig_to=<") {
        Some((to, original)) => (to, Some(original)),
        None => (addresses, None),
    };
    let (facts, rest) = rest.split_once(", status=")?;
    let mut facts = facts.split(", ");
    // An agent of the relay itself has no address.
    let relay = facts.next().filter(|relay| relay.contains('[')).and_then(host_name);
    let dsn = facts.find_map(|fact| fact.strip_prefix("dsn=")).and_then(|code| code.parse().ok());
    let (status, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let words = words.trim();
    let words = words.strip_prefix('(').map_or(words, |words| words.strip_suffix(')').unwrap_or(words));
    Some(Status { to: bounded(to), original: original.map(bounded), relay, dsn, status, words })
}

/// The queue id under which the next hop took it, in the words of a status: `250 2.0.0 Ok: queued as 4XyZ`, `forwarded as 4XyZ`.
pub(super) fn next_queue_id(words: &str) -> Option<&str> {
    let (_, rest) = words.rsplit_once("queued as ").or_else(|| words.rsplit_once("forwarded as "))?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|id| is_queue_id(id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_status_is_read_with_all_that_stands_in_it() {
        let text = "4XyZb12cDz: to=<a..b@docomo.ne.jp>, orig_to=<c@d.jp>, relay=mx.d.jp[192.0.2.1]:25, conn_use=3, delay=1.2, \
                    delays=0.1/0/0.5/0.6, dsn=5.1.1, status=bounced (host mx.d.jp[192.0.2.1] said: 550 (x), status=sent (y))";
        let Some(Told { queue_id: "4XyZb12cDz", what: What::Status(status) }) = told(text) else { panic!("not read") };
        assert_eq!((status.to, status.original), ("a..b@docomo.ne.jp", Some("c@d.jp")));
        assert_eq!((status.relay.as_deref(), status.status), (Some("mx.d.jp"), "bounced"));
        assert_eq!(status.dsn, Some(Enhanced(5, 1, 1)));
        assert_eq!(status.words, "host mx.d.jp[192.0.2.1] said: 550 (x), status=sent (y)");
    }

    #[test]
    fn every_entry_about_a_message_is_known_and_no_other() {
        let what = |text| told(text).map(|told| told.what);
        assert_eq!(what("A1B2C3: message-id=<t@m.jp>"), Some(What::MessageId("t@m.jp")));
        assert_eq!(what("A1B2C3: message-id=odd"), Some(What::MessageId("odd")));
        assert_eq!(what("A1B2C3: from=<b+t@m.jp>, size=9, nrcpt=1 (queue active)"), Some(What::From("b+t@m.jp")));
        assert_eq!(what("A1B2C3: from=<b@m.jp>, status=expired, returned to sender"), Some(What::Expired));
        assert_eq!(what("A1B2C3: from=<b@m.jp>, status=force-expired, returned to sender"), Some(What::Expired));
        assert_eq!(what("A1B2C3: removed"), Some(What::Removed));
        assert_eq!(what("A1B2C3: sender non-delivery notification: D4E5F6"), Some(What::Notification("D4E5F6")));
        for text in [
            "connect from mx[192.0.2.1]",
            "NOQUEUE: reject: RCPT from mx[192.0.2.1]: 554 5.7.1 no",
            "A1B2C3: client=mx[192.0.2.1]",
            "A1B2C3: uid=0 from=<root>",
            "A1B2C3: to=<a@b.jp>, relay=none, delay=1",
            "A1B2C3: status=deferred (bounce failed)",
            "warning: to=<a@b.jp>, relay=none",
            "statistics: max connection rate 1/60s",
        ] {
            assert_eq!(what(text), None, "{text}");
        }
    }

    #[test]
    fn the_next_hops_queue_id_is_found() {
        assert_eq!(next_queue_id("250 2.0.0 Ok: queued as 4XyZb"), Some("4XyZb"));
        assert_eq!(
            next_queue_id("250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as A1B2C3"),
            Some("A1B2C3")
        );
        assert_eq!(next_queue_id("forwarded as A1B2C3"), Some("A1B2C3"));
        assert_eq!(next_queue_id("250 2.0.0 OK  1795654800 a-b.12 - gsmtp"), None);
    }
}
