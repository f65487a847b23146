//! Recordings and snapshots: what is recorded, how, and what is kept.

use crate::auth::Permission::{Media, Storage};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const fn module(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Engine, read: Media, write: Media, doc, keys }
}

const COUNT: Kind = Kind::Whole(0, i64::MAX);

pub(super) const RECORDING: Module = module(
    "recording",
    "What is recorded, and when",
    &[
        Key::set(
            "record",
            Kind::Switch(&["pause", "pause_release"]),
            D::Flag(false),
            "Begins and ends recording; pause and pause_release interrupt it within the same file",
        )
        .not_saved(),
        Key::set(
            "record-camera",
            Kind::Choice(&["active", "all"]),
            D::Text("active"),
            "Which cameras are recorded where none is named",
        ),
        Key::set(
            "record-stream",
            Kind::Choice(&["main", "sub", "both", "mjpeg"]),
            D::Text("main"),
            "Which of their streams",
        ),
        Key::set(
            "record-limit",
            Kind::Whole(0, 31_536_000),
            D::Whole(0),
            "Recording ends after this; 0: never",
        )
        .unit("s"),
        Key::set(
            "record-segment",
            Kind::Whole(0, 86_400),
            D::Whole(3600),
            "A file ends at the first key frame after this; 0: never",
        )
        .unit("s"),
        Key::set(
            "record-segment-size",
            Kind::Whole(0, 1_000_000),
            D::Whole(4000),
            "A file ends at the first key frame after this; 0: never. File systems of sticks end at 4 GiB",
        )
        .unit("MB"),
        Key::set(
            "record-schedule",
            Kind::Text(500),
            D::Text(""),
            "When to record by itself, in local time: \"Mon-Fri 08:00-18:00; Sat 10:00-12:00\", or always",
        ),
        Key::set(
            "record-resume",
            Kind::Flag,
            D::Flag(true),
            "Whether recording goes on by itself after a restart, and when storage is there again",
        ),
        Key::measured(
            "record-state",
            Kind::Choice(&[
                "off", "armed", "waiting", "recording", "paused", "full", "gone", "stalled",
            ]),
            "What the recorder does; armed: it only keeps the last seconds",
        )
        .announced(),
        Key::measured("record-file", Kind::Text(200), "The file that is being written").announced(),
        Key::measured("record-time", COUNT, "How long it plays so far").unit("s"),
        Key::measured("record-size", COUNT, "Its size so far").unit("bytes"),
        Key::measured("record-dropped", COUNT, "Pictures that the disk was too slow for"),
        Key::measured("record-error", Kind::Text(200), "What went wrong last").announced(),
    ],
);

pub(super) const RECORDING_MODES: Module = module(
    "recording-modes",
    "How time in files follows time at the camera; holds from the next start on",
    &[
        Key::set(
            "record-mode",
            Kind::Choice(&["video", "time-lapse", "slow-motion"]),
            D::Text("video"),
            "As it was, one picture each so often, or slower than it was captured",
        ),
        Key::set(
            "time-lapse-interval",
            Kind::Number(0.1, 86_400.0),
            D::Number(10.0),
            "From one picture of a time-lapse to the next",
        )
        .unit("s"),
        Key::set(
            "time-lapse-rate",
            Kind::Whole(1, 60),
            D::Whole(30),
            "Pictures per second with which a time-lapse is played",
        )
        .unit("1/s"),
        Key::set(
            "slow-motion-rate",
            Kind::Whole(1, 60),
            D::Whole(30),
            "Pictures per second with which slow motion is played; the camera must give more (fps)",
        )
        .unit("1/s"),
        Key::set(
            "pre-event",
            Kind::Number(0.0, 60.0),
            D::Number(0.0),
            "How much from before the start is part of a recording; 0: nothing, and no memory is used",
        )
        .unit("s"),
    ],
);

