//! Notices for operators, and what is remembered between measurements.

use crate::http::At;
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Notices that are kept.
const MOST_NOTICES: usize = 32;

/// What an operator should know, newest first.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    list: VecDeque<(u64, i64, &'static str, String)>,
    last: u64,
}

impl Notices {
    /// Adds a notice; one that says the same as the newest is not repeated.
    pub(crate) fn add(&mut self, level: &'static str, text: impl Into<String>, at: At) {
        let text: String = text.into().chars().filter(|c| !c.is_control()).take(160).collect();
        if self.list.front().is_some_and(|(_, _, _, newest)| *newest == text) {
            return;
        }
        self.last += 1;
        self.list.push_front((self.last, at.utc.millis(), level, text));
        self.list.truncate(MOST_NOTICES);
    }

    /// Takes a notice away; 0: all.
    ///
    /// # Errors
    /// There is none of this number.
    pub(crate) fn dismiss(&mut self, id: u64) -> Result<(), String> {
        let before = self.list.len();
        self.list.retain(|(known, ..)| id != 0 && *known != id);
        if id != 0 && self.list.len() == before {
            return Err(format!("there is no notice {id}"));
        }
        Ok(())
    }

    /// Those after number `id`, oldest first.
    pub(crate) fn since(&self, id: u64) -> Vec<(u64, Value)> {
        let new = self.list.iter().rev().filter(|(known, ..)| *known > id);
        new.map(|(id, time, level, text)| {
            (*id, json!({"time": time, "level": level, "text": text}))
        })
        .collect()
    }

    /// As JSON.
    pub(crate) fn value(&self) -> Value {
        let notice = |(id, time, level, text): &(u64, i64, &str, String)| json!({"id": id, "time": time, "level": level, "text": text});
        self.list.iter().map(notice).collect()
    }
}

/// What is remembered from one measurement to the next.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Busy and all time of the processors, in ticks.
    pub(crate) processors: Option<(u64, u64)>,
    /// States at the last look.
    pub(crate) seen: Seen,
    /// By what the certificate's file was known when it was read.
    pub(crate) certificate: Option<Option<(u64, i64, i64, u64)>>,
    /// Whether our files for the network were read.
    pub(crate) network_read: bool,
    /// When the machine was asked about its time servers.
    pub(crate) ntp_asked: Option<Nanos>,
    /// What is known of the tags.
    pub(crate) labels: Look,
}

/// Looks at something that others change too, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// When the last one began.
    pub(crate) began: Option<Nanos>,
    /// By what the file was known then.
    pub(crate) file: Vec<Option<(u64, i64, i64)>>,
    /// Whether one is under way.
    pub(crate) under_way: bool,
    /// Whether there is to be another one after it.
    pub(crate) again: bool,
}

/// States whose changes become notices.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Which cameras deliver.
    pub(crate) cameras: Vec<(u32, bool)>,
    /// How storage is; empty: nobody knows.
    pub(crate) storage: String,
    /// Where RTSP is not served, and why.
    pub(crate) rtsp: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_bounded_and_can_be_dismissed() {
        let mut notices = Notices::default();
        for i in 0..100 {
            notices.add("info", format!("{}", i / 2), At::default());
        }
        assert_eq!(notices.value().as_array().unwrap().len(), MOST_NOTICES);
        assert!(notices.dismiss(50).is_ok() && notices.dismiss(50).is_err());
        notices.dismiss(0).unwrap();
        assert_eq!(notices.value(), json!([]));
    }
}
