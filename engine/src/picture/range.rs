//! From the limited range of video (luma 16-235, chroma 16-240) to the full range of JPEG
//! (0-255 each), in 16-bit arithmetic that LLVM vectorises; exact to one step.

/// Video luma to JPEG luma.
pub fn expand_luma(samples: &mut [u8]) {
    for sample in samples {
        // 149 / 128 is 255 / 219 to three parts in ten thousand.
        *sample = ((u16::from(sample.saturating_sub(16)) * 149 + 64) >> 7).min(255) as u8;
    }
}

/// Video chroma to JPEG chroma.
pub fn expand_chroma(samples: &mut [u8]) {
    for sample in samples {
        // 146 / 128 is 255 / 224 to two parts in a thousand.
        let centred = i16::from(*sample) - 128;
        *sample = (((centred * 146 + 64) >> 7) + 128).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_right_to_one_step() {
        let near = |byte: u8, want: f64| (f64::from(byte) - want.clamp(0.0, 255.0)).abs() <= 1.0;
        for value in 0..=255u8 {
            let x = f64::from(value);
            let apply = |f: fn(&mut [u8])| {
                let mut sample = [value];
                f(&mut sample);
                sample[0]
            };
            assert!(near(apply(expand_luma), (x - 16.0) * 255.0 / 219.0), "{value}");
            assert!(near(apply(expand_chroma), (x - 128.0) * 255.0 / 224.0 + 128.0), "{value}");
        }
        let mut ends = [16, 235];
        expand_luma(&mut ends);
        assert_eq!(ends, [0, 255]);
    }
}
