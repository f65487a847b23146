//! Pages of rows: filtered, sorted, and found without looking at rows that are not shown.
//!
//! Two ways lead to a page. *Walking* ([`walk`]) follows the index of the wanted order in every
//! facet that the filters leave, and takes the smallest of their heads, so that a page costs what
//! it shows. What is left of the filters is asked of each row on the way, which is slow when hardly
//! any row fits. *Collecting* ([`collect`]) takes all rows that fit one filter and keeps the best.
//! Which one is quicker is found by trying: a filter that few rows fit is collected, any other is
//! walked through for a while, and collected if that brings too little. For text and tags the
//! numbers of all rows that fit are taken from their indexes, which is quick (some 10 million a
//! second), so that on the way a look into these numbers is enough.

mod collect;
mod walk;

use super::record::{MediaType, Record, State};
use super::{Catalogue, CatalogueError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use collect::{Best, Source};
use rusqlite::params_from_iter;
use rusqlite::types::{Value, ValueRef};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Most rows of a page.
pub const MAX_LIMIT: u32 = 1_000;
/// Furthest row that is reached by an offset instead of a cursor.
pub const MAX_OFFSET: u64 = 100_000;
/// Longest text to look for, in bytes.
pub const MAX_TEXT: usize = 200;
/// A filter that more rows fit is walked through before it is collected. Names are not in the
/// indexes of other orders, so that they are read row by row.
const fn few(sort: Sort, source: Source<'_>) -> usize {
    match (sort, source) {
        _ if cfg!(test) => 40,
        (Sort::Name, Source::Range(_)) => 2_000,
        (Sort::Name, Source::Chosen(_)) => 4_000,
        (_, Source::Range(_)) => 5_000,
        (_, Source::Chosen(_)) => 7_000,
    }
}

/// Where counting ends: the total is then said to be at least this.
const MOST_COUNTED: usize = if cfg!(test) { 300 } else { 10_000 };

/// The orders that are offered. Among equals the number decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// By the time of the first picture.
    #[default]
    Time,
    /// By bytes.
    Size,
    /// By playing time.
    Duration,
    /// By file name.
    Name,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Time, Self::Size, Self::Duration, Self::Name];

    /// Its word in queries.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Size => "size",
            Self::Duration => "duration",
            Self::Name => "name",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Time => "timestamp_start",
            Self::Size => "size",
            Self::Duration => "duration",
            Self::Name => "filename",
        }
    }

    const fn index(self) -> &'static str {
        match self {
            Self::Time => "records_by_time",
            Self::Size => "records_by_size",
            Self::Duration => "records_by_duration",
            Self::Name => "records_by_name",
        }
    }
}

/// What is asked for. What is none does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Begun at this UTC ms or later.
    pub from_ms: Option<i64>,
    /// Begun before this UTC ms.
    pub to_ms: Option<i64>,
    /// Of this camera.
    pub camera: Option<u32>,
    /// Of this mode.
    pub mode: Option<String>,
    /// What it holds.
    pub media_type: Option<MediaType>,
    /// How far it is.
    pub state: Option<State>,
    /// At least so many bytes.
    pub size_min: Option<u64>,
    /// At most so many bytes.
    pub size_max: Option<u64>,
    /// With a tag of this title or of the category of this name, whatever its case.
    pub tag: Option<String>,
    /// With words that begin so in title or note, its own or those of one of its tags.
    pub text: Option<String>,
    /// Order.
    pub sort: Sort,
    /// The last first.
    pub descending: bool,
    /// Most rows, 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// Rows to pass over, at most [`MAX_OFFSET`].
    pub offset: u64,
    /// [`Page::next`] of the page before.
    pub after: Option<String>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            from_ms: None,
            to_ms: None,
            camera: None,
            mode: None,
            media_type: None,
            state: None,
            size_min: None,
            size_max: None,
            tag: None,
            text: None,
            sort: Sort::Time,
            descending: true,
            limit: 50,
            offset: 0,
            after: None,
        }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// Its rows.
    pub records: Vec<Record>,
    /// Where the next page begins; none: there is none. It stays right when rows come and go.
    pub next: Option<String>,
    /// How many rows fit the filters.
    pub total: u64,
    /// Whether there may be more than `total`: counting has a bound.
    pub total_at_least: bool,
}

