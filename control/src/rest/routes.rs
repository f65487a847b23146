//! The one table of everything that is answered: who answers, who may ask, how often, and what goes
//! in and out.

use super::openapi::{
    CAMERA, EVENTS, FILES, FOLDER, NOTHING, PIECE, PLAYLIST, QUEUE, RECORDINGS, STILL, STREAM,
    SWITCH, Spec, TAGGED, TEST, bytes, data, json,
};
use super::{
    Handler, cameras, certificate, discover, events, exports, files, hls, login, machine, metrics,
    openapi, ptz, recording, recordings, scene, settings, socket, stills, storage, streams, system,
    tags, update, uploads, users, webrtc,
};
use crate::http::limit::Class;
use crate::http::parse::Method;
use crate::http::route::Route;
use lensd_ffi::auth::{Access, Permission};

/// Who answers, and what goes in and out.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) handler: Handler,
    pub(crate) spec: Spec,
}

const SYSTEM: Option<Access> = Some(Access::read(Permission::System));
const DEVICE: Option<Access> = Some(Access::read(Permission::Device));
const DEVICE_WRITE: Option<Access> = Some(Access::write(Permission::Device));
/// Of settings each key says itself who may read and set it.
const ANY: Option<Access> = Some(Access::ANY);
const LIVE: Option<Access> = Some(Access::LIVE);
const MEDIA: Option<Access> = Some(Access::read(Permission::Media));
const MEDIA_WRITE: Option<Access> = Some(Access::write(Permission::Media));
const STORAGE: Option<Access> = Some(Access::read(Permission::Storage));
const STORAGE_WRITE: Option<Access> = Some(Access::write(Permission::Storage));
const NETWORK: Option<Access> = Some(Access::read(Permission::Network));
const NETWORK_WRITE: Option<Access> = Some(Access::write(Permission::Network));
const SYSTEM_WRITE: Option<Access> = Some(Access::write(Permission::System));
const REBOOT: Option<Access> = Some(Access::write(Permission::Reboot));
const UPDATE: Option<Access> = Some(Access::write(Permission::FirmwareUpdate));
const USER: Option<Access> = Some(Access::read(Permission::User));
const USER_WRITE: Option<Access> = Some(Access::write(Permission::User));

const fn get(
    path: &'static str,
    access: Option<Access>,
    class: Class,
    handler: Handler,
    doc: &'static str,
    spec: Spec,
) -> Route<Served> {
    Route { method: Method::Get, path, access, class, handler: Served { handler, spec }, doc }
}

const fn write(
    method: Method,
    path: &'static str,
    access: Option<Access>,
    handler: Handler,
    doc: &'static str,
    spec: Spec,
) -> Route<Served> {
    Route { method, path, access, class: Class::Api, handler: Served { handler, spec }, doc }
}

