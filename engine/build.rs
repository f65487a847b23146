//! Looks for `nasm` before openh264 is built into us: without it that crate leaves out all of its
//! SIMD code, says nothing, and encodes at a third of the speed.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=NASM");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");
    println!("cargo:rustc-check-cfg=cfg(openh264_simd)");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if arch != "x86" && arch != "x86_64" {
        return; // ARM's SIMD code is assembled by the C compiler.
    }
    if std::env::var_os("OPENH264_NO_ASM").is_some() {
        println!("cargo:warning=OPENH264_NO_ASM is set: openh264 will be about 3 times slower");
        return;
    }
    let nasm = std::env::var("NASM").unwrap_or_else(|_| "nasm".into());
    let found = Command::new(&nasm).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "\n\n`{nasm}` does not run, so openh264 would be built without its SIMD code and be about \
         3 times slower. Install it (Debian: apt install nasm) and run `cargo clean -p \
         openh264-sys2`, or set OPENH264_NO_ASM=1 if that is what you want.\n"
    );
    // sys::openh264 then refers to a symbol of the SIMD code, which fails to link if the library
    // was built earlier, when nasm was missing.
    println!("cargo:rustc-cfg=openh264_simd");
}
