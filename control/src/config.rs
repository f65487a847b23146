//! What the supervisor tells the control plane at its start.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where HTTP listens if nothing else is said.
pub const DEFAULT_HTTP: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);

/// The control plane's configuration: the value of `Order::Start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of HTTP, such as `0.0.0.0:8080` or `[::]:80`; a bare port means all IPv4
    /// addresses; port 0 any free one; `off` none. None: `0.0.0.0:8080`.
    pub http: Option<String>,
    /// The same for HTTPS. None: off.
    pub https: Option<String>,
    /// The data folder.
    pub data: PathBuf,
    /// Streams and still pictures may be read without a login.
    pub open: bool,
    /// Name of the factory variant, as `/api/info` shows it.
    pub variant: String,
    /// Origins of other sites whose pages may use this server, such as `https://nvr.example`; `*`:
    /// any page may read what needs no login.
    pub origins: Vec<String>,
    /// Most connections at a time; further ones are answered 503.
    pub max_connections: usize,
    /// Limits per client address.
    pub limits: Limits,
    /// The machine.
    pub system: System,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: None,
            https: None,
            data: PathBuf::from("data"),
            open: false,
            variant: "standard".to_owned(),
            origins: Vec::new(),
            max_connections: 4096,
            limits: Limits::default(),
            system: System::default(),
        }
    }
}

impl Config {
    /// The address on which HTTP listens, unless it is off.
    ///
    /// # Errors
    /// One line that says what such an address looks like.
    pub fn http_address(&self) -> Result<Option<SocketAddr>, String> {
        self.http.as_deref().map_or(Ok(Some(DEFAULT_HTTP)), |text| address("http", text))
    }

    /// The address on which HTTPS listens, unless it is off.
    ///
    /// # Errors
    /// One line that says what such an address looks like.
    pub fn https_address(&self) -> Result<Option<SocketAddr>, String> {
        self.https.as_deref().map_or(Ok(None), |text| address("https", text))
    }
}

fn address(name: &str, text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(Some(SocketAddr::new(DEFAULT_HTTP.ip(), port)));
    }
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric.as_deref().unwrap_or(text).parse().map(Some).map_err(|_| {
        format!("{name} address {text:?} is not ADDRESS:PORT, such as 0.0.0.0:8080 or [::]:8080")
    })
}

/// Where the machine's own interfaces are, and what of them may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct System {
    /// Where proc(5) is; another folder in tests.
    pub proc: PathBuf,
    /// Where sysfs(5) is.
    pub sys: PathBuf,
    /// What starts the machine again, for the shell; none: nobody may.
    pub reboot_command: Option<String>,
}

impl Default for System {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys"), reboot_command: None }
    }
}

/// How much one client address may do (SURFACE section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// API calls per minute without a login. With `open` it holds per second, because the page
    /// itself asks several times a second.
    pub anonymous_per_minute: u32,
    /// API calls per second with a login.
    pub user_per_second: u32,
    /// Still pictures per second; none with `open`.
    pub stills_per_second: u32,
    /// Failed logins per five minutes.
    pub failed_logins: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            anonymous_per_minute: 100,
            user_per_second: 100,
            stills_per_second: 10,
            failed_logins: 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(http: &str) -> Result<Option<SocketAddr>, String> {
        Config { http: Some(http.to_owned()), ..Config::default() }.http_address()
    }

    #[test]
    fn addresses_as_people_write_them() {
        assert_eq!(Config::default().http_address(), Ok(Some(DEFAULT_HTTP)));
        assert_eq!(Config::default().https_address(), Ok(None));
        assert_eq!(address("off"), Ok(None));
        for (text, want) in [
            ("81", "0.0.0.0:81"),
            (":82", "0.0.0.0:82"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:83", "127.0.0.1:83"),
        ] {
            assert_eq!(address(text).unwrap(), Some(want.parse().unwrap()));
        }
        assert!(address("camera").unwrap_err().contains("0.0.0.0:8080"));
    }

    #[test]
    fn a_key_that_nothing_reads_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"prot":1}"#).is_err());
        let config: Config = serde_json::from_str(r#"{"open":true}"#).unwrap();
        assert!(config.open && config.max_connections == 4096);
    }
}
