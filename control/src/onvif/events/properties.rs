//! Which topics there are, as `GetEventProperties` tells it.

use crate::broker::{CONCRETE, CONCRETE_SET, ITEM_FILTER, Item, TOPICS, Topic};
use crate::onvif::call::{Answer, Call, Done};
use crate::soap::{Node, Writer};

/// `GetEventProperties`.
pub(super) fn get(_: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tev:GetEventPropertiesResponse");
    w.leaf("tev:TopicNamespaceLocation", "http://www.onvif.org/onvif/ver10/topics/topicns.xml");
    w.leaf("wsnt:FixedTopicSet", true);
    w.open("wstop:TopicSet");
    tree(TOPICS.iter().collect(), 0, w);
    w.close();
    w.leaf("wsnt:TopicExpressionDialect", CONCRETE);
    w.leaf("wsnt:TopicExpressionDialect", CONCRETE_SET);
    w.leaf("tev:MessageContentFilterDialect", ITEM_FILTER);
    w.leaf("tev:MessageContentSchemaLocation", "http://www.onvif.org/onvif/ver10/schema/onvif.xsd");
    w.close();
    Ok(Done::Now)
}

/// The topics below one segment of their paths: those with one name there stand together.
fn tree(mut topics: Vec<&'static Topic>, depth: usize, w: &mut Writer) {
    while let Some(name) = topics.first().and_then(|t| t.path.get(depth)).copied() {
        let (here, others): (Vec<_>, Vec<_>) =
            topics.into_iter().partition(|t| t.path.get(depth) == Some(&name));
        topics = others;
        w.open(name);
        if let Some(topic) = here.iter().find(|t| t.path.len() == depth + 1) {
            w.attribute("wstop:topic", true);
            describe(topic, w);
        }
        tree(here.into_iter().filter(|t| t.path.len() > depth + 1).collect(), depth + 1, w);
        w.close();
    }
}

fn describe(topic: &Topic, w: &mut Writer) {
    w.open("tt:MessageDescription").attribute("IsProperty", topic.property);
    let items = |name, items: &[Item], w: &mut Writer| {
        if items.is_empty() {
            return;
        }
        w.open(name);
        for (name, kind) in items {
            w.open("tt:SimpleItemDescription").attribute("Name", name).attribute("Type", kind);
            w.close();
        }
        w.close();
    };
    items("tt:Source", topic.source, w);
    items("tt:Data", topic.data, w);
    w.close();
}
