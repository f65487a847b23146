//! `{"subscribe":"frames"}`: live pictures, as MP4 for Media Source Extensions or as JPEG.

use super::{error, may, refusal, say};
use crate::board::Refusal;
use crate::clients::{Playing, Watched};
use crate::desk::{ConnKey, Desk};
use crate::fmp4::{Broadcast, Frame};
use crate::http::At;
use lensd_ffi::auth::Access;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn subscribe(
    desk: &mut Desk,
    key: ConnKey,
    message: &Map<String, Value>,
    on: bool,
    at: At,
) {
    if on && !may(desk, key)(Access::LIVE) {
        return say(desk, key, &refusal("frames", &Refusal::Denied(Access::LIVE)));
    }
    let Some(before) = desk.clients.map.get_mut(&key).map(|c| c.pictures.take()) else { return };
    if let Some(watched) = before {
        desk.engine.unwatch(&watched.stream, at.mono);
    }
    if !on {
        return say(desk, key, &json!({ "unsubscribed": "frames" }));
    }
    let wrong = |desk: &mut Desk, member: &str, why: &str| {
        say(desk, key, &error("Invalid value", Some(member), why));
    };
    let video = match message.get("format").map(Value::as_str) {
        None | Some(Some("mp4")) => true,
        Some(Some("jpeg")) => false,
        Some(_) => return wrong(desk, "format", "Value must be one of: mp4, jpeg"),
    };
    let name = match message.get("stream").map(Value::as_str) {
        None => "stream1",
        Some(Some(name)) => name,
        Some(None) => return wrong(desk, "stream", "Value must be a text"),
    };
    let found = if video { desk.engine.video_of(name) } else { desk.engine.pictures_of(name) };
    let Some(stream) = found else {
        let why = match (video, desk.engine.pictures_of(name)) {
            (true, Some(_)) => {
                "this stream has JPEG pictures: ask for them with \"format\":\"jpeg\""
            }
            _ => "streams are stream1, stream2, camN and those of /api/streams",
        };
        return wrong(desk, "stream", why);
    };
    desk.engine.watch(&stream, at.mono);
    if let Some(client) = desk.clients.map.get_mut(&key) {
        let video = video.then(Playing::default);
        client.pictures = Some(Watched { stream: stream.clone(), named: name.to_owned(), video });
    }
    // A player is told first what will come, which is known with the first key frame ([`show`]).
    if !video {
        say(desk, key, &json!({ "subscribed": "frames", "stream": name, "format": "jpeg" }));
    }
}

/// Pictures have come. Called once between two deliveries of the outbox, so that a client gets one
/// parcel of video or misses it.
pub(crate) fn show(desk: &mut Desk, at: At) {
    // Who was behind when something was sent goes on with a key frame.
    for key in desk.outbox.take_behind() {
        let watched = desk.clients.map.get_mut(&key).and_then(|c| c.pictures.as_mut());
        if let Some(playing) = watched.and_then(|w| w.video.as_mut()) {
            *playing = Playing { init: playing.before, skips: true, ..Playing::default() };
        }
    }
    let mut streams: Vec<String> = Vec::new();
    for watched in desk.clients.map.values().filter_map(|c| c.pictures.as_ref()) {
        if !streams.contains(&watched.stream) {
            streams.push(watched.stream.clone());
        }
    }
    for stream in desk.hls.sources() {
        if !streams.iter().any(|known| known == stream) {
            streams.push(stream.to_owned());
        }
    }
    for stream in streams {
        show_stream(desk, &stream, at);
    }
}

/// Four times a second: who watches what follows the active camera goes over to another one.
pub(crate) fn follow(desk: &mut Desk, at: At) {
    for watched in desk.clients.map.values_mut().filter_map(|c| c.pictures.as_mut()) {
        let found = match &watched.video {
            Some(_) => desk.engine.video_of(&watched.named),
            None => desk.engine.pictures_of(&watched.named),
        };
        // A camera may be away meanwhile, or have none of these: then it stays as it is.
        let Some(stream) = found.filter(|found| *found != watched.stream) else { continue };
        desk.engine.watch(&stream, at.mono);
        desk.engine.unwatch(&watched.stream, at.mono);
        watched.stream = stream;
        // Another stream's init segments: it is told what comes, as at the beginning.
        watched.video = watched.video.take().map(|_| Playing::default());
    }
}

/// What a client gets at once, all of it or nothing.
type Parcels = BTreeMap<ConnKey, Vec<Frame>>;

fn show_stream(desk: &mut Desk, stream: &str, at: At) {
    let (mut players, mut viewers) = (Vec::new(), Vec::new());
    for (key, client) in &mut desk.clients.map {
        let Some(watched) = client.pictures.as_mut().filter(|w| w.stream == stream) else {
            continue;
        };
        if let Some(playing) = &mut watched.video {
            playing.before = playing.init;
            players.push(*key);
        } else {
            viewers.push(*key);
        }
    }
    if !viewers.is_empty()
        && let Some(frame) = desk.engine.newest_frame(stream, at.mono)
    {
        // The newest to each who has taken everything before.
        for key in viewers {
            desk.outbox.send_if_clear(key, Arc::clone(&frame));
        }
    }
    // HLS plays the same fragments.
    if players.is_empty() && !desk.hls.sources().any(|source| source == stream) {
        return;
    }
    let mut parcels = Parcels::new();
    while let Some(news) = desk.engine.next_fragment(stream, at.mono) {
        desk.hls.push(&mut desk.engine, stream, &news, at);
        let Some(video) = desk.engine.video(stream) else { break };
        for key in &players {
            let watched = desk.clients.map.get_mut(key).and_then(|c| c.pictures.as_mut());
            let Some(Watched { named, video: Some(playing), .. }) = watched else { continue };
            if !playing.flows && !news.key {
                continue;
            }
            let parcel = parcels.entry(*key).or_default();
            if begin(video, named, playing, parcel) {
                parcel.push(Arc::clone(&news.frame));
            }
        }
    }
    for key in &players {
        join(desk, stream, *key, &mut parcels);
    }
    for (key, frames) in parcels {
        desk.outbox.send_together(key, frames);
    }
}

/// Adds what goes ahead of the next fragment, unless the client has it. False: there is none.
fn begin(video: &Broadcast, named: &str, playing: &mut Playing, parcel: &mut Vec<Frame>) -> bool {
    if playing.init.is_none() || playing.init != video.version() {
        let Some(beginning) = video.beginning(named) else { return false };
        parcel.extend(beginning);
        playing.init = video.version();
    }
    (playing.flows, playing.skips) = (true, false);
    true
}

/// Lets a client begin in the middle of a group: with its key frame and all that came since. Who
/// is behind is not helped by that, but by the next one.
fn join(desk: &mut Desk, stream: &str, key: ConnKey, parcels: &mut Parcels) {
    let Some(video) = desk.engine.video(stream) else { return };
    let watched = desk.clients.map.get_mut(&key).and_then(|c| c.pictures.as_mut());
    let Some(Watched { named, video: Some(playing), .. }) = watched else { return };
    if playing.flows || playing.skips || video.group().is_empty() {
        return;
    }
    let parcel = parcels.entry(key).or_default();
    if begin(video, named, playing, parcel) {
        parcel.extend(video.group().iter().map(|news| Arc::clone(&news.frame)));
    }
}