/// A value by which rows are sorted, and after it the row's number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Integer(n) => Self::Number(n),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            _ => Self::Number(0),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Number(n) => Value::Integer(*n),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

type Place = (Key, i64);

/// A place in an order, as clients carry it: Base64 of JSON, so that it has one form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    s: Sort,
    d: bool,
    k: Key,
    i: i64,
}

impl Query {
    fn check(&self) -> Result<Option<Place>, CatalogueError> {
        let invalid = |key, why: String| Err(CatalogueError::Invalid(key, why));
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            return invalid("limit", format!("Value must be between 1 and {MAX_LIMIT}"));
        }
        if self.offset > MAX_OFFSET {
            let why = format!("Value must be between 0 and {MAX_OFFSET}; go on by `next`");
            return invalid("offset", why);
        }
        let Some(after) = &self.after else { return Ok(None) };
        let wrong = || {
            let why = "this is no `next` of a page in the same order".to_owned();
            CatalogueError::Invalid("after", why)
        };
        let bytes = URL_SAFE_NO_PAD.decode(after).map_err(|_| wrong())?;
        let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let is_text = matches!(cursor.k, Key::Text(_));
        if (cursor.s, cursor.d, is_text) != (self.sort, self.descending, self.sort == Sort::Name) {
            return Err(wrong());
        }
        Ok(Some((cursor.k, cursor.i)))
    }

    fn cursor(&self, (k, i): Place) -> Option<String> {
        let cursor = Cursor { s: self.sort, d: self.descending, k, i };
        serde_json::to_vec(&cursor).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
    }

    fn order(&self, a: &Place, b: &Place) -> Ordering {
        if self.descending { b.cmp(a) } else { a.cmp(b) }
    }

    const fn has_range(&self, of: Sort) -> bool {
        match of {
            Sort::Time => self.from_ms.is_some() || self.to_ms.is_some(),
            Sort::Size => self.size_min.is_some() || self.size_max.is_some(),
            Sort::Duration | Sort::Name => false,
        }
    }

    /// Both ranges.
    fn ranges(&self) -> Terms {
        let mut terms = Terms::default();
        for range in [Sort::Time, Sort::Size] {
            terms.and_range(self, range);
        }
        terms
    }

    /// Whether a facet's count says how many of it fit, but for tags and text.
    const fn is_of_facets(&self) -> bool {
        !self.has_range(Sort::Time) && !self.has_range(Sort::Size)
    }

    /// Whether there are no filters but tags and text.
    const fn is_of_all_facets(&self) -> bool {
        self.is_of_facets()
            && self.camera.is_none()
            && self.mode.is_none()
            && self.media_type.is_none()
            && self.state.is_none()
    }
}

/// Text for FTS5: every word begins a word of the row.
fn words(text: &str) -> Result<String, CatalogueError> {
    if text.len() > MAX_TEXT {
        let why = format!("Value must have at most {MAX_TEXT} bytes");
        return Err(CatalogueError::Invalid("text", why));
    }
    let words = text.split_whitespace().filter(|w| w.chars().any(char::is_alphanumeric));
    let words: Vec<String> =
        words.map(|w| format!("\"{}\"*", w.replace('"', "\"\"").replace('\0', ""))).collect();
    if words.is_empty() {
        let why = "Value must have a word to look for".to_owned();
        return Err(CatalogueError::Invalid("text", why));
    }
    Ok(words.join(" "))
}

/// Conditions in SQL with their values, as they grow.
#[derive(Debug, Default, Clone)]
struct Terms {
    sql: String,
    values: Vec<Value>,
}

