//! What people say of recordings: titles, notes, protection, tags and their categories.

use super::record::Record;
use super::write::found;
use super::{Catalogue, CatalogueError, MAX_NOTE, MAX_TITLE};
use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

/// Most categories.
pub const MAX_CATEGORIES: i64 = 1_000;
/// Most tags of a recording.
pub const MAX_TAGS: i64 = 10_000;

/// A kind of tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Category {
    /// Number.
    pub id: i64,
    /// Name; no two have the same, whatever its case.
    pub name: String,
    /// Colour as `#rrggbb`, or empty.
    pub color: String,
    /// UTC ms.
    pub created_at: i64,
    /// Tags that are of it.
    pub tags: u64,
}

/// A mark at a moment of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// Number.
    pub id: i64,
    /// Category, if it has one.
    pub category_id: Option<i64>,
    /// Recording.
    pub record_id: i64,
    /// The moment, UTC ms.
    pub timestamp: i64,
    /// Title.
    pub title: String,
    /// Note.
    pub note: String,
    /// Who made it.
    pub created_by: String,
}

/// A tag to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTag {
    /// Category, if it has one.
    pub category_id: Option<i64>,
    /// Recording.
    pub record_id: i64,
    /// The moment, UTC ms.
    pub timestamp: i64,
    /// Title.
    pub title: String,
    /// Note.
    pub note: String,
    /// Who makes it.
    pub created_by: String,
}

/// What becomes of a recording's labels; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordChange {
    /// Title.
    pub title: Option<String>,
    /// Note.
    pub note: Option<String>,
    /// Whether nothing removes it but its owner's wish.
    pub protected: Option<bool>,
}

/// What becomes of a tag; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagChange {
    /// Category; `Some(None)`: none.
    pub category_id: Option<Option<i64>>,
    /// The moment, UTC ms.
    pub timestamp: Option<i64>,
    /// Title.
    pub title: Option<String>,
    /// Note.
    pub note: Option<String>,
}

/// What there is to mark recordings with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Tags of all recordings.
    pub tags: u64,
    /// All categories by name.
    pub categories: Vec<Category>,
    /// Number of the category that was made last, also if it is deleted; 0: none was.
    pub counter: i64,
}

/// Which tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagQuery {
    /// Of this recording.
    pub record_id: Option<i64>,
    /// Of this category.
    pub category_id: Option<i64>,
    /// With a smaller number than this.
    pub before: Option<i64>,
    /// Most of them.
    pub limit: u32,
}

fn short(key: &'static str, text: &str, most: usize) -> Result<(), CatalogueError> {
    if text.chars().count() > most {
        let why = format!("Value must have at most {most} characters");
        return Err(CatalogueError::Invalid(key, why));
    }
    if text.contains('\0') {
        return Err(CatalogueError::Invalid(key, "Value must have no zero character".to_owned()));
    }
    Ok(())
}

fn texts(title: Option<&str>, note: Option<&str>) -> Result<(), CatalogueError> {
    short("title", title.unwrap_or_default(), MAX_TITLE)?;
    short("note", note.unwrap_or_default(), MAX_NOTE)
}

