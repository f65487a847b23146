//! The web pages: one file each, nothing loaded from elsewhere, no framework.

use crate::http::respond::{Fault, Payload, Response};
use lensd_ffi::auth::digest;

const INDEX: &str = include_str!("index.html");
const STILL: &str = include_str!("still.html");
/// Stands in the page where the nonce of its content security policy belongs.
const NONCE: &str = "{{nonce}}";

/// The page.
pub(crate) fn index() -> Result<Response, Fault> {
    page(INDEX)
}

/// A picture every few seconds, on a canvas.
pub(crate) fn still() -> Result<Response, Fault> {
    page(STILL)
}

/// A page with a policy that lets nothing run but itself.
fn page(text: &str) -> Result<Response, Fault> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Fault::new(500, "INTERNAL", "Internal error", e.to_string()))?;
    let nonce = digest::hex(&random);
    let body = text.replace(NONCE, &nonce).into_bytes();
    let policy = format!(
        "default-src 'none'; img-src 'self' blob: data:; media-src blob:; \
         connect-src 'self'; \
         style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    Ok(Response::new(200, "text/html; charset=utf-8", Payload::Own(body))
        .header("Cache-Control", "no-store")
        .header("Content-Security-Policy", policy)
        .header("X-Frame-Options", "DENY")
        .header("Referrer-Policy", "no-referrer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_stands_alone() {
        for page in [INDEX, STILL] {
            assert_eq!(page.matches(NONCE).count(), 2, "one style, one script");
            for outside in ["src=\"http", "href=\"http", "@import", "url(", "style=\"", "onclick="]
            {
                assert!(!page.contains(outside), "{outside}");
            }
        }
    }
}
