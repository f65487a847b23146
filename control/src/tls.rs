//! The server's TLS identity: certificate and key, as files in `DATA/tls`.
//!
//! HTTPS, WSS and (in the engine) RTSPS show the same one. It can be replaced while the server
//! runs: connections that are there stay as they are, new ones get the new one. What cannot be
//! used replaces nothing.

use crate::http::respond::Fault;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
/// Most names of a certificate that is made here, and the longest one (RFC 1035 2.3.4).
const MAX_NAMES: usize = 32;
const MAX_NAME: usize = 253;
/// The subject of a certificate that was made here, by this program's two ways to do so.
const OWN: &str = "CN=lensd";

/// A certificate with those that lead to its issuer, and its key, both as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// By what changed files are known.
type Mark = [Option<(u64, i64, i64, u64)>; 2];

/// The identity at present.
pub(crate) struct Identity {
    folder: PathBuf,
    seen: Mark,
    config: Option<Arc<ServerConfig>>,
}

impl Identity {
    /// Of a data folder; nothing is read yet.
    pub(crate) fn new(data: &Path) -> Self {
        Self { folder: data.join("tls"), seen: [None; 2], config: None }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a new connection is served with.
    pub(crate) const fn config(&self) -> Option<&Arc<ServerConfig>> {
        self.config.as_ref()
    }

    /// Reads the files if they are others than at the last call. `Some`: whether they can be used;
    /// if not, the identity stays as it was.
    pub(crate) fn look(&mut self) -> Option<Result<(), String>> {
        let mark = self.mark();
        if mark == self.seen {
            return None;
        }
        let read = self.read();
        if self.mark() != mark {
            // They are being replaced: what was read may be of both.
            return None;
        }
        self.seen = mark;
        Some(read.map(|config| self.config = Some(config)))
    }

    fn mark(&self) -> Mark {
        [CERTIFICATE, KEY].map(|name| {
            let m = fs::metadata(self.folder.join(name)).ok()?;
            Some((m.ino(), m.mtime(), m.mtime_nsec(), m.size()))
        })
    }

    fn read(&self) -> Result<Arc<ServerConfig>, String> {
        let read = |name: &str| {
            let path = self.folder.join(name);
            fs::read_to_string(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
        };
        let pair = Pair { certificate: read(CERTIFICATE)?, key: read(KEY)? };
        let folder = self.folder.display();
        config(&pair).map_err(|fault| format!("the certificate in {folder}: {}", fault.message))
    }
}

fn invalid(key: &str, message: impl Into<String>) -> Fault {
    Fault::invalid_value(key, message)
}

/// Checks that a pair can be used, and makes of it what connections need.
///
/// # Errors
/// 422 that says what is wrong. The key is never part of it.
pub(crate) fn config(pair: &Pair) -> Result<Arc<ServerConfig>, Fault> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| invalid("certificate", format!("it is not PEM: {e}")))?;
    if chain.is_empty() {
        return Err(invalid("certificate", "there is no BEGIN CERTIFICATE in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())
        .map_err(|_| invalid("key", "there is no private key as PEM in it (without passphrase)"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => {
                invalid("key", "the key is not that of the certificate")
            }
            rustls::Error::InvalidCertificate(_) => {
                invalid("certificate", format!("it cannot be used: {e}"))
            }
            e => invalid("key", format!("it cannot be used: {e}")),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session that is taken up again saves a signature; nothing is kept for it here.
    if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct View {
    /// Whom it names, as RFC 4514 writes it.
    subject: String,
    /// Names and addresses for which it is good.
    names: Vec<String>,
    issuer: String,
    self_signed: bool,
    serial: String,
    /// Milliseconds since 1970.
    not_before: i64,
    not_after: i64,
    /// Whether the clock is between them.
    valid: bool,
    fingerprint_sha256: String,
    key_type: String,
    /// Certificates in the file.
    chain: usize,
}

impl View {
    /// Whether its time is over. One whose time has not come may be good on a machine whose clock
    /// is not set yet.
    pub(crate) const fn is_over(&self, now_ms: i64) -> bool {
        self.not_after < now_ms
    }
}

/// Reads the first certificate of a PEM file.
///
/// # Errors
/// 422 that says what is wrong.
pub(crate) fn view(pem: &str, now_ms: i64) -> Result<View, Fault> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| invalid("certificate", format!("it is not PEM: {e}")))?;
    let first = chain
        .first()
        .ok_or_else(|| invalid("certificate", "there is no BEGIN CERTIFICATE in it"))?;
    let (_, certificate) = X509Certificate::from_der(first)
        .map_err(|e| invalid("certificate", format!("it is not X.509: {e}")))?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|n| &n.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
        _ => None,
    });
    let validity = certificate.validity();
    let (from, to) =
        (validity.not_before.timestamp() * 1000, validity.not_after.timestamp() * 1000);
    let fingerprint = Sha256::digest(first).iter().fold(String::new(), |mut out, byte| {
        let colon = if out.is_empty() { "" } else { ":" };
        let _ = write!(out, "{colon}{byte:02X}");
        out
    });
    Ok(View {
        subject: certificate.subject().to_string(),
        names: names.collect(),
        issuer: certificate.issuer().to_string(),
        self_signed: certificate.subject() == certificate.issuer(),
        serial: certificate.raw_serial_as_string(),
        not_before: from,
        not_after: to,
        valid: (from..=to).contains(&now_ms),
        fingerprint_sha256: fingerprint,
        key_type: key_type(&certificate),
        chain: chain.len(),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

fn key_type(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size()),
        // RFC 8410: the only ones without parameters.
        _ => match certificate.public_key().algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => "Ed25519".to_owned(),
            oid => oid.to_owned(),
        },
    }
}

/// Checks names of a certificate that is to be made; without any, those of this machine.
///
/// # Errors
/// 422.
pub(crate) fn names(wanted: Vec<String>) -> Result<Vec<String>, Fault> {
    if wanted.len() > MAX_NAMES {
        return Err(invalid("names", format!("at most {MAX_NAMES} names")));
    }
    for name in &wanted {
        let label = |l: &str| {
            let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            l == "*" || (1..=63).contains(&l.len()) && l.bytes().all(good)
        };
        let good =
            name.parse::<IpAddr>().is_ok() || name.len() <= MAX_NAME && name.split('.').all(label);
        if !good {
            return Err(invalid("names", format!("{name:?} is no host name and no address")));
        }
    }
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = ["localhost", "127.0.0.1", "::1", host.trim()];
    Ok(own.iter().filter(|n| !n.is_empty()).map(|n| (*n).to_owned()).collect())
}

/// Makes a self-signed certificate for checked names. Takes milliseconds.
///
/// # Errors
/// 500, or 422 for a name that is none after all.
pub(crate) fn make(names: Vec<String>) -> Result<Pair, Fault> {
    let failed = |e: rcgen::Error| {
        Fault::new(500, "INTERNAL", "Internal error", format!("cannot make a certificate: {e}"))
    };
    let mut params = CertificateParams::new(names).map_err(|e| invalid("names", e.to_string()))?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "lensd");
    params.distinguished_name = subject;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The pair at present, if somebody has brought it. One that was made here is this machine's own.
pub(crate) fn brought(folder: &Path) -> Option<Pair> {
    let pair = read(folder).ok()?;
    let view = view(&pair.certificate, 0).ok()?;
    (!view.self_signed || view.subject != OWN).then_some(pair)
}

/// The pair at present.
///
/// # Errors
/// When the file system says so.
pub(crate) fn read(folder: &Path) -> io::Result<Pair> {
    let text = |name| fs::read_to_string(folder.join(name));
    Ok(Pair { certificate: text(CERTIFICATE)?, key: text(KEY)? })
}

/// Replaces the files. The two belong together, so they are written into a folder of their own
/// that changes places with the present one: a crash leaves the old pair or the new one.
///
/// # Errors
/// When the file system says so.
pub(crate) fn store(folder: &Path, pair: &Pair) -> io::Result<()> {
    let new = folder.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::DirBuilder::new().mode(0o700).create(&new)?;
    for (name, text, mode) in [(CERTIFICATE, &pair.certificate, 0o644), (KEY, &pair.key, 0o600)] {
        let path = new.join(name);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
    }
    fs::File::open(&new)?.sync_all()?;
    match renameat_with(CWD, &new, CWD, folder, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        // A file system that cannot (FAT, some network ones): one after the other.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            for name in [KEY, CERTIFICATE] {
                fs::rename(new.join(name), folder.join(name))?;
            }
        }
        Err(e) => return Err(e.into()),
    }
    if let Some(data) = folder.parent() {
        fs::File::open(data)?.sync_all()?;
    }
    fs::remove_dir_all(&new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        make(vec!["cam.example".into(), "10.0.0.7".into(), "::1".into()]).unwrap()
    }

