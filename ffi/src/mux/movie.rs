//! The `moov` box (ISO/IEC 14496-12 8.2): of an init segment, and of a file whose samples are known.

use super::TIMESCALE;
use super::boxes::nest;
use super::fragment::TRACK;
use mp4_atom::{
    Co64, Ctts, Dinf, Dref, Edts, Elst, ElstEntry, Encode, FixedPoint, Hdlr, Mdhd, Mvex, Mvhd,
    Result, Stco, Stsc, Stss, Stsz, Stts, Tkhd, Trex, Url, Vmhd,
};

/// What a movie says of its samples, as the tables of 8.6 and 8.7.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) stts: Stts,
    pub(super) ctts: Option<Ctts>,
    /// None: decoding can begin with each.
    pub(super) stss: Option<Stss>,
    pub(super) stsc: Stsc,
    pub(super) stsz: Stsz,
    /// Offsets of chunks.
    pub(super) chunks: Vec<u64>,
    /// Ticks from the first sample's decode time to the end of the last one.
    pub(super) decoded: u64,
    /// Ticks from the first picture to the end of the last.
    pub(super) shown: u64,
    /// When the first picture is shown, by the tables.
    pub(super) begin: u64,
}

/// A movie of one track.
#[derive(Debug)]
pub(super) struct Movie<'a> {
    /// The sample entry, a whole box.
    pub(super) entry: &'a [u8],
    pub(super) width: u16,
    pub(super) height: u16,
    /// Seconds since 1904, UTC; 0: not known.
    pub(super) created: u64,
    /// None: the samples are in fragments.
    pub(super) tables: Option<&'a Tables>,
    /// Name and text of the items of metadata, as `ilst` has them.
    pub(super) items: &'a [([u8; 4], &'a str)],
}

impl Movie<'_> {
    /// Appends the box.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let (created, shown) = (self.created, self.tables.map_or(0, |tables| tables.shown));
        nest(out, b"moov", |out| {
            Mvhd {
                creation_time: created,
                modification_time: created,
                timescale: TIMESCALE,
                duration: shown,
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: TRACK + 1,
                ..Mvhd::default()
            }
            .encode(out)?;
            nest(out, b"trak", |out| self.track(out))?;
            if self.tables.is_none() {
                let trex = Trex {
                    track_id: TRACK,
                    default_sample_description_index: 1,
                    ..Trex::default()
                };
                Mvex { mehd: None, trex: vec![trex] }.encode(out)?;
            }
            if self.items.is_empty() { Ok(()) } else { self.metadata(out) }
        })
    }

    fn track(&self, out: &mut Vec<u8>) -> Result<()> {
        let (created, shown) = (self.created, self.tables.map_or(0, |tables| tables.shown));
        Tkhd {
            creation_time: created,
            modification_time: created,
            track_id: TRACK,
            duration: shown,
            enabled: true,
            in_movie: true,
            width: FixedPoint::new(self.width, 0),
            height: FixedPoint::new(self.height, 0),
            ..Tkhd::default()
        }
        .encode(out)?;
        if let Some(tables) = self.tables.filter(|tables| tables.begin != 0) {
            let entry = ElstEntry {
                segment_duration: shown,
                media_time: Some(tables.begin),
                media_rate: 1.into(),
            };
            Edts { elst: Some(Elst { entries: vec![entry] }) }.encode(out)?;
        }
        nest(out, b"mdia", |out| {
            Mdhd {
                creation_time: created,
                modification_time: created,
                timescale: TIMESCALE,
                duration: self.tables.map_or(0, |tables| tables.decoded),
                language: "und".to_owned(),
            }
            .encode(out)?;
            Hdlr { handler: b"vide".into(), name: "lensd".to_owned() }.encode(out)?;
            nest(out, b"minf", |out| {
                Vmhd::default().encode(out)?;
                let url = Url { location: String::new() };
                Dinf { dref: Dref { entries: vec![url.into()] } }.encode(out)?;
                nest(out, b"stbl", |out| self.samples(out))
            })
        })
    }

    fn samples(&self, out: &mut Vec<u8>) -> Result<()> {
        nest(out, b"stsd", |out| {
            // Version and flags, then one entry (8.5.2).
            out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
            out.extend_from_slice(self.entry);
            Ok(())
        })?;
        let Some(tables) = self.tables else {
            Stts::default().encode(out)?;
            Stsc::default().encode(out)?;
            Stsz::default().encode(out)?;
            return Stco::default().encode(out);
        };
        tables.stts.encode(out)?;
        tables.ctts.encode(out)?;
        tables.stss.encode(out)?;
        tables.stsc.encode(out)?;
        tables.stsz.encode(out)?;
        let short: Option<Vec<u32>> =
            tables.chunks.iter().map(|offset| u32::try_from(*offset).ok()).collect();
        match short {
            Some(entries) => Stco { entries }.encode(out),
            None => Co64 { entries: tables.chunks.clone() }.encode(out),
        }
    }

    /// Metadata as players read it (the `ilst` of iTunes): FFmpeg, VLC and the phones' galleries.
    fn metadata(&self, out: &mut Vec<u8>) -> Result<()> {
        nest(out, b"udta", |out| {
            nest(out, b"meta", |out| {
                0_u32.encode(out)?;
                Hdlr { handler: b"mdir".into(), name: String::new() }.encode(out)?;
                nest(out, b"ilst", |out| {
                    for (name, text) in self.items {
                        nest(out, name, |out| {
                            nest(out, b"data", |out| {
                                // UTF-8, of no country.
                                out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
                                out.extend_from_slice(text.as_bytes());
                                Ok(())
                            })
                        })?;
                    }
                    Ok(())
                })
            })
        })
    }
}
