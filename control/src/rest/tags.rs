//! Tags of recordings, also of those under way, and their categories.

use super::body::Members;
use super::recordings::{change, id, work};
use super::{Call, Reply};
use crate::engine::camera_number;
use crate::http::respond::Fault;
use lensd_ffi::catalogue::{Catalogue, CatalogueError, NewTag, Record, State, TagChange, TagQuery};
use serde_json::json;

/// Most tags of a page, and how many there usually are.
const MOST: u32 = 1_000;
const USUAL: u32 = 100;

/// What a body says of a tag, before it is known of which recording it is.
struct Wanted {
    category_id: Option<i64>,
    category: Option<String>,
    timestamp: Option<i64>,
    offset: Option<i64>,
    title: String,
    note: String,
    created_by: String,
}

impl Wanted {
    /// Takes the members that every tag may have.
    fn of(members: &mut Members, user: &str) -> Result<Self, Fault> {
        let wanted = Self {
            category_id: members.number("category_id", 1, i64::MAX)?,
            category: members.text("category")?,
            timestamp: members.number("timestamp", i64::MIN, i64::MAX)?,
            offset: members.number("offset", 0, i64::MAX)?,
            title: members.text("title")?.unwrap_or_default(),
            note: members.text("note")?.unwrap_or_default(),
            created_by: user.to_owned(),
        };
        if wanted.timestamp.is_some() && wanted.offset.is_some() {
            let message = "give the moment as timestamp (UTC ms) or as offset (ms from the start)";
            return Err(Fault::invalid_value("offset", message));
        }
        let (by_name, by_number) = (wanted.category.is_some(), wanted.category_id.is_some());
        if by_name && by_number {
            return Err(Fault::invalid_value("category", "give category or category_id"));
        }
        if wanted.title.is_empty() && !by_name && !by_number {
            return Err(Fault::invalid_value("title", "a tag needs a title or a category"));
        }
        Ok(wanted)
    }

    /// A tag of this recording; without a moment it is now, or the start of one that is over.
    fn tag(
        self,
        catalogue: &Catalogue,
        of: &Record,
        now_ms: i64,
    ) -> Result<NewTag, CatalogueError> {
        let category_id = match (&self.category, self.category_id) {
            (Some(name), _) => match catalogue.category_by_name(name)? {
                Some(category) => Some(category.id),
                None => {
                    let why = format!("there is no category {name:.200?}; see /api/categories");
                    return Err(CatalogueError::Invalid("category", why));
                }
            },
            (None, id) => id,
        };
        let begun = of.timestamp_start;
        let usual = if of.state == State::Recording { now_ms.max(begun) } else { begun };
        let at = self.offset.map(|offset| begun.saturating_add(offset));
        let timestamp = self.timestamp.or(at).unwrap_or(usual);
        let end = match of.state {
            State::Recording => None,
            State::Ready | State::Defect => of.timestamp_end,
        };
        if timestamp < begun || end.is_some_and(|end| timestamp > end) {
            let end = end.map_or_else(|| "now".to_owned(), |end| end.to_string());
            let why = format!("Value must be between {begun} and {end}, as the recording");
            return Err(CatalogueError::Invalid("timestamp", why));
        }
        let Self { title, note, created_by, .. } = self;
        Ok(NewTag { category_id, record_id: of.id, timestamp, title, note, created_by })
    }
}

fn named(wanted: &Wanted) -> &str {
    if wanted.title.is_empty() {
        wanted.category.as_deref().unwrap_or("tag")
    } else {
        &wanted.title
    }
}

/// Tags a moment of the recording under way (of `camera`, or the one that began last), or of the
/// recording `id`.
pub(super) fn tag_running(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let id = members.number("id", 1, i64::MAX)?;
    let camera = match members.text_or_number("camera")? {
        None => None,
        Some(text) => Some(camera_number(&text).ok_or_else(|| {
            Fault::invalid_value("camera", "Value must be a camera's number; see /api/cameras")
        })?),
    };
    let wanted = Wanted::of(&mut members, &call.who.user)?;
    members.end()?;
    let now_ms = call.at.utc.millis();
    change(call, "tag added", named(&wanted).to_owned(), move |catalogue| {
        let record = match id {
            Some(id) => catalogue.record(id)?.ok_or(CatalogueError::NotFound(id))?,
            None => catalogue.running(camera)?.ok_or_else(|| {
                let why = "nothing is being recorded; name a recording by its id".to_owned();
                CatalogueError::Conflict(why)
            })?,
        };
        let tag = wanted.tag(catalogue, &record, now_ms)?;
        catalogue.add_tag(&tag).map(|tag| json!(tag))
    })
}

pub(super) fn add(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let record_id = members.number("record_id", 1, i64::MAX)?;
    let record_id =
        record_id.ok_or_else(|| Fault::invalid_value("record_id", "record_id is missing"))?;
    let wanted = Wanted::of(&mut members, &call.who.user)?;
    members.end()?;
    let now_ms = call.at.utc.millis();
    change(call, "tag added", named(&wanted).to_owned(), move |catalogue| {
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