    fn key_of(fault: Result<Arc<ServerConfig>, Fault>) -> String {
        fault.err().map(|f| f.key.unwrap_or_default().into_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_made_can_be_used_and_viewed() {
        let pair = pair();
        assert!(config(&pair).is_ok());
        let view = view(&pair.certificate, 1_700_000_000_000).unwrap();
        assert_eq!(view.subject, "CN=lensd");
        assert_eq!(view.names, ["cam.example", "10.0.0.7", "::1"]);
        assert!(view.self_signed && view.valid);
        assert_eq!((view.chain, &*view.key_type), (1, "ECDSA P-256"));
        assert_eq!(view.fingerprint_sha256.len(), 95);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (one, other) = (pair(), pair());
        let with = |certificate: &str, key: &str| {
            key_of(config(&Pair { certificate: certificate.into(), key: key.into() }))
        };
        assert_eq!(with(&one.certificate, &one.key), "");
        assert_eq!(with(&one.certificate, &other.key), "key");
        assert_eq!(with("", &one.key), "certificate");
        assert_eq!(with(&one.key, &one.key), "certificate");
        assert_eq!(with(&one.certificate, &one.certificate), "key");
        let cut = &one.certificate[..one.certificate.len() / 2];
        assert_eq!(with(cut, &one.key), "certificate");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(with(broken, &one.key), "certificate");
        assert!(view(broken, 0).is_err() && view("", 0).is_err());
    }

    #[test]
    fn names_of_hosts_and_addresses() {
        assert!(names(vec!["a.b-c.d".into(), "*.x".into(), "fe80::1".into()]).is_ok());
        assert!(names(Vec::new()).unwrap().contains(&"localhost".to_owned()));
        for bad in ["", "a..b", "a b", "ä", &"a".repeat(64), "a/b"] {
            assert!(names(vec![bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(names(vec!["x".into(); 33]).is_err());
    }

    #[test]
    fn files_that_are_replaced_are_taken_up_and_bad_ones_are_not() {
        let data = std::env::temp_dir().join(format!("lensd-tls-{}", std::process::id()));
        let folder = data.join("tls");
        fs::create_dir_all(&folder).unwrap();
        let mut identity = Identity::new(&data);
        assert_eq!(identity.look(), None, "nothing is there, and nothing has changed");
        store(&folder, &pair()).unwrap();
        assert_eq!(identity.look(), Some(Ok(())));
        let first = Arc::clone(identity.config().unwrap());
        assert_eq!(identity.look(), None);
        store(&folder, &pair()).unwrap();
        assert_eq!(identity.look(), Some(Ok(())));
        let second = Arc::clone(identity.config().unwrap());
        assert!(!Arc::ptr_eq(&first, &second));
        fs::write(folder.join(CERTIFICATE), "nonsense").unwrap();
        assert!(identity.look().unwrap().is_err());
        assert!(Arc::ptr_eq(&second, identity.config().unwrap()));
        let mode = fs::metadata(folder.join(KEY)).unwrap().mode() & 0o777;
        assert_eq!((mode, data.join("tls.new").exists()), (0o600, false));
        fs::remove_dir_all(&data).unwrap();
    }
}
