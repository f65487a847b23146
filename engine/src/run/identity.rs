//! The certificate that RTSPS shows.

use crate::rtsp::serve::Identity;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The TLS identity. It may be replaced while we run, and a new connection is to be shown the new
/// one: to look costs two system calls, a handshake a hundred times that.
pub(super) fn identity(folder: PathBuf) -> Result<Identity, String> {
    let look = |folder: &Path| {
        ["cert.pem", "key.pem"].map(|name| {
            let m = std::fs::metadata(folder.join(name)).ok()?;
            Some((m.ino(), m.mtime(), m.mtime_nsec(), m.size()))
        })
    };
    let mut seen = look(&folder);
    let mut config = tls_config(&folder)?;
    Ok(Box::new(move || {
        let mark = look(&folder);
        if mark != seen {
            let read = tls_config(&folder);
            // Else they are being replaced, and what was read may be of both.
            if look(&folder) == mark {
                seen = mark;
                match read {
                    Ok(new) => config = new,
                    Err(why) => tracing::warn!("{why}; the TLS certificate stays as it is"),
                }
            }
        }
        Arc::clone(&config)
    }))
}

fn tls_config(folder: &Path) -> Result<Arc<ServerConfig>, String> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let certs = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("the certificate {} cannot be read: {e}", cert.display()))?;
    let private = PrivateKeyDer::from_pem_file(&key)
        .map_err(|e| format!("the private key {} cannot be read: {e}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(certs, private))
        .map_err(|e| format!("the certificate {} cannot be used: {e}", cert.display()))?;
    Ok(Arc::new(config))
}
