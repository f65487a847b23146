//! Taking the ports that the engine listens at.

use crate::rtsp::udp::Pair;
use lensd_ffi::listen::{Doors, patiently};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// What the RTSP server listens at.
pub(super) struct Sockets {
    pub(super) doors: Doors,
    pub(super) rtsp: Option<TcpListener>,
    pub(super) rtsps: Option<TcpListener>,
    pub(super) udp: Pair,
    /// What is otherwise than was asked for.
    pub(super) note: Option<String>,
}

/// Takes all of them.
///
/// # Errors
/// One line: what is wrong, and the option that changes it.
pub(super) fn take(
    rtsp: Option<&str>,
    rtsps: Option<&str>,
    udp_port: u16,
) -> Result<Sockets, String> {
    let (rtsp, rtsps) = (parse("rtsp", rtsp)?, parse("rtsps", rtsps)?);
    let mut doors = Doors::default();
    let ip = rtsp.or(rtsps).map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    let rtsp = rtsp.map(|address| doors.open("rtsp", address)).transpose()?;
    let rtsps = rtsps.map(|address| doors.open("rtsps", address)).transpose()?;
    let mut note = None;
    let udp = patiently(|| Pair::bind(ip, udp_port)).or_else(|e| {
        if e.kind() != io::ErrorKind::AddrInUse || udp_port == 0 {
            return Err(e);
        }
        // Clients are told the ports anyhow; a firewall's rule may have to be another.
        let pair = Pair::bind(ip, 0)?;
        note = Some(format!(
            "UDP ports {udp_port} and {} belong to another program: RTP is sent from {} and {}; set rtsp.udp-port",
            udp_port.saturating_add(1),
            pair.ports.0,
            pair.ports.1
        ));
        Ok(pair)
    });
    let udp = udp.map_err(|e| {
        format!(
            "RTP needs UDP port {udp_port} on {ip}: {e}. Set rtsp.udp-port to another even number, or 0"
        )
    })?;
    Ok(Sockets { doors, rtsp, rtsps, udp, note })
}

fn parse(name: &str, address: Option<&str>) -> Result<Option<SocketAddr>, String> {
    address
        .map(|address| {
            address.parse().map_err(|_| {
                format!(
                    "{name} address {address:?} is not IP:PORT, such as 0.0.0.0:8554 or [::]:8554"
                )
            })
        })
        .transpose()
}
