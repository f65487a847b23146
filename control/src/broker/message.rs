//! A message, and how it is written (ONVIF Core 9.5).

use super::topic::{self, Item, Topic};
use crate::soap::{Writer, time};

/// What became of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It is not told: the message is of something that happened.
    None,
    /// This holds.
    Initialized,
    /// This holds from now on.
    Changed,
    /// Nothing holds any more.
    Deleted,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: &'static Topic,
    pub(crate) operation: Operation,
    /// When, in UTC milliseconds since 1970.
    pub(crate) utc_ms: i64,
    /// Values of the topic's items, in their order.
    pub(crate) source: Vec<String>,
    pub(crate) data: Vec<String>,
}

impl Message {
    /// Of a topic in the table.
    pub(crate) fn new(name: &str, utc_ms: i64, source: Vec<String>, data: Vec<String>) -> Self {
        let found = topic::find(name);
        debug_assert!(found.is_some(), "{name} is no topic");
        let topic = found.unwrap_or(&topic::TOPICS[0]);
        debug_assert_eq!(
            (source.len(), data.len()),
            (topic.source.len(), topic.data.len()),
            "{name}"
        );
        Self { topic, operation: Operation::None, utc_ms, source, data }
    }

    /// Names and values, of the source and of the data.
    pub(super) fn items(&self) -> impl Iterator<Item = (bool, &'static str, &str)> {
        let named = |is_source: bool, items: &'static [Item], values| {
            let values: &Vec<String> = values;
            items.iter().zip(values).map(move |(i, v)| (is_source, i.0, v.as_str()))
        };
        named(true, self.topic.source, &self.source).chain(named(
            false,
            self.topic.data,
            &self.data,
        ))
    }

    /// Writes it as `wsnt:NotificationMessage`.
    pub(crate) fn write(&self, w: &mut Writer) {
        w.open("wsnt:NotificationMessage").open("wsnt:Topic");
        w.attribute("Dialect", super::filter::CONCRETE_SET).text(self.topic.name).close();
        w.open("wsnt:Message").open("tt:Message");
        w.attribute("UtcTime", time::date_time(self.utc_ms));
        match self.operation {
            Operation::None => {}
            operation => _ = w.attribute("PropertyOperation", format!("{operation:?}")),
        }
        let items = |name, items: &'static [Item], values: &[String], w: &mut Writer| {
            if items.is_empty() {
                return;
            }
            w.open(name);
            for ((name, _), value) in items.iter().zip(values) {
                w.open("tt:SimpleItem").attribute("Name", name).attribute("Value", value).close();
            }
            w.close();
        };
        items("tt:Source", self.topic.source, &self.source, w);
        items("tt:Data", self.topic.data, &self.data, w);
        w.close().close().close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_clients_look_for_it() {
        let mut w = Writer::new();
        let mut message = Message::new(
            "tns1:VideoSource/MotionAlarm",
            0,
            vec!["VideoSource_1".into()],
            vec!["true".into()],
        );
        message.operation = Operation::Changed;
        message.write(&mut w);
        let text = w.finish();
        assert!(text.contains(">tns1:VideoSource/MotionAlarm</wsnt:Topic>"));
        assert!(text.contains("UtcTime=\"1970-01-01T00:00:00Z\" PropertyOperation=\"Changed\""));
        assert!(
            text.contains("<tt:Source><tt:SimpleItem Name=\"Source\" Value=\"VideoSource_1\"/>")
        );
        assert!(text.contains("<tt:Data><tt:SimpleItem Name=\"State\" Value=\"true\"/></tt:Data>"));
    }
}
