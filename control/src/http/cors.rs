//! Pages of other sites: which may read, and which may change (Fetch standard, 3.2).
//!
//! Without a list nothing is said, and browsers let no other site's page read an answer. Sites that
//! the configuration names are treated like our own page. `*` lets every page read what needs no
//! login, and nothing else.

use super::parse::Request;
use super::respond::{Fault, Response};

/// Where a request comes from, as a browser says it; a page cannot forge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// Our own page, or no browser.
    Own,
    /// A site that the configuration names.
    Listed(String),
    /// Any other one.
    Foreign {
        /// Whether it may read what everybody may.
        reads: bool,
    },
}

impl Site {
    /// Of a request. `listed` are origins such as `https://nvr.example:8443`, or `*`.
    pub fn of(request: &Request, listed: &[String]) -> Self {
        let site = request.header("sec-fetch-site").unwrap_or("none");
        let origin = request.header("origin");
        let same = match (origin, request.header("host")) {
            (Some(origin), Some(host)) => {
                origin.split_once("://").is_some_and(|(_, o)| o.eq_ignore_ascii_case(host))
            }
            (origin, _) => origin.is_none(),
        };
        if same && ["same-origin", "none"].contains(&site) {
            return Self::Own;
        }
        let named =
            origin.and_then(|o| listed.iter().find(|l| *l != "*" && o.eq_ignore_ascii_case(l)));
        match named {
            Some(_) => Self::Listed(origin.unwrap_or_default().to_owned()),
            None => Self::Foreign { reads: listed.iter().any(|l| l == "*") },
        }
    }

    /// Whether its pages are as good as ours.
    pub const fn is_trusted(&self) -> bool {
        matches!(self, Self::Own | Self::Listed(_))
    }

    /// Lets only trusted pages go on.
    ///
    /// # Errors
    /// 403.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_trusted() {
            return Ok(());
        }
        let message = "pages of other sites may not connect; the setting http.origins lists \
                       sites that may";
        Err(Fault::new(403, "PERMISSION_DENIED", "Permission denied", message))
    }

    /// Adds what lets a page read the answer. `listed` says whether answers differ by site.
    pub fn allow(&self, response: Response, listed: &[String]) -> Response {
        if listed.is_empty() {
            return response;
        }
        let response = match self {
            Self::Own | Self::Foreign { reads: false } => response,
            Self::Foreign { reads: true } => response.header("Access-Control-Allow-Origin", "*"),
            // The value is one of the configuration's, but for the case of its letters.
            Self::Listed(origin) => response
                .header("Access-Control-Allow-Origin", origin.clone())
                .header("Access-Control-Allow-Credentials", "true")
                .header(
                    "Access-Control-Expose-Headers",
                    "ETag, Location, Link, Content-Range, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, \
                     X-RateLimit-Reset, X-Capture-Time, X-Stream",
                ),
        };
        response.vary("Origin")
    }

    /// The answer to OPTIONS, for a path that takes the methods `allow`: to a browser that asks
    /// first (Fetch standard, 4.8), and to anybody.
    pub fn options(&self, request: &Request, allow: String) -> Response {
        let preflight = request.header("access-control-request-method").is_some();
        let status = if preflight { 204 } else { 200 };
        let response = Response::empty(status).header("Allow", allow.clone());
        let fields = "Authorization, Content-Type, If-Match, If-None-Match, Range, X-API-Key, \
                      X-CSRF-Token";
        match self {
            Self::Listed(_) if preflight => response
                .header("Access-Control-Allow-Methods", allow)
                .header("Access-Control-Allow-Headers", fields)
                .header("Access-Control-Max-Age", "600"),
            Self::Foreign { reads: true } if preflight => response
                .header("Access-Control-Allow-Methods", "GET, HEAD")
                .header("Access-Control-Max-Age", "600"),
            _ => response,
        }
    }

    /// The request as the door is to see it: a listed site's page counts as ours.
    pub fn as_own(&self, request: &Request) -> Option<Request> {
        if !matches!(self, Self::Listed(_)) || request.method.is_safe() {
            return None;
        }
        let mut own = Request { body: Vec::new(), ..request.clone() };
        own.headers.retain(|(name, _)| name != "origin" && name != "sec-fetch-site");
        Some(own)
    }
}

