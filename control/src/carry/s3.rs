//! Copies in a bucket of S3 (Amazon's "S3 API Reference"), or of what speaks like it.
//!
//! Requests are signed by rusty-s3 and sent by ureq. A long file goes in parts, so that what is there
//! already is not sent again after the server, or we, were away. Each body has its MD5, by which the
//! server checks it; the whole is read back and compared by SHA-256 unless that is switched off.

use super::folder::hex;
use super::pace::{Pace, Standing, Trouble};
use super::plan::{self, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_ffi::time::Nanos;
use md5::Md5;
use rusty_s3::actions::{CompleteMultipartUpload, CreateMultipartUpload, ListParts};
use rusty_s3::{Bucket, Credentials, Method, S3Action, UrlStyle};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, SendBody};

/// Files up to this go in one request; longer ones in parts of at least this.
pub(crate) const PART: u64 = 8 << 20;
/// Most parts of an object (S3's bound is 10,000).
const MOST_PARTS: u64 = 9_000;
/// How long a signed request is good.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;
/// Bytes that go at once.
const PIECE: usize = 64 * 1024;
/// Where our SHA-256 stands beside an object.
const META: &str = "x-amz-meta-sha256";

/// Parts that are there, by their numbers: ETag and length.
type Parts = BTreeMap<u16, (String, u64)>;

/// The bucket.
pub(crate) struct Storage {
    bucket: Bucket,
    credentials: Credentials,
    agent: Agent,
}

/// A file that goes there.
pub(crate) struct Parcel<'a> {
    pub(crate) file: &'a File,
    pub(crate) name: &'a str,
    /// SHA-256 as the catalogue has it.
    pub(crate) sha256: Option<&'a str>,
    /// The upload in parts that was begun before; else empty.
    pub(crate) upload: &'a str,
    /// Whether it is read back.
    pub(crate) verify: bool,
}

/// What the one that copies must do on the way.
pub(crate) trait Clerk {
    /// Notes the upload in parts that has begun.
    ///
    /// # Errors
    /// That nobody wants it any more, or that it cannot be noted.
    fn begun(&mut self, upload: &str) -> Result<(), Trouble>;
    /// Whether the copy is still wanted.
    ///
    /// # Errors
    /// That it is not.
    fn wanted(&mut self) -> Result<(), Trouble>;
}

