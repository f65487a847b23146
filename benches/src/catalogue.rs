//! How soon a page of recordings is found: a catalogue of generated rows, every combination of
//! filters and order, and full text.

use hdrhistogram::Histogram;
use lensd_ffi::catalogue::{
    Catalogue, Encoding, Finished, FoundRecord, MediaType, NewRecord, NewTag, Page, Query, Sort,
    State,
};
use lensd_ffi::time::now;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Rows that are entered in one transaction.
const BATCH: u64 = 10_000;
/// The time of the newest row, UTC ms.
const NEWEST: i64 = 1_790_000_000_000;
/// From the oldest to the newest row.
const SPAN: i64 = 3 * 365 * 86_400_000;
/// Words of titles: the first are in many, the last in few.
const VOCABULARY: u64 = 5_000;
const MODES: [&str; 4] = ["video", "pre-event", "time-lapse", "slow-motion"];

/// What to do; the command line of `bench catalogue`.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many rows.
    pub rows: u64,
    /// Pages of each combination.
    pub rounds: u64,
    /// The file; none: a temporary one.
    pub file: Option<PathBuf>,
}

/// Times of one kind of page.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    case: String,
    pages: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of the thread's own time, which neighbours do not lengthen.
    cpu_p99_ms: f64,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "spans below seconds")]
    fn of(case: impl Into<String>, times: &Times) -> Self {
        let all = &times.wall;
        let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e6;
        Self {
            case: case.into(),
            pages: all.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: all.max() as f64 / 1e6,
            cpu_p99_ms: times.cpu.value_at_quantile(0.99) as f64 / 1e6,
        }
    }
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    rows: u64,
    filled_s: f64,
    bytes: u64,
    /// The cases.
    pub cases: Vec<Row>,
    /// The slowest combinations.
    slowest: Vec<Row>,
}

impl fmt::Display for Report {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, size) = (self.rows, self.bytes as f64 / 1e6);
        writeln!(f, "{rows} rows, {size:.0} MB, entered in {:.1} s", self.filled_s)?;
        writeln!(
            f,
            "{:<44}{:>8}{:>10}{:>10}{:>10}{:>10}",
            "page of 50", "pages", "p50 ms", "p99", "max", "CPU p99"
        )?;
        let slowest = self.slowest.iter().map(|row| ("  slowest: ", row));
        for (mark, row) in self.cases.iter().map(|row| ("", row)).chain(slowest) {
            let case = format!("{mark}{}", row.case);
            let (pages, p50, p99, max) = (row.pages, row.p50_ms, row.p99_ms, row.max_ms);
            let cpu = row.cpu_p99_ms;
            writeln!(f, "{case:<44}{pages:>8}{p50:>10.2}{p99:>10.2}{max:>10.2}{cpu:>10.2}")?;
        }
        Ok(())
    }
}

/// Numbers from a fixed seed, so that each run asks the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough")]
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Many small numbers, few large ones: evenly spread logarithms.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    fn skewed(&mut self, most: f64) -> u64 {
        most.powf(self.part()) as u64
    }

    fn time_within(&mut self, span: i64) -> i64 {
        i64::try_from(self.below(span.unsigned_abs())).unwrap_or(0)
    }
}

fn word(number: u64) -> String {
    // Syllables, so that prefixes of words are shared by some.
    let syllable = |n: u64| ["ka", "ro", "mi", "tu", "sel", "von", "bra", "ne"][(n % 8) as usize];
    format!("{}{}{}{}", syllable(number), syllable(number / 8), syllable(number / 64), number)
}

fn text(random: &mut Random, words: u64) -> String {
    let words: Vec<String> = (0..words).map(|_| word(random.skewed(VOCABULARY as f64))).collect();
    words.join(" ")
}

fn row(number: u64, rows: u64, random: &mut Random) -> FoundRecord {
    let step = SPAN / i64::try_from(rows).unwrap_or(1);
    let late = if random.below(20) == 0 { random.time_within(SPAN) } else { 0 };
    let behind = i64::try_from(rows - number).unwrap_or(0) * step.max(1);
    let start = NEWEST - behind - late + random.time_within(60_000);
    let camera = u32::try_from(1 + random.skewed(8.0)).unwrap_or(1);
    let is_image = random.below(5) == 0;
    let (media_type, encoding, mode, folder) = if is_image {
        (MediaType::Image, Encoding::Jpeg, "snapshot", "snapshots")
    } else {
        let mode = MODES[usize::try_from(random.skewed(5.0) - 1).unwrap_or(0).min(3)];
        (MediaType::Video, Encoding::H264, mode, "recordings")
    };
    let duration = if is_image { 0 } else { 1_000 * random.skewed(3_600.0) };
    let size = if is_image { 100_000 } else { duration * 500 } + random.below(200_000);
    let defect = random.below(200) == 0;
    let duration_ms = i64::try_from(duration).unwrap_or(0);
    FoundRecord {
        record: NewRecord {
            // As the recorder names them: by time, like names of a million files are in life.
            filename: format!("{folder}/{:06}/{start}_{number:08}_cam{camera}", start / 86_400_000),
            media_type,
            encoding,
            camera,
            stream: format!("cam{camera}/main"),
            mode: mode.to_owned(),
            timestamp_start_ms: start,
            resolution: "1920x1080".to_owned(),
            fps: 30.0,
            title: if random.below(3) == 0 { text(random, 3) } else { String::new() },
        },
        end: Finished {
            timestamp_end_ms: start + duration_ms,
            duration_ms,
            size,
            state: if defect { State::Defect } else { State::Ready },
            error: defect.then(|| "generated".to_owned()),
        },
    }
}

