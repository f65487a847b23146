//! The way along the wanted order: one index walk for each facet, merged.

use super::{Key, Place, Query, Sort, Terms};
use crate::catalogue::{Catalogue, CatalogueError};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Rows};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// Rows that may fail to fit before the walk is given up: as long as collecting a few would take.
const PATIENCE: usize = if cfg!(test) { 100 } else { 15_000 };

/// The next row of a facet. The greatest is the one that comes first.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    place: Place,
    time: i64,
    size: i64,
    /// Which facet's walk it is from.
    which: usize,
    descending: bool,
}

impl Head {
    /// Column, number, time and size.
    fn next(
        rows: &mut Rows<'_>,
        which: usize,
        descending: bool,
    ) -> Result<Option<Self>, CatalogueError> {
        let Some(row) = rows.next()? else { return Ok(None) };
        let place = (Key::of(row.get_ref(0)?), row.get(1)?);
        Ok(Some(Self { place, time: row.get(2)?, size: row.get(3)?, which, descending }))
    }
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

impl Query {
    /// Whether a row on the way is within the ranges.
    fn holds(&self, head: &Head) -> bool {
        let size = u64::try_from(head.size).unwrap_or(0);
        self.from_ms.is_none_or(|from| head.time >= from)
            && self.to_ms.is_none_or(|to| head.time < to)
            && self.size_min.is_none_or(|least| size >= least)
            && self.size_max.is_none_or(|most| size <= most)
    }
}

impl Catalogue {
    /// The first `want` rows behind cursor and offset; none: too few of the rows on the way fit.
    pub(super) fn walk(
        &self,
        query: &Query,
        chosen: Option<&[i64]>,
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
        let mut walks = Vec::with_capacity(facets.len());
        let mut heads = BinaryHeap::with_capacity(facets.len());
        for (which, (statement, facet)) in statements.iter_mut().zip(facets).enumerate() {
            let mut rows = statement.query(terms.values_after(*facet))?;
            heads.extend(Head::next(&mut rows, which, query.descending)?);
            walks.push(rows);
        }
        let (mut places, mut skip, mut passed) = (Vec::with_capacity(want), query.offset, 0);
        while places.len() < want {
            let Some(mut top) = heads.peek_mut() else { break };
            let fits = query.holds(&top)
                && chosen.is_none_or(|chosen| chosen.binary_search(&top.place.1).is_ok());
            let which = top.which;
            let head = match Head::next(&mut walks[which], which, query.descending)? {
                Some(next) => std::mem::replace(&mut *top, next),
                None => PeekMut::pop(top),
            };
            if !fits {
                passed += 1;
                if passed > PATIENCE {
                    return Ok(None);
                }
            } else if skip > 0 {
                skip -= 1;
            } else {
                places.push(head.place);
            }
        }
        Ok(Some(places))
    }
}
