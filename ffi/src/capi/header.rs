//! That `include/lensd.h` says what is here.

use super::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

const HEADER: &str = include_str!("../../include/lensd.h");
const SOURCES: [&str; 3] =
    [include_str!("mod.rs"), include_str!("tap.rs"), include_str!("units.rs")];

/// A type of Rust as C writes it, without blanks.
fn in_c(rust: &str) -> String {
    let rust = rust.trim();
    if let Some(inner) = rust.strip_prefix("*mut ") {
        return format!("{}*", in_c(inner));
    }
    if let Some(inner) = rust.strip_prefix("*const ") {
        return format!("const{}*", in_c(inner));
    }
    match rust {
        "c_int" => "int",
        "c_char" => "char",
        "usize" => "size_t",
        "u32" => "uint32_t",
        "u8" => "uint8_t",
        "()" => "void",
        other => other,
    }
    .to_owned()
}

fn functions_of_rust() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for source in SOURCES {
        for part in source.split("extern \"C\" fn ").skip(1) {
            let (name, rest) = part.split_once('(').unwrap();
            let (arguments, rest) = rest.split_once(')').unwrap();
            let result = rest.split_once('{').unwrap().0.trim().strip_prefix("->");
            let types: Vec<String> = arguments
                .split(',')
                .filter_map(|a| a.split_once(':'))
                .map(|(_, t)| in_c(t))
                .collect();
            let types = if types.is_empty() { "void".to_owned() } else { types.join(",") };
            let result = in_c(result.unwrap_or("()"));
            all.insert(name.to_owned(), format!("{result}({types})"));
        }
    }
    all
}

fn functions_of_c() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let plain: String = HEADER.split("/*").map(|part| part.rsplit("*/").next().unwrap()).collect();
    for line in plain.split(';') {
        let line = line.trim();
        let Some((before, arguments)) = line.strip_suffix(')').and_then(|l| l.split_once('('))
        else {
            continue;
        };
        let at = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').unwrap() + 1;
        let (result, name) = before.split_at(at);
        let tight = |text: &str| text.split_whitespace().collect::<String>();
        let types: Vec<String> = arguments
            .split(',')
            .map(|argument| {
                let argument = argument.trim();
                // Without the name, which is the last word.
                let named = argument.contains(' ');
                let at = argument.rfind([' ', '*']).map_or(0, |at| at + 1);
                tight(if named { &argument[..at] } else { argument })
            })
            .collect();
        all.insert(name.to_owned(), format!("{}({})", tight(result), types.join(",")));
    }
    all
}

#[test]
fn functions_are_declared_as_they_are() {
    let (rust, c) = (functions_of_rust(), functions_of_c());
    assert!(rust.len() >= 15, "{rust:#?}");
    assert_eq!(rust, c);
}

macro_rules! fields {
    ($out:ident, $($name:ident { $($field:ident)* })*) => {$(
        writeln!($out, "_Static_assert(sizeof({0}) == {1}, \"{0}\");",
            stringify!($name), size_of::<$name>()).unwrap();
        $(writeln!($out, "_Static_assert(offsetof({0}, {1}) == {2}, \"{0}.{1}\");",
            stringify!($name), stringify!($field), offset_of!($name, $field)).unwrap();)*
    )*};
}

macro_rules! constants {
    ($out:ident, $($name:ident)*) => {
        $(writeln!($out, "_Static_assert({0} == {1}, \"{0}\");", stringify!($name), $name).unwrap();)*
    };
}

#[test]
fn structs_and_constants_are_the_same_to_a_c_compiler() {
    use crate::tap::block::{MAX_HELD as LENSD_MAX_HELD, MAX_PLANES as LENSD_MAX_PLANES};
    let mut c = String::from("#include \"lensd.h\"\n");
    fields!(c,
        lensd_options { size socket stream token frame_size format mode queue }
        lensd_plane { data stride row rows reserved }
        lensd_frame_info { number seq capture_mono_ns capture_utc_ns given_mono_ns taken_mono_ns
            data len capture_error_ns fourcc width height crc has_crc camera plane_count planes
            colour reserved }
        lensd_tap_counts { given lost revoked }
        lensd_unit { data len seq number capture_mono_ns capture_utc_ns encoded_mono_ns lost
            capture_error_ns codec key width height reserved }
    );
    constants!(c, LENSD_OK LENSD_TIMEOUT LENSD_REVOKED LENSD_INVALID LENSD_UNREACHABLE LENSD_REFUSED
        LENSD_CLOSED LENSD_FULL LENSD_BROKEN LENSD_SYSTEM LENSD_FAULT LENSD_MAX_HELD
        LENSD_MAX_PLANES);
    let folder = std::env::temp_dir().join(format!("lensd-header-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("check.c"), c).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let done = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "check.c"])
        .arg("-I")
        .arg(include)
        .current_dir(&folder)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn nonsense_is_refused_in_words() {
    let error = || {
        // SAFETY: what the function promises.
        unsafe { CStr::from_ptr(lensd_error()) }.to_str().unwrap().to_owned()
    };
    let mut tap = std::ptr::null_mut();
    // SAFETY: null is allowed everywhere.
    let code = unsafe { lensd_tap_next(tap, 0, std::ptr::null_mut()) };
    assert_eq!((code, error().as_str()), (LENSD_INVALID, "the handle is null"));
    let socket = c"/nowhere/tap.sock";
    let wanted = lensd_options {
        size: size_of::<lensd_options>(),
        socket: socket.as_ptr(),
        stream: std::ptr::null(),
        token: std::ptr::null(),
        frame_size: std::ptr::null(),
        format: std::ptr::null(),
        mode: 0,
        queue: 0,
    };
    // SAFETY: sound options and a place for the handle.
    let code = unsafe { lensd_tap_open(&raw const wanted, &raw mut tap) };
    assert_eq!(code, LENSD_UNREACHABLE);
    assert!(error().contains("/nowhere/tap.sock") && error().contains("running"), "{}", error());
    for bad in [lensd_options { size: 8, ..wanted }, lensd_options { mode: 7, ..wanted }] {
        // SAFETY: as above.
        assert_eq!(unsafe { lensd_tap_open(&raw const bad, &raw mut tap) }, LENSD_INVALID);
    }
    // SAFETY: null is allowed.
    unsafe { lensd_tap_close(tap) };
    assert_eq!(guard(|| panic!("on purpose")), LENSD_FAULT);
}