impl Storage {
    /// A client of a bucket.
    ///
    /// # Errors
    /// What of the settings cannot be.
    pub(crate) fn new(
        plan: &plan::Bucket,
        secret: &Secret,
        patience: Nanos,
    ) -> Result<Self, String> {
        let style = if plan.virtual_host { UrlStyle::VirtualHost } else { UrlStyle::Path };
        let endpoint =
            plan.endpoint.parse().map_err(|e| format!("network-storage-endpoint: {e}"))?;
        let bucket = Bucket::new(endpoint, style, plan.bucket.clone(), plan.region.clone())
            .map_err(|e| format!("network-storage-endpoint: {e}"))?;
        let limit = Some(patience.duration());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("lensd/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(2)
            .timeout_resolve(limit)
            .timeout_connect(limit)
            .timeout_recv_response(limit)
            .timeout_per_read(limit)
            .timeout_per_write(limit)
            .tls_config(tls(&plan.endpoint)?);
        let credentials = Credentials::new(plan.access_key.clone(), secret.to_string());
        Ok(Self { bucket, credentials, agent: config.build().new_agent() })
    }

    /// Sends a request. `body` goes with its length and MD5, as fast as `pace` lets it.
    fn send(
        &self,
        pace: &mut Pace,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response<Body>, Trouble> {
        pace.go_on()?;
        let mut request = Request::builder().method(method.to_str()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent = self.agent.clone();
        let answer = if matches!(method, Method::Put | Method::Post) {
            let md5 = STANDARD.encode(Md5::digest(body));
            request = request.header("Content-MD5", md5).header("Content-Length", body.len());
            let mut feed = Feed { rest: body, pace, stopped: false };
            let sent = SendBody::from_reader(&mut feed);
            let request = request.body(sent).map_err(|e| failed(&e.into()));
            let answer = request.and_then(|request| agent.run(request).map_err(|e| failed(&e)));
            let stopped = feed.stopped;
            pace.step(|| ());
            if stopped {
                return Err(Trouble::Over);
            }
            answer
        } else {
            let request = request.body(()).map_err(|e| failed(&e.into()))?;
            pace.step(|| agent.run(request)).map_err(|e| failed(&e))
        }?;
        Ok(answer)
    }

    /// The same for what must be done with success; its answer's text.
    fn must(
        &self,
        pace: &mut Pace,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(String, Option<String>), Trouble> {
        let mut answer = self.send(pace, method, url, headers, body)?;
        let etag = answer.headers().get("etag").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let text = pace.step(|| text(&mut answer))?;
        // The completion of an upload may be refused within a 200.
        if answer.status().is_success() && !text.contains("<Error>") {
            return Ok((text, etag));
        }
        Err(refusal(answer.status().as_u16(), &text))
    }

    /// Copies a file; its bytes.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn put(
        &self,
        pace: &mut Pace,
        parcel: &Parcel<'_>,
        clerk: &mut dyn Clerk,
    ) -> Result<u64, Trouble> {
        let here = |e: io::Error| Trouble::File(format!("here: {e}"));
        let size = parcel.file.metadata().map_err(here)?.len();
        let sha256 = sum(pace, parcel.file)?;
        if parcel.sha256.is_some_and(|known| known != sha256) {
            let why = "the file here is not what was recorded: its SHA-256 has become another";
            return Err(Trouble::File(why.to_owned()));
        }
        match self.look(pace, parcel.name)? {
            // From before a crash.
            Some((length, Some(theirs))) if length == size && theirs == sha256 => {
                pace.note(size);
                return Ok(size);
            }
            Some(_) => {
                let why = format!(
                    "{} is another file: each server needs a prefix of its own",
                    parcel.name
                );
                return Err(Trouble::File(why));
            }
            None => {}
        }
        if size <= PART {
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            parcel.file.read_exact_at(&mut bytes, 0).map_err(here)?;
            clerk.wanted()?;
            let mut put = self.bucket.put_object(Some(&self.credentials), parcel.name);
            put.headers_mut().insert(META, sha256.as_str());
            let url = put.sign(GOOD_FOR);
            self.must(pace, Method::Put, url.as_str(), &[(META, &sha256)], &bytes)?;
            pace.note(size);
        } else {
            self.put_in_parts(pace, parcel, size, &sha256, clerk)?;
        }
        let checked = self.check(pace, parcel, size, &sha256);
        if let Err(Trouble::File(_)) = checked {
            // What is wrong there is not left under the name.
            self.remove(pace, parcel.name)?;
        }
        checked.map(|()| size)
    }

    /// Length and our SHA-256 of an object; none: there is none.
    fn look(&self, pace: &mut Pace, name: &str) -> Result<Option<(u64, Option<String>)>, Trouble> {
        let url = self.bucket.head_object(Some(&self.credentials), name).sign(GOOD_FOR);
        let answer = self.send(pace, Method::Head, url.as_str(), &[], &[])?;
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        match answer.status().as_u16() {
            200 => {
                let length = header("content-length").and_then(|n| n.parse().ok());
                Ok(Some((length.unwrap_or(u64::MAX), header(META))))
            }
            404 => Ok(None),
            // A HEAD has no words: whether it is the key or the bucket comes with the next.
            status => Err(self.why(pace).unwrap_or_else(|| refusal(status, ""))),
        }
    }

    /// Why the bucket refuses, in the server's words.
    fn why(&self, pace: &mut Pace) -> Option<Trouble> {
        let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
        list.with_max_keys(1);
        self.must(pace, Method::Get, list.sign(GOOD_FOR).as_str(), &[], &[]).err()
    }

    fn put_in_parts(
        &self,
        pace: &mut Pace,
        parcel: &Parcel<'_>,
        size: u64,
        sha256: &str,
        clerk: &mut dyn Clerk,
    ) -> Result<(), Trouble> {
        let part_size = part_size(size);
        let mut there = Parts::new();
        let mut upload = parcel.upload.to_owned();
        if !upload.is_empty() {
            match self.parts(pace, parcel.name, &upload)? {
                Some(parts) => there = parts,
                None => upload.clear(),
            }
        }
        if upload.is_empty() {
            let mut create =
                CreateMultipartUpload::new(&self.bucket, Some(&self.credentials), parcel.name);
            create.headers_mut().insert(META, sha256);
            let url = create.sign(GOOD_FOR);
            let (text, _) = self.must(pace, Method::Post, url.as_str(), &[(META, sha256)], &[])?;
            let text = as_s3(&text, "InitiateMultipartUploadResult");
            let made = CreateMultipartUpload::parse_response(&text).map_err(|e| not_s3(&e))?;
            made.upload_id().clone_into(&mut upload);
            clerk.begun(&upload)?;
        }
        let count = size.div_ceil(part_size);
        let mut etags = Vec::new();
        let mut bytes = Vec::new();
        for number in 1..=count {
            let from = (number - 1) * part_size;
            let length = part_size.min(size - from);
            let number = u16::try_from(number).map_err(|e| Trouble::File(e.to_string()))?;
            if let Some((etag, bytes)) = there.remove(&number)
                && bytes == length
            {
                pace.note(length);
                etags.push(etag);
                continue;
            }
            clerk.wanted()?;
            bytes.resize(usize::try_from(length).unwrap_or(0), 0);
            let read = parcel.file.read_exact_at(&mut bytes, from);
            read.map_err(|e| Trouble::File(format!("here: {e}")))?;
            let put =
                self.bucket.upload_part(Some(&self.credentials), parcel.name, number, &upload);
            let sent = self.must(pace, Method::Put, put.sign(GOOD_FOR).as_str(), &[], &bytes);
            let (_, etag) = sent.map_err(anew_if_unknown)?;
            etags.push(etag.ok_or_else(|| not_s3(&"a part without an ETag"))?);
            pace.note(length);
        }
        clerk.wanted()?;
        let complete = CompleteMultipartUpload::new(
            &self.bucket,
            Some(&self.credentials),
            parcel.name,
            &upload,
            etags.iter().map(String::as_str),
        );
        let url = complete.sign(GOOD_FOR);
        let body = complete.body();
        self.must(pace, Method::Post, url.as_str(), &[], body.as_bytes())
            .map_err(anew_if_unknown)?;
        Ok(())
    }

    /// ETag and length of the parts that are there; none: the server knows no such upload.
    fn parts(&self, pace: &mut Pace, name: &str, upload: &str) -> Result<Option<Parts>, Trouble> {
        let mut there = Parts::new();
        let mut after = None;
        loop {
            let mut list = ListParts::new(&self.bucket, Some(&self.credentials), name, upload);
            if let Some(after) = after {
                list.set_part_number_marker(after);
            }
            let mut answer =
                self.send(pace, Method::Get, list.sign(GOOD_FOR).as_str(), &[], &[])?;
            let text = pace.step(|| text(&mut answer))?;
            match answer.status().as_u16() {
                200 => {}
                404 if code(&text) != "NoSuchBucket" => return Ok(None),
                // s3rver lists no parts: what is there goes once more.
                405 | 501 => return Ok(None),
                status => return Err(refusal(status, &text)),
            }
            // moto, and what is built on it, names the list otherwise than S3 does.
            let text = text.replace("ListPartsResponse", "ListPartsResult");
            let text = as_s3(&text, "ListPartsResult");
            let parsed = match ListParts::parse_response(&text) {
                Ok(parsed) => parsed,
                Err(e) => {
                    tracing::info!("the list of parts cannot be read, they go once more: {e}");
                    return Ok(None);
                }
            };
            let before = after;
            after = parsed.next_part_number_marker;
            there.extend(parsed.parts.into_iter().map(|p| (p.number, (p.etag, p.size))));
            // Forward only, whatever the server says.
            if after.is_none() || after <= before {
                return Ok(Some(there));
            }
        }
    }

    /// Whether an object is what was sent.
    fn check(
        &self,
        pace: &mut Pace,
        parcel: &Parcel<'_>,
        size: u64,
        sha256: &str,
    ) -> Result<(), Trouble> {
        let length = self.look(pace, parcel.name)?.map(|(length, _)| length);
        if length != Some(size) {
            let why = format!("{} has {length:?} bytes, not {size}", parcel.name);
            return Err(Trouble::File(why));
        }
        if !parcel.verify {
            return Ok(());
        }
        let url = self.bucket.get_object(Some(&self.credentials), parcel.name).sign(GOOD_FOR);
        let mut answer = self.send(pace, Method::Get, url.as_str(), &[], &[])?;
        if !answer.status().is_success() {
            let text = pace.step(|| text(&mut answer))?;
            return Err(refusal(answer.status().as_u16(), &text));
        }
        let mut body = answer.body_mut().with_config().limit(size + 1).reader();
        let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            pace.go_on()?;
            let count = pace.step(|| body.read(&mut piece)).map_err(|e| failed(&e.into()))?;
            if count == 0 {
                break;
            }
            hash.update(&piece[..count]);
        }
        if hex(hash) != sha256 {
            let why = format!("{} reads back as another file", parcel.name);
            return Err(Trouble::File(why));
        }
        Ok(())
    }

    /// Removes an object; one that is not there counts as removed.
    fn remove(&self, pace: &mut Pace, name: &str) -> Result<(), Trouble> {
        let url = self.bucket.delete_object(Some(&self.credentials), name).sign(GOOD_FOR);
        self.must(pace, Method::Delete, url.as_str(), &[], &[]).map(|_| ())
    }

    /// Ends an upload in parts that nobody will finish; one that is not known counts as ended.
    ///
    /// # Errors
    /// Why it was not.
    pub(crate) fn abort(&self, pace: &mut Pace, name: &str, upload: &str) -> Result<(), Trouble> {
        let abort = self.bucket.abort_multipart_upload(Some(&self.credentials), name, upload);
        let mut answer =
            self.send(pace, Method::Delete, abort.sign(GOOD_FOR).as_str(), &[], &[])?;
        let text = pace.step(|| text(&mut answer))?;
        match answer.status().as_u16() {
            200..=299 | 404 => Ok(()),
            status => Err(refusal(status, &text)),
        }
    }

    /// Writes a small object, reads it back, removes it.
    ///
    /// # Errors
    /// What does not work.
    pub(crate) fn test(&self, pace: &mut Pace, name: &str) -> Result<(), Trouble> {
        let words = b"lensd tests this storage\n";
        let put = self.bucket.put_object(Some(&self.credentials), name).sign(GOOD_FOR);
        self.must(pace, Method::Put, put.as_str(), &[], words)?;
        let get = self.bucket.get_object(Some(&self.credentials), name).sign(GOOD_FOR);
        let back = self.must(pace, Method::Get, get.as_str(), &[], &[]);
        self.remove(pace, name)?;
        if back?.0.as_bytes() != words {
            let why = "what is written reads back as something else".to_owned();
            return Err(Trouble::Storage(Standing::Error, why));
        }
        Ok(())
    }
}

/// Bytes of a part: a whole number of [`PART`], so that the bound on their number holds.
fn part_size(size: u64) -> u64 {
    size.div_ceil(MOST_PARTS).div_ceil(PART).max(1) * PART
}

/// SHA-256 of a file here.
fn sum(pace: &Pace, file: &File) -> Result<String, Trouble> {
    let (mut hash, mut piece, mut at) = (Sha256::new(), vec![0; PIECE], 0);
    loop {
        pace.go_on()?;
        let read = file.read_at(&mut piece, at);
        let count = read.map_err(|e| Trouble::File(format!("here: {e}")))?;
        if count == 0 {
            return Ok(hex(hash));
        }
        hash.update(&piece[..count]);
        at += count as u64;
    }
}

/// What certificates are held against: those that the machine trusts.
fn tls(endpoint: &str) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider);
    if endpoint.starts_with("https:") {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |e| format!(": {e}"));
            return Err(format!("the machine trusts no certificates (ca-certificates){why}"));
        }
        let certs = found.certs.iter().map(|der| Certificate::from_der(der).to_owned());
        config = config.root_certs(RootCerts::Specific(Arc::new(certs.collect())));
    }
    Ok(config.build())
}

