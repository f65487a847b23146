//! The value of an `Authorization` header. Laws: no panic; `expected` is a function; nobody gets in.
#![no_main]

use lensd_ffi::auth::digest::{Algorithm, NonceState, Nonces, Response};
use lensd_ffi::auth::{
    Access, Credentials, Guard, Permission, Request, Role, User, Users, Verdict,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(response) = Response::parse(text) {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let expected = response.expected(algorithm, "ha1", "PLAY");
            assert_eq!(expected, response.expected(algorithm, "ha1", "PLAY"));
            assert_ne!(expected, response.expected(algorithm, "ha2", "PLAY"));
        }
        let _ = response.algorithm();
        assert_eq!(Nonces::new([3; 32]).check(&response.nonce, 1), NonceState::Unknown);
    }
    let user = User::new("ann", Role::Administrator, "lensd", "a password nobody guesses");
    let from = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let mut guard = Guard::new(Users { users: vec![user], ..Users::default() }, [9; 32]);
    for header in [text.to_owned(), format!("Digest {text}"), format!("Basic {text}")] {
        let credentials = Credentials::parse(&header);
        let access = Access::write(Permission::Media);
        let request = Request { credentials: &credentials, method: "PLAY", uri: text, access };
        assert!(matches!(guard.verdict(&request, from, 1_000), Verdict::Login { .. }), "{header}");
    }
});