/// Whether a text can stand in the list of origins.
pub fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    text == "*" || rest.is_some_and(|r| !r.is_empty() && r.bytes().all(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::{HeadScan, parse_head};

    fn request(method: &str, fields: &str) -> Request {
        let text = format!("{method} /x HTTP/1.1\r\nHost: h:1\r\n{fields}\r\n");
        let range = HeadScan::default().advance(text.as_bytes()).unwrap().unwrap();
        parse_head(&text.as_bytes()[range]).unwrap().request
    }

    fn listed() -> Vec<String> {
        vec!["https://a.example".to_owned(), "http://b:8080".to_owned()]
    }

    #[test]
    fn sites() {
        let site = |fields: &str| Site::of(&request("GET", fields), &listed());
        let foreign = Site::Foreign { reads: false };
        assert_eq!(site(""), Site::Own);
        assert_eq!(site("Origin: http://h:1\r\nSec-Fetch-Site: same-origin\r\n"), Site::Own);
        assert_eq!(site("Origin: http://evil\r\n"), foreign);
        assert_eq!(site("Origin: null\r\n"), foreign);
        assert_eq!(site("Sec-Fetch-Site: cross-site\r\n"), foreign);
        let a = "Origin: https://a.example\r\nSec-Fetch-Site: cross-site\r\n";
        assert_eq!(site(a), Site::Listed("https://a.example".into()));
        assert_eq!(site("Origin: https://a.example.evil\r\n"), foreign);
        assert_eq!(site("Origin: http://a.example\r\n"), foreign, "another scheme");
        let any = Site::of(&request("GET", a), &["*".to_owned()]);
        assert_eq!((any.is_trusted(), any), (false, Site::Foreign { reads: true }));
    }

    #[test]
    fn nothing_is_said_unless_it_is_configured() {
        let plain = Site::Foreign { reads: false }.allow(Response::empty(200), &[]);
        assert!(plain.headers.is_empty());
        let named = Site::Listed("https://a.example".into()).allow(Response::empty(200), &listed());
        let field = |name: &str| named.headers.iter().find(|(n, _)| *n == name).map(|h| &*h.1);
        assert_eq!(field("Access-Control-Allow-Origin"), Some("https://a.example"));
        assert_eq!((field("Access-Control-Allow-Credentials"), field("Vary")), {
            (Some("true"), Some("Origin"))
        });
        let other = Site::Foreign { reads: false }.allow(Response::empty(200), &listed());
        assert_eq!(other.headers, [("Vary", "Origin".to_owned())]);
        let any = Site::Foreign { reads: true }.allow(Response::empty(200), &["*".into()]);
        assert!(any.headers.iter().all(|(n, _)| *n != "Access-Control-Allow-Credentials"));
    }

    #[test]
    fn changes_of_a_listed_site_count_as_ours() {
        let fields = "Origin: http://b:8080\r\nSec-Fetch-Site: cross-site\r\nX: y\r\n";
        let post = request("POST", fields);
        let own = Site::of(&post, &listed()).as_own(&post).unwrap();
        assert_eq!((own.header("origin"), own.header("x")), (None, Some("y")));
        assert_eq!(Site::of(&own, &[]), Site::Own);
        assert!(Site::of(&post, &["*".into()]).as_own(&post).is_none());
    }

    #[test]
    fn origins_as_people_write_them() {
        for good in ["*", "https://a.example", "http://[::1]:80", "http://10.0.0.1"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in ["", "a.example", "https://", "https://a/", "https://a b", "file://x", "null"] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