impl Terms {
    /// `?` in `sql` are the values in their order.
    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        let _ = write!(self.sql, " AND {sql}");
        self.values.extend(values);
    }

    /// The values, with one before them.
    fn values_after(&self, first: i64) -> impl rusqlite::Params {
        let first = std::iter::once(Value::Integer(first));
        params_from_iter(first.chain(self.values.iter().cloned()))
    }

    fn and_range(&mut self, query: &Query, of: Sort) {
        let size = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (from, to) = match of {
            Sort::Time => (query.from_ms, query.to_ms.map(|to| to.saturating_sub(1))),
            Sort::Size => (query.size_min.map(size), query.size_max.map(size)),
            Sort::Duration | Sort::Name => (None, None),
        };
        let column = of.column();
        if let Some(from) = from {
            self.and(&format!("{column} >= ?"), [Value::Integer(from)]);
        }
        if let Some(to) = to {
            self.and(&format!("{column} <= ?"), [Value::Integer(to)]);
        }
    }
}

/// The numbers of rows with a tag, and of those with a text.
const TAGGED: &str = "SELECT record_id FROM tags WHERE deleted = 0 AND title = ?1 COLLATE NOCASE
    UNION ALL SELECT record_id FROM tags WHERE deleted = 0
    AND category_id = (SELECT id FROM categories WHERE name = ?1)";
const WRITTEN: &str = "SELECT rowid FROM records_text WHERE records_text MATCH ?1
    UNION ALL SELECT record_id FROM tags_text CROSS JOIN tags ON tags.id = tags_text.rowid
    WHERE tags_text MATCH ?1 AND deleted = 0";

impl Catalogue {
    /// A page.
    ///
    /// # Errors
    /// [`CatalogueError::Invalid`] with the field that cannot be so.
    pub fn list(&self, query: &Query) -> Result<Page, CatalogueError> {
        let after = query.check()?;
        let text = query.text.as_deref().map(words).transpose()?;
        // Pages of one query see one state of the file.
        let _one_state = self.db.unchecked_transaction()?;
        let facets = self.facets(query)?;
        let mut ids: Vec<i64> = facets.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let chosen = self.chosen(query.tag.as_deref(), text.as_deref())?;
        let want = query.limit as usize + 1;
        let narrowest = self.narrowest(query, &ids, chosen.as_deref())?;
        let range = match narrowest {
            Some((Source::Range(range), _)) => Some(range),
            _ => None,
        };
        let walked = match narrowest {
            Some((source, rows)) if rows <= few(query.sort, source) => None,
            _ => self.walk(query, chosen.as_deref(), range, &ids, after.as_ref(), want)?,
        };
        let (mut places, total) = match (walked, narrowest) {
            (Some(places), _) => {
                let total = match &chosen {
                    Some(chosen) if query.is_of_all_facets() => (chosen.len() as u64, false),
                    Some(_) => (0, true),
                    None if query.is_of_facets() => {
                        (facets.iter().map(|(_, count)| count).sum(), false)
                    }
                    None => self.count(query, &ids)?,
                };
                let seen = if places.is_empty() { 0 } else { query.offset + places.len() as u64 };
                (places, if total.1 { (total.0.max(seen), true) } else { total })
            }
            (None, Some((source, _))) => {
                let best = Best::new(query, after.as_ref(), want);
                let (places, total) = self.collect(query, source, chosen.as_deref(), &ids, best)?;
                (places, (total, false))
            }
            // Without such a filter every row on the way fits.
            (None, None) => (Vec::new(), (0, false)),
        };
        let more = places.len() == want;
        places.truncate(query.limit as usize);
        let next = if more { places.last().cloned().and_then(|p| query.cursor(p)) } else { None };
        let mut records = Vec::with_capacity(places.len());
        for (_, id) in &places {
            records.extend(self.record(*id)?);
        }
        Ok(Page { records, next, total: total.0, total_at_least: total.1 })
    }

