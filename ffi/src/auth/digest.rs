//! The arithmetic of Basic (RFC 7617) and Digest (RFC 7616) authentication, and of nonces.

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// Compares without telling by its time where the first difference is.
pub fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

/// A hash of Digest authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5`, which every client knows.
    Md5,
    /// `SHA-256`.
    Sha256,
}

impl Algorithm {
    /// The name in a challenge.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The hash of a string, in hex.
    pub fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

/// What a client sent in `Authorization: Digest …`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Response {
    /// User name.
    pub username: String,
    /// Realm.
    pub realm: String,
    /// Our nonce.
    pub nonce: String,
    /// The URI that was hashed.
    pub uri: String,
    /// The hash.
    pub response: String,
    /// `SHA-256`, `MD5`, or none, which means MD5.
    pub algorithm: Option<String>,
    /// `auth` or none.
    pub qop: Option<String>,
    /// Nonce count in hex.
    pub nc: String,
    /// The client's nonce.
    pub cnonce: String,
}

/// Longest value of a parameter that is read.
const MAX_VALUE: usize = 2048;

impl Response {
    /// Parses the parameters that follow the word `Digest`. Unknown parameters are skipped.
    pub fn parse(text: &str) -> Option<Self> {
        let out = Self::parameters(text)?;
        (!out.username.is_empty() && !out.response.is_empty() && !out.nonce.is_empty())
            .then_some(out)
    }

    /// Answers another server's challenge (what follows the word `Digest` there), as its client.
    /// `None` if the challenge is broken or wants an algorithm that is not known here.
    pub fn answer(
        challenge: &str,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> Option<String> {
        let mut out = Self::parameters(challenge)?;
        let algorithm = out.algorithm()?;
        out.username = user.to_owned();
        out.uri = uri.to_owned();
        if let Some(offered) = &out.qop {
            // A list of ways; only plain authentication is done here.
            if !offered.split(',').any(|q| q.trim() == "auth") {
                return None;
            }
            out.qop = Some("auth".to_owned());
            out.nc = "00000001".to_owned();
            out.cnonce = cnonce.to_owned();
        }
        let ha1 = algorithm.hash(&format!("{user}:{}:{password}", out.realm));
        let response = out.expected(algorithm, &ha1, method);
        let mut text = format!(
            "Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", \
             algorithm={}, response=\"{response}\"",
            out.realm,
            out.nonce,
            algorithm.name()
        );
        if out.qop.is_some() {
            text.push_str(&format!(", qop=auth, nc={}, cnonce=\"{cnonce}\"", out.nc));
        }
        Some(text)
    }

    fn parameters(text: &str) -> Option<Self> {
        let mut out = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=')?;
            let (value, after) = parameter_value(after.trim_start())?;
            if value.len() > MAX_VALUE {
                return None;
            }
            match key.trim().to_ascii_lowercase().as_str() {
                "username" => out.username = value,
                "realm" => out.realm = value,
                "nonce" => out.nonce = value,
                "uri" => out.uri = value,
                "response" => out.response = value.to_ascii_lowercase(),
                "algorithm" => out.algorithm = Some(value),
                "qop" => out.qop = Some(value),
                "nc" => out.nc = value,
                "cnonce" => out.cnonce = value,
                _ => {}
            }
            rest = after.trim_start().trim_start_matches(',').trim_start();
        }
        Some(out)
    }

    /// The algorithm that the client used.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match self.algorithm.as_deref() {
            None => Some(Algorithm::Md5),
            Some(a) if a.eq_ignore_ascii_case("md5") => Some(Algorithm::Md5),
            Some(a) if a.eq_ignore_ascii_case("sha-256") => Some(Algorithm::Sha256),
            Some(_) => None,
        }
    }

    /// What `response` must be for a user with this `ha1` (RFC 7616 section 3.4.1).
    pub fn expected(&self, algorithm: Algorithm, ha1: &str, method: &str) -> String {
        let ha2 = algorithm.hash(&format!("{method}:{}", self.uri));
        match &self.qop {
            Some(qop) => algorithm
                .hash(&format!("{ha1}:{}:{}:{}:{qop}:{ha2}", self.nonce, self.nc, self.cnonce)),
            None => algorithm.hash(&format!("{ha1}:{}:{ha2}", self.nonce)),
        }
    }
}

/// A token or a quoted string at the start of `text`, and what follows.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, &quoted[at + 1..])),
            _ => value.push(c),
        }
    }
    None
}

/// Makes and recognises nonces: the time at which one was made, and a keyed hash of it, so that no
/// list of nonces is kept.
#[derive(Clone)]
pub struct Nonces {
    key: [u8; 32],
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces")
    }
}