fn fill(catalogue: &mut Catalogue, rows: u64, random: &mut Random) -> Result<(), String> {
    let fail = |e: lensd_ffi::catalogue::CatalogueError| e.to_string();
    let mut categories = Vec::new();
    for number in 0..10 {
        let category = catalogue.add_category(&format!("category {number}"), "", 0);
        categories.push(category.map_err(fail)?.id);
    }
    let mut number = 0;
    while number < rows {
        let batch: Vec<FoundRecord> =
            (number..rows.min(number + BATCH)).map(|n| row(n, rows, random)).collect();
        number += batch.len() as u64;
        let ids = catalogue.adopt(&batch).map_err(fail)?;
        for (id, found) in ids.iter().zip(&batch).filter(|(id, _)| **id % 50 == 0) {
            let category = usize::try_from(random.skewed(10.0)).unwrap_or(0) - 1;
            let tag = NewTag {
                category_id: categories.get(category).copied(),
                record_id: *id,
                timestamp: found.record.timestamp_start_ms,
                title: text(random, 2),
                created_by: "bench".to_owned(),
                ..NewTag::default()
            };
            catalogue.add_tag(&tag).map_err(fail)?;
        }
    }
    Ok(())
}

const FILTERS: [&str; 7] = ["time", "camera", "mode", "state", "media", "size", "tag"];

/// A query with the filters of a set of bits.
fn query(filters: usize, sort: Sort, descending: bool, random: &mut Random) -> Query {
    let has =
        |name: &str| FILTERS.iter().position(|f| *f == name).is_some_and(|i| filters >> i & 1 == 1);
    let mut query = Query { sort, descending, ..Query::default() };
    if has("time") {
        let length = i64::try_from(3_600_000 + random.skewed(3e10)).unwrap_or(0);
        let from = NEWEST - SPAN + random.time_within(SPAN - length);
        (query.from_ms, query.to_ms) = (Some(from), Some(from + length));
    }
    if has("camera") {
        query.camera = u32::try_from(1 + random.below(7)).ok();
    }
    if has("mode") {
        query.mode = Some(MODES[usize::try_from(random.below(4)).unwrap_or(0)].to_owned());
    }
    if has("state") {
        query.state = Some(if random.below(3) == 0 { State::Defect } else { State::Ready });
    }
    if has("media") {
        let image = random.below(2) == 0 && query.mode.is_none();
        query.media_type = Some(if image { MediaType::Image } else { MediaType::Video });
    }
    if has("size") {
        let from = 100_000 + random.skewed(1e9);
        (query.size_min, query.size_max) = (Some(from), Some(from + random.skewed(1e9)));
    }
    if has("tag") {
        let some = random.below(2) == 0;
        query.tag =
            Some(if some { format!("Category {}", random.below(10)) } else { text(random, 2) });
    }
    query
}

/// Times of asking for pages, in ns.
#[derive(Clone)]
struct Times {
    wall: Histogram<u64>,
    cpu: Histogram<u64>,
}

impl Times {
    fn record(&mut self, wall: u64, cpu: u64) {
        self.wall.saturating_record(wall);
        self.cpu.saturating_record(cpu);
    }

    fn add(&mut self, other: &Self) -> Result<(), String> {
        self.wall.add(&other.wall).map_err(|e| e.to_string())?;
        self.cpu.add(&other.cpu).map_err(|e| e.to_string())
    }
}

/// What this thread has worked so far, in ns.
fn cpu_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

/// Who asks for pages.
struct Meter<'a> {
    catalogue: &'a Catalogue,
    all: Times,
}

impl Meter<'_> {
    fn page(&mut self, query: &Query, times: &mut Times) -> Result<Page, String> {
        let (begun, worked) = (now(), cpu_time());
        let page = self.catalogue.list(query).map_err(|e| e.to_string())?;
        let took = now().since(begun).0;
        let worked = cpu_time() - worked;
        times.record(took, worked);
        self.all.record(took, worked);
        Ok(page)
    }

    /// A page and the one behind it.
    fn pages(&mut self, mut query: Query, times: &mut Times) -> Result<(), String> {
        query.after = self.page(&query, times)?.next;
        if query.after.is_some() {
            self.page(&query, times)?;
        }
        Ok(())
    }
}

