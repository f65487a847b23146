//! What people say of a moment that they tag.

use crate::engine::camera_number;
use crate::http::body::Members;
use crate::http::respond::Fault;
use lensd_ffi::catalogue::{Catalogue, CatalogueError, NewTag, Record, State};
use serde_json::{Value, json};

/// What a body says of a tag, before it is known of which recording it is.
pub(crate) struct Wanted {
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
    pub(crate) fn of(members: &mut Members, user: &str) -> Result<Self, Fault> {
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

    /// By what the log knows it.
    pub(crate) fn name(&self) -> &str {
        if self.title.is_empty() { self.category.as_deref().unwrap_or("tag") } else { &self.title }
    }

    /// A tag of this recording; without a moment it is now, or the start of one that is over.
    pub(crate) fn tag(
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

/// A tag of the recording under way, or of another one.
pub(crate) struct Moment {
    id: Option<i64>,
    camera: Option<u32>,
    wanted: Wanted,
}

impl Moment {
    pub(crate) fn of(body: &[u8], user: &str) -> Result<Self, Fault> {
        let mut members = Members::of(body)?;
        let id = members.number("id", 1, i64::MAX)?;
        let camera = match members.text_or_number("camera")? {
            None => None,
            Some(text) => Some(camera_number(&text).ok_or_else(|| {
                Fault::invalid_value("camera", "Value must be a camera's number; see /api/cameras")
            })?),
        };
        let wanted = Wanted::of(&mut members, user)?;
        members.end()?;
        Ok(Self { id, camera, wanted })
    }

    /// As a setting says it: by its title, or with the members of a body.
    pub(crate) fn of_value(value: &Value, user: &str) -> Result<Self, Fault> {
        let body = match value {
            Value::String(title) => json!({ "title": title }),
            Value::Object(_) => value.clone(),
            _ => {
                let message = "Value must be a title, or what POST /api/recording/tag takes";
                return Err(Fault::invalid_value("tag", message));
            }
        };
        Self::of(body.to_string().as_bytes(), user)
    }

    /// By what the log knows it.
    pub(crate) fn name(&self) -> &str {
        self.wanted.name()
    }

    /// Makes it; what it has become.
    pub(crate) fn tag(
        self,
        now_ms: i64,
    ) -> impl FnOnce(&mut Catalogue) -> Result<Value, CatalogueError> + Send + 'static {
        let Self { id, camera, wanted } = self;
        move |catalogue| {
            let record = match id {
                Some(id) => catalogue.record(id)?.ok_or(CatalogueError::NotFound(id))?,
                None => catalogue.running(camera)?.ok_or_else(|| {
                    let why = "nothing is being recorded; name a recording by its id".to_owned();
                    CatalogueError::Conflict(why)
                })?,
            };
            let tag = wanted.tag(catalogue, &record, now_ms)?;
            catalogue.add_tag(&tag).map(|tag| json!(tag))
        }
    }
}
