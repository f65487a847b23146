//! Logging in: Basic (RFC 7617) and Digest with MD5 (RFC 2617, which RFC 2326 prescribes).

use base64::Engine as _;
use md5::{Digest as _, Md5};

/// Who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// What a server asked for; it makes the `Authorization` of each further request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// The password in the clear.
    Basic,
    /// MD5 over a nonce.
    Digest {
        /// `realm`.
        realm: String,
        /// `nonce`.
        nonce: String,
        /// `opaque`, to be sent back.
        opaque: Option<String>,
        /// The server offers `qop=auth`.
        qop_auth: bool,
    },
}

impl Challenge {
    /// The best of the `WWW-Authenticate` values that this client can answer.
    pub fn choose<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut best = None;
        for value in values {
            let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
            if scheme.eq_ignore_ascii_case("digest") {
                let md5 = param(rest, "algorithm").is_none_or(|a| a.eq_ignore_ascii_case("MD5"));
                if let (true, Some(nonce)) = (md5, param(rest, "nonce")) {
                    return Some(Self::Digest {
                        realm: param(rest, "realm").unwrap_or_default().to_owned(),
                        nonce: nonce.to_owned(),
                        opaque: param(rest, "opaque").map(str::to_owned),
                        qop_auth: param(rest, "qop")
                            .is_some_and(|q| q.split(',').any(|q| q.trim() == "auth")),
                    });
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                best = Some(Self::Basic);
            }
        }
        best
    }

    /// The value of `Authorization`; `count` is the request's number under this nonce, from 1.
    pub fn answer(&self, login: &Login, method: &str, uri: &str, count: u32) -> String {
        let Login { user, password } = login;
        let Self::Digest { realm, nonce, opaque, qop_auth } = self else {
            let text =
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            return format!("Basic {text}");
        };
        let ha1 = md5_hex(&format!("{user}:{realm}:{password}"));
        let ha2 = md5_hex(&format!("{method}:{uri}"));
        let mut value = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", "
        );
        if *qop_auth {
            let cnonce = &md5_hex(&format!("{nonce}:{count}"))[..16];
            let response = md5_hex(&format!("{ha1}:{nonce}:{count:08x}:{cnonce}:auth:{ha2}"));
            value +=
                &format!("qop=auth, nc={count:08x}, cnonce=\"{cnonce}\", response=\"{response}\"");
        } else {
            value += &format!("response=\"{}\"", md5_hex(&format!("{ha1}:{nonce}:{ha2}")));
        }
        if let Some(opaque) = opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        value
    }
}

/// The value of `name` in `a="x", b=y`; commas within quotes are part of a value.
fn param<'a>(mut list: &'a str, name: &str) -> Option<&'a str> {
    loop {
        let (key, rest) = list.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        if key.trim_start_matches([',', ' ']).trim().eq_ignore_ascii_case(name) {
            return Some(value.trim());
        }
        list = rest;
    }
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_preferred_and_other_hashes_are_passed_over() {
        let offers = [
            "Basic realm=\"r\"",
            "Digest realm=\"r, s\", nonce=\"n\", algorithm=SHA-256",
            "Digest realm=\"r, s\", nonce=\"n\", algorithm=MD5, qop=\"auth,auth-int\"",
        ];
        let Some(Challenge::Digest { realm, qop_auth, .. }) = Challenge::choose(offers.into_iter())
        else {
            panic!("digest expected")
        };
        assert_eq!((realm.as_str(), qop_auth), ("r, s", true));
        assert_eq!(Challenge::choose(["Basic realm=x"].into_iter()), Some(Challenge::Basic));
        assert_eq!(Challenge::choose(["Bearer"].into_iter()), None);
    }

    #[test]
    fn the_example_of_rfc_2069() {
        // RFC 2069 section 2.4 as corrected by its erratum 749.
        let challenge = Challenge::Digest {
            realm: "testrealm@host.com".into(),
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093".into(),
            opaque: None,
            qop_auth: false,
        };
        let login = Login { user: "Mufasa".into(), password: "CircleOfLife".into() };
        let value = challenge.answer(&login, "GET", "/dir/index.html", 1);
        assert!(value.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{value}");
    }

    #[test]
    fn basic() {
        let login = Login { user: "Aladdin".into(), password: "open sesame".into() };
        let value = Challenge::Basic.answer(&login, "DESCRIBE", "rtsp://h/", 1);
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