fn no_times() -> Times {
    let empty = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)
        .unwrap_or_else(|_| unreachable!("these bounds are allowed"));
    Times { wall: empty.clone(), cpu: empty }
}

/// Fills a catalogue and asks it.
///
/// # Errors
/// When the file cannot be made.
pub fn run(config: &Config) -> Result<Report, String> {
    let folder = std::env::temp_dir().join(format!("lensd-bench-catalogue-{}", std::process::id()));
    let file = config.file.clone().unwrap_or_else(|| folder.join("catalog.db"));
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    let report = measure(config, &file);
    let _ = std::fs::remove_dir_all(&folder);
    report
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn measure(config: &Config, file: &Path) -> Result<Report, String> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut catalogue = Catalogue::open(file).map_err(|e| e.to_string())?;
    let begun = now();
    let totals = catalogue.totals().map_err(|e| e.to_string())?;
    if totals.video.count + totals.image.count == 0 {
        fill(&mut catalogue, config.rows, &mut random)?;
    }
    let filled_s = now().since(begun).0 as f64 / 1e9;
    let bytes = std::fs::metadata(file).map_or(0, |m| m.len());
    let mut meter = Meter { catalogue: &catalogue, all: no_times() };
    let mut slowest = Vec::new();
    let mut cases = Vec::new();
    let mut by_count = vec![no_times(); FILTERS.len() + 1];
    // Every combination in every order, in turns, so that none has the memory for itself.
    for round in 0..config.rounds {
        for filters in 0..1_usize << FILTERS.len() {
            for sort in Sort::ALL {
                for descending in [false, true] {
                    let mut times = no_times();
                    let query = query(filters, sort, descending, &mut random);
                    meter.pages(query, &mut times)?;
                    by_count[filters.count_ones() as usize].add(&times)?;
                    let names: Vec<&str> = FILTERS
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| filters >> i & 1 == 1)
                        .map(|(_, name)| *name)
                        .collect();
                    let way = if descending { "down" } else { "up" };
                    let case = format!("{} by {} {way}", names.join("+"), sort.word());
                    if round > 0 || config.rounds == 1 {
                        slowest.push(Row::of(case, &times));
                    }
                }
            }
        }
    }
    slowest.sort_by(|a, b| b.max_ms.total_cmp(&a.max_ms));
    slowest.truncate(8);
    cases.push(Row::of("all combinations, all orders", &meter.all));
    for (count, times) in by_count.iter().enumerate() {
        cases.push(Row::of(format!("{count} filters"), times));
    }
    cases.push(offsets(&mut meter, config, &mut random)?);
    cases.push(names(&catalogue)?);
    for (name, words, filters) in [
        ("text, one word", 1, 0),
        ("text, two words", 2, 0),
        ("text, one word, camera and time", 1, 3),
    ] {
        let mut times = no_times();
        for _ in 0..200 * config.rounds {
            let sort = Sort::ALL[usize::try_from(random.below(4)).unwrap_or(0)];
            let mut query = query(filters, sort, random.below(2) == 0, &mut random);
            let mut text = text(&mut random, words);
            if random.below(2) == 0 {
                text.truncate(4);
            }
            query.text = Some(text.clone());
            let mut one = no_times();
            meter.pages(query, &mut one)?;
            times.add(&one)?;
            if one.wall.max() > 20_000_000 {
                slowest.push(Row::of(format!("{text:?} by {}", sort.word()), &one));
            }
        }
        cases.push(Row::of(name, &times));
    }
    slowest.truncate(20);
    Ok(Report { rows: config.rows, filled_s, bytes, cases, slowest })
}

/// What the engine compares with the files at its start: every row's name, size and state.
fn names(catalogue: &Catalogue) -> Result<Row, String> {
    let (mut times, mut count, begun, worked) = (no_times(), 0_u64, now(), cpu_time());
    catalogue.filenames(|_, _, _, _| count += 1).map_err(|e| e.to_string())?;
    times.record(now().since(begun).0, cpu_time() - worked);
    Ok(Row::of(format!("all {count} names, not a page"), &times))
}

/// Pages by offset, as lists for programs that know no cursor.
fn offsets(meter: &mut Meter<'_>, config: &Config, random: &mut Random) -> Result<Row, String> {
    let mut times = no_times();
    for _ in 0..100 * config.rounds {
        let filters = usize::try_from(random.below(128)).unwrap_or(0);
        let query =
            Query { offset: random.below(10_000), ..query(filters, Sort::Time, true, random) };
        meter.page(&query, &mut times)?;
    }
    Ok(Row::of("by time, offset below 10,000", &times))
}
