//! The way past the order: all rows that fit a filter, of which the best are kept.

use super::{Key, Place, Query, Sort, Terms};
use crate::catalogue::{Catalogue, CatalogueError};
use std::cmp::Ordering;

/// Rows of a range are counted up to this.
const MOST_PROBED: usize = if cfg!(test) { 150 } else { 20_000 };

/// Where the rows come from that are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// These numbers.
    Chosen(&'a [i64]),
    /// The range that this order follows.
    Range(Sort),
}

/// The best rows so far, and how many there were. Never more are kept than twice a page and its
/// offset.
#[derive(Debug)]
pub(super) struct Best<'a> {
    query: &'a Query,
    after: Option<&'a Place>,
    skip: usize,
    need: usize,
    places: Vec<Place>,
    count: u64,
}

impl<'a> Best<'a> {
    pub(super) fn new(query: &'a Query, after: Option<&'a Place>, want: usize) -> Self {
        let skip = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let need = skip.saturating_add(want).max(1);
        Self { query, after, skip, need, places: Vec::new(), count: 0 }
    }

    /// All of them, wherever the page begins.
    pub(super) fn all(query: &'a Query) -> Self {
        Self { query, after: None, skip: 0, need: usize::MAX, places: Vec::new(), count: 0 }
    }

    fn push(&mut self, place: Place) {
        self.count += 1;
        let Self { query, need, .. } = *self;
        if self.after.is_some_and(|after| query.order(&place, after) != Ordering::Greater) {
            return;
        }
        self.places.push(place);
        if self.places.len() >= need.saturating_mul(2) {
            self.places.select_nth_unstable_by(need - 1, |a, b| query.order(a, b));
            self.places.truncate(need);
        }
    }

    fn end(mut self) -> (Vec<Place>, u64) {
        self.places.sort_unstable_by(|a, b| self.query.order(a, b));
        self.places.truncate(self.need);
        self.places.drain(..self.skip.min(self.places.len()));
        (self.places, self.count)
    }
}

impl Catalogue {
    /// The filter that the fewest rows fit, and how many these are, as far as that is counted. A
    /// range that the wanted order follows counts only beside chosen rows: else the walk along it
    /// passes nothing in vain.
    pub(super) fn narrowest<'a>(
        &self,
        query: &Query,
        facets: &[i64],
        chosen: Option<&'a [i64]>,
    ) -> Result<Option<(Source<'a>, usize)>, CatalogueError> {
        let mut narrowest = chosen.map(|ids| (Source::Chosen(ids), ids.len()));
        for range in [Sort::Time, Sort::Size] {
            if !query.has_range(range) || range == query.sort && chosen.is_none() {
                continue;
            }
            let mut terms = Terms::default();
            terms.and_range(query, range);
            let most = narrowest.map_or(MOST_PROBED, |(_, rows)| rows.min(MOST_PROBED));
            let rows = self.count_rows(range, &terms, "1", &[], facets, most)?.0;
            if rows < most || narrowest.is_none() {
                narrowest = Some((Source::Range(range), rows));
            }
        }
        Ok(narrowest)
    }

    /// The page, and how many rows fit.
    pub(super) fn collect(
        &self,
        query: &Query,
        source: Source<'_>,
        chosen: Option<&[i64]>,
        facets: &[i64],
        mut best: Best<'_>,
    ) -> Result<(Vec<Place>, u64), CatalogueError> {
        let (column, ranges) = (query.sort.column(), query.ranges());
        match source {
            Source::Chosen(ids) => {
                let index = if query.sort == Sort::Name { "" } else { "INDEXED BY records_by_id" };
                let select = format!(
                    "SELECT {column}, facet FROM records {index} WHERE id = ?{}",
                    ranges.sql
                );
                let mut select = self.db.prepare_cached(&select)?;
                for id in ids {
                    let mut rows = select.query(ranges.values_after(*id))?;
                    if let Some(row) = rows.next()?
                        && facets.binary_search(&row.get(1)?).is_ok()
                    {
                        best.push((Key::of(row.get_ref(0)?), *id));
                    }
                }
            }
            Source::Range(range) => {
                let select = format!(
                    "SELECT {column}, id FROM records INDEXED BY {} WHERE facet = ?{}",
                    range.index(),
                    ranges.sql
                );
                let mut select = self.db.prepare_cached(&select)?;
                for facet in facets {
                    let mut rows = select.query(ranges.values_after(*facet))?;
                    while let Some(row) = rows.next()? {
                        let id = row.get(1)?;
                        if chosen.is_none_or(|chosen| chosen.binary_search(&id).is_ok()) {
                            best.push((Key::of(row.get_ref(0)?), id));
                        }
                    }
                }
            }
        }
        Ok(best.end())
    }
}
