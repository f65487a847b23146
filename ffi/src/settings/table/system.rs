//! The machine and the program.

use crate::auth::Permission::{FirmwareUpdate, Reboot, Storage, System};
use crate::settings::{Default as D, Key, Kind, Module, Plane};
use crate::time::ClockSource;

const fn module(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Control, read: System, write: System, doc, keys }
}

pub(super) const FACTORY: Module = module(
    "factory",
    "What the device was made as",
    &[
        Key::set(
            "device-name",
            Kind::Text(64),
            D::Text("lensd"),
            "Name of this server, as clients show it",
        ),
        Key::measured("serial-number", Kind::Text(64), "Made of the machine's own identity"),
        Key::action(
            "factory-reset",
            Kind::Flag,
            "Sets everything to the variant's defaults but categories and categoryCounter",
        )
        .written_by(Reboot),
    ],
);

pub(super) const VARIANT: Module = module(
    "variant",
    "Factory variant",
    &[Key::measured("variant", Kind::Text(32), "Name of the factory variant").announced()],
);

pub(super) const NOTIFICATIONS: Module = module(
    "notifications",
    "What an operator should know",
    &[
        Key::measured(
            "notifications",
            Kind::Json(8192),
            "The last notices, newest first: {id, time, level, text}",
        )
        .announced(),
        Key::action(
            "notification-dismiss",
            Kind::Whole(0, i64::MAX),
            "Takes the notice of this id away; 0: all",
        ),
    ],
);

pub(super) const SYSTEM_INFO: Module = module(
    "system-info",
    "Load of the machine (/proc, /sys)",
    &[
        Key::measured("hostname", Kind::Text(64), "Name of the machine").announced(),
        Key::measured("uptime", Kind::Whole(0, i64::MAX), "Since the control plane started")
            .unit("s"),
        Key::measured("cpu-load", Kind::Number(0.0, 100.0), "Processors in use").unit("%"),
        Key::measured("memory-total", Kind::Whole(0, i64::MAX), "Memory of the machine")
            .unit("bytes"),
        Key::measured("memory-used", Kind::Whole(0, i64::MAX), "Memory that is not available")
            .unit("bytes"),
        Key::measured("cpu-temperature", Kind::Number(-273.15, 1000.0), "Of the processor")
            .unit("C"),
        Key::measured(
            "digital-inputs",
            Kind::Json(8192),
            "Contacts and sensors: [{name, on, error}]; `hardware.inputs` names their files",
        )
        .announced(),
        Key::measured("system-info-error", Kind::Text(200), "Why a value is missing").announced(),
    ],
);

pub(super) const VERSION: Module = module(
    "version",
    "What runs",
    &[Key::measured("version", Kind::Text(64), "Version of the program").announced()],
);

pub(super) const DISK: Module = Module {
    read: Storage,
    write: Storage,
    ..module(
        "disk",
        "The file system of the data folder",
        &[
            Key::measured("disk-total", Kind::Whole(0, i64::MAX), "Size of the file system")
                .unit("bytes"),
            Key::measured("disk-free", Kind::Whole(0, i64::MAX), "Room that we may use")
                .unit("bytes"),
            Key::measured("disk-error", Kind::Text(200), "Why there is no value").announced(),
        ],
    )
};

pub(super) const TIME: Module = module(
    "time",
    "The clock of the machine",
    &[
        Key::measured("time", Kind::Whole(0, i64::MAX), "Now, since 1970").unit("ms"),
        Key::set("time-zone", Kind::Text(64), D::Null, "Time zone of the machine").not_saved(),
        Key::set("time-ntp", Kind::Flag, D::Null, "Whether the clock follows time servers")
            .not_saved(),
        Key::set(
            "time-servers",
            Kind::Text(512),
            D::Null,
            "Which ones, by name or address, separated by blanks; none: those of the machine",
        )
        .not_saved(),
        Key::measured("time-synchronized", Kind::Flag, "Whether it does now").announced(),
        Key::measured(
            "clock-synchronized",
            Kind::Flag,
            "Whether the kernel's clock of UTC, by which capture times are told, is kept right",
        )
        .announced(),
        Key::measured(
            "clock-source",
            Kind::Choice(ClockSource::NAMES),
            "Who keeps it right: nobody, a program, the kernel's loop fed by a program, a pulse",
        )
        .announced(),
        Key::measured(
            "clock-error-bound",
            Kind::Whole(0, i64::MAX),
            "How far capture times may be from UTC; none while the clock is not kept right",
        )
        .unit("us"),
        Key::measured(
            "clock-steps",
            Kind::Whole(0, i64::MAX),
            "How often UTC was set, instead of steered, since the engine began",
        )
        .announced(),
        Key::action("time-set", Kind::Whole(0, 253_402_300_799_999), "Sets the clock, since 1970")
            .unit("ms"),
        Key::measured("time-error", Kind::Text(200), "Why it cannot be set").announced(),
    ],
);

pub(super) const UPDATE: Module = Module {
    read: System,
    write: FirmwareUpdate,
    ..module(
        "update",
        "Another version of the program; see /api/update",
        &[
            Key::measured(
                "update-state",
                Kind::Choice(&["none", "under way", "installed", "rolled back"]),
                "What became of the last update",
            )
            .announced(),
            Key::measured("update-version", Kind::Text(64), "The version that it was to")
                .announced(),
            Key::measured("update-error", Kind::Text(200), "Why it was rolled back").announced(),
        ],
    )
};

pub(super) const RESTART: Module = Module {
    write: Reboot,
    ..module(
        "restart",
        "Starting again",
        &[
            Key::action("restart", Kind::Flag, "Starts the server's processes again"),
            Key::action("reboot", Kind::Flag, "Starts the machine again, where that is allowed"),
        ],
    )
};
