//! Faults as SOAP 1.2 and ONVIF write them (SOAP 1.2 part 1, 5.4; ONVIF Core 5.8.2).

use super::Writer;
use std::borrow::Cow;

/// Why something is not done, as a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// `env:Sender`, `env:Receiver`, `env:VersionMismatch`, `env:MustUnderstand`.
    pub code: &'static str,
    /// Codes within that, from the coarse to the fine.
    pub subcodes: Vec<&'static str>,
    /// What is wrong and what to do.
    pub reason: Cow<'static, str>,
    /// A fault of WS-BaseNotification, which is named by an element (WS-BaseFaults 1.2).
    pub detail: Option<&'static str>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

impl Fault {
    fn new(
        status: u16,
        code: &'static str,
        subcodes: &[&'static str],
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            subcodes: subcodes.to_vec(),
            reason: reason.into(),
            detail: None,
            retry_after: None,
        }
    }

    /// What the sender did wrong.
    pub fn sender(subcodes: &[&'static str], reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "env:Sender", subcodes, reason)
    }

    /// What could not be done here.
    pub fn receiver(subcodes: &[&'static str], reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(500, "env:Receiver", subcodes, reason)
    }

    /// A document that is none, or is too much.
    pub fn not_well_formed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::sender(&["ter:WellFormed"], reason)
    }

    /// An argument that is missing or of the wrong type: which one.
    pub fn invalid_args(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::sender(&["ter:InvalidArgs"], reason)
    }

    /// An argument whose value is not possible; `why` is one of ONVIF's codes for it, such as
    /// `ter:NoProfile`.
    pub fn invalid_value(why: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::sender(&["ter:InvalidArgVal", why], reason)
    }

    /// Something that is not to be done now or never; `why` as above.
    pub fn prohibited(why: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::sender(&["ter:OperationProhibited", why], reason)
    }

    /// The login is wrong, or may not do this.
    pub fn not_authorized(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::sender(&["ter:NotAuthorized"], reason)
    }

    /// There is no login, and one is needed.
    pub fn no_login() -> Self {
        let reason = "Sender not Authorized: log in by HTTP Digest or WS-UsernameToken";
        Self { status: 401, ..Self::not_authorized(reason) }
    }

    /// An operation that there is not. Clients look for these very words: ONVIF's own, and Home
    /// Assistant for the same in small letters.
    pub fn not_implemented() -> Self {
        let reason = "Optional Action Not Implemented: it is not implemented here";
        Self::receiver(&["ter:ActionNotSupported"], reason)
    }

    /// Something is missing here for now.
    pub fn busy(reason: impl Into<Cow<'static, str>>) -> Self {
        let fault = Self::receiver(&["ter:Action"], reason);
        Self { status: 503, retry_after: Some(1), ..fault }
    }

    /// Also named by an element of WS-BaseNotification.
    #[must_use]
    pub fn with_detail(self, element: &'static str) -> Self {
        Self { detail: Some(element), ..self }
    }

    /// Writes it into a body. `now` is the moment for the details that have one, in
    /// `xs:dateTime`.
    pub fn write(&self, w: &mut Writer, now: &str) {
        w.open("env:Fault").open("env:Code").leaf("env:Value", self.code);
        for subcode in &self.subcodes {
            w.open("env:Subcode").leaf("env:Value", subcode);
        }
        for _ in &self.subcodes {
            w.close();
        }
        w.close();
        w.open("env:Reason").open("env:Text").attribute("xml:lang", "en").text(&self.reason);
        w.close().close();
        if let Some(element) = self.detail {
            w.open("env:Detail").open(element).leaf("wsrfbf:Timestamp", now);
            w.open("wsrfbf:Description").attribute("xml:lang", "en").text(&self.reason);
            w.close().close().close();
        }
        w.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_inside_each_other() {
        let mut w = Writer::new();
        let fault = Fault::invalid_value("ter:NoProfile", "a<b").with_detail("wsnt:X");
        fault.write(&mut w, "T");
        let text = w.finish();
        assert!(text.contains(
            "<env:Subcode><env:Value>ter:InvalidArgVal</env:Value><env:Subcode>\
             <env:Value>ter:NoProfile</env:Value></env:Subcode></env:Subcode></env:Code>"
        ));
        assert!(text.contains("<env:Text xml:lang=\"en\">a&lt;b</env:Text>"));
        assert!(text.contains("<wsnt:X><wsrfbf:Timestamp>T</wsrfbf:Timestamp>"));
        assert_eq!((Fault::no_login().status, Fault::not_implemented().status), (401, 500));
    }
}
