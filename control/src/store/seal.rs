//! Secrets at rest: AES-256-GCM (NIST SP 800-38D) under a key that belongs to this device.
//!
//! What is sealed is bound to the name that it has in the store, so that nobody who can write there
//! makes one secret out of another. This protects a copy of the store, a backup, a card that was
//! sent in for repair without its key; not against who reads both files.

use super::StoreError;
use crate::files;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The first byte of what is sealed here, in case another way is ever needed.
const VERSION: u8 = 1;
const KEY: usize = 32;

/// A key, ready for use.
pub(super) struct Sealer(LessSafeKey);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// With a key of 256 bits.
    pub(super) fn new(key: &[u8; KEY]) -> Result<Self, StoreError> {
        let key = UnboundKey::new(&AES_256_GCM, key)
            .map_err(|_| StoreError::Io("AES-256-GCM is not to be had".to_owned()))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a secret for a name: version, nonce, ciphertext, tag.
    pub(super) fn seal(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        // Random nonces of 96 bits: good for 2^32 secrets under one key (SP 800-38D 8.3).
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut out = vec![VERSION];
        out.extend_from_slice(&nonce);
        let mut sealed = Zeroizing::new(secret.to_vec());
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| StoreError::Io("a secret cannot be sealed".to_owned()))?;
        out.extend_from_slice(&sealed);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Opens what was sealed for this name under this key; none if it was not.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *version != VERSION {
            return None;
        }
        let mut text = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut text).ok()?.len();
        text.truncate(len);
        Some(text)
    }
}

/// Random bytes of the kernel.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| StoreError::Io(format!("no randomness: {e}")))?;
    if got == N { Ok(bytes) } else { Err(StoreError::Io("too little randomness".to_owned())) }
}

/// The device's key, made at the first start. `notes` gets what a person should know.
pub(super) fn device_key(path: &Path, notes: &mut Vec<String>) -> Result<Sealer, StoreError> {
    let fail = |e: std::io::Error| StoreError::Io(format!("{}: {e}", path.display()));
    match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => {
            if fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0) {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
                notes.push(format!("{} could be read by others; it was closed", path.display()));
            }
            if let Ok(key) = <&[u8; KEY]>::try_from(bytes.as_slice()) {
                return Sealer::new(key);
            }
            let aside = path.with_extension("key.damaged");
            fs::rename(path, &aside).map_err(fail)?;
            notes.push(format!(
                "{} was no key: kept as {}; a new one was made, and secrets must be set again",
                path.display(),
                aside.display()
            ));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    let key = Zeroizing::new(random::<KEY>()?);
    files::replace(path, key.as_slice(), 0o600).map_err(fail)?;
    Sealer::new(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_for_its_name_and_key() {
        let sealer = Sealer::new(&[1; KEY]).unwrap();
        let sealed = sealer.seal("a", b"hello").unwrap();
        assert_ne!(sealed, sealer.seal("a", b"hello").unwrap(), "never the same nonce");
        assert_eq!(sealer.open("a", &sealed).unwrap().as_slice(), b"hello");
        assert!(sealer.open("b", &sealed).is_none());
        assert!(Sealer::new(&[2; KEY]).unwrap().open("a", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(sealer.open("a", &bent).is_none(), "byte {at}");
            assert!(sealer.open("a", &sealed[..at]).is_none(), "cut at {at}");
        }
    }
}
