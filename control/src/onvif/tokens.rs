//! Names of what a camera has, which are the same in every service and in events. They are never
//! numbers alone: some clients would make numbers of them.

/// The video source of a camera.
pub(super) fn video_source(camera: u32) -> String {
    format!("VideoSource_{camera}")
}

/// The camera of a video source.
pub(super) fn camera_of_source(token: &str) -> Option<u32> {
    token.strip_prefix("VideoSource_")?.parse().ok().filter(|camera| *camera > 0)
}
