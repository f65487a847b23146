//! Looks a store's file over before LMDB maps it.
//!
//! LMDB trusts its file: a page that is cut off or overwritten ends the process with a signal, and
//! a plane that dies so at each start would never come up. So the file is read once with plain
//! reads, and every page that is reachable is checked for being what it says. Values have
//! checksums of their own ([`super::record`]).
//!
//! The layout is LMDB's data version 1 on a 64-bit machine, little endian (`MDB_meta`, `MDB_page`,
//! `MDB_node` of its `mdb.c`); on any other machine nothing is checked here.

use std::collections::BTreeSet;

/// Bytes before a page's content: number, pad, flags, lower, upper.
const PAGE_HEADER: usize = 16;
const NODE_HEADER: usize = 8;
const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;
/// The value is on pages of its own.
const BIG: u16 = 0x01;
/// A tree of our size has far fewer levels; LMDB's own limit.
const MAX_DEPTH: u16 = 32;
const NO_PAGE: u64 = u64::MAX;

/// Whether this is a whole file of LMDB.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn check(file: &[u8]) -> Result<(), String> {
    if cfg!(any(target_pointer_width = "32", target_endian = "big")) {
        return Ok(());
    }
    let first = meta(file, 0).ok_or("it is no store")?;
    let second = meta(file, first.page_size);
    // The newer of the two is in force; a torn one is told by its smaller number.
    let meta = match second {
        Some(second) if second.page_size == first.page_size && second.txn > first.txn => second,
        Some(_) => first,
        None => return Err("its second head is damaged".to_owned()),
    };
    let mut walk = Walk { file, meta: &meta, seen: BTreeSet::new() };
    for tree in [&meta.free, &meta.main] {
        if tree.root != NO_PAGE {
            let leaves = walk.tree(tree.root, tree.depth)?;
            if leaves != tree.entries {
                return Err(format!("it has {leaves} entries and not {}", tree.entries));
            }
        }
    }
    Ok(())
}

struct Meta {
    page_size: usize,
    free: Tree,
    main: Tree,
    last_page: u64,
    txn: u64,
}

struct Tree {
    depth: u16,
    entries: u64,
    root: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

fn tree(bytes: &[u8], at: usize) -> Option<Tree> {
    Some(Tree {
        depth: u16_at(bytes, at + 6)?,
        entries: u64_at(bytes, at + 32)?,
        root: u64_at(bytes, at + 40)?,
    })
}

fn meta(file: &[u8], at: usize) -> Option<Meta> {
    let page = file.get(at..)?;
    let right = u16_at(page, 10)? & META != 0
        && u32_at(page, PAGE_HEADER)? == MAGIC
        && u32_at(page, PAGE_HEADER + 4)? == VERSION;
    // The page size stands where the tree of free pages has its pad.
    let page_size = usize::try_from(u32_at(page, 40)?).ok()?;
    let sane = (512..=65_536).contains(&page_size) && page_size.is_power_of_two();
    if !right || !sane {
        return None;
    }
    Some(Meta {
        page_size,
        free: tree(page, 40)?,
        main: tree(page, 88)?,
        last_page: u64_at(page, 136)?,
        txn: u64_at(page, 144)?,
    })
}

struct Walk<'a> {
    file: &'a [u8],
    meta: &'a Meta,
    /// Pages that were met: a page that is met twice would make a ring.
    seen: BTreeSet<u64>,
}

impl<'a> Walk<'a> {
    /// The page of this number, if it is one.
    fn page(&mut self, number: u64) -> Result<&'a [u8], String> {
        let wrong = |what: &str| format!("page {number} {what}");
        if number < 2 || number > self.meta.last_page || !self.seen.insert(number) {
            return Err(wrong("is not where it should be"));
        }
        let size = self.meta.page_size;
        let at = usize::try_from(number).ok().and_then(|n| n.checked_mul(size));
        let page = at.and_then(|at| self.file.get(at..at.checked_add(size)?));
        let page = page.ok_or_else(|| wrong("is cut off"))?;
        if u64_at(page, 0) != Some(number) {
            return Err(wrong("is overwritten"));
        }
        Ok(page)
    }

    /// Walks a tree, and returns how many entries it has.
    fn tree(&mut self, number: u64, depth: u16) -> Result<u64, String> {
        let page = self.page(number)?;
        let wrong = || format!("page {number} is damaged");
        let header = |at| u16_at(page, at).ok_or_else(wrong);
        let (flags, lower, upper) =
            (header(10)?, usize::from(header(12)?), usize::from(header(14)?));
        let kind = if depth == 1 { LEAF } else { BRANCH };
        let sane = flags & (LEAF | BRANCH | OVERFLOW | META) == kind
            && (PAGE_HEADER..=upper).contains(&lower)
            && upper <= page.len()
            && (1..=MAX_DEPTH).contains(&depth);
        if !sane {
            return Err(wrong());
        }
        let nodes = (lower - PAGE_HEADER) / 2;
        let mut entries = 0;
        for i in 0..nodes {
            let at = usize::from(u16_at(page, PAGE_HEADER + 2 * i).ok_or_else(wrong)?);
            let node = page.get(at..).filter(|_| at >= upper).ok_or_else(wrong)?;
            let word = |i: usize| u16_at(node, 2 * i).ok_or_else(wrong);
            let (low, high, flags, key) = (word(0)?, word(1)?, word(2)?, usize::from(word(3)?));
            let low = u64::from(low) | u64::from(high) << 16;
            let content = node.get(NODE_HEADER + key..).ok_or_else(wrong)?;
            if kind == BRANCH {
                entries += self.tree(low | u64::from(flags) << 32, depth - 1)?;
                continue;
            }
            entries += 1;
            if flags & BIG != 0 {
                self.overflow(u64_at(content, 0).ok_or_else(wrong)?, low)?;
            } else if flags != 0 || usize::try_from(low).is_ok_and(|low| low > content.len()) {
                return Err(wrong());
            }
        }
        Ok(entries)
    }

    /// A value on pages of its own.
    fn overflow(&mut self, number: u64, len: u64) -> Result<(), String> {
        let page = self.page(number)?;
        let wrong = || format!("page {number} is damaged");
        let pages = u64::from(u32_at(page, 12).ok_or_else(wrong)?);
        let size = self.meta.page_size as u64;
        let whole =
            pages > 0 && pages <= self.meta.last_page && number + pages - 1 <= self.meta.last_page;
        let flags = u16_at(page, 10).unwrap_or(0);
        if flags & OVERFLOW == 0 || !whole || len + PAGE_HEADER as u64 > pages * size {
            return Err(wrong());
        }
        if (self.file.len() as u64) < number * size + PAGE_HEADER as u64 + len {
            return Err(format!("page {number} is cut off"));
        }
        Ok(())
    }
}