/// A body that goes as fast as it may.
struct Feed<'a, 'b> {
    rest: &'a [u8],
    pace: &'b mut Pace,
    /// It was told to end.
    stopped: bool,
}

impl Read for Feed<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.len().min(to.len()).min(PIECE);
        // Not the storage is waited for here.
        self.pace.step(|| ());
        if self.pace.spend(count).is_err() {
            self.stopped = true;
            return Err(io::Error::other("it is to end"));
        }
        let (now, rest) = self.rest.split_at(count);
        to[..count].copy_from_slice(now);
        self.rest = rest;
        self.pace.beat();
        Ok(count)
    }
}

/// An answer's text, as far as anybody wants to read it.
fn text(answer: &mut Response<Body>) -> Result<String, Trouble> {
    let body = answer.body_mut().with_config().limit(MAX_ANSWER).lossy_utf8(true);
    body.read_to_string().map_err(|e| failed(&e))
}

/// A request that did not come to an answer.
fn failed(e: &ureq::Error) -> Trouble {
    use ureq::Error;
    let standing = match e {
        Error::Tls(_) | Error::Rustls(_) | Error::Http(_) | Error::BadUri(_) => Standing::Error,
        Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => Standing::Error,
        _ => Standing::Unreachable,
    };
    Trouble::Storage(standing, format!("the server: {e}"))
}

