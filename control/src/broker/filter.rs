//! Who wants to know of what: topic expressions (ONVIF Core 9.6.3) and filters of content.

use super::content::Expression;
use super::message::Message;
use super::topic::{ROOTS, TOPICS};
use crate::soap::{Node, Ns};

/// A path (WS-Topics 1.3, 8.2).
pub(crate) const CONCRETE: &str = "http://docs.oasis-open.org/wsn/t-1/TopicExpression/Concrete";
/// Several paths, and all below one.
pub(crate) const CONCRETE_SET: &str = "http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet";
/// Filters of items.
pub(crate) const ITEM_FILTER: &str =
    "http://www.onvif.org/ver10/tev/messageContentFilter/ItemFilter";
/// Longest expression, and most paths in it.
const MAX_EXPRESSION: usize = 2048;
const MAX_PATHS: usize = 32;
/// Most filters of a subscription.
const MAX_FILTERS: usize = 8;

/// What is wrong with a filter: the fault of WS-BaseNotification that says so, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) &'static str, pub(crate) String);

/// A path, and whether all below it is meant, too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path {
    segments: Vec<String>,
    below: bool,
}

/// A filter: a message must be of one of the paths of each topic expression, and fulfil each
/// filter of content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    topics: Vec<Vec<Path>>,
    contents: Vec<Expression>,
}

impl Filter {
    /// Of a `Filter` element.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of(node: Node<'_>) -> Result<Self, Wrong> {
        let mut filter = Self::default();
        for (count, child) in node.children().enumerate() {
            if count >= MAX_FILTERS {
                let why = format!("at most {MAX_FILTERS} filters");
                return Err(Wrong("wsnt:InvalidFilterFault", why));
            }
            let dialect = child.attribute("Dialect").unwrap_or_default().trim();
            match child.local() {
                "TopicExpression" => filter.topics.push(paths(child, dialect)?),
                "MessageContent" => filter.contents.push(content(child, dialect)?),
                name => {
                    let why = format!("there is no filter {name} here");
                    return Err(Wrong("wsnt:InvalidFilterFault", why));
                }
            }
        }
        Ok(filter)
    }

    /// Whether a message is wanted.
    pub(super) fn matches(&self, message: &Message) -> bool {
        let of = |paths: &Vec<Path>| paths.iter().any(|p| p.matches(message.topic.path));
        self.topics.iter().all(of) && self.contents.iter().all(|e| e.matches(message))
    }
}

