//! The way of a frame in words.

use super::Pipeline;
use crate::scene::Watcher;

impl Pipeline {
    /// Says in words which way frames go.
    pub(super) fn describe(&self) {
        let place = if self.dmabuf { " dmabuf" } else { "" };
        let source = format!("{} {}{place}", self.info.name, self.info.format);
        let encoder = match (&self.info.coded, &self.main.encoder) {
            (Some(_), _) => "passed through".to_owned(),
            (None, Some(e)) => match e.copies() {
                "" => e.name(),
                why => format!("copy (CPU: {why}) -> {}", e.name()),
            },
            (None, None) => "encoder".to_owned(),
        };
        let decoded = if self.info.coded.is_some() || self.info.format == "MJPEG" {
            " -> decode (CPU: this stream needs pixels)"
        } else {
            ""
        };
        let finish = &self.config.finish;
        let mut stages = String::new();
        if self.info.format == "MJPEG" {
            stages.push_str(decoded);
        }
        if !finish.is_plain() && self.info.coded.is_none() {
            let words = finish.words();
            stages.push_str(&format!(" -> {words} (CPU: the settings ask for it)"));
        } else if let Some(encoder) = &self.main.encoder
            && self.info.coded.is_none()
            && self.info.format != "MJPEG"
            && self.main.converts
        {
            stages.push_str(&format!(" -> I420 (CPU: {} takes nothing else)", encoder.name()));
        }
        self.main.stream().set_passed(self.info.coded.is_some());
        let watcher = self.watcher.as_ref().map_or("", Watcher::words);
        self.main.stream().describe(&format!("{source}{stages} -> {encoder} -> ring{watcher}"));
        let scaled = self.small.as_ref().map_or_else(
            || format!("scale to width {}", self.config.sub_width),
            |small| small.words(self.config.sub_width),
        );
        let coder = match &self.sub.encoder {
            Some(encoder) if self.sub.converts => {
                let name = encoder.name();
                format!("I420 (CPU: {name} takes nothing else) -> {name}")
            }
            Some(encoder) => match encoder.copies() {
                "" => encoder.name(),
                why => format!("copy (CPU: {why}) -> {}", encoder.name()),
            },
            None => "encoder".to_owned(),
        };
        let done = if finish.is_plain() || self.info.coded.is_some() {
            String::new()
        } else {
            format!(" -> {} (CPU: the settings ask for it)", finish.words())
        };
        self.sub.stream().describe(&format!(
            "{source}{decoded}{done} -> {scaled} -> {coder} -> ring, while read"
        ));
        self.mjpeg.stream().describe(&if self.info.format == "MJPEG" && done.is_empty() {
            format!("{source} -> passed through -> ring, while read")
        } else {
            format!("{source}{decoded}{done} -> libjpeg-turbo (CPU) -> ring, while read")
        });
    }
}