/// What a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceState {
    /// Ours and young.
    Good,
    /// Ours, but too old: the client may try again with a new one, without asking its user.
    Stale,
    /// Not ours.
    Unknown,
}

/// How long a nonce is good, in seconds.
const NONCE_SECS: u64 = 300;

impl Nonces {
    /// With a secret key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A nonce made at `secs` (any clock that goes on evenly).
    pub fn make(&self, secs: u64) -> String {
        format!("{secs:012x}{}", self.mac(secs))
    }

    /// What the nonce is worth at `secs`.
    pub fn check(&self, nonce: &str, secs: u64) -> NonceState {
        let Some((made, _)) = nonce.split_at_checked(12) else { return NonceState::Unknown };
        let Ok(made) = u64::from_str_radix(made, 16) else { return NonceState::Unknown };
        // Compared whole: a nonce has one spelling, so that nobody can count it as two.
        if !same(nonce, &self.make(made)) {
            NonceState::Unknown
        } else if secs.abs_diff(made) > NONCE_SECS {
            // Also one from the future: a clock that is set back must not keep it alive.
            NonceState::Stale
        } else {
            NonceState::Good
        }
    }

    /// HMAC-SHA-256 (RFC 2104) of the time, cut to 128 bits.
    fn mac(&self, secs: u64) -> String {
        let pad = |x: u8| {
            let mut block = [x; 64];
            for (b, k) in block.iter_mut().zip(self.key) {
                *b ^= k;
            }
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(secs.to_be_bytes());
        let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner.finalize());
        hex(&outer.finalize()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 section 3.9.1.
    #[test]
    fn the_examples_of_rfc_7616() {
        let header = r#"username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html",
            algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth,
            response="8ca523f5e9506fed4657c9700eebdbec""#;
        let mut r = Response::parse(header).unwrap();
        for (algorithm, name, want) in [
            (Algorithm::Md5, "MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            r.algorithm = Some(name.to_owned());
            assert_eq!(r.algorithm(), Some(algorithm));
            let ha1 = algorithm.hash("Mufasa:http-auth@example.org:Circle of Life");
            assert_eq!(r.expected(algorithm, &ha1, "GET"), want);
        }
    }

    #[test]
    fn our_answer_is_what_we_expect() {
        for (challenge, password) in [
            ("realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth-int, auth\"", "p"),
            ("realm=\"r\", nonce=\"n\"", "p"),
        ] {
            let text = Response::answer(challenge, "u", password, "PLAY", "/x", "c").unwrap();
            let read = Response::parse(text.strip_prefix("Digest ").unwrap()).unwrap();
            let algorithm = read.algorithm().unwrap();
            let ha1 = algorithm.hash("u:r:p");
            assert_eq!(read.expected(algorithm, &ha1, "PLAY"), read.response);
        }
        let odd = "realm=\"r\", nonce=\"n\", algorithm=SHA-512";
        assert_eq!(Response::answer(odd, "u", "p", "PLAY", "/x", "c"), None);
    }

    /// RFC 2069 style, which many RTSP clients still send: no qop.
    #[test]
    fn without_qop() {
        let r = Response::parse(r#"username="a", realm="r", nonce="n", uri="u", response="x""#);
        let ha2 = Algorithm::Md5.hash("PLAY:u");
        let want = Algorithm::Md5.hash(&format!("h:n:{ha2}"));
        assert_eq!(r.unwrap().expected(Algorithm::Md5, "h", "PLAY"), want);
    }

    #[test]
    fn broken_headers_are_refused() {
        for text in ["", "username", "username=\"a", "username=\"a\"", "a=b, c"] {
            assert_eq!(Response::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nonces_age_and_cannot_be_made_up() {
        let nonces = Nonces::new([7; 32]);
        let nonce = nonces.make(1000);
        assert_eq!(nonces.check(&nonce, 1000 + NONCE_SECS), NonceState::Good);
        assert_eq!(nonces.check(&nonce, 1001 + NONCE_SECS), NonceState::Stale);
        assert_eq!(Nonces::new([8; 32]).check(&nonce, 1000), NonceState::Unknown);
        let forged = format!("{:012x}{}", 2000, &nonce[12..]);
        assert_eq!(nonces.check(&forged, 2000), NonceState::Unknown);
        assert_eq!(nonces.check("é", 0), NonceState::Unknown);
        assert_eq!(nonces.check(&nonce, 999 - NONCE_SECS), NonceState::Stale);
        let respelled = format!("+{}", &nonce[1..]);
        assert_eq!(nonces.check(&respelled, 1000), NonceState::Unknown);
    }

    #[test]
    fn same_is_equality() {
        assert!(same("ab", "ab") && !same("ab", "ac") && !same("a", "ab"));
    }
}
