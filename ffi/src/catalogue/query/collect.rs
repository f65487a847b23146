//! The way past the order: all rows that fit a filter, of which the best are kept.

use super::{Key, Place, Query, Sort, Terms, few};
use crate::catalogue::{Catalogue, CatalogueError};
use std::cmp::Ordering;

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
    /// A range that few rows fit and the wanted order does not follow.
    pub(super) fn few_in_range(
        &self,
        query: &Query,
        facets: &[i64],
    ) -> Result<Option<Sort>, CatalogueError> {
        let most = few(query.sort);
        for range in [Sort::Time, Sort::Size] {
            if range == query.sort || !query.has_range(range) {
                continue;
            }
            let mut terms = Terms::default();
            terms.and_range(query, range);
            if self.count_rows(range, &terms, "1", &[], facets, most + 1)?.0 <= most {
                return Ok(Some(range));
            }
        }
        Ok(None)
    }

    /// The page, and how many rows fit.
    pub(super) fn collect(
        &self,
        query: &Query,
        source: Option<Source<'_>>,
        facets: &[i64],
        mut best: Best<'_>,
    ) -> Result<(Vec<Place>, u64), CatalogueError> {
        let (column, ranges) = (query.sort.column(), query.ranges());
        match source {
            Some(Source::Chosen(ids)) => {
                let index = if query.sort == Sort::Name { "" } else { "INDEXED BY records_by_id" };
                let select = format!(
                    "SELECT {column}, facet FROM records {index} WHERE id = ?{}",
                    ranges.sql
                );
                let mut select = self.db.prepare_cached(&select)?;
                for id in ids {
                    let mut rows = select.query(ranges.values_after(*id))?;
                    if let Some(row) = rows.next()?
                        && facets.contains(&row.get(1)?)
                    {
                        best.push((Key::of(row.get_ref(0)?), *id));
                    }
                }
            }
            source => {
                let range =
                    if let Some(Source::Range(range)) = source { range } else { query.sort };
                let select = format!(
                    "SELECT {column}, id FROM records INDEXED BY {} WHERE facet = ?{}",
                    range.index(),
                    ranges.sql
                );
                let mut select = self.db.prepare_cached(&select)?;
                for facet in facets {
                    let mut rows = select.query(ranges.values_after(*facet))?;
                    while let Some(row) = rows.next()? {
                        best.push((Key::of(row.get_ref(0)?), row.get(1)?));
                    }
                }
            }
        }
        Ok(best.end())
    }
}