fn not_s3(why: &dyn std::fmt::Display) -> Trouble {
    Trouble::Storage(Standing::Error, format!("what answers there is no S3: {why}"))
}

/// An upload that the server does not know any more is begun anew, which is this file's matter.
fn anew_if_unknown(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Storage(_, why) if why.contains("NoSuchUpload") => Trouble::File(why),
        trouble => trouble,
    }
}

/// An answer with S3's namespace, which s3rver and old gateways leave out.
fn as_s3(text: &str, root: &str) -> String {
    let bare = format!("<{root}>");
    text.replacen(&bare, &format!("<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"), 1)
}

/// What an element of an answer holds; empty: it has none.
fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let inside = text.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let inside = inside.and_then(|rest| rest.split_once(&format!("</{name}>")));
    inside.map_or("", |(inside, _)| inside)
}

/// The code of an error (S3 API Reference, "Error responses").
fn code(text: &str) -> &str {
    element(text, "Code")
}

/// What a refusal means.
fn refusal(status: u16, text: &str) -> Trouble {
    let code = code(text);
    let message: String =
        element(text, "Message").chars().filter(|c| !c.is_control()).take(160).collect();
    let (standing, hint) = match (status, code) {
        (507, _) | (_, "XMinioStorageFull" | "QuotaExceeded" | "EntityTooLarge") => {
            (Standing::Full, "it has no room")
        }
        (_, "NoSuchBucket") => (Standing::Error, "there is no such bucket"),
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch") => {
            (Standing::Error, "access key or secret is wrong")
        }
        (_, "RequestTimeTooSkewed") => (Standing::Error, "this machine's clock is wrong"),
        (401 | 403, _) => (Standing::Error, "access is denied"),
        (301 | 307, _) => (Standing::Error, "the bucket is in another region, or elsewhere"),
        (408 | 429 | 500..=599, _) => (Standing::Unreachable, "it cannot now"),
        _ => (Standing::Error, "it refuses"),
    };
    let said: Vec<&str> = [code, &message].into_iter().filter(|said| !said.is_empty()).collect();
    let said = if said.is_empty() { String::new() } else { format!(": {}", said.join(", ")) };
    let why = format!("{hint} (HTTP {status}{said})");
    Trouble::Storage(standing, why)
}

/// The laws of reading answers, for a fuzzer: whatever a server says, it is a refusal of bounded
/// length, or a list whose parts can be sent on.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for status in [200, 301, 403, 404, 503, 507] {
        let Trouble::Storage(standing, why) = refusal(status, &text) else { panic!("no refusal") };
        assert!(standing.is_trouble() && !why.is_empty());
        assert!(why.len() < 1_000 + code(&text).len());
    }
    if let Ok(parsed) = ListParts::parse_response(&as_s3(&text, "ListPartsResult")) {
        assert!(parsed.next_part_number_marker != Some(0));
    }
    let begun = as_s3(&text, "InitiateMultipartUploadResult");
    let _ = CreateMultipartUpload::parse_response(&begun);
}

#[cfg(test)]
mod tests;