    /// Facets that the filters leave, and how many rows each has.
    fn facets(&self, query: &Query) -> Result<Vec<(i64, u64)>, CatalogueError> {
        let mut all = self.db.prepare_cached(
            "SELECT id, count, media_type, camera, mode, state FROM facets WHERE count > 0",
        )?;
        let mut rows = all.query(())?;
        let mut facets = Vec::new();
        while let Some(row) = rows.next()? {
            let fits = query.media_type.is_none_or(|m| row.get(2) == Ok(m))
                && query.camera.is_none_or(|c| row.get(3) == Ok(c))
                && query
                    .mode
                    .as_ref()
                    .is_none_or(|m| row.get_ref(4).and_then(|v| Ok(v.as_str()?)) == Ok(m))
                && query.state.is_none_or(|s| row.get(5) == Ok(s));
            if fits {
                facets.push((row.get(0)?, row.get(1)?));
            }
        }
        Ok(facets)
    }

    /// The numbers of the rows that tag and text choose, in their order; none: neither is asked
    /// for.
    fn chosen(
        &self,
        tag: Option<&str>,
        text: Option<&str>,
    ) -> Result<Option<Vec<i64>>, CatalogueError> {
        let sources = [tag.map(|tag| (TAGGED, tag)), text.map(|text| (WRITTEN, text))];
        let mut chosen: Option<Vec<i64>> = None;
        for (select, with) in sources.into_iter().flatten() {
            let mut select = self.db.prepare_cached(select)?;
            let rows = select.query_map([with], |row| row.get(0))?;
            let mut ids = rows.collect::<rusqlite::Result<Vec<i64>>>()?;
            ids.sort_unstable();
            ids.dedup();
            if let Some(before) = &chosen {
                ids.retain(|id| before.binary_search(id).is_ok());
            }
            chosen = Some(ids);
        }
        Ok(chosen)
    }

    /// How many rows fit the ranges, and whether there may be more.
    fn count(&self, query: &Query, facets: &[i64]) -> Result<(u64, bool), CatalogueError> {
        let (walked, asked) = match query.has_range(Sort::Time) {
            true => (Sort::Time, Sort::Size),
            false => (Sort::Size, Sort::Time),
        };
        let (mut terms, mut rest) = (Terms::default(), Terms { sql: "1".into(), values: vec![] });
        terms.and_range(query, walked);
        rest.and_range(query, asked);
        let (seen, fit) =
            self.count_rows(walked, &terms, &rest.sql, &rest.values, facets, MOST_COUNTED)?;
        Ok((fit, seen >= MOST_COUNTED))
    }

    /// How many rows an index has that fit `terms`, counting to `most`, and how many of these fit
    /// the rest.
    fn count_rows(
        &self,
        by: Sort,
        terms: &Terms,
        rest: &str,
        rest_values: &[Value],
        facets: &[i64],
        most: usize,
    ) -> Result<(usize, u64), CatalogueError> {
        let sql = format!(
            "SELECT count(*), total({rest}) FROM (SELECT timestamp_start, size FROM records \
             INDEXED BY {} WHERE facet = ?{} LIMIT ?)",
            by.index(),
            terms.sql
        );
        let mut count = self.db.prepare_cached(&sql)?;
        let (mut seen, mut fit) = (0, 0.0);
        for facet in facets {
            let left = Value::Integer(i64::try_from(most - seen).unwrap_or(0));
            let values = rest_values.iter().cloned().chain([Value::Integer(*facet)]);
            let values = values.chain(terms.values.iter().cloned()).chain([left]);
            let (more, fits): (usize, f64) =
                count.query_row(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?;
            (seen, fit) = (seen + more, fit + fits);
            if seen >= most {
                break;
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        Ok((seen, fit as u64))
    }
}

#[cfg(test)]
mod tests;
