//! Owns TLS towards a relay: whom to trust, the handshake, and what to say when it fails.
//!
//! Invariant: certificates are always verified against the system's authorities and the private one, for the relay's host.

use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore, crypto::ring};

use super::faults;
use crate::core::reply::Fault;

/// What is shared by all connections to one relay; its session cache makes resumption work.
pub(super) struct TlsClient {
    connector: TlsConnector,
    host: ServerName<'static>,
    name: String,
}

impl TlsClient {
    /// Trusts the system's authorities and those in the PEM file `ca`.
    pub(super) fn new(host: &str, ca: Option<&Path>) -> Result<Self, String> {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server = ServerName::try_from(name.clone())
            .map_err(|_| format!("\"{}\" is no host name that a certificate can bear", name.escape_debug()))?;
        let mut roots = RootCertStore::empty();
        let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca {
            add_private_authority(&mut roots, path)?;
        }
        if roots.is_empty() {
            return Err(
                "this machine trusts no certificate authority: install the package ca-certificates, or set `ca`".into(),
            );
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), host: server, name })
    }

    /// Shakes hands over `tcp`. A time limit is the caller's.
    pub(super) async fn handshake(&self, tcp: TcpStream) -> Result<Box<TlsStream<TcpStream>>, Fault> {
        match self.connector.connect(self.host.clone(), tcp).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                Some(tls) => Err(Fault::Tls(in_words(tls, Some(&self.name)))),
                None => Err(faults::of_io(&error)),
            },
        }
    }
}

fn add_private_authority(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| format!("ca: {shown}: expected a PEM file of certificates: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("ca: {shown}: expected at least one certificate between BEGIN and END lines, found none"));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| format!("ca: {shown}: not usable as an authority: {error}"))?;
    }
    Ok(())
}

/// What went wrong and what to do, for the operator.
pub(super) fn in_words(error: &Error, host: Option<&str>) -> String {
    match error {
        Error::InvalidCertificate(certificate) => about_certificate(certificate, host),
        Error::AlertReceived(alert) => format!("the relay refused the handshake ({alert:?})"),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            format!("what came is not TLS ({error}); is the port right, and `tls: starttls` or `tls: implicit` for it?")
        }
        other => format!("handshake failed: {other}"),
    }
}

fn about_certificate(error: &CertificateError, host: Option<&str>) -> String {
    let host = host.unwrap_or("the host");
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the relay's certificate has expired; its owner must renew it (or this machine's clock is wrong)".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the relay's certificate is not valid yet; is this machine's clock right?".into()
        }
        CertificateError::NotValidForName => {
            format!("the relay's certificate is not for {host}; set `host` to a name it bears")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!(
                "the relay's certificate is not for {host} but for {}; set `host` to a name it bears",
                if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") }
            )
        }
        CertificateError::UnknownIssuer => {
            "the relay's certificate comes from an authority that this machine does not trust (or it is self-signed); \
             set `ca` to the authority's PEM file"
                .into()
        }
        CertificateError::BadSignature => "the relay's certificate is not signed by the authority that it names; \
             `ca` may be an older one of the same name"
            .into(),
        CertificateError::Revoked => "the relay's certificate was revoked; its owner must replace it".into(),
        other => format!("the relay's certificate was not accepted: {other}"),
    }
}
