//! Tags of recordings, also of those under way, and their categories.

use super::recordings::{change, id, work};
use super::{Call, Reply};
use crate::catalogue::moment::{Moment, Wanted};
use crate::http::body::Members;
use crate::http::respond::Fault;
use lensd_ffi::catalogue::{CatalogueError, TagChange, TagQuery};
use serde_json::json;

/// Most tags of a page, and how many there usually are.
const MOST: u32 = 1_000;
const USUAL: u32 = 100;

/// Tags a moment of the recording under way (of `camera`, or the one that began last), or of the
/// recording `id`.
pub(super) fn tag_running(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let moment = Moment::of(&call.request.body, &call.who.user)?;
    let subject = moment.name().to_owned();
    let now_ms = call.at.utc.millis();
    change(call, "tag added", subject, moment.tag(now_ms))
}

pub(super) fn add(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let record_id = members.number("record_id", 1, i64::MAX)?;
    let record_id =
        record_id.ok_or_else(|| Fault::invalid_value("record_id", "record_id is missing"))?;
    let wanted = Wanted::of(&mut members, &call.who.user)?;
    members.end()?;
    let now_ms = call.at.utc.millis();
    change(call, "tag added", wanted.name().to_owned(), move |catalogue| {
        let record = catalogue.record(record_id)?.ok_or(CatalogueError::NotFound(record_id))?;
        let tag = wanted.tag(catalogue, &record, now_ms)?;
        catalogue.add_tag(&tag).map(|tag| json!(tag))
    })
}

fn number(call: &Call<'_>, name: &str, most: i64) -> Result<Option<i64>, Fault> {
    let Some(text) = call.request.query(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|n| (1..=most).contains(n));
    let message = || format!("Value must be between 1 and {most}");
    number.map(Some).ok_or_else(|| Fault::invalid_value(name, message()))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let query = TagQuery {
        record_id: number(call, "record_id", i64::MAX)?,
        category_id: number(call, "category_id", i64::MAX)?,
        before: number(call, "before", i64::MAX)?,
        limit: number(call, "limit", i64::from(MOST))?
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(USUAL),
    };
    work(call, move |catalogue| Ok(json!({ "tags": catalogue.tags(&query)? })))
}

pub(super) fn one(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    work(call, move |catalogue| catalogue.tag(id).map(|tag| json!(tag)))
}

pub(super) fn edit(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    let mut members = Members::of(&call.request.body)?;
    let to = TagChange {
        category_id: members.number_or_null("category_id", 1, i64::MAX)?,
        timestamp: members.number("timestamp", i64::MIN, i64::MAX)?,
        title: members.text("title")?,
        note: members.text("note")?,
    };
    members.end()?;
    change(call, "tag changed", id.to_string(), move |catalogue| {
        catalogue.change_tag(id, &to).map(|tag| json!(tag))
    })
}

pub(super) fn remove(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    Members::of(&call.request.body)?.end()?;
    change(call, "tag removed", id.to_string(), move |catalogue| {
        catalogue.delete_tag(id).map(|_| json!({ "removed": [id] }))
    })
}

pub(super) fn categories(call: &mut Call<'_>) -> Result<Reply, Fault> {
    work(call, |catalogue| Ok(json!({ "categories": catalogue.categories()? })))
}

pub(super) fn category(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    work(call, move |catalogue| catalogue.category(id).map(|category| json!(category)))
}

pub(super) fn add_category(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let name = members.needed("name")?;
    let color = members.text("color")?.unwrap_or_default();
    members.end()?;
    let now_ms = call.at.utc.millis();
    change(call, "category added", name.clone(), move |catalogue| {
        catalogue.add_category(&name, &color, now_ms).map(|category| json!(category))
    })
}

pub(super) fn edit_category(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    let mut members = Members::of(&call.request.body)?;
    let (name, color) = (members.text("name")?, members.text("color")?);
    members.end()?;
    change(call, "category changed", id.to_string(), move |catalogue| {
        let changed = catalogue.change_category(id, name.as_deref(), color.as_deref())?;
        Ok(json!(changed))
    })
}

pub(super) fn remove_category(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    Members::of(&call.request.body)?.end()?;
    change(call, "category removed", id.to_string(), move |catalogue| {
        catalogue.delete_category(id)?;
        Ok(json!({ "removed": [id] }))
    })
}
