//! RTSP over HTTP: two connections that are one client.

use super::{Role, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

impl Server {
    /// Makes a connection a half of a tunnel.
    pub(super) fn tunnel(&mut self, token: usize, cookie: String, get: bool, rest: &[u8]) {
        // No tunnel within a tunnel: a half that became another kind would leave its other half
        // with a token that the next client gets.
        if !self.clients.get(token).is_some_and(|c| matches!(c.role, Role::Direct)) {
            return self.close(token);
        }
        if get {
            let answer = "HTTP/1.0 200 OK\r\nServer: lensd\r\nConnection: close\r\n\
                          Cache-Control: no-store\r\nPragma: no-cache\r\n\
                          Content-Type: application/x-rtsp-tunnelled\r\n\r\n";
            let taken = self.find_tunnel(&cookie).is_some();
            let Some(client) = self.clients.get_mut(token) else { return };
            if taken || client.conn.write(answer.as_bytes()).is_err() {
                return self.close(token);
            }
            client.role = Role::TunnelOut(cookie);
            return;
        }
        let Some(out) = self.find_tunnel(&cookie) else { return self.close(token) };
        // One at a time: a client that opens its POST again is done with the one before.
        self.close_feeders(out);
        if let Some(client) = self.clients.get_mut(token) {
            client.role = Role::TunnelIn { out, pending: Vec::new() };
            self.take_bytes(token, rest);
        }
    }

    fn find_tunnel(&self, cookie: &str) -> Option<usize> {
        self.clients
            .iter()
            .find(|(_, c)| matches!(&c.role, Role::TunnelOut(own) if own == cookie))
            .map(|(token, _)| token)
    }

    /// Closes what feeds a tunnel's session.
    pub(super) fn close_feeders(&mut self, token: usize) {
        let feeders: Vec<usize> = self
            .clients
            .iter()
            .filter(|(_, c)| matches!(c.role, Role::TunnelIn { out, .. } if out == token))
            .map(|(t, _)| t)
            .collect();
        for feeder in feeders {
            self.close(feeder);
        }
    }
}

/// Decodes what a tunnel brings (base64 in groups of four, cut anywhere). `None`: it is none.
pub(super) fn decode_tunnel(pending: &mut Vec<u8>, bytes: &[u8]) -> Option<Vec<u8>> {
    pending.extend(bytes.iter().filter(|b| !b.is_ascii_whitespace()));
    let whole = pending.len() / 4 * 4;
    let mut out = Vec::new();
    // Each request may be padded on its own, so groups with padding end a piece.
    let mut piece = 0;
    for at in (0..whole).step_by(4) {
        if pending[at + 3] == b'=' || at + 4 == whole {
            STANDARD.decode_vec(&pending[piece..at + 4], &mut out).ok()?;
            piece = at + 4;
        }
    }
    pending.drain(..whole);
    Some(out)
}
