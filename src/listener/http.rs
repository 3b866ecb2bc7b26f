//! Owns the worker's HTTP server: unsubscribe links and providers' events.
//!
//! Invariants: plain HTTP for a proxy in front of it; every connection is bounded in time and requests, their number too; what is in
//! hand when it closes is finished.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once; one more waits until another ends.
const CONNECTIONS: usize = 200;
/// Longest wait for the header of a request.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// Longest time of a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Longest life of a connection.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);

/// A running server.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Waits for its end.
    pub async fn ended(self) {
        // A server that broke down has said so.
        let _ = self.task.await;
    }
}

/// Serves `routes` at `addr` until `closed`.
///
/// # Errors
/// In words: the address cannot be listened on.
pub async fn serve(addr: SocketAddr, routes: Router, closed: CancellationToken) -> Result<Serving, String> {
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        format!("listen.http: {addr} cannot be listened on: {error}; another program has it, or it is no address of this machine")
    })?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    let routes = routes.layer(from_fn(bounded));
    tracing::info!(%addr, "listening for unsubscribe links and providers' events");
    Ok(Serving { addr, task: tokio::spawn(accept(listener, routes, closed)) })
}

async fn accept(listener: TcpListener, routes: Router, closed: CancellationToken) {
    let (room, sessions) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = closed.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (routes, closed) = (routes.clone(), closed.clone());
                sessions.spawn(async move {
                    connection(stream, routes, closed).await;
                    drop(place);
                });
            }
            // Out of file descriptors: others must end first.
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be taken");
                let _ = timeout(Duration::from_millis(100), closed.cancelled()).await;
            }
        }
    }
    sessions.close();
    sessions.wait().await;
}

async fn connection(stream: TcpStream, routes: Router, closed: CancellationToken) {
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN).max_buf_size(64 * 1_024);
    let talk = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(talk);
    let bounded = timeout(CONNECTION_WITHIN, async {
        tokio::select! {
            // A client that goes away or writes nonsense ends its own connection.
            _ = talk.as_mut() => {}
            () = closed.cancelled() => {
                talk.as_mut().graceful_shutdown();
                let _ = talk.as_mut().await;
            }
        }
    });
    let _ = bounded.await;
}

/// Every request ends in time, and nothing that is answered is kept by anybody or shown inside another's page.
async fn bounded(request: Request, next: Next) -> Response {
    let answered = timeout(ANSWER_WITHIN, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