pub(super) const SNAPSHOT: Module = module(
    "snapshot",
    "Still pictures",
    &[
        Key::action("snap", Kind::Flag, "Takes a picture and keeps it").alias(&["takePicture"]),
        Key::set(
            "jpeg-quality",
            Kind::Whole(0, 100),
            D::Null,
            "Quality of JPEG pictures: stills and the MJPEG stream (0 is taken as 1)",
        )
        .alias(&["pictureQuality"])
        .written_by(crate::auth::Permission::Device)
        .unit("%"),
        Key::set(
            "snap-stamp",
            Kind::Flag,
            D::Flag(false),
            "Whether snapshots show their time of capture",
        ),
        Key::set(
            "snap-interval",
            Kind::Whole(0, 86_400),
            D::Whole(0),
            "Takes a picture each so often; 0: never",
        )
        .unit("s"),
        Key::set(
            "snap-keep-one",
            Kind::Flag,
            D::Flag(false),
            "Whether a snapshot takes the place of the one before",
        ),
        Key::measured("snap-file", Kind::Text(200), "The last snapshot").announced(),
        Key::measured("snap-error", Kind::Text(200), "Why the last one failed").announced(),
    ],
);

pub(super) const STORAGE: Module = Module {
    read: Storage,
    write: Storage,
    ..module(
        "storage",
        "Where recordings and snapshots are",
        &[
            Key::measured(
                "storage-state",
                Kind::Choice(&["starting", "ok", "full", "read-only", "gone", "stalled"]),
                "Whether it can be written",
            )
            .announced(),
            Key::measured("storage-error", Kind::Text(200), "What is wrong").announced(),
            Key::set(
                "storage-replace",
                Kind::Flag,
                D::Flag(false),
                "Whether the oldest recordings make room when it is full; tagged and protected ones stay",
            ),
        ],
    )
};

pub(super) const NETWORK_STORAGE: Module = Module {
    name: "network-storage",
    plane: Plane::Control,
    read: Storage,
    write: Storage,
    doc: "Where recordings are copied to when they are done; see /api/network-storage",
    keys: &[
        Key::set(
            "network-storage-kind",
            Kind::Choice(&["off", "folder", "s3"]),
            D::Text("off"),
            "A folder on which a share is mounted (SMB, NFS), or a bucket of S3",
        ),
        Key::set(
            "network-storage-folder",
            Kind::Text(1000),
            D::Text(""),
            "The folder, such as /mnt/nas/cameras",
        ),
        Key::set(
            "network-storage-guard",
            Kind::Choice(&["mount", "marker", "none"]),
            D::Text("mount"),
            "How it is known that the share is there: something is mounted at the folder or above, it has the file .lensd-storage, or not at all",
        ),
        Key::set(
            "network-storage-endpoint",
            Kind::Text(300),
            D::Text(""),
            "URL of the S3 server, such as https://s3.eu-central-1.amazonaws.com",
        ),
        Key::set("network-storage-region", Kind::Text(64), D::Text("us-east-1"), "Its region"),
        Key::set("network-storage-bucket", Kind::Text(63), D::Text(""), "The bucket"),
        Key::set(
            "network-storage-prefix",
            Kind::Text(200),
            D::Text(""),
            "What names in the bucket begin with, such as house/cameras",
        ),
        Key::set(
            "network-storage-virtual-host",
            Kind::Flag,
            D::Flag(false),
            "Whether the bucket is part of the server's name, as Amazon wants it for new ones",
        ),
        Key::set("network-storage-access-key", Kind::Text(128), D::Text(""), "Access key of S3"),
        Key::action(
            "network-storage-secret",
            Kind::Text(256),
            "Secret of that key; it is kept encrypted and never shown. Empty: none",
        ),
        Key::measured("network-storage-secret-set", Kind::Flag, "Whether there is a secret")
            .announced(),
        Key::set(
            "network-storage-what",
            Kind::Choice(&["all", "videos", "snapshots"]),
            D::Text("all"),
            "What is copied",
        ),
        Key::set(
            "network-storage-tagged",
            Kind::Flag,
            D::Flag(false),
            "Of these, only what has a tag",
        ),
        Key::set(
            "network-storage-delete-local",
            Kind::Flag,
            D::Flag(false),
            "Whether recordings are removed here when they are there; tagged and protected ones stay",
        ),
        Key::set(
            "network-storage-verify",
            Kind::Flag,
            D::Flag(true),
            "Whether copies are read back and compared; else the size is, and on S3 each part's MD5",
        ),
        Key::set(
            "network-storage-rate",
            Kind::Whole(0, 10_000_000),
            D::Whole(0),
            "How fast it copies at most; 0: as fast as it goes",
        )
        .unit("kB/s"),
        Key::set(
            "network-storage-timeout",
            Kind::Whole(1, 600),
            D::Whole(30),
            "A storage that does not answer for this long is stalled",
        )
        .unit("s"),
        Key::measured(
            "network-storage-state",
            Kind::Choice(&["off", "idle", "copying", "stalled", "unreachable", "full", "error"]),
            "How it goes",
        )
        .announced(),
        Key::measured("network-storage-error", Kind::Text(200), "What is wrong").announced(),
        Key::measured("network-storage-queue", COUNT, "Files that wait"),
        Key::measured("network-storage-queue-size", COUNT, "Bytes of these").unit("bytes"),
        Key::measured(
            "network-storage-failed",
            COUNT,
            "Files that were tried too often, and wait for somebody to look",
        )
        .announced(),
        Key::measured(
            "network-storage-bytes",
            COUNT,
            "Bytes that were copied since the control plane started",
        )
        .unit("bytes"),
        Key::measured("network-storage-last", Kind::Text(200), "The file that was copied last"),
        Key::measured("network-storage-last-time", COUNT, "When that was, UTC").unit("ms"),
    ],
};

