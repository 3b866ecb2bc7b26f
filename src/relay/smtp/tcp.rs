//! Owns reaching a relay: name look-up and TCP, from the local address that the settings name.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::faults;
use crate::config::settings::RelaySettings;
use crate::core::reply::Fault;

/// Opens a TCP connection without delay on small packets. Addresses of the host are tried in turn; each gets an equal share
/// of what is left of the time.
pub(super) async fn open(settings: &RelaySettings) -> Result<TcpStream, Fault> {
    let host = settings.host.trim_start_matches('[').trim_end_matches(']');
    let limit = settings.timeouts.connect;
    let addresses: Vec<SocketAddr> = match timeout(limit, lookup_host((host, settings.port))).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(Fault::Resolve(format!("{host}: {error}"))),
        Err(_) => return Err(Fault::Resolve(format!("{host}: no answer in time"))),
    };
    let reachable: Vec<SocketAddr> = match settings.source_address {
        Some(source) => addresses.into_iter().filter(|to| to.is_ipv4() == source.is_ipv4()).collect(),
        None => addresses,
    };
    let mut fault = match settings.source_address {
        Some(source) => Fault::Unreachable(format!("{host} has no address of the kind of source_address {source}")),
        None => Fault::Resolve(format!("{host}: no address")),
    };
    let share = limit / u32::try_from(reachable.len().max(1)).unwrap_or(u32::MAX);
    for address in reachable {
        match dial(address, settings.source_address, share).await {
            Ok(stream) => return Ok(stream),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

async fn dial(to: SocketAddr, from: Option<IpAddr>, limit: Duration) -> Result<TcpStream, Fault> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| faults::of_io(&error))?;
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0)).map_err(|error| {
            Fault::Io(format!("cannot connect from source_address {from}: {error}; is it an address of this machine?"))
        })?;
    }
    let stream = match timeout(limit, socket.connect(to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(faults::of_io(&error)),
        Err(_) => return Err(Fault::Timeout),
    };
    // Commands are small packets; waiting for the last one's ACK would cost 40 ms a message.
    stream.set_nodelay(true).map_err(|error| faults::of_io(&error))?;
    Ok(stream)
}
