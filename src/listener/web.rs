//! Owns reading a small document from a provider over https: a certificate, the confirmation of a subscription.
//!
//! Invariants: the host's certificate is always verified; one answer of 200, bounded in octets and time; no redirect is
//! followed, nothing is sent but the path.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::feedback::provider::Place;

/// Longest time of one reading. SNS waits 15 s for the whole answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Reads from providers.
#[derive(Debug, Default)]
pub struct Web {
    /// Where every host is reached instead, and the authority that is trusted alone.
    towards: Option<(SocketAddr, PathBuf)>,
    tls: OnceLock<Result<Tls, String>>,
}

#[derive(Clone)]
struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Web {
    /// Reaches hosts at `address` whatever their name, and trusts the authority in the PEM file alone; names are verified as
    /// ever. For tests: a library's, never a setting.
    #[must_use]
    pub fn towards(address: SocketAddr, authority: &Path) -> Self {
        Self { towards: Some((address, authority.to_owned())), tls: OnceLock::new() }
    }

    /// The document at `place`, at most `octets_most`.
    ///
    /// # Errors
    /// In words: not reached, not trusted, another answer than 200, too large, too slow.
    pub async fn read(&self, place: &Place, octets_most: usize) -> Result<Vec<u8>, String> {
        match timeout(PATIENCE, self.document(place, octets_most)).await {
            Ok(read) => read.map_err(|why| format!("{place}: {why}")),
            Err(_) => Err(format!("{place}: no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn document(&self, place: &Place, octets_most: usize) -> Result<Vec<u8>, String> {
        let Tls(tls) = self.tls.get_or_init(|| self.trust()).clone()?;
        let name = ServerName::try_from(place.host.clone()).map_err(|_| "no host name".to_owned())?;
        let tcp = self.connect(&place.host).await?;
        let stream = tls.connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(64)
            .max_buf_size(64 * 1024)
            .handshake::<_, Body>(TokioIo::new(stream))
            .await
            .map_err(|error| format!("HTTP: {error}"))?;
        let request = axum::http::Request::get(&place.target)
            .header("Host", &place.host)
            .header("User-Agent", concat!("hikagen/", env!("CARGO_PKG_VERSION")))
            .header("Connection", "close")
            .body(Body::empty())
            .map_err(|error| format!("HTTP: {error}"))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| format!("HTTP: {error}"))?;
            if response.status() != 200 {
                return Err(format!("expected the answer 200, got {}", response.status()));
            }
            let body = to_bytes(Body::new(response.into_body()), octets_most).await;
            body.map(Vec::from).map_err(|_| format!("the answer was cut off, or is larger than {octets_most} octets"))
        };
        // The connection does its work while the answer is waited for, and ends with it.
        tokio::pin!(answer);
        tokio::select! {
            biased;
            read = &mut answer => read,
            ended = connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(format!("HTTP: {error}")),
            },
        }
    }

    async fn connect(&self, host: &str) -> Result<TcpStream, String> {
        let addresses: Vec<SocketAddr> = match &self.towards {
            Some((address, _)) => vec![*address],
            None => lookup_host((host, 443)).await.map_err(|error| format!("name look-up failed: {error}"))?.collect(),
        };
        let mut why = "it has no address".to_owned();
        for address in addresses {
            match timeout(PATIENCE / 3, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = format!("not reached: {error}"),
                Err(_) => why = "not reached in time".to_owned(),
            }
        }
        Err(why)
    }

    fn trust(&self) -> Result<Tls, String> {
        let mut roots = RootCertStore::empty();
        match &self.towards {
            Some((_, authority)) => {
                let certificates =
                    CertificateDer::pem_file_iter(authority).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                roots.add_parsable_certificates(certificates.map_err(|error| error.to_string())?);
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err("this machine trusts no certificate authority: install the package ca-certificates".to_owned());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls(TlsConnector::from(Arc::new(config))))
    }
}
