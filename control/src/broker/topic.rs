//! The topics that there are (ONVIF Core 9.4, and the services' specifications).

/// A topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Its path, as it stands in messages.
    pub(crate) name: &'static str,
    /// The segments of that.
    pub(crate) path: &'static [&'static str],
    /// Whether it is a state that holds until it changes.
    pub(crate) property: bool,
    /// What its messages are about.
    pub(crate) source: &'static [Item],
    /// What they say of it.
    pub(crate) data: &'static [Item],
}

/// Name and type of an item.
pub(crate) type Item = (&'static str, &'static str);

const TOKEN: &str = "tt:ReferenceToken";
const FLAG: &str = "xs:boolean";
const TEXT: &str = "xs:string";

/// A state of a video source.
const fn of_source(name: &'static str, path: &'static [&'static str]) -> Topic {
    Topic { name, path, property: true, source: &[("Source", TOKEN)], data: &[("State", FLAG)] }
}

/// All topics, those with one beginning beside each other.
pub(crate) static TOPICS: &[Topic] = &[
    of_source("tns1:VideoSource/MotionAlarm", &["tns1:VideoSource", "MotionAlarm"]),
    of_source(
        "tns1:VideoSource/GlobalSceneChange/ImagingService",
        &["tns1:VideoSource", "GlobalSceneChange", "ImagingService"],
    ),
    of_source(
        "tns1:VideoSource/ImageTooBlurry/ImagingService",
        &["tns1:VideoSource", "ImageTooBlurry", "ImagingService"],
    ),
    of_source(
        "tns1:VideoSource/ImageTooDark/ImagingService",
        &["tns1:VideoSource", "ImageTooDark", "ImagingService"],
    ),
    of_source("tns1:VideoSource/SignalLoss", &["tns1:VideoSource", "SignalLoss"]),
    Topic {
        name: "tns1:Media/ProfileChanged",
        path: &["tns1:Media", "ProfileChanged"],
        property: false,
        source: &[],
        data: &[("Token", TOKEN)],
    },
    Topic {
        name: "tns1:Media/ConfigurationChanged",
        path: &["tns1:Media", "ConfigurationChanged"],
        property: false,
        source: &[],
        data: &[("Token", TOKEN), ("Type", TEXT)],
    },
    Topic {
        name: "tns1:RecordingConfig/JobState",
        path: &["tns1:RecordingConfig", "JobState"],
        property: true,
        source: &[("RecordingJobToken", TOKEN)],
        data: &[("State", TEXT)],
    },
    Topic {
        name: "tns1:Device/Trigger/DigitalInput",
        path: &["tns1:Device", "Trigger", "DigitalInput"],
        property: true,
        source: &[("InputToken", TOKEN)],
        data: &[("LogicalState", FLAG)],
    },
    Topic {
        name: "tns1:Device/HardwareFailure/StorageFailure",
        path: &["tns1:Device", "HardwareFailure", "StorageFailure"],
        property: true,
        source: &[("Token", TOKEN)],
        data: &[("Failed", FLAG)],
    },
    Topic {
        name: "tns1:Monitoring/OperatingTime/LastReboot",
        path: &["tns1:Monitoring", "OperatingTime", "LastReboot"],
        property: true,
        source: &[],
        data: &[("Status", "xs:dateTime")],
    },
];

/// Beginnings that ONVIF defines: who asks for all of one of them asks for what there may be.
pub(super) const ROOTS: &[&str] = &[
    "AudioAnalytics",
    "AudioSource",
    "Configuration",
    "Device",
    "Media",
    "Monitoring",
    "PTZController",
    "RecordingConfig",
    "RecordingHistory",
    "RuleEngine",
    "UserAlarm",
    "VideoAnalytics",
    "VideoEncoder",
    "VideoSource",
];

/// The topic of a name.
pub(crate) fn find(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_paths_and_beginnings_stand_together() {
        let mut roots = Vec::new();
        for topic in TOPICS {
            assert_eq!(topic.name, topic.path.join("/"));
            let root = topic.path[0];
            assert!(ROOTS.contains(&root.strip_prefix("tns1:").unwrap()), "{root}");
            if roots.last() != Some(&root) {
                assert!(!roots.contains(&root), "{root} stands apart");
                roots.push(root);
            }
        }
    }
}
