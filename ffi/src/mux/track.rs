//! What a stream's parameter sets say, and where decoding can go on.

use super::sets::ParameterSets;
use super::{Init, Skipped};
use crate::unit::{Codec, NalSpan, UnitMeta};
use std::sync::Arc;

/// Follows the units of a stream: finds its init segment, and lets through what can be decoded.
#[derive(Debug, Default)]
pub struct Track {
    codec: Codec,
    sets: ParameterSets,
    init: Option<Arc<Init>>,
    /// Whether decoding goes on.
    runs: bool,
}

impl Track {
    /// The init segment of the last unit; none before the first.
    pub const fn init(&self) -> Option<&Arc<Init>> {
        self.init.as_ref()
    }

    /// Units are missing between the last and the next: the stream goes on with a key frame.
    pub const fn skip_to_key(&mut self) {
        self.runs = false;
    }

    /// Takes the parameter sets of a unit, and says by which init segment it is decoded. That holds
    /// from [`Track::go_on`] on.
    ///
    /// # Errors
    /// Why the unit cannot be decoded.
    pub fn take(
        &mut self,
        meta: &UnitMeta,
        bytes: &[u8],
        nals: &[NalSpan],
    ) -> Result<Arc<Init>, Skipped> {
        if self.codec != meta.codec {
            (self.codec, self.runs) = (meta.codec, false);
            self.sets = ParameterSets::default();
        }
        if meta.codec == Codec::Jpeg {
            let known =
                |i: &&Arc<Init>| self.runs && (i.width, i.height) == (meta.width, meta.height);
            if let Some(init) = self.init.as_ref().filter(known) {
                return Ok(Arc::clone(init));
            }
            let made = Init::jpeg(meta.width, meta.height).ok_or(Skipped::Empty)?;
            self.runs = false;
            return Ok(self.same_or(made));
        }
        // Another set takes effect where decoding can begin: players throw away what stands between
        // a new init segment and the next key frame anyway.
        if self.sets.take(meta, bytes, nals) {
            self.runs = false;
        }
        if let Some(init) = self.init.as_ref().filter(|_| self.runs) {
            return Ok(Arc::clone(init));
        }
        if !meta.key {
            return Err(Skipped::WaitsForKey);
        }
        let made = Init::of(meta.codec, &self.sets).ok_or(Skipped::NoSets)?;
        Ok(self.same_or(made))
    }

    fn same_or(&self, made: Init) -> Arc<Init> {
        match &self.init {
            Some(init) if **init == made => Arc::clone(init),
            _ => Arc::new(made),
        }
    }

    /// The unit was used with this init segment. True: another one than before.
    pub fn go_on(&mut self, init: Arc<Init>) -> bool {
        self.runs = true;
        let new = self.init.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &init));
        self.init = Some(init);
        new
    }
}