impl Path {
    fn matches(&self, topic: &[&str]) -> bool {
        let mut own = self.segments.iter();
        let mut theirs = topic.iter().map(|s| s.strip_prefix("tns1:").unwrap_or(s));
        loop {
            match (own.next(), theirs.next()) {
                (None, None) => return true,
                (None, Some(_)) => return self.below,
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    /// Whether there is or may be such a topic.
    fn is_possible(&self) -> bool {
        let root = self.segments.first().map(String::as_str).unwrap_or_default();
        TOPICS.iter().any(|t| self.matches(t.path))
            || ROOTS.contains(&root) && self.below && self.segments.len() == 1
    }
}

/// The laws of filters, for a fuzzer: nothing panics, and what is taken keeps to its limits.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut w = crate::soap::Writer::new();
    w.open("Filter").attribute("xmlns:tns1", Ns::Tns1.uri());
    w.leaf("TopicExpression", text).leaf("MessageContent", text);
    w.close();
    let Ok(document) = crate::soap::Document::parse(w.finish().as_bytes()) else { return };
    let root = document.root();
    for child in root.children() {
        let filter = match child.local() {
            "TopicExpression" => {
                paths(child, "").map(|all| Filter { topics: vec![all], contents: Vec::new() })
            }
            _ => content(child, "").map(|one| Filter { topics: Vec::new(), contents: vec![one] }),
        };
        let Ok(filter) = filter else { continue };
        assert!(filter.topics.iter().all(|t| t.len() <= MAX_PATHS));
        for topic in TOPICS {
            let values = |n: usize| vec!["true".to_owned(); n];
            let (source, data) = (values(topic.source.len()), values(topic.data.len()));
            filter.matches(&Message::new(topic.name, 0, source, data));
        }
    }
    let _ = Filter::of(root);
}

fn paths(node: Node<'_>, dialect: &str) -> Result<Vec<Path>, Wrong> {
    // Some clients leave it out.
    if !["", CONCRETE, CONCRETE_SET].contains(&dialect) {
        let why = format!("topic expressions are {CONCRETE} or {CONCRETE_SET}");
        return Err(Wrong("wsnt:TopicExpressionDialectUnknownFault", why));
    }
    let text = node.text();
    let wrong = |why: String| Wrong("wsnt:InvalidTopicExpressionFault", why);
    if text.len() > MAX_EXPRESSION {
        return Err(wrong(format!("an expression has at most {MAX_EXPRESSION} characters")));
    }
    if dialect == CONCRETE && (text.contains('|') || text.contains("//")) {
        return Err(wrong(format!("| and //. need the dialect {CONCRETE_SET}")));
    }
    let mut all = Vec::new();
    for part in text.split('|').map(str::trim) {
        let (path, below) = match part.strip_suffix("//.") {
            Some(path) => (path, true),
            None => (part, false),
        };
        let mut segments = Vec::new();
        for (i, segment) in path.split('/').enumerate() {
            let (prefix, name) = segment.split_once(':').unwrap_or(("", segment));
            let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                return Err(wrong(format!("{part:?} is no path such as tns1:VideoSource//.")));
            }
            // Clients that declare no prefix mean this one.
            let of_onvif = match node.namespace(prefix) {
                Some(ns) => ns == Ns::Tns1 || prefix.is_empty() && i > 0,
                None => prefix == "tns1" || prefix.is_empty(),
            };
            if !of_onvif {
                let why = format!("{segment} is not of {}", Ns::Tns1.uri());
                return Err(Wrong("wsnt:TopicNotSupportedFault", why));
            }
            segments.push(name.to_owned());
        }
        all.push(Path { segments, below });
        if all.len() > MAX_PATHS {
            return Err(wrong(format!("at most {MAX_PATHS} paths")));
        }
    }
    if !all.iter().any(Path::is_possible) {
        let why = format!("there is no topic {text:?}; see GetEventProperties");
        return Err(Wrong("wsnt:TopicNotSupportedFault", why));
    }
    Ok(all)
}

fn content(node: Node<'_>, dialect: &str) -> Result<Expression, Wrong> {
    if !["", ITEM_FILTER].contains(&dialect) {
        let why = format!("filters of content are {ITEM_FILTER}");
        return Err(Wrong("wsnt:InvalidFilterFault", why));
    }
    let wrong = |why| Wrong("wsnt:InvalidMessageContentExpressionFault", why);
    Expression::parse(node.text()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::Document;

    fn filter(inside: &str) -> Result<Filter, Wrong> {
        let text = format!(
            "<Filter xmlns:t='http://www.onvif.org/ver10/topics' xmlns:x='urn:x'>{inside}</Filter>"
        );
        Filter::of(Document::parse(text.as_bytes()).unwrap().root())
    }

    fn topic(expression: &str) -> Result<Filter, Wrong> {
        filter(&format!("<TopicExpression Dialect='{CONCRETE_SET}'>{expression}</TopicExpression>"))
    }

    fn message(name: &str) -> Message {
        let topic = crate::broker::find(name).unwrap();
        let values = |items: &[Item]| items.iter().map(|_| "true".to_owned()).collect();
        Message::new(name, 0, values(topic.source), values(topic.data))
    }
    use crate::broker::Item;

    #[test]
    fn paths_and_what_is_below_them() {
        let (motion, dark, media) = (
            message("tns1:VideoSource/MotionAlarm"),
            message("tns1:VideoSource/ImageTooDark/ImagingService"),
            message("tns1:Media/ProfileChanged"),
        );
        for (expression, want) in [
            ("t:VideoSource/MotionAlarm", [true, false, false]),
            ("tns1:VideoSource/MotionAlarm", [true, false, false]),
            ("t:VideoSource/t:MotionAlarm", [true, false, false]),
            ("t:VideoSource//.", [true, true, false]),
            ("t:VideoSource/ImageTooDark//.", [false, true, false]),
            ("t:VideoSource/MotionAlarm | t:Media//.", [true, false, true]),
            ("t:RuleEngine//.", [false, false, false]),
        ] {
            let filter = topic(expression).unwrap();
            let got = [&motion, &dark, &media].map(|m| filter.matches(m));
            assert_eq!(got, want, "{expression}");
        }
        assert!(Filter::default().matches(&motion));
    }

    #[test]
    fn wrong_ones_are_told_apart() {
        let why = |expression: &str| topic(expression).unwrap_err().0;
        assert_eq!(why("t:NoSuchTopic/At/All"), "wsnt:TopicNotSupportedFault");
        assert_eq!(why("x:VideoSource//."), "wsnt:TopicNotSupportedFault");
        for bad in ["", "t:", "t:a//b", "t:VideoSource/*", "//.", "t:VideoSource//.//.", "a b"] {
            assert_eq!(why(bad), "wsnt:InvalidTopicExpressionFault", "{bad:?}");
        }
        let many = vec!["t:VideoSource//."; MAX_PATHS + 1].join("|");
        assert_eq!(why(&many), "wsnt:InvalidTopicExpressionFault");
        let dialect = filter("<TopicExpression Dialect='urn:x'>t:Media//.</TopicExpression>");
        assert_eq!(dialect.unwrap_err().0, "wsnt:TopicExpressionDialectUnknownFault");
        let set = format!("<TopicExpression Dialect='{CONCRETE}'>t:Media//.</TopicExpression>");
        assert_eq!(filter(&set).unwrap_err().0, "wsnt:InvalidTopicExpressionFault");
        assert_eq!(filter("<ProducerProperties/>").unwrap_err().0, "wsnt:InvalidFilterFault");
        let many = "<TopicExpression>t:Media//.</TopicExpression>".repeat(MAX_FILTERS + 1);
        assert_eq!(filter(&many).unwrap_err().0, "wsnt:InvalidFilterFault");
    }

    #[test]
    fn content_is_asked_too() {
        let content = "boolean(//tt:SimpleItem[@Name=\"Source\" and @Value=\"true\"])";
        let both = format!(
            "<TopicExpression>t:VideoSource//.</TopicExpression>\
             <MessageContent Dialect='{ITEM_FILTER}'>{content}</MessageContent>"
        );
        let filter_ = filter(&both).unwrap();
        assert!(filter_.matches(&message("tns1:VideoSource/MotionAlarm")));
        assert!(!filter_.matches(&message("tns1:Media/ProfileChanged")));
        let bad = filter("<MessageContent>boolean(1)</MessageContent>").unwrap_err();
        assert_eq!(bad.0, "wsnt:InvalidMessageContentExpressionFault");
    }
}