pub(super) const RETENTION: Module = Module {
    read: Storage,
    write: Storage,
    ..module(
        "retention",
        "How long recordings and snapshots are kept that are neither tagged nor protected",
        &[
            Key::set(
                "keep-days",
                Kind::Whole(0, 36_500),
                D::Whole(0),
                "They are removed after this; 0: never",
            )
            .unit("days"),
            Key::set(
                "keep-size",
                Kind::Whole(0, 1_000_000_000),
                D::Whole(0),
                "The oldest are removed when all together are larger; 0: no bound",
            )
            .unit("MB"),
            Key::set(
                "keep-count",
                Kind::Whole(0, 1_000_000_000),
                D::Whole(0),
                "The oldest are removed when there are more; 0: no bound",
            ),
            Key::set(
                "keep-free",
                Kind::Whole(0, 1_000_000_000),
                D::Whole(500),
                "What stays free on the disk, at most half of it: with less, storage is full",
            )
            .unit("MB"),
        ],
    )
};

pub(super) const RECORDS: Module = module(
    "records",
    "What is in the catalogue; see /api/recordings",
    &[
        Key::measured("records-count", COUNT, "Recordings"),
        Key::measured("records-size", COUNT, "Bytes of all of them").unit("bytes"),
        Key::measured("snapshots-count", COUNT, "Snapshots"),
        Key::measured("snapshots-size", COUNT, "Bytes of all of them").unit("bytes"),
    ],
);

pub(super) const TAGS: Module = Module {
    plane: Plane::Control,
    ..module(
        "tags",
        "Marks at moments of recordings; see /api/tags",
        &[
            Key::action(
                "tag",
                Kind::Json(8_192),
                "Tags this moment of the recording under way: a title, or what POST /api/recording/tag takes",
            ),
            Key::measured("tags", COUNT, "Tags that there are").announced(),
            Key::measured("tags-error", Kind::Text(200), "Why nobody knows").announced(),
        ],
    )
};

pub(super) const CATEGORIES: Module = Module {
    plane: Plane::Control,
    ..module(
        "categories",
        "Kinds of tags; see /api/categories. No reset takes them away",
        &[
            Key::measured(
                "categories",
                Kind::Json(32_768),
                "Number, name and colour of each, by name; those that do not fit are left out",
            )
            .announced(),
            Key::measured("category-counter", COUNT, "Number of the one that was made last")
                .alias(&["categoryCounter"])
                .announced(),
        ],
    )
};
