//! What goes in and out of recordings, tags, categories and files.

use super::{Named, exactly, flag, list, number, object, or_null, text, to, whole, word};
use crate::rest::recordings::MOST_REMOVED;
use serde_json::{Value, json};

/// Of recordings, tags, categories and files.
pub(super) fn all() -> Named {
    use lensd_ffi::catalogue::{CopyState, Encoding, MediaType, State};
    fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> Value {
        super::word(&all.iter().map(|one| word(*one)).collect::<Vec<_>>())
    }
    let record = || {
        vec![
            ("id", whole()),
            ("filename", text()),
            ("media_type", words(MediaType::ALL, MediaType::word)),
            ("encoding", words(Encoding::ALL, Encoding::word)),
            ("timestamp_start", whole()),
            ("timestamp_end", or_null(whole())),
            ("duration", whole()),
            ("size", whole()),
            ("resolution", text()),
            ("fps", number()),
            ("state", words(State::ALL, State::word)),
            ("tag_markers", list(whole())),
            ("sha256", or_null(text())),
            ("camera", whole()),
            ("stream", text()),
            ("mode", text()),
            ("title", text()),
            ("note", text()),
            ("protected", flag()),
            ("error", or_null(text())),
            ("copy", or_null(words(CopyState::ALL, CopyState::word))),
            ("url", text()),
            ("thumbnail", or_null(text())),
        ]
    };
    let mut info = record();
    info.push(("tags", list(to("Tag"))));
    let id = || json!({ "type": "integer", "minimum": 1 });
    let label = || json!({ "type": "string", "maxLength": 200 });
    let note = || json!({ "type": "string", "maxLength": 4000 });
    let tag = || {
        vec![
            ("category_id?", or_null(id())),
            ("category?", or_null(text())),
            ("timestamp?", or_null(whole())),
            ("offset?", or_null(json!({ "type": "integer", "minimum": 0 }))),
            ("title?", or_null(label())),
            ("note?", or_null(note())),
        ]
    };
    let (mut now, mut new) = (tag(), tag());
    now.extend([
        ("id?", or_null(id())),
        ("camera?", or_null(json!({ "type": ["string", "integer"] }))),
    ]);
    new.push(("record_id", id()));
    let color = || json!({ "type": "string", "pattern": "^(#[0-9a-fA-F]{6})?$" });
    let name = || json!({ "type": "string", "minLength": 1, "maxLength": 200 });
    let ids = |most: usize| json!({ "type": "array", "items": id(), "minItems": 1, "maxItems": most, "uniqueItems": true });
    let file = object(&[
        ("name", text()),
        ("path", text()),
        ("type", word(&["file", "folder"])),
        ("size", whole()),
        ("modified", whole()),
    ]);
    let kept = object(&[("id", whole()), ("reason", text())]);
    vec![
        ("Recording", object(&record())),
        ("RecordingInfo", object(&info)),
        (
            "Recordings",
            object(&[
                ("recordings", list(to("Recording"))),
                ("total", whole()),
                ("total_at_least", flag()),
                ("limit", whole()),
                ("offset", whole()),
                ("next", or_null(text())),
            ]),
        ),
        (
            "RecordingChange",
            exactly(&[
                ("title?", or_null(label())),
                ("note?", or_null(note())),
                ("protected?", or_null(flag())),
            ]),
        ),
        (
            "MediaExport",
            object(&[
                ("running", flag()),
                ("target", text()),
                ("files", whole()),
                ("done", whole()),
                ("bytes", whole()),
                ("failed", list(kept.clone())),
            ]),
        ),
        (
            "Exports",
            object(&[
                (
                    "targets",
                    list(object(&[("name", text()), ("path", text()), ("free", or_null(whole()))])),
                ),
                ("export", to("MediaExport")),
            ]),
        ),
        (
            "NetworkStorage",
            object(&[
                ("kind", word(&["off", "folder", "s3"])),
                ("target", or_null(text())),
                ("state", text()),
                ("error", or_null(text())),
                ("queued", to("CopyTotal")),
                ("failed", to("CopyTotal")),
                ("copied", to("CopyTotal")),
                ("dropped", to("CopyTotal")),
                ("bytes", whole()),
                (
                    "current",
                    or_null(object(&[
                        ("id", whole()),
                        ("filename", text()),
                        ("size", whole()),
                        ("done", whole()),
                    ])),
                ),
                ("last", or_null(object(&[("filename", text()), ("time", whole())]))),
                ("items", list(to("Copy"))),
                ("next", or_null(whole())),
            ]),
        ),
        ("CopyTotal", object(&[("count", whole()), ("bytes", whole())])),
        (
            "Copy",
            object(&[
                ("id", whole()),
                ("filename", text()),
                ("size", whole()),
                ("sha256", or_null(text())),
                ("state", words(CopyState::ALL, CopyState::word)),
                ("queued_at", whole()),
                ("next_at", whole()),
                ("attempts", whole()),
                ("error", or_null(text())),
                ("target", text()),
                ("path", text()),
                ("copied_at", or_null(whole())),
            ]),
        ),
        ("WhichCopies", exactly(&[("ids?", or_null(ids(MOST_REMOVED)))])),
        ("QueueChange", object(&[("changed", whole())])),
        ("NewStorageTest", exactly(&[("mark?", or_null(flag()))])),
        ("StorageTest", object(&[("tested", flag())])),
        ("NewExport", exactly(&[("ids", ids(MOST_REMOVED)), ("target?", or_null(text()))])),
        ("RecordingIds", exactly(&[("ids", ids(MOST_REMOVED))])),
        ("RemovedRecordings", object(&[("removed", list(whole())), ("kept?", list(kept))])),
        ("RemovedIds", object(&[("removed", list(whole()))])),
        ("RemovedFile", object(&[("removed", text())])),
        (
            "Tag",
            object(&[
                ("id", whole()),
                ("category_id", or_null(whole())),
                ("record_id", whole()),
                ("timestamp", whole()),
                ("title", text()),
                ("note", text()),
                ("created_by", text()),
            ]),
        ),
        ("Tags", object(&[("tags", list(to("Tag")))])),
        ("TagNow", exactly(&now)),
        ("NewTag", exactly(&new)),
        (
            "TagChange",
            exactly(&[
                ("category_id?", or_null(id())),
                ("timestamp?", or_null(whole())),
                ("title?", or_null(label())),
                ("note?", or_null(note())),
            ]),
        ),
        (
            "Category",
            object(&[
                ("id", whole()),
                ("name", text()),
                ("color", text()),
                ("created_at", whole()),
                ("tags", whole()),
            ]),
        ),
        ("Categories", object(&[("categories", list(to("Category")))])),
        ("NewCategory", exactly(&[("name", name()), ("color?", or_null(color()))])),
        ("CategoryChange", exactly(&[("name?", or_null(name())), ("color?", or_null(color()))])),
        (
            "Uploaded",
            object(&[(
                "files",
                list(object(&[
                    ("name", text()),
                    ("path", text()),
                    ("url", text()),
                    ("size", whole()),
                ])),
            )]),
        ),
        (
            "Files",
            object(&[
                ("path", text()),
                ("files", list(file)),
                ("total", whole()),
                ("limit", whole()),
                ("offset", whole()),
            ]),
        ),
    ]
}
