//! The way along the wanted order: one index walk for each facet, merged.
//!
//! Filters and orders go together in life: stills are small and their names come last, so that
//! whoever asks for large files by name would walk past every still. A facet in which too much is
//! passed in vain is therefore left at that place, and what fits in it is collected.

use super::collect::{Best, Source};
use super::{Key, Place, Query, Sort, Terms};
use crate::catalogue::{Catalogue, CatalogueError};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Rows};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::vec;

/// Rows that may fail to fit before the walk is given up: as long as collecting a few would take.
const PATIENCE: usize = if cfg!(test) { 100 } else { 10_000 };
/// A facet in which more rows fit is not collected.
const MOST_COLLECTED: usize = if cfg!(test) { 150 } else { 20_000 };

/// The next row of a facet. The greatest is the one that comes first.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    place: Place,
    fits: bool,
    /// Which facet's walk it is from.
    which: usize,
    descending: bool,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.place.cmp(&other.place);
        if self.descending { order } else { order.reverse() }
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where the rows of a facet come from.
enum Way<'a> {
    /// The index of the wanted order.
    Walked(Rows<'a>),
    /// All that fit, in their order.
    Collected(vec::IntoIter<Place>),
}

/// A facet on the way.
struct Facet<'a> {
    id: i64,
    way: Way<'a>,
    /// Rows that did not fit since that was looked at last.
    passed: usize,
}

impl Facet<'_> {
    fn next(
        &mut self,
        which: usize,
        query: &Query,
        chosen: Option<&[i64]>,
    ) -> Result<Option<Head>, CatalogueError> {
        let descending = query.descending;
        Ok(match &mut self.way {
            Way::Collected(places) => {
                places.next().map(|place| Head { place, fits: true, which, descending })
            }
            Way::Walked(rows) => {
                let Some(row) = rows.next()? else { return Ok(None) };
                let place = (Key::of(row.get_ref(0)?), row.get(1)?);
                let fits = query.holds(row.get(2)?, row.get(3)?)
                    && chosen.is_none_or(|chosen| chosen.binary_search(&place.1).is_ok());
                Some(Head { place, fits, which, descending })
            }
        })
    }
}

/// The first of all heads, whose place the next one of its facet takes.
fn take(
    heads: &mut BinaryHeap<Head>,
    ways: &mut [Facet<'_>],
    query: &Query,
    chosen: Option<&[i64]>,
) -> Result<Option<Head>, CatalogueError> {
    let Some(mut top) = heads.peek_mut() else { return Ok(None) };
    let which = top.which;
    Ok(Some(match ways[which].next(which, query, chosen)? {
        Some(next) => std::mem::replace(&mut *top, next),
        None => PeekMut::pop(top),
    }))
}

impl Query {
    /// Whether a row on the way is within the ranges.
    fn holds(&self, time: i64, size: i64) -> bool {
        let size = u64::try_from(size).unwrap_or(0);
        self.from_ms.is_none_or(|from| time >= from)
            && self.to_ms.is_none_or(|to| time < to)
            && self.size_min.is_none_or(|least| size >= least)
            && self.size_max.is_none_or(|most| size <= most)
    }
}

impl Catalogue {
    /// The first `want` rows behind cursor and offset; none: too few of the rows on the way are
    /// chosen. `range` is the filter that others are collected by which do not fit.
    pub(super) fn walk(
        &self,
        query: &Query,
        chosen: Option<&[i64]>,
        range: Option<Sort>,
        facets: &[i64],
        after: Option<&Place>,
        want: usize,
    ) -> Result<Option<Vec<Place>>, CatalogueError> {
        let mut terms = Terms::default();
        let (column, index) = (query.sort.column(), query.sort.index());
        let (beyond, way) = if query.descending { ("<", "DESC") } else { (">", "ASC") };
        if let Some((key, id)) = after {
            let values = [key.value(), Value::Integer(*id)];
            terms.and(&format!("({column}, id) {beyond} (?, ?)"), values);
        }
        if [Sort::Time, Sort::Size].contains(&query.sort) {
            terms.and_range(query, query.sort);
        }
        let mut statements: Vec<CachedStatement<'_>> = Vec::with_capacity(facets.len());
        for number in 0..facets.len() {
            // The number makes each a statement of its own: they are stepped in turn.
            let select = format!(
                "SELECT {column}, id, timestamp_start, size FROM records INDEXED BY {index} \
                 WHERE facet = ?{} ORDER BY {column} {way}, id {way} -- {number}",
                terms.sql
            );
            statements.push(self.db.prepare_cached(&select)?);
        }
        let mut ways = Vec::with_capacity(facets.len());
        let mut heads = BinaryHeap::with_capacity(facets.len());
        for (which, (statement, id)) in statements.iter_mut().zip(facets).enumerate() {
            let rows = statement.query(terms.values_after(*id))?;
            let mut facet = Facet { id: *id, way: Way::Walked(rows), passed: 0 };
            heads.extend(facet.next(which, query, chosen)?);
            ways.push(facet);
        }
        let (mut places, mut skip) = (Vec::with_capacity(want), query.offset);
        let (mut passed, mut patience) = (0, PATIENCE);
        while places.len() < want {
            let Some(head) = take(&mut heads, &mut ways, query, chosen)? else { break };
            if head.fits {
                if skip > 0 {
                    skip -= 1;
                } else {
                    places.push(head.place);
                }
                continue;
            }
            passed += 1;
            ways[head.which].passed += 1;
            if passed <= patience {
                continue;
            }
            let Some(range) = range.filter(|_| chosen.is_none()) else { return Ok(None) };
            let worst = (0..ways.len()).max_by_key(|n| ways[*n].passed).unwrap_or(head.which);
            // The others have less time from now on, since there may be many such facets.
            (passed, patience) = (0, PATIENCE / 4);
            ways.iter_mut().for_each(|facet| facet.passed = 0);
            // Where it is: everything before this row is passed.
            let Some(at) = heads.iter().find(|head| head.which == worst) else { continue };
            let from = at.place.clone();
            if let Some(rest) = self.rest_of(query, range, ways[worst].id, &from)? {
                heads.retain(|head| head.which != worst);
                ways[worst].way = Way::Collected(rest.into_iter());
                heads.extend(ways[worst].next(worst, query, chosen)?);
            }
        }
        Ok(Some(places))
    }

    /// All rows of a facet that fit, from a place on; none: these are too many.
    fn rest_of(
        &self,
        query: &Query,
        range: Sort,
        facet: i64,
        from: &Place,
    ) -> Result<Option<Vec<Place>>, CatalogueError> {
        let mut terms = Terms::default();
        terms.and_range(query, range);
        let most = MOST_COLLECTED;
        if self.count_rows(range, &terms, "1", &[], &[facet], most)?.0 >= most {
            return Ok(None);
        }
        let all = Best::all(query);
        let (mut places, _) = self.collect(query, Source::Range(range), None, &[facet], all)?;
        places.retain(|place| query.order(place, from) != Ordering::Less);
        Ok(Some(places))
    }
}