fn name_and_color(name: Option<&str>, color: Option<&str>) -> Result<(), CatalogueError> {
    if let Some(name) = name {
        short("name", name, MAX_TITLE)?;
        if name.trim().is_empty() {
            return Err(CatalogueError::Invalid("name", "Value must not be empty".to_owned()));
        }
    }
    let is_color = |c: &str| {
        c.is_empty()
            || c.strip_prefix('#')
                .is_some_and(|h| h.len() == 6 && h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if color.is_some_and(|c| !is_color(c)) {
        let why = "Value must be a colour such as #ff8800".to_owned();
        return Err(CatalogueError::Invalid("color", why));
    }
    Ok(())
}

fn unique(e: rusqlite::Error, name: &str) -> CatalogueError {
    match e {
        rusqlite::Error::SqliteFailure(f, _)
            if f.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE =>
        {
            CatalogueError::Conflict(format!("there is a category {name:?} already"))
        }
        e => e.into(),
    }
}

impl Catalogue {
    /// Changes the labels of a recording and returns its row.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`], [`CatalogueError::Invalid`].
    pub fn label(&mut self, id: i64, to: &RecordChange) -> Result<Record, CatalogueError> {
        texts(to.title.as_deref(), to.note.as_deref())?;
        let change = self.change()?;
        let rows = change
            .prepare_cached(
                "UPDATE records SET title = coalesce(?2, title), note = coalesce(?3, note),
                    protected = coalesce(?4, protected) WHERE id = ?1",
            )?
            .execute(params![id, to.title, to.note, to.protected])?;
        found(rows, id)?;
        change.commit()?;
        self.record(id)?.ok_or(CatalogueError::NotFound(id))
    }

    /// The recording that is under way; with several, of this camera, or the one that began last.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn running(&self, camera: Option<u32>) -> Result<Option<Record>, CatalogueError> {
        let which = "WHERE state = 'recording' AND (?1 IS NULL OR camera = ?1)
            ORDER BY id DESC LIMIT 1";
        Ok(self.records(which, &[&camera])?.pop())
    }

    /// Makes a tag.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`] without such a recording, [`CatalogueError::Invalid`] for a
    /// category that is not there, or a text that is too long, [`CatalogueError::Conflict`] when
    /// there are too many.
    pub fn add_tag(&mut self, new: &NewTag) -> Result<Tag, CatalogueError> {
        texts(Some(&new.title), Some(&new.note))?;
        short("created_by", &new.created_by, MAX_TITLE)?;
        let change = self.change()?;
        let there: bool = change
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM records WHERE id = ?1)")?
            .query_row([new.record_id], |row| row.get(0))?;
        if !there {
            return Err(CatalogueError::NotFound(new.record_id));
        }
        let count: i64 = change
            .prepare_cached("SELECT count(*) FROM tags WHERE record_id = ?1 AND deleted = 0")?
            .query_row([new.record_id], |row| row.get(0))?;
        if count >= MAX_TAGS {
            let why = format!("the recording has {MAX_TAGS} tags: delete some");
            return Err(CatalogueError::Conflict(why));
        }
        change
            .prepare_cached(
                "INSERT INTO tags(category_id, record_id, timestamp, title, note, created_by)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                new.category_id,
                new.record_id,
                new.timestamp,
                new.title,
                new.note,
                new.created_by
            ])
            .map_err(|e| no_category(e, new.category_id))?;
        let id = change.last_insert_rowid();
        change.commit()?;
        self.tag(id)
    }

    /// A tag that is not deleted.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub fn tag(&self, id: i64) -> Result<Tag, CatalogueError> {
        let which = format!("SELECT {TAG} FROM tags WHERE id = ?1 AND deleted = 0");
        let tag = self.db.prepare_cached(&which)?.query_row([id], tag_of_row).optional()?;
        tag.ok_or(CatalogueError::NotFound(id))
    }

    /// Tags that are not deleted: those of a recording by their moments, else the newest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn tags(&self, query: &TagQuery) -> Result<Vec<Tag>, CatalogueError> {
        let order = if query.record_id.is_some() { "timestamp, id" } else { "id DESC" };
        // One text for each use, so that each finds its index.
        let mut which = "deleted = 0 AND (?3 IS NULL OR id < ?3)".to_owned();
        which.push_str(if query.record_id.is_some() {
            " AND record_id = ?1"
        } else {
            " AND ?1 IS NULL"
        });
        which.push_str(if query.category_id.is_some() {
            " AND category_id = ?2"
        } else {
            " AND ?2 IS NULL"
        });
        let select = format!("SELECT {TAG} FROM tags WHERE {which} ORDER BY {order} LIMIT ?4");
        let mut select = self.db.prepare_cached(&select)?;
        let with = params![query.record_id, query.category_id, query.before, query.limit];
        let rows = select.query_map(with, tag_of_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Changes a tag.
    ///
    /// # Errors
    /// As [`Catalogue::add_tag`].
    pub fn change_tag(&mut self, id: i64, to: &TagChange) -> Result<Tag, CatalogueError> {
        texts(to.title.as_deref(), to.note.as_deref())?;
        let change = self.change()?;
        let rows = change
            .prepare_cached(
                "UPDATE tags SET title = coalesce(?2, title), note = coalesce(?3, note),
                    timestamp = coalesce(?4, timestamp),
                    category_id = CASE WHEN ?5 THEN ?6 ELSE category_id END
                 WHERE id = ?1 AND deleted = 0",
            )?
            .execute(params![
                id,
                to.title,
                to.note,
                to.timestamp,
                to.category_id.is_some(),
                to.category_id.flatten()
            ])
            .map_err(|e| no_category(e, to.category_id.flatten()))?;
        found(rows, id)?;
        change.commit()?;
        self.tag(id)
    }

    /// Marks a tag as deleted; returns it.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub fn delete_tag(&mut self, id: i64) -> Result<Tag, CatalogueError> {
        let tag = self.tag(id)?;
        self.db.prepare_cached("UPDATE tags SET deleted = 1 WHERE id = ?1")?.execute([id])?;
        Ok(tag)
    }

    /// What there is to mark recordings with.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn labels(&self) -> Result<Labels, CatalogueError> {
        let one = |select: &str| {
            self.db.prepare_cached(select)?.query_row((), |row| row.get(0)).optional()
        };
        let counter: Option<i64> =
            one("SELECT seq FROM sqlite_sequence WHERE name = 'categories'")?;
        let tags: Option<i64> = one("SELECT count(*) FROM tags WHERE deleted = 0")?;
        Ok(Labels {
            tags: u64::try_from(tags.unwrap_or(0)).unwrap_or(0),
            categories: self.categories()?,
            counter: counter.unwrap_or(0),
        })
    }

    /// All categories by name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn categories(&self) -> Result<Vec<Category>, CatalogueError> {
        self.categories_where("1", &[])
    }

    /// A category.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub fn category(&self, id: i64) -> Result<Category, CatalogueError> {
        self.categories_where("id = ?1", &[&id])?.pop().ok_or(CatalogueError::NotFound(id))
    }

    /// The category of a name, whatever its case.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn category_by_name(&self, name: &str) -> Result<Option<Category>, CatalogueError> {
        Ok(self.categories_where("name = ?1", &[&name])?.pop())
    }

    fn categories_where(
        &self,
        which: &str,
        with: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Category>, CatalogueError> {
        let select = format!(
            "SELECT id, name, color, created_at, (SELECT count(*) FROM tags
             WHERE category_id = categories.id AND deleted = 0)
             FROM categories WHERE {which} ORDER BY name"
        );
        let mut select = self.db.prepare_cached(&select)?;
        let rows = select.query_map(with, |row| {
            Ok(Category {
                id: row.get(0)?,
                name: row.get(1)?,
                color: row.get(2)?,
                created_at: row.get(3)?,
                tags: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Makes a category.
    ///
    /// # Errors
    /// [`CatalogueError::Conflict`] when the name is taken, or there are too many.
    pub fn add_category(
        &mut self,
        name: &str,
        color: &str,
        now_ms: i64,
    ) -> Result<Category, CatalogueError> {
        name_and_color(Some(name), Some(color))?;
        let change = self.change()?;
        let count: i64 =
            change.query_row("SELECT count(*) FROM categories", (), |row| row.get(0))?;
        if count >= MAX_CATEGORIES {
            let why = format!("there are {MAX_CATEGORIES} categories: delete some");
            return Err(CatalogueError::Conflict(why));
        }
        change
            .execute(
                "INSERT INTO categories(name, color, created_at) VALUES(?1, ?2, ?3)",
                params![name, color, now_ms],
            )
            .map_err(|e| unique(e, name))?;
        let id = change.last_insert_rowid();
        change.commit()?;
        self.category(id)
    }

    /// Changes a category; what is none stays.
    ///
    /// # Errors
    /// As [`Catalogue::add_category`], and [`CatalogueError::NotFound`].
    pub fn change_category(
        &mut self,
        id: i64,
        name: Option<&str>,
        color: Option<&str>,
    ) -> Result<Category, CatalogueError> {
        name_and_color(name, color)?;
        let change = self.change()?;
        let rows = change
            .execute(
                "UPDATE categories SET name = coalesce(?2, name), color = coalesce(?3, color)
                 WHERE id = ?1",
                params![id, name, color],
            )
            .map_err(|e| unique(e, name.unwrap_or_default()))?;
        found(rows, id)?;
        change.commit()?;
        self.category(id)
    }

    /// Deletes a category; its tags stay, without one.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub fn delete_category(&mut self, id: i64) -> Result<(), CatalogueError> {
        found(self.db.execute("DELETE FROM categories WHERE id = ?1", [id])?, id)
    }
}

const TAG: &str = "id, category_id, record_id, timestamp, title, note, created_by";

fn tag_of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Tag> {
    Ok(Tag {
        id: row.get(0)?,
        category_id: row.get(1)?,
        record_id: row.get(2)?,
        timestamp: row.get(3)?,
        title: row.get(4)?,
        note: row.get(5)?,
        created_by: row.get(6)?,
    })
}

/// The one reference that a tag may make in vain.
fn no_category(e: rusqlite::Error, id: Option<i64>) -> CatalogueError {
    match e {
        rusqlite::Error::SqliteFailure(f, _)
            if f.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY =>
        {
            let why = format!("there is no category {}; see /api/categories", id.unwrap_or(0));
            CatalogueError::Invalid("category_id", why)
        }
        e => e.into(),
    }
}
