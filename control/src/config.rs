//! What the supervisor tells the control plane at its start.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Most digital inputs.
const MOST_INPUTS: usize = 32;

/// Where HTTP listens if nothing else is said.
pub const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);

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
    /// What is wrong with the disk of that, for whoever uses this server.
    pub trouble: Option<String>,
    /// Streams and still pictures may be read without a login.
    pub open: bool,
    /// Name of the factory variant, as `/api/info` shows it.
    pub variant: String,
    /// Origins of other sites whose pages may use this server, such as `https://nvr.example`; `*`:
    /// any page may read what needs no login.
    pub origins: Vec<String>,
    /// The UDP port of WS-Discovery; 0: any free one.
    pub discovery_port: u16,
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
            trouble: None,
            open: false,
            variant: "standard".to_owned(),
            origins: Vec::new(),
            discovery_port: 3702,
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
    /// Whether the network may be set.
    pub allow_network: bool,
    /// Where files for systemd-networkd(8) are put.
    pub networkd: PathBuf,
    /// What makes it read them, for the shell; `$1` is the interface.
    pub network_command: String,
    /// Digital inputs.
    pub inputs: Vec<Input>,
    /// Whether clock and time zone may be set.
    pub allow_time: bool,
    /// What sets the time zone, for the shell; `$1` is its name.
    pub time_zone_command: String,
    /// What switches time servers on and off; `$1` is `true` or `false`.
    pub ntp_command: String,
    /// What says whether they are on: `yes` or `no`.
    pub ntp_query: String,
    /// Where files for systemd-timesyncd(8) are put (timesyncd.conf(5)).
    pub timesyncd: PathBuf,
    /// What makes it read them, for the shell.
    pub time_servers_command: String,
    /// What sets the clock; `$1` is seconds since 1970.
    pub time_command: String,
    /// The link that names the time zone.
    pub localtime: PathBuf,
    /// The file that is there once the clock is synchronized.
    pub synchronized: PathBuf,
    /// resolv.conf(5): who is asked for names.
    pub resolv_conf: PathBuf,
    /// machine-id(5), of which the serial number is made.
    pub machine_id: PathBuf,
    /// The vendor's key for updates: Ed25519, 32 bytes as hex or Base64; none: nobody may.
    pub update_key: Option<String>,
    /// The program that an update replaces; none: the one that runs.
    pub update_binary: Option<PathBuf>,
    /// The vendor's key for licences: Ed25519, 32 bytes as hex or Base64.
    pub licence_key: Option<String>,
}

impl Default for System {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            reboot_command: None,
            allow_network: false,
            networkd: PathBuf::from("/etc/systemd/network"),
            network_command: "networkctl reload && networkctl reconfigure \"$1\"".to_owned(),
            inputs: Vec::new(),
            allow_time: false,
            time_zone_command: "timedatectl set-timezone \"$1\"".to_owned(),
            ntp_command: "timedatectl set-ntp \"$1\"".to_owned(),
            ntp_query: "timedatectl show --property=NTP --value".to_owned(),
            timesyncd: PathBuf::from("/etc/systemd/timesyncd.conf.d"),
            time_servers_command: "systemctl try-restart systemd-timesyncd.service".to_owned(),
            time_command: "date -u -s \"@$1\"".to_owned(),
            localtime: PathBuf::from("/etc/localtime"),
            synchronized: PathBuf::from("/run/systemd/timesync/synchronized"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            machine_id: PathBuf::from("/etc/machine-id"),
            update_key: None,
            update_binary: None,
            licence_key: None,
        }
    }
}

/// A digital input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What people and clients call it: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The file that holds `0` or `1`.
    pub path: PathBuf,
    /// Whether 0 means on.
    pub inverted: bool,
}

impl Input {
    /// Reads `NAME=FILE` and `NAME=!FILE` (0 means on), separated by blanks.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let mut list: Vec<Self> = Vec::new();
        for word in text.split_whitespace() {
            let wrong = || format!("{word:?} is not NAME=/PATH or NAME=!/PATH");
            let (name, file) = word.split_once('=').ok_or_else(wrong)?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let (path, inverted) =
                file.strip_prefix('!').map_or((file, false), |path| (path, true));
            let named = (1..=32).contains(&name.len()) && name.bytes().all(plain);
            if !named || !path.starts_with('/') {
                return Err(wrong());
            }
            if list.iter().any(|other| other.name == name) {
                return Err(format!("there are two inputs {name:?}"));
            }
            if list.len() == MOST_INPUTS {
                return Err(format!("at most {MOST_INPUTS} inputs"));
            }
            list.push(Self { name: name.to_owned(), path: PathBuf::from(path), inverted });
        }
        Ok(list)
    }
}

/// Whether an address is one of these, or in one of these networks, which blanks separate.
///
/// # Errors
/// What is neither.
pub fn is_among(list: &str, address: IpAddr) -> Result<bool, String> {
    let mut found = false;
    for word in list.split_whitespace() {
        let wrong = || format!("{word:?} is neither an address nor a network such as 10.0.0.0/8");
        let (base, bits) = word.split_once('/').map_or((word, None), |(b, n)| (b, Some(n)));
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |n| n.parse().ok()).filter(|n| *n <= most);
        let bits = bits.ok_or_else(wrong)?;
        found |= match (base, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits,
            _ => false,
        };
    }
    Ok(found)
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
    /// Longest upload in MiB, all files of it together.
    pub upload_mib: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            anonymous_per_minute: 100,
            user_per_second: 100,
            stills_per_second: 10,
            failed_logins: 5,
            upload_mib: 4096,
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
    fn inputs_as_people_write_them() {
        let list = Input::list("door=/sys/a bell=!/sys/b").unwrap();
        assert_eq!((list[0].inverted, list[1].inverted), (false, true));
        assert_eq!((list[1].name.as_str(), list[1].path.to_str()), ("bell", Some("/sys/b")));
        assert_eq!(Input::list("  "), Ok(Vec::new()));
        let many: String = (0..=MOST_INPUTS).map(|n| format!("i{n}=/x ")).collect();
        for bad in ["door", "=/x", "door=x", "a=/x a=/y", "d<r=/x", "door=!", &many] {
            assert!(Input::list(bad).is_err(), "{bad}");
        }
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
    fn addresses_and_networks() {
        let among = |list: &str, address: &str| is_among(list, address.parse().unwrap());
        let list = "127.0.0.0/8 ::1 10.1.2.3 fd00::/8";
        for address in ["127.9.9.9", "::1", "10.1.2.3", "::ffff:127.0.0.1", "fd12::1"] {
            assert_eq!(among(list, address), Ok(true), "{address}");
        }
        for address in ["128.0.0.1", "::2", "10.1.2.4", "fe00::1"] {
            assert_eq!(among(list, address), Ok(false), "{address}");
        }
        assert_eq!(among("0.0.0.0/0", "8.8.8.8"), Ok(true));
        assert_eq!(among("", "8.8.8.8"), Ok(false));
        for bad in ["x", "1.2.3.4/33", "::/129", "1.2.3.4/-1", "1.2.3.4/8/8"] {
            assert!(among(bad, "::1").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_that_nothing_reads_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"prot":1}"#).is_err());
        let config: Config = serde_json::from_str(r#"{"open":true}"#).unwrap();
        assert!(config.open && config.max_connections == 4096);
    }
}
