//! Compares files with rows at the start: recordings that were cut off are mended and closed, files
//! without rows get them, rows without files say so. Nothing is removed. A row whose file is missing
//! weighs nothing, until the file is there again.

use super::folder::Folder;
use super::keeper::finished;
use super::mend;
use lensd_ffi::catalogue::{
    Catalogue, CatalogueError, Encoding, Finished, FoundRecord, MediaType, NewRecord, Record, State,
};
use lensd_ffi::mux::Header;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::Codec;
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;

/// Most levels of folders below `recordings`: year, month, day.
const DEPTH: usize = 4;
/// Files that are entered at once.
const BATCH: usize = 500;
/// What a row says whose file is away.
pub(super) const MISSING: &str = "the file is missing";
/// What a row says whose file was there without it.
pub(super) const FOUND: &str = "found without a row";
/// How long the seals of a file that is found are looked at, and those of all. What is left over is
/// looked at with its check sum, when nobody waits.
const CHECKED: Nanos = Nanos::from_secs(1);
const ALL_CHECKED: Nanos = Nanos::from_secs(3);

/// What was found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    mended: usize,
    defect: usize,
    adopted: usize,
    missing: usize,
    back: usize,
}

impl Report {
    pub(super) const fn is_quiet(&self) -> bool {
        self.mended + self.defect + self.adopted + self.missing + self.back == 0
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.mended, "were cut off and are mended"),
            (self.defect, "are defect"),
            (self.adopted, "were not in the catalogue"),
            (self.missing, "are missing"),
            (self.back, "are there again"),
        ];
        let mut first = true;
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{}{count} {what}", if first { "" } else { ", " })?;
            first = false;
        }
        Ok(())
    }
}

/// Compares. `mounted`: the folder is known to be that of a disk, also if it is empty. `running`:
/// whether a file is being written now.
pub(super) fn compare(
    catalogue: &mut Catalogue,
    folder: &Folder,
    mounted: bool,
    running: &dyn Fn(&str) -> bool,
) -> Result<Report, CatalogueError> {
    let mut report = Report::default();
    for row in catalogue.unfinished()? {
        if running(&row.filename) {
            continue;
        }
        if !folder.path(&row.filename).exists() {
            continue;
        }
        let title = (!row.title.is_empty()).then_some(row.title.as_str());
        let cut = Some("cut off, and mended".to_owned());
        let end = finished(mend::mend(&folder.path(&row.filename), title), Some(&row), cut);
        match end.state {
            State::Defect => report.defect += 1,
            _ => report.mended += 1,
        }
        catalogue.finish(row.id, &end)?;
    }
    let mut there = HashSet::new();
    for (top, suffix) in [("recordings", "mp4"), ("snapshots", "jpg")] {
        walk(folder.root(), top, suffix, DEPTH, &mut there);
    }
    let (mut missing, mut back, mut heavy) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = there.len();
    catalogue.filenames(|id, name, size, state| match (there.remove(name), state) {
        (false, _) if running(name) => seen += 1,
        (false, State::Ready | State::Recording) => missing.push(id),
        (false, State::Defect) if size > 0 => heavy.push(id),
        (true, State::Defect) => back.push(id),
        _ => {}
    })?;
    // A disk that is not mounted says nothing of its files.
    if seen == 0 && !mounted {
        return Ok(report);
    }
    for id in missing {
        if let Some(row) = catalogue.record(id)? {
            catalogue.finish(id, &Finished { size: 0, ..defect(&row, MISSING) })?;
            report.missing += 1;
        }
    }
    for id in heavy {
        // It was damaged before it was away, or is known to be away from before sizes were taken off.
        if let Some(row) = catalogue.record(id)? {
            let why = row.error.clone().unwrap_or_default();
            catalogue.finish(id, &Finished { size: 0, ..defect(&row, &why) })?;
        }
    }
    for id in back {
        let Some(row) = catalogue.record(id)? else { continue };
        let size = fs::metadata(folder.path(&row.filename)).map_or(row.size, |file| file.len());
        if row.error.as_deref() != Some(MISSING) {
            if row.size != size {
                let why = row.error.clone().unwrap_or_default();
                catalogue.finish(id, &Finished { size, ..defect(&row, &why) })?;
            }
            continue;
        }
        let end = match row.media_type {
            MediaType::Image => {
                Finished { size, state: State::Ready, error: None, ..defect(&row, "") }
            }
            MediaType::Video => {
                finished(mend::mend(&folder.path(&row.filename), None), Some(&row), None)
            }
        };
        catalogue.finish(id, &end)?;
        report.back += 1;
    }
    let mut found = Vec::new();
    let mut names: Vec<String> = there.into_iter().filter(|name| !running(name)).collect();
    names.sort_unstable();
    let checked = now().plus(ALL_CHECKED);
    for name in names {
        found.extend(adopt(folder, &name, checked));
        if found.len() >= BATCH {
            report.adopted += catalogue.adopt(&std::mem::take(&mut found))?.len();
        }
    }
    if !found.is_empty() {
        report.adopted += catalogue.adopt(&found)?.len();
    }
    Ok(report)
}

