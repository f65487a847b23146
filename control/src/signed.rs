//! What the vendor has signed (Ed25519, RFC 8032): licences and packages.

pub mod package;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Most features of a licence.
const MOST_FEATURES: usize = 32;
/// Longest name of one.
const LONGEST_FEATURE: usize = 64;

/// A public key as people write it: 64 hex digits, or Base64.
///
/// # Errors
/// What it must look like.
pub fn key(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "the key must be 32 bytes as hex or Base64".to_owned();
    let text = text.trim();
    let bytes = if text.len() == 64 {
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        pairs.iter().map(byte).collect::<Option<Vec<u8>>>().ok_or_else(wrong)?
    } else {
        STANDARD.decode(text).map_err(|_| wrong())?
    };
    bytes.try_into().map_err(|_| wrong())
}

/// Whether the holder of a key has signed a message.
pub fn is_signed(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

/// What a licence says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// Names of features.
    pub features: Vec<String>,
    /// The device that it is for.
    pub serial: String,
    /// UTC milliseconds at which it ends; none: never.
    #[serde(default)]
    pub until: Option<i64>,
}

impl Licence {
    /// Reads a licence: `BASE64(JSON).BASE64(signature)`, the signature being over the JSON's
    /// bytes.
    ///
    /// # Errors
    /// Why it does not hold for this device now.
    pub fn read(text: &str, key: &[u8; 32], serial: &str, now_ms: i64) -> Result<Self, String> {
        let parts = text.trim().split_once('.');
        let parts = parts.and_then(|(message, signature)| {
            Some((STANDARD.decode(message).ok()?, STANDARD.decode(signature).ok()?))
        });
        let Some((message, signature)) = parts else {
            return Err("a licence is BASE64.BASE64".to_owned());
        };
        // Nothing of it is looked at before it is known who wrote it.
        if !is_signed(key, &message, &signature) {
            return Err("the licence is not signed by the vendor".to_owned());
        }
        let licence: Self = serde_json::from_slice(&message)
            .map_err(|e| format!("the licence says something else than it should: {e}"))?;
        let long = |f: &String| f.is_empty() || f.len() > LONGEST_FEATURE;
        if licence.features.len() > MOST_FEATURES || licence.features.iter().any(long) {
            return Err(format!("a licence has at most {MOST_FEATURES} features"));
        }
        if licence.serial != serial {
            return Err(format!("the licence is for device {}, not {serial}", licence.serial));
        }
        if licence.until.is_some_and(|until| until <= now_ms) {
            return Err("the licence has ended".to_owned());
        }
        Ok(licence)
    }

    /// As clients see it.
    pub fn value(&self) -> Value {
        let feature = |name: &String| json!({ "feature": name, "until": self.until });
        self.features.iter().map(feature).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    fn sign(pair: &Ed25519KeyPair, text: &str) -> String {
        let signature = pair.sign(text.as_bytes());
        format!("{}.{}", STANDARD.encode(text), STANDARD.encode(signature))
    }

    #[test]
    fn keys_as_people_write_them() {
        let bytes = [0xab; 32];
        assert_eq!(key(&"ab".repeat(32)), Ok(bytes));
        assert_eq!(key(&format!(" {}\n", STANDARD.encode(bytes))), Ok(bytes));
        for bad in ["", "ab", &"xy".repeat(32), &"ab".repeat(33), "AAAA", "é"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_licence_is_for_one_device_and_a_time() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let text = r#"{"features":["fpga","tracking"],"serial":"S1","until":1000}"#;
        let read = |text: &str, serial, now| Licence::read(text, &key, serial, now);
        let licence = read(&sign(&pair, text), "S1", 999).unwrap();
        assert_eq!(licence.features, ["fpga", "tracking"]);
        assert_eq!(licence.value()[1], json!({"feature": "tracking", "until": 1000}));
        for (text, serial, now, why) in [
            (sign(&pair, text), "S2", 999, "for device S1"),
            (sign(&pair, text), "S1", 1000, "has ended"),
            (sign(&pair, r#"{"features":[],"serial":"S1","more":1}"#), "S1", 0, "something else"),
            (sign(&pair, r#"{"features":[""],"serial":"S1"}"#), "S1", 0, "at most"),
            ("x".to_owned(), "S1", 0, "BASE64"),
        ] {
            let refused = read(&text, serial, now).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert!(read(&sign(&other, text), "S1", 0).unwrap_err().contains("not signed"));
        // A signature of something else.
        let (_, signature) =
            sign(&pair, "{}").split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let forged = format!("{}.{signature}", STANDARD.encode(text));
        assert!(read(&forged, "S1", 0).unwrap_err().contains("not signed"));
    }
}