/// Everything that is answered.
#[rustfmt::skip]
pub(crate) static ROUTES: &[Route<Served>] = &[
    get("/", LIVE, Class::Free, system::index, "The web page", bytes("text/html")),
    get("/still", LIVE, Class::Free, system::still_page, "A page with a picture every 2 s: interval, rotate, quality, camera", bytes("text/html")),
    get("/health", None, Class::Free, system::health, "Whether server, engine and cameras work", data("Health")),
    get("/health/live", None, Class::Free, system::live, "Whether this process answers", data("Word")),
    get("/health/ready", None, Class::Free, system::ready, "200 once the engine runs, else 503", data("Word")),
    get("/api/health", None, Class::Free, system::health, "Whether server, engine and cameras work", data("Health")),
    get("/api/v1", None, Class::Free, socket::api_v1, "The WebSocket: log in, read, set and be told", SWITCH),
    get("/api/openapi.json", None, Class::Api, openapi::document, "This description: OpenAPI 3.1", json("Anything")),
    get("/api/docs", None, Class::Api, openapi::page, "The same as a page for people", bytes("text/html")),
    get("/api/info", SYSTEM, Class::Api, system::info, "Name, version, ports, URLs and features", data("Info")),
    get("/api/status", SYSTEM, Class::Api, system::status, "State of the engine and its cameras", data("Status")),
    get("/api/camera/status", SYSTEM, Class::Api, cameras::active, "State of the active camera", data("ActiveCamera")),
    get("/api/cameras", DEVICE, Class::Api, cameras::list, "All cameras", data("Cameras")),
    get("/api/cameras/{id}", DEVICE, Class::Api, cameras::one, "One camera, by number", data("Camera")),
    get("/api/ptz", DEVICE, Class::Api, ptz::status, "Where a camera looks, what it can do, and whether it moves", data("Ptz").query(CAMERA).also(&[404])),
    write(Method::Post, "/api/ptz/move", DEVICE_WRITE, ptz::go, "Moves a camera: mode absolute, relative or continuous; pan and tilt -1 to 1, zoom 0 to 1; answered when it has begun", data("Ptz").body("PtzMove").also(&[404, 409])),
    write(Method::Post, "/api/ptz/stop", DEVICE_WRITE, ptz::stop, "Stops a camera, or only pan and tilt, or zoom", data("Ptz").body("PtzStop").optional().also(&[404, 409])),
    write(Method::Post, "/api/ptz/home", DEVICE_WRITE, ptz::go_home, "Goes to the home position", data("Ptz").body("PtzGo").optional().also(&[404, 409])),
    write(Method::Put, "/api/ptz/home", DEVICE_WRITE, ptz::set_home, "Where the camera looks now becomes its home position", data("Ptz").body("PtzWhich").optional().also(&[404, 409])),
    get("/api/ptz/presets", DEVICE, Class::Api, ptz::presets, "Positions with a name", data("PtzPresets").query(CAMERA)),
    write(Method::Post, "/api/ptz/presets", DEVICE_WRITE, ptz::add_preset, "Where the camera looks now becomes a preset", data("Ptz").body("PtzNewPreset").optional().also(&[404, 409])),
    write(Method::Put, "/api/ptz/presets/{token}", DEVICE_WRITE, ptz::replace_preset, "The same in place of a preset", data("Ptz").body("PtzNewPreset").optional().also(&[409])),
    write(Method::Post, "/api/ptz/presets/{token}/recall", DEVICE_WRITE, ptz::recall, "Goes to a preset", data("Ptz").body("PtzGo").optional().also(&[409])),
    write(Method::Delete, "/api/ptz/presets/{token}", DEVICE_WRITE, ptz::remove_preset, "Forgets a preset", data("Ptz").query(CAMERA).also(&[409])),
    write(Method::Post, "/api/motion/test", SYSTEM_WRITE, scene::motion, "Pretends motion before a camera, or its end: active; marked as a test, and ends by itself after a minute", data("TestedEvent").body("TestEvent").optional().also(&[404])),
    write(Method::Post, "/api/tamper/test", SYSTEM_WRITE, scene::tamper, "The same of tampering", data("TestedEvent").body("TestEvent").optional().also(&[404])),
    get("/api/motion/test", SYSTEM_WRITE, Class::Api, scene::motion_by_link, "The same of motion by a link, for test programs; not with a session's cookie", data("TestedEvent").query(TEST).also(&[404])),
    get("/api/streams", LIVE, Class::Api, streams::list, "All streams with their rates", data("Streams")),
    get("/api/streams/{id}/clients", DEVICE, Class::Api, streams::clients, "Who receives a stream", data("Clients")),
    get("/api/streams/{camera}/{stream}/clients", DEVICE, Class::Api, streams::clients, "Who receives a stream", data("Clients")),
    get("/api/snapshot", LIVE, Class::Still, stills::still, "A JPEG of now: quality, camera, stamp", bytes("image/jpeg").query(STILL).also(&[404])),
    write(Method::Post, "/api/snapshot", MEDIA_WRITE, recording::snap, "Takes a snapshot and keeps it", data("Kept").body("NewSnapshot").optional().also(&[404, 503])),
    write(Method::Post, "/api/recording/start", MEDIA_WRITE, recording::start, "Begins recording: camera, stream, duration (seconds), title; what is left out is as set", data("RecordingNow").body("StartRecording").optional().also(&[404, 409, 503])),
    write(Method::Post, "/api/recording/stop", MEDIA_WRITE, recording::stop, "Ends recording; of all that is recorded, or of one camera or stream", data("RecordingNow").body("WhichRecording").optional().also(&[409, 503])),
    write(Method::Post, "/api/recording/pause", MEDIA_WRITE, recording::pause, "Leaves out what comes; the file stays the same", data("RecordingNow").body("WhichRecording").optional().also(&[409, 503])),
    write(Method::Post, "/api/recording/resume", MEDIA_WRITE, recording::resume, "Goes on in the same file", data("RecordingNow").body("WhichRecording").optional().also(&[409, 503])),
    get("/api/recording/status", MEDIA, Class::Api, recording::status, "What is recorded, and where it goes", data("RecordingStatus")),
    get("/camera.jpeg", LIVE, Class::Still, stills::still, "A JPEG of now", bytes("image/jpeg").query(STILL).also(&[404])),
    get("/image", LIVE, Class::Still, stills::still, "A JPEG of now", bytes("image/jpeg").query(STILL).also(&[404])),
    get("/images/current.jpg", LIVE, Class::Still, stills::still, "A JPEG of now", bytes("image/jpeg").query(STILL).also(&[404])),
    get("/mjpeg/{id}", LIVE, Class::Api, streams::mjpeg, "Live JPEGs, multipart/x-mixed-replace", bytes("multipart/x-mixed-replace")),
    get("/mjpeg/{camera}/{stream}", LIVE, Class::Api, streams::mjpeg, "Live JPEGs, multipart/x-mixed-replace", bytes("multipart/x-mixed-replace")),
    get("/hls/{id}/index.m3u8", LIVE, Class::Free, hls::serve, "A stream by HLS, with low latency: the multivariant playlist", bytes("application/vnd.apple.mpegurl")),
    get("/hls/{camera}/{stream}/index.m3u8", LIVE, Class::Free, hls::serve, "A stream by HLS, with low latency: the multivariant playlist", bytes("application/vnd.apple.mpegurl")),
    get("/hls/{id}/live.m3u8", LIVE, Class::Free, hls::serve, "Its media playlist; with _HLS_msn and _HLS_part as soon as that segment or part is there", bytes("application/vnd.apple.mpegurl").query(PLAYLIST)),
    get("/hls/{camera}/{stream}/live.m3u8", LIVE, Class::Free, hls::serve, "Its media playlist; with _HLS_msn and _HLS_part as soon as that segment or part is there", bytes("application/vnd.apple.mpegurl").query(PLAYLIST)),
    get("/hls/{id}/{file}", LIVE, Class::Free, hls::serve, "What its playlists name: init segments, segments, parts", bytes("video/mp4")),
    get("/hls/{camera}/{stream}/{file}", LIVE, Class::Free, hls::serve, "What its playlists name: init segments, segments, parts", bytes("video/mp4")),
    get("/api/recordings", MEDIA, Class::Api, recordings::list, "Recordings and snapshots: filtered, sorted, page by page", data("Recordings").query(RECORDINGS)),
    write(Method::Delete, "/api/recordings", STORAGE_WRITE, recordings::remove_many, "Removes recordings with their files: {\"ids\": [1, 2]}", data("RemovedRecordings").body("RecordingIds").also(&[404, 409, 500])),
    get("/api/recordings/export", STORAGE, Class::Api, exports::state, "Removable media that are mounted, and how far an export is", data("Exports")),
    write(Method::Post, "/api/recordings/export", STORAGE_WRITE, exports::begin, "Copies recordings to a removable medium", data("MediaExport").body("NewExport").also(&[404, 409])),
    get("/api/network-storage", STORAGE, Class::Api, storage::state, "How copying goes, and the queue of it, page by page", data("NetworkStorage").query(QUEUE)),
    write(Method::Post, "/api/network-storage/retry", STORAGE_WRITE, storage::retry, "Queues copies anew: these, or without ids all that failed or wait for their next time", data("QueueChange").body("WhichCopies").optional().also(&[404])),
    write(Method::Post, "/api/network-storage/drop", STORAGE_WRITE, storage::give_up, "Takes files out of the queue", data("QueueChange").body("RecordingIds").also(&[404])),
    write(Method::Post, "/api/network-storage/test", STORAGE_WRITE, storage::test, "Writes a small file, reads it back and removes it; mark: marks the folder as ours", data("StorageTest").body("NewStorageTest").optional().also(&[409, 503])),
    get("/api/recordings/{id}", MEDIA, Class::Api, recordings::download, "The file of a recording, or a part of it (Range)", bytes("*/*").also(&[416])),
    write(Method::Patch, "/api/recordings/{id}", MEDIA_WRITE, recordings::label, "Changes title, note, protected", data("Recording").body("RecordingChange")),
    write(Method::Delete, "/api/recordings/{id}", STORAGE_WRITE, recordings::remove, "Removes a recording with its file", data("RemovedRecordings").also(&[409, 500])),
    get("/api/recordings/{id}/info", MEDIA, Class::Api, recordings::info, "A recording with its tags", data("RecordingInfo")),
    get("/api/recordings/{id}/thumbnail", MEDIA, Class::Api, recordings::thumbnail, "A small picture of a recording", bytes("image/jpeg").also(&[409, 422, 500])),
    write(Method::Post, "/api/recording/tag", MEDIA_WRITE, tags::tag_running, "Tags this moment of the recording under way, or of another one by its id", data("Tag").body("TagNow").also(&[404, 409])),
    get("/api/tags", MEDIA, Class::Api, tags::list, "Tags, the newest first", data("Tags").query(TAGGED)),
    write(Method::Post, "/api/tags", MEDIA_WRITE, tags::add, "Tags a moment of a recording", data("Tag").body("NewTag").also(&[404, 409])),
    get("/api/tags/{id}", MEDIA, Class::Api, tags::one, "One tag", data("Tag")),
    write(Method::Patch, "/api/tags/{id}", MEDIA_WRITE, tags::edit, "Changes a tag", data("Tag").body("TagChange")),
    write(Method::Put, "/api/tags/{id}", MEDIA_WRITE, tags::edit, "The same", data("Tag").body("TagChange")),
    write(Method::Delete, "/api/tags/{id}", MEDIA_WRITE, tags::remove, "Removes a tag", data("RemovedIds")),
    get("/api/categories", MEDIA, Class::Api, tags::categories, "Categories of tags, by name", data("Categories")),
    write(Method::Post, "/api/categories", MEDIA_WRITE, tags::add_category, "Adds a category: name, color", data("Category").body("NewCategory").also(&[409])),
    get("/api/categories/{id}", MEDIA, Class::Api, tags::category, "One category", data("Category")),
    write(Method::Patch, "/api/categories/{id}", MEDIA_WRITE, tags::edit_category, "Changes name, color", data("Category").body("CategoryChange").also(&[409])),
    write(Method::Put, "/api/categories/{id}", MEDIA_WRITE, tags::edit_category, "The same", data("Category").body("CategoryChange").also(&[409])),
    write(Method::Delete, "/api/categories/{id}", MEDIA_WRITE, tags::remove_category, "Removes a category; its tags stay without one", data("RemovedIds")),
    get("/api/files", STORAGE, Class::Api, files::list, "What is in a folder of the media folder", data("Files").query(FOLDER).also(&[404])),
    get("/api/files/{*path}", STORAGE, Class::Api, files::list, "The same, of the folder in the path", data("Files").query(FILES)),
    write(Method::Delete, "/api/files/{*path}", STORAGE_WRITE, files::remove, "Removes a file, and the recording that it is", data("RemovedFile").also(&[409, 500])),
    get("/files/{*path}", MEDIA, Class::Api, files::show, "A file of the media folder, or a part of it (Range)", bytes("*/*").also(&[416])),
    write(Method::Delete, "/files/{*path}", STORAGE_WRITE, files::remove, "Removes a file, and the recording that it is", data("RemovedFile").also(&[409, 500])),
    get("/download/{*path}", MEDIA, Class::Api, files::download, "The same file to be kept; also by a recording's number", bytes("*/*").also(&[416])),
    write(Method::Post, "/whep/{*path}", LIVE, webrtc::play, "Begins a WebRTC session of the stream in the path (WHEP): an SDP offer, answered with SDP", bytes("application/sdp").status("201").upload("application/sdp").also(&[406, 409, 415])),
    write(Method::Patch, "/whep/{*path}", LIVE, webrtc::trickle, "Candidates for the session that the path ends with (RFC 8840)", NOTHING.upload("application/trickle-ice-sdpfrag").also(&[415])),
    write(Method::Delete, "/whep/{*path}", LIVE, webrtc::end, "Ends the session that the path ends with", data("Ended")),
    get("/api/webrtc/offer", LIVE, Class::Api, webrtc::offer, "Offers a stream by WebRTC, for setRemoteDescription: stream", json("RtcOffer").query(STREAM).also(&[404, 406, 409])),
    write(Method::Post, "/api/webrtc/answer", LIVE, webrtc::answer, "The browser's answer to that offer: type, sdp", data("Accepted").body("RtcAnswer").also(&[404, 406, 409])),
    get("/api/webrtc/ice", LIVE, Class::Api, webrtc::servers, "STUN and TURN servers for RTCPeerConnection", data("IceServers")),
    write(Method::Post, "/api/webrtc/ice", LIVE, webrtc::candidate, "A candidate of the browser: candidate, sdpMid", data("Accepted").body("RtcCandidate").also(&[404])),
    write(Method::Post, "/upload", STORAGE_WRITE, uploads::upload, "Puts files into the folder uploads, as a form; they may be long (limit-upload)", data("Uploaded").upload("multipart/form-data").also(&[409, 415, 500])),
    write(Method::Post, "/api/login", None, login::login, "Begins a session: username, password", data("LoggedIn").body("Login")),
    write(Method::Post, "/api/logout", None, login::logout, "Ends the session or token that is used", data("Ended")),
    get("/api/session", None, Class::Api, login::session, "Who asks, what he may do, and the CSRF token", data("Session")),
    get("/api/sessions", None, Class::Api, login::sessions, "One's own sessions; of all with the permission User", data("Sessions")),
    write(Method::Delete, "/api/sessions/{id}", None, login::end_session, "Ends a session", data("Ended")),
    write(Method::Post, "/api/token", None, login::make_token, "Makes an API token: name, expires_in (seconds), role", data("Token").body("NewToken")),
    get("/api/token", None, Class::Api, login::tokens, "One's own API tokens; of all with the permission User", data("Tokens")),
    get("/api/tokens", None, Class::Api, login::tokens, "The same", data("Tokens")),
    write(Method::Delete, "/api/token/{id}", None, login::end_token, "Ends an API token", data("Ended")),
    write(Method::Delete, "/api/tokens/{id}", None, login::end_token, "Ends an API token", data("Ended")),
    get("/api/users", USER, Class::Api, users::list, "All users", data("Users")),
    write(Method::Post, "/api/users", USER_WRITE, users::add, "Adds a user: username, password, role, permissions", data("User").body("NewUser").also(&[409])),
    get("/api/users/{name}", None, Class::Api, users::one, "One user; everybody may read himself", data("User")),
    write(Method::Patch, "/api/users/{name}", USER_WRITE, users::change, "Changes role, permissions, password", data("User").body("UserChange").also(&[409])),
    write(Method::Put, "/api/users/{name}", USER_WRITE, users::change, "The same", data("User").body("UserChange").also(&[409])),
    write(Method::Delete, "/api/users/{name}", USER_WRITE, users::remove, "Removes a user", data("Removed").also(&[409])),
    get("/api/users/{name}/permissions", None, Class::Api, users::permissions, "What a user may do", data("Permissions")),
    write(Method::Put, "/api/users/{name}/permissions", USER_WRITE, users::set_permissions, "What a user may do beyond the role", data("User").body("Rights").also(&[409])),
    write(Method::Put, "/api/users/{name}/password", None, users::set_password, "Another password; one's own with old_password", data("Changed").body("Password")),
    get("/api/roles", USER, Class::Api, users::roles, "All roles", data("Roles")),
    write(Method::Post, "/api/roles", USER_WRITE, users::add_role, "Adds a role: name, permissions", data("Role").body("NewRole").also(&[409])),
    get("/api/roles/{name}", USER, Class::Api, users::one_role, "One role", data("Role")),
    write(Method::Put, "/api/roles/{name}", USER_WRITE, users::put_role, "Makes or changes a role; guest is what holds without a login", data("Role").body("Rights").also(&[409])),
    write(Method::Delete, "/api/roles/{name}", USER_WRITE, users::remove_role, "Removes a role", data("Removed").also(&[409])),
    get("/api/settings", ANY, Class::Api, settings::all, "Every setting and measured value", data("Settings")),
    write(Method::Post, "/api/settings", ANY, settings::set_many, "Sets keys, each for itself", json("Taken").body("SettingsChange").also(&[404])),
    write(Method::Patch, "/api/settings", ANY, settings::set_many, "Sets keys, each for itself", json("Taken").body("SettingsChange").also(&[404])),
    get("/api/settings/{key}", ANY, Class::Api, settings::one, "One key, its range and the hardware's", data("Setting")),
    write(Method::Post, "/api/settings/{key}", ANY, settings::set_one, "Sets a key: a JSON value or {\"value\": …}", data("SettingTaken").body("Value")),
    write(Method::Patch, "/api/settings/{key}", ANY, settings::set_one, "Sets a key: a JSON value or {\"value\": …}", data("SettingTaken").body("Value")),
    get("/api/schema", ANY, Class::Api, settings::schema, "JSON schema of all keys", json("Schema")),
    write(Method::Post, "/api/config/export", SYSTEM_WRITE, machine::export, "The whole configuration, for administrators; its secrets only under a passphrase", json("Configuration").body("Export").optional()),
    write(Method::Post, "/api/config/import", SYSTEM_WRITE, machine::import, "Takes an export in the place of the configuration, all of it or nothing, and starts again; for administrators", data("Begun").body("Import")),
    get("/api/config", ANY, Class::Api, settings::config, "Every setting by module", data("Config")),
    write(Method::Put, "/api/config", ANY, settings::set_config, "Changes modules, all or nothing", json("Taken").body("ConfigChange").also(&[404])),
    write(Method::Patch, "/api/config", ANY, settings::set_config, "Changes modules, all or nothing", json("Taken").body("ConfigChange").also(&[404])),
    get("/api/config/{section}", ANY, Class::Api, settings::section, "One module", data("Module")),
    write(Method::Put, "/api/config/{section}", ANY, settings::set_section, "Changes a module, all or nothing; what is left out gets its default, if that is one of ours (see /api/schema) and not the camera's own: those stay, see image-reset. What is measured is passed over: what GET gave may come back as a whole", json("Taken").body("SettingsChange")),
    write(Method::Patch, "/api/config/{section}", ANY, settings::set_section, "Changes a module, all or nothing", json("Taken").body("SettingsChange")),
    get("/api/latency", SYSTEM, Class::Api, metrics::latency, "How long the stages of a frame's way take, by streams", data("Latency")),
    get("/metrics", None, Class::Api, metrics::metrics, "Prometheus text; see the setting metrics-allow", bytes("text/plain")),
    get("/api/events", SYSTEM, Class::Api, events::events, "The event log, newest first; as it grows with Accept: text/event-stream", data("Events").query(EVENTS).or("text/event-stream")),
    get("/api/onvif/discover", NETWORK, Class::Api, discover::find, "ONVIF devices on the network, which takes three seconds", data("OnvifDevices")),
    write(Method::Post, "/api/onvif/discover", NETWORK_WRITE, discover::ask, "The same with their streams, by username and password; or adds the camera of a stream: add", data("OnvifDevices").body("OnvifDiscover").also(&[409, 500])),
    write(Method::Post, "/api/update", UPDATE, update::update, "Takes a signed package, at once or piece by piece, and starts it in the place of this program", data("Updated").upload("application/octet-stream").query(PIECE).also(&[409])),
    write(Method::Post, "/api/restart", REBOOT, machine::restart, "Starts the server's processes again", data("Begun")),
    write(Method::Post, "/api/reboot", REBOOT, machine::reboot, "Starts the machine again, where that is allowed", data("Begun")),
    write(Method::Post, "/api/reset", REBOOT, machine::reset, "Sets everything back to the factory's: {\"confirm\": true}", data("Begun").body("Confirm")),
    get("/api/certificate", NETWORK, Class::Api, certificate::view, "The TLS certificate", data("Certificate").also(&[404])),
    write(Method::Post, "/api/certificate", NETWORK_WRITE, certificate::replace, "Takes a certificate and its key as PEM, or makes a self-signed one", data("Certificate").body("NewCertificate").upload("multipart/form-data")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_streamed_is_served() {
        let (method, segment) = crate::http::parse::STREAMED;
        assert!(ROUTES.iter().any(|r| r.method == method && r.path == format!("/{segment}")));
    }

    #[test]
    fn every_route_is_documented_once() {
        for (i, a) in ROUTES.iter().enumerate() {
            assert!(a.doc.len() > 5 && a.path.starts_with('/'), "{}", a.path);
            assert!(ROUTES[i + 1..].iter().all(|b| (a.method, a.path) != (b.method, b.path)));
        }
    }
}
