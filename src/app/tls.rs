//! What the agents' door proves itself with, where it speaks TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::{StartError, secrets};
use crate::config::DoorTls;

/// TLS 1.2 and 1.3 by ring, for HTTP/2 and HTTP/1.1 (RFC 7301). No session is resumed.
pub(super) fn acceptor(files: &DoorTls) -> Result<TlsAcceptor, StartError> {
    let wrong =
        |path: &Path, error: &dyn std::fmt::Display| StartError::Machine(format!("`{}`: {error}", path.display()));
    let chain = std::fs::read(&files.certificate).map_err(|error| wrong(&files.certificate, &error))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&files.certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, &"there is no certificate in it (PEM, `BEGIN CERTIFICATE`)"));
    }
    let key = PrivateKeyDer::from_pem_slice(&secrets::private_file(&files.key)?)
        .map_err(|error| wrong(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::Machine(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&files.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
