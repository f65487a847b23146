//! Who may read frames without a token, as the setting `tap-users` says it.

use crate::sys::unix::Peer;

/// Users and groups by their numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Allowed {
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Allowed {
    /// Parses names or numbers of users, and those of groups behind an `@`, separated by blanks.
    /// `passwd` and `group` are the texts of `/etc/passwd` and `/etc/group`; users that are known
    /// elsewhere are named by their numbers.
    ///
    /// # Errors
    /// Which word means nobody, and what to do.
    pub fn parse(text: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        for word in text.split_whitespace() {
            let (name, table, numbers, what) = match word.strip_prefix('@') {
                Some(name) => (name, group, &mut allowed.groups, "group"),
                None => (word, passwd, &mut allowed.users, "user"),
            };
            let number = name.parse().ok().or_else(|| number_of(name, table));
            numbers.push(number.ok_or_else(|| {
                format!("this machine has no {what} {name:?}: give a name of it, or a number")
            })?);
        }
        Ok(allowed)
    }

    /// Those of both.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.users.extend(other.users);
        self.groups.extend(other.groups);
        self
    }

    /// Whether a process may read frames: the server's own user, root, and those that are named.
    pub fn lets_in(&self, peer: &Peer, own: u32) -> bool {
        peer.uid == own
            || peer.uid == 0
            || self.users.contains(&peer.uid)
            || peer.groups.iter().any(|g| self.groups.contains(g))
    }
}

/// The number in the third field of the line whose first is the name (`passwd(5)`, `group(5)`).
fn number_of(name: &str, table: &str) -> Option<u32> {
    let mut lines = table.lines().map(|line| line.split(':'));
    let mut line = lines.find(|line| line.clone().next() == Some(name))?;
    line.nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nvision:x:1001:1001::/:/bin/sh\nbad:x:-1";
    const GROUP: &str = "root:x:0:\nvideo:x:44:a,b\n";

    fn peer(uid: u32, groups: &[u32]) -> Peer {
        Peer { pid: 1, uid, groups: groups.to_vec() }
    }

    #[test]
    fn names_numbers_and_groups() {
        let allowed = Allowed::parse(" vision 2000\t@video @77", PASSWD, GROUP).unwrap();
        for (uid, groups, may) in [
            (0, &[][..], true),
            (500, &[], true),
            (1001, &[5], true),
            (2000, &[], true),
            (44, &[], false),
            (3, &[44], true),
            (3, &[5, 77], true),
            (3, &[1001], false),
        ] {
            assert_eq!(allowed.lets_in(&peer(uid, groups), 500), may, "{uid} {groups:?}");
        }
        assert!(!Allowed::default().lets_in(&peer(3, &[44]), 500));
    }

    #[test]
    fn a_name_that_means_nobody_is_refused() {
        for (text, what) in [("nobody2", "user"), ("@none", "group"), ("bad", "user"), ("", "")] {
            let parsed = Allowed::parse(text, PASSWD, GROUP);
            assert_eq!(parsed.is_err(), !text.is_empty());
            assert!(parsed.err().unwrap_or_default().contains(what));
        }
    }
}
