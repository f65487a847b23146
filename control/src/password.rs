//! Passwords: what may be one, how one is made up, and Argon2id (RFC 9106).
//!
//! A hash takes tens of milliseconds and 19 MiB, so it is made on a worker, never on the loop.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::io;

/// Shortest password, in characters.
pub const SHORTEST: usize = 8;
/// Longest password, in bytes: what is hashed should not be work in itself.
const LONGEST: usize = 256;
/// Memory in KiB, passes, lanes: what OWASP recommends at least, and what a small device can spare.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Most that a stored hash may ask for: it may come from an imported configuration.
const MAX_COST: (u32, u32, u32) = (64 * 1024, 8, 4);
const HASH: usize = 32;
const SALT: usize = 16;

/// Whether this may be a password.
///
/// # Errors
/// What a password is, for the person who chose this one.
pub fn check(password: &str) -> Result<(), String> {
    if password.chars().count() < SHORTEST || password.len() > LONGEST {
        return Err(format!("a password has {SHORTEST} characters to {LONGEST} bytes"));
    }
    if password.chars().any(char::is_control) {
        return Err("a password has no control characters".to_owned());
    }
    Ok(())
}

/// 99 random bits in letters and digits that are hard to mistake for each other.
///
/// # Errors
/// When the kernel has no randomness.
pub fn generate() -> io::Result<String> {
    const LETTERS: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut out = String::new();
    while out.len() < 20 {
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        // What is past a multiple of 31 would make some letters likelier.
        let even = bytes.iter().filter(|b| **b < 248).map(|b| LETTERS[usize::from(b % 31)]);
        out.extend(even.map(char::from).take(20 - out.len()));
    }
    Ok(out)
}

/// The Argon2id hash of a password with a fresh salt, as a PHC string.
///
/// # Errors
/// When the kernel has no randomness, or the process no memory.
pub fn hash(password: &str) -> Result<String, String> {
    let mut salt = [0; SALT];
    rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| e.to_string())?;
    let mut out = [0; HASH];
    argon2(COST, password, &salt, &mut out)?;
    let (m, t, p) = COST;
    let (salt, out) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(out));
    Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${out}"))
}

/// Whether a password is the one of a hash. A hash that cannot be read is no password's.
pub fn verify(phc: &str, password: &str) -> bool {
    let Some((cost, salt, want)) = parse(phc) else { return false };
    let mut out = [0; HASH];
    password.len() <= LONGEST
        && argon2(cost, password, &salt, &mut out).is_ok()
        && out.iter().zip(want).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// As much work as [`verify`], for a user who does not exist: so nobody learns by the time who
/// does.
pub fn verify_nothing(password: &str) -> bool {
    let mut out = [0; HASH];
    let _ = argon2(COST, password, &[0; SALT], &mut out);
    false
}

/// A key from a passphrase.
///
/// # Errors
/// For a salt that is too short, or without memory.
pub fn derive(passphrase: &str, salt: &[u8], key: &mut [u8; 32]) -> Result<(), String> {
    argon2(COST, passphrase, salt, key)
}

/// Whether a text is a hash that [`verify`] can read.
pub fn is_hash(phc: &str) -> bool {
    parse(phc).is_some()
}

fn argon2(
    (m, t, p): (u32, u32, u32),
    password: &str,
    salt: &[u8],
    out: &mut [u8; HASH],
) -> Result<(), String> {
    let params = Params::new(m, t, p, Some(HASH)).map_err(|e| e.to_string())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, out)
        .map_err(|e| e.to_string())
}

type Parsed = ((u32, u32, u32), Vec<u8>, [u8; HASH]);

fn parse(phc: &str) -> Option<Parsed> {
    let mut parts = phc.strip_prefix("$argon2id$v=19$")?.split('$');
    let (cost, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = cost.split(',').zip(["m=", "t=", "p="]);
    let mut number = || {
        let (text, name) = numbers.next()?;
        text.strip_prefix(name)?.parse::<u32>().ok()
    };
    let cost = (number()?, number()?, number()?);
    let sane = cost.0 <= MAX_COST.0 && cost.1 <= MAX_COST.1 && cost.2 <= MAX_COST.2;
    let salt = STANDARD_NO_PAD.decode(salt).ok().filter(|s| (8..=64).contains(&s.len()))?;
    let hash = STANDARD_NO_PAD.decode(hash).ok()?.try_into().ok()?;
    (sane && parts.next().is_none()).then_some((cost, salt, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password() {
        let phc = hash("correct horse").unwrap();
        assert!(verify(&phc, "correct horse") && !verify(&phc, "correct horsf"));
        assert_ne!(phc, hash("correct horse").unwrap(), "salted");
        assert!(!verify_nothing("correct horse"));
    }

    #[test]
    fn only_sane_hashes_are_read() {
        let phc = hash("x").unwrap();
        assert!(is_hash(&phc));
        for bad in [
            "",
            "$argon2id$v=19$",
            &phc.replace("argon2id", "argon2i"),
            &phc.replace("m=19456", "m=4294967295"),
            &phc.replace("t=2", "t=4000000"),
            &phc.replace("m=19456,", ""),
            &format!("{phc}$"),
            &phc[..phc.len() - 2],
        ] {
            assert!(!is_hash(bad) && !verify(bad, "x"), "{bad}");
        }
    }

    #[test]
    fn rules_and_made_up_ones() {
        for bad in ["", "seven77", "with\u{7}bell-in-it", &"x".repeat(257)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert!(a != b && a.len() == 20 && check(&a).is_ok());
        assert!(check("häßlich8").is_ok());
    }
}
