//! Other ONVIF devices on the network, and taking one up as a camera.

use super::{Call, Reply};
use crate::audit::Event;
use crate::external::{self, Login};
use crate::http::body::Members;
use crate::http::respond::{Fault, Response, redact};
use crate::onvif::finder;
use lensd_ffi::auth::{Access, Permission};
use lensd_ffi::link::Report;
use serde_json::json;

/// The UDP port that devices are asked on.
const PORT: u16 = 3702;

/// Looks for devices.
pub(super) fn find(call: &mut Call<'_>) -> Result<Reply, Fault> {
    search(call, None)
}

fn search(call: &mut Call<'_>, login: Option<Login>) -> Result<Reply, Fault> {
    if call.desk.searching {
        let why = "somebody is looking already; try again in a few seconds";
        return Err(Fault::unavailable("BUSY", why));
    }
    let job = move || finder::discover(PORT, login.as_ref());
    // One of the threads that may take long: a search must not hold up who logs in, and the other
    // one goes on pushing events.
    let key = call.key;
    call.desk.searching = true;
    let begun = call.desk.push.try_run(job, move |desk, found, at| {
        desk.searching = false;
        let response = match found {
            Ok(Ok(found)) => Response::success(found, at),
            Ok(Err(why)) => Fault::unavailable("NETWORK_UNAVAILABLE", why).response(at),
            Err(panicked) => Fault::from(panicked).response(at),
        };
        desk.answer_later(key, response);
    });
    call.desk.searching &= begun.is_ok();
    begun.map(|()| Reply::Later)
}

/// `{"username", "password"}`: looks for devices and asks each for its streams. With `add`, the
/// camera of that stream is taken up, and the server starts again with it.
pub(super) fn ask(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let (user, password) = (members.text("username")?, members.password("password")?);
    let add = members.text("add")?;
    members.end()?;
    let login = match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            let why = "username and password go together";
            return Err(Fault::invalid_value("password", why));
        }
    };
    let Some(uri) = add else { return search(call, login) };
    let write = Access::write(Permission::Device);
    if !call.who.allows(write) {
        return Err(crate::http::auth::forbidden(write));
    }
    if !external::is_stream(&uri) {
        let why = "Value must be a stream's address such as rtsp://10.0.0.7/stream";
        return Err(Fault::invalid_value("add", why));
    }
    let spec = login.map_or_else(|| uri.clone(), |login| external::with_login(&uri, &login));
    let store = std::sync::Arc::clone(&call.desk.store);
    let (user, from) = (call.who.user.clone(), call.peer.ip().to_string());
    let shown = redact(&uri);
    call.desk.answer_by_work(
        call.key,
        move || external::add(&store, spec),
        move |desk, done, at| {
            // It was checked, so there are too many or the disk fails.
            done.map_err(|why| Fault::new(409, "CONFLICT", "Conflict", why))?;
            let (what, subject) = ("camera added", shown.as_str());
            let event = Event { what, user: &user, subject, from: &from, details: None };
            desk.audit.note(&event, at.utc.millis());
            desk.reports.push(Report::Restart);
            Ok(Response::success(json!({ "added": shown, "begun": "restart" }), at))
        },
    )?;
    Ok(Reply::Later)
}
