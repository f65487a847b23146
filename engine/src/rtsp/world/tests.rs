//! The house without connections.

use super::super::transport;
use super::*;
use crate::coded::CodedUnit;
use crate::publish::{Kind, Publisher, Stream};
use lensd_ffi::auth::Lockout;
use lensd_ffi::ring::Geometry;
use lensd_ffi::unit::{Codec, NalSpan};
use std::net::Ipv4Addr;

/// A world with a stream each for two cameras.
fn world() -> (World, Vec<Publisher>) {
    let switchboard = Arc::new(Switchboard::default());
    let mut publishers = Vec::new();
    for camera in [1, 2] {
        let geometry = Geometry { slots: 16, bytes: 4096 };
        let bell = Bell::new().unwrap();
        let (stream, publisher) =
            Stream::create(camera, Kind::Main, Codec::H264, geometry, bell).unwrap();
        switchboard.add(stream);
        publishers.push(publisher);
    }
    let users = Arc::new(UserTable::new(false, Lockout::new()));
    let world = World {
        options: RtspOptions { max_sessions: 2, ..RtspOptions::default() },
        switchboard,
        posts: HashMap::new(),
        udp: Pair::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).unwrap(),
        way: Way { segment_ok: true, ..Way::default() },
        addresses: HashMap::new(),
        guard: users.guard([0; 32]),
        users,
        bell: Arc::new(Bell::new().unwrap()),
        sessions: 0,
        ingest: Arc::default(),
        groups: HashMap::new(),
        unfit: HashMap::new(),
        logins: Vec::new(),
        random: || 1,
        replays: Replays::default(),
        scenes: Arc::default(),
        feeds: Vec::new(),
    };
    (world, publishers)
}

fn call<'a>(world: &'a mut World, holding: &'a mut Holding, token: usize) -> Call<'a> {
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
    Call { world, holding, token, peer: local, local, tls: false, now: Stamp::default() }
}

fn setup(
    world: &mut World,
    holding: &mut Holding,
    token: usize,
    uri: &str,
    how: &str,
) -> Result<Chosen, Status> {
    let offers = transport::parse(how);
    call(world, holding, token).setup(&Path::parse(uri), &offers).map(|s| s.0)
}

#[test]
fn what_is_set_up_is_freed_whatever_the_transport() {
    let (mut world, _publishers) = world();
    for how in [
        "RTP/AVP/TCP;interleaved=0-1",
        "RTP/AVP;client_port=5000-5001",
        "RTP/AVP;multicast",
        "RTP/AVP",
    ] {
        for _ in 0..3 {
            let mut holding = Holding::default();
            let _ = setup(&mut world, &mut holding, 0, "/cam1/main", how);
            call(&mut world, &mut holding, 0).teardown();
        }
        assert_eq!((world.sessions, world.addresses.len()), (0, 0), "{how}");
        assert!(world.posts.is_empty(), "{how}");
    }
}

#[test]
fn two_streams_never_share_a_group_and_addresses_come_back() {
    let (mut world, _publishers) = world();
    let (mut long, mut short) = (Holding::default(), Holding::default());
    let how = "RTP/AVP;multicast";
    let first = setup(&mut world, &mut long, 0, "/cam1/main", how).unwrap();
    for _ in 0..300 {
        let other = setup(&mut world, &mut short, 1, "/cam2/main", how).unwrap();
        assert_ne!(first, other);
        call(&mut world, &mut short, 1).teardown();
    }
}

#[test]
fn the_limit_counts_sessions_that_are_there() {
    let (mut world, _publishers) = world();
    let how = "RTP/AVP/TCP;interleaved=0-1";
    let mut holdings: [Holding; 3] = Default::default();
    let [a, b, c] = &mut holdings;
    setup(&mut world, a, 0, "/cam1/main", how).unwrap();
    setup(&mut world, b, 1, "/cam1/main", how).unwrap();
    let refused = setup(&mut world, c, 2, "/cam1/main", how);
    assert_eq!(refused.unwrap_err(), Status::NOT_ENOUGH_BANDWIDTH);
    call(&mut world, a, 0).teardown();
    call(&mut world, a, 0).teardown();
    setup(&mut world, c, 2, "/cam1/main", how).unwrap();
    assert_eq!(world.sessions, 2);
}

#[test]
fn a_stream_that_rests_is_woken_although_another_was_asked_for_before() {
    let (mut world, publishers) = world();
    let mut holding = Holding::default();
    for (publisher, uri) in publishers.iter().zip(["/cam1/main", "/cam2/main"]) {
        let said = call(&mut world, &mut holding, 0).describe(&Path::parse(uri));
        assert_eq!(said, Described::Wait);
        assert!(publisher.stream().is_wanted());
    }
}

#[test]
fn a_camera_that_is_away_is_not_described_unless_something_is_shown_meanwhile() {
    let (mut world, mut publishers) = world();
    let (mut holding, path) = (Holding::default(), Path::parse("/cam1/main"));
    let unit = |key| {
        let (bytes, nals) = (vec![0, 0, 0, 1, 0x65], vec![NalSpan { offset: 4, len: 1 }]);
        CodedUnit { codec: Codec::H264, key, bytes, nals, ..CodedUnit::default() }
    };
    publishers[0].publish(&unit(true), None).unwrap();
    let mut said = || call(&mut world, &mut holding, 0).describe(&path);
    assert!(matches!(said(), Described::Sdp(_)));
    publishers[0].stream().set_away("unplugged", false);
    assert_eq!(said(), Described::Unavailable("unplugged".to_owned()));
    publishers[0].stream().set_away("unplugged", true);
    assert!(matches!(said(), Described::Sdp(_)));
    publishers[0].stream().set_away("", false);
    assert!(matches!(said(), Described::Sdp(_)));
}

#[test]
fn pictures_that_rtp_cannot_carry_are_not_announced() {
    let (mut world, _publishers) = world();
    let geometry = Geometry { slots: 16, bytes: 4096 };
    let bell = Bell::new().unwrap();
    let (stream, mut publisher) =
        Stream::create(1, Kind::Mjpeg, Codec::Jpeg, geometry, bell).unwrap();
    world.switchboard.add(stream);
    // A progressive picture.
    let bytes = vec![0xff, 0xd8, 0xff, 0xc2, 0, 2, 0xff, 0xd9];
    let nals = vec![NalSpan { offset: 0, len: 8 }];
    let unit = CodedUnit { codec: Codec::Jpeg, key: true, bytes, nals, ..CodedUnit::default() };
    publisher.publish(&unit, None).unwrap();
    let mut holding = Holding::default();
    let path = Path::parse("/cam1/mjpeg");
    let said = call(&mut world, &mut holding, 0).describe(&path);
    assert!(matches!(said, Described::Unfit(why) if why.contains("baseline")), "{said:?}");
    // Long afterwards it is not known what the camera gives: it is asked for a picture.
    let mut later = call(&mut world, &mut holding, 0);
    later.now.mono = lensd_ffi::time::now().plus(Nanos::from_secs(100));
    assert_eq!(later.describe(&path), Described::Wait);
    assert!(publisher.stream().is_wanted());
}