fn defect(row: &Record, why: &str) -> Finished {
    Finished {
        timestamp_end_ms: row.timestamp_end.unwrap_or(row.timestamp_start),
        duration_ms: row.duration,
        size: row.size,
        state: State::Defect,
        error: Some(why.to_owned()),
    }
}

/// Names of files below a folder, relative to the root.
fn walk(root: &Path, below: &str, suffix: &str, depth: usize, out: &mut HashSet<String>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        let path = format!("{below}/{name}");
        if kind.is_dir() && depth > 1 {
            walk(root, &path, suffix, depth - 1, out);
        } else if kind.is_file() && Path::new(&name).extension().is_some_and(|e| e == suffix) {
            out.insert(path);
        }
    }
}

/// A row for a file that has none; it is mended first, its seals looked at until `checked` or a
/// little less. None: it cannot even be looked at.
pub(super) fn adopt(folder: &Folder, name: &str, checked: Nanos) -> Option<FoundRecord> {
    let path = folder.path(name);
    let size = fs::metadata(&path).ok()?.len();
    let stem = Path::new(name).file_stem()?.to_str()?;
    // As files are named: …_camN[_stream][_n].
    let mut words = stem.split('_').skip(3);
    let camera = words.next().and_then(|w| w.strip_prefix("cam")).and_then(|n| n.parse().ok());
    let camera: u32 = camera.unwrap_or(0);
    let kind = words.next().filter(|w| matches!(*w, "sub" | "mjpeg")).unwrap_or("main");
    let image = name.starts_with("snapshots/");
    let modified = fs::metadata(&path).and_then(|m| m.modified()).ok();
    let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let modified_ms = since.and_then(|at| i64::try_from(at.as_millis()).ok()).unwrap_or(0);
    let mut record = NewRecord {
        filename: name.to_owned(),
        media_type: if image { MediaType::Image } else { MediaType::Video },
        encoding: if image { Encoding::Jpeg } else { Encoding::H264 },
        camera,
        stream: format!("cam{camera}/{}", if image { "mjpeg" } else { kind }),
        mode: if image { "snapshot" } else { "video" }.to_owned(),
        timestamp_start_ms: modified_ms,
        resolution: String::new(),
        fps: 0.0,
        title: String::new(),
    };
    if image {
        let end = Finished {
            timestamp_end_ms: modified_ms,
            duration_ms: 0,
            size,
            state: if size > 0 { State::Ready } else { State::Defect },
            error: (size == 0).then(|| "the file is empty".to_owned()),
        };
        return Some(FoundRecord { record, end });
    }
    let mended = mend::mend_found(&path, checked.min(now().plus(CHECKED)));
    if let Ok(mended) = &mended
        && mended.fragments > 0
    {
        record.timestamp_start_ms = mended.captured_ms;
        let seconds = std::time::Duration::from_millis(mended.duration_ms).as_secs_f64();
        let pictures = u32::try_from(mended.pictures).unwrap_or(u32::MAX);
        if seconds > 0.0 {
            record.fps = (f64::from(pictures) / seconds * 100.0).round() / 100.0;
        }
    }
    if let Ok(file) = File::open(&path)
        && let Ok(header) = Header::read(&super::disk::OnDisk(file))
    {
        record.resolution = format!("{}x{}", header.width, header.height);
        record.encoding = match header.codec {
            Codec::H264 => Encoding::H264,
            Codec::H265 => Encoding::H265,
            Codec::Jpeg => Encoding::Mjpeg,
        };
    }
    let mut end = finished(mended, None, Some(FOUND.to_owned()));
    if end.state == State::Defect {
        end.timestamp_end_ms = record.timestamp_start_ms;
        end.size = size;
    }
    Some(FoundRecord { record, end })
}
