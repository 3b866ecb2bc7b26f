//! Owns `listen`: where the worker takes what comes back.
//!
//! Invariant: beyond loopback nothing is listened on for nobody in particular: who may connect is named.

use std::net::SocketAddr;
use std::path::Path;

use crate::config::Network;
use crate::config::fields::Fields;
use crate::config::keys::listen::LISTEN;
use crate::config::problem::Problems;
use crate::config::settings::{ListenSettings, Socket};
use crate::config::tree::Node;

const ADDRESS: &str = "an address and a port such as 127.0.0.1:2526";

/// Reads `listen`; paths are relative to `folder`.
pub(super) fn read(fields: &Fields<'_>, folder: &Path) -> ListenSettings {
    let Some(map) = fields.map("listen", "http, smtp, lmtp, allow") else { return ListenSettings::default() };
    map.known(&LISTEN);
    let smtp = map.read("smtp", |problems, node| address(problems, node, ADDRESS));
    let lmtp = map.read("lmtp", |problems, node| socket(problems, node, folder));
    let http =
        map.read("http", |problems, node| address(problems, node, "an address and a port such as 127.0.0.1:8580"));
    let mut allow = Vec::new();
    for item in map.list("allow", "networks such as 10.1.0.0/16").unwrap_or_default() {
        allow.extend(map.problems().parsed::<Network>(item, "a network such as 10.1.0.0/16"));
    }
    let tcp = match &lmtp {
        Some(Socket::Tcp(addr)) => Some(addr),
        _ => None,
    };
    for (key, addr) in [("smtp", smtp.as_ref()), ("lmtp", tcp)] {
        let (Some(addr), Some(node)) = (addr, map.node(key)) else { continue };
        if !addr.ip().is_loopback() && map.entry("allow").is_none() {
            let message = format!("{addr} is open beyond loopback, and who may connect there is not said");
            let help = "name the networks of the relay or MX that hands bounces over: `allow: [10.1.0.0/16]`";
            map.problems().at_with(node.span, message, help);
        }
    }
    let places = [("http", http.as_ref()), ("smtp", smtp.as_ref()), ("lmtp", tcp)];
    for (i, (key, addr)) in places.iter().enumerate() {
        let same = places[..i].iter().find(|(_, other)| addr.is_some() && other == addr);
        if let (Some((other, _)), Some(node)) = (same, map.node(key)) {
            map.problems().at(node.span, format!("{other} and {key} cannot have the same address and port"));
        }
    }
    ListenSettings { smtp, lmtp, http, allow }
}

fn address(problems: &Problems, node: &Node, what: &str) -> Option<SocketAddr> {
    let address = problems.text(node, what)?.parse().ok().filter(|addr: &SocketAddr| addr.port() > 0);
    if address.is_none() {
        problems.expected(node, what);
    }
    address
}

fn socket(problems: &Problems, node: &Node, folder: &Path) -> Option<Socket> {
    const WHAT: &str =
        "an address and a port such as 127.0.0.1:2527, or the path of a socket such as /run/hikagen/lmtp.sock";
    let text = problems.text(node, WHAT)?;
    let is_path = ["/", "./", "../"].iter().any(|start| text.strip_prefix(start).is_some_and(|rest| !rest.is_empty()));
    if is_path { Some(Socket::Unix(folder.join(text))) } else { address(problems, node, WHAT).map(Socket::Tcp) }
}
