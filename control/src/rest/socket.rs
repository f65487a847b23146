//! Requests that become WebSockets.

use super::{Call, Reply};
use crate::face::Face;
use crate::http::cors::Site;
use crate::http::respond::Fault;
use crate::v1;
use crate::ws::wire;

pub(super) fn api_v1(call: &mut Call<'_>) -> Result<Reply, Fault> {
    upgrade(call, &v1::FACE)
}

/// A browser lets any site's page connect, and sends its login along: so the server has to look
/// where the page is from (RFC 6455 10.2).
fn upgrade(call: &Call<'_>, face: &'static Face) -> Result<Reply, Fault> {
    Site::of(call.request, &call.desk.config.origins).check()?;
    match wire::upgrade(call.request, face.protocols) {
        Ok(response) => Ok(Reply::Upgrade(response, face)),
        // RFC 9110 15.5.22, RFC 6455 4.4: what would be right is said in fields.
        Err(fault) if fault.status == 426 => {
            let response = fault.response(call.at).header("Upgrade", "websocket");
            Ok(Reply::Now(response.header("Sec-WebSocket-Version", "13")))
        }
        Err(fault) => Err(fault),
    }
}
