use super::*;
use parking_lot::Mutex;
use serde_json::json;
use std::path::PathBuf;

fn empty() -> Mutex<Accounts> {
    Mutex::new(Accounts::new(Arc::new(Store::volatile(None)), false))
}

/// `ann` administers, `bob` looks on.
fn two() -> Mutex<Accounts> {
    let accounts = empty();
    for (name, role) in [("ann", "administrator"), ("bob", "viewer")] {
        let password = format!("{name}-secret");
        let add = Command::Add { name: name.into(), role: role.into(), password };
        assert_eq!(obey(&accounts, &add, 1).error, None);
    }
    accounts
}

#[test]
fn a_password_is_checked_and_logs_in() {
    let accounts = two();
    assert!(is_password(&accounts, "bob", "bob-secret"));
    for (name, password) in [("bob", "ann-secret"), ("bob", ""), ("eve", "bob-secret")] {
        assert!(!is_password(&accounts, name, password), "{name}");
    }
    let begun = accounts.lock().begin_session("bob", "::1", "curl\n", 1000).unwrap();
    let table = accounts.lock().table();
    let login = table.users.login_by_token(&begun.token, 2000).unwrap();
    assert_eq!((login.user.as_str(), login.role.as_str()), ("bob", "viewer"));
    assert!(table.users.login_by_token(&begun.token, 1000 + tokens::SESSION_MS).is_none());
    assert!(!format!("{begun:?} {table:?}").contains(begun.token.as_str()));
    let stored = accounts.lock().store.scan("");
    let stored =
        format!("{:?}", stored.values().map(|v| String::from_utf8_lossy(v)).collect::<Vec<_>>());
    assert!(!stored.contains(begun.token.as_str()) && !stored.contains("bob-secret"));
}

#[test]
fn a_session_lasts_as_long_as_it_is_used() {
    let accounts = two();
    let mut accounts = accounts.lock();
    let begun = accounts.begin_session("bob", "", "", 0).unwrap();
    let token = accounts.make_token("bob", "door", Some("viewer"), "", 5000, 0).unwrap();
    let hashes = [&begun, &token].map(|b| Token::hash(&b.token));
    accounts.touch(&hashes, 4000).unwrap();
    let users = accounts.table().users;
    assert_eq!(users.token(&hashes[0], 1).unwrap().expires_ms, 4000 + tokens::SESSION_MS);
    assert_eq!(users.token(&hashes[1], 1).unwrap().expires_ms, 5000, "a token does not");
    accounts.touch(&[], 6000).unwrap();
    assert_eq!(accounts.tokens(Kind::Token, None).len(), 0, "what is over is forgotten");
}

#[test]
fn sessions_are_bounded() {
    let accounts = two();
    let mut accounts = accounts.lock();
    for i in 0..1030 {
        accounts.begin_session("bob", "", "", i).unwrap();
    }
    let sessions = accounts.tokens(Kind::Session, Some("bob"));
    assert_eq!(sessions.len(), 1024);
    assert!(sessions.iter().all(|(_, t)| t.used >= 6), "the oldest went");
}

#[test]
fn who_wants_to_make_room_can_log_in() {
    let folder = std::env::temp_dir().join(format!("lensd-room-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("state")).unwrap();
    let store = Arc::new(Store::open_sized(&folder, 1 << 17).unwrap());
    let mut accounts = Accounts::new(Arc::clone(&store), false);
    accounts.ensure_admin(Some("a-secret-1"), 0).unwrap();
    let mut size = 30_000;
    for i in 0.. {
        let value = json!("x".repeat(size));
        if store.save_settings(&[(format!("k{i}"), Some(value))]).is_err() {
            if size == 1 {
                break;
            }
            size /= 2;
        }
    }
    let last =
        (0..100).map(|i| accounts.begin_session("admin", "", "", i).unwrap()).last().unwrap();
    let hash = Token::hash(&last.token);
    let known = |accounts: &Accounts| accounts.table().users.token(&hash, 200).is_some();
    assert!(accounts.unkept.len() <= 64 && accounts.unkept.contains_key(&hash), "it is full");
    accounts.reload();
    assert!(known(&accounts), "whatever else is read anew");
    accounts.end_token(Kind::Session, &hash, Some("admin")).unwrap();
    assert!(!known(&accounts));
    drop((accounts, store));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_change_ends_what_was_open() {
    let accounts = two();
    let begin = || accounts.lock().begin_session("bob", "", "", 5).unwrap().token;
    let holds = |login| accounts.lock().table().users.holds(&login, 5);
    let credential = Credential::make("bob", "another-secret").unwrap();
    let guest = "guest";
    type Change<'a> = (&'a str, Box<dyn Fn(&mut Accounts) + 'a>);
    let changes: Vec<Change<'_>> = vec![
        ("password", Box::new(|a| a.set_password("bob", &credential, 6).unwrap())),
        ("role", Box::new(|a| a.change("bob", Some("operator"), None, 7).unwrap())),
        ("permissions", Box::new(|a| a.change("bob", None, Some(Rights::ALL), 8).unwrap())),
        (
            "custom role",
            Box::new(|a| {
                a.put_role("night", Rights::NONE).unwrap();
                a.change("bob", Some("night"), Some(Rights::NONE), 9).unwrap();
            }),
        ),
    ];
    for (what, change) in changes {
        let token = begin();
        let users = accounts.lock().table().users;
        let (by_token, by_name) =
            (users.login_by_token(&token, 5).unwrap(), users.login("bob").unwrap());
        let ann = users.login("ann").unwrap();
        change(&mut accounts.lock());
        assert!(!holds(by_token) && !holds(by_name), "{what}");
        assert!(holds(ann), "{what}: of others nothing ends");
    }
    let bob = accounts.lock().table().users.login("bob").unwrap();
    accounts.lock().put_role("night", Role::Viewer.rights()).unwrap();
    assert!(!holds(bob), "the role itself");
    let nobody = accounts.lock().table().users.guest();
    accounts.lock().put_role(guest, Rights::NONE).unwrap();
    assert!(!holds(nobody), "guests");
    accounts.lock().remove_role(guest).unwrap();
    let bob = accounts.lock().table().users.login("bob").unwrap();
    accounts.lock().remove("bob").unwrap();
    assert!(!holds(bob), "removal");
    let left = accounts.lock().store.scan("").into_keys().filter(|k| k.contains("bob")).count();
    assert_eq!(left, 0);
}

#[test]
fn rules() {
    let accounts = two();
    let credential = Credential::make("x", "long enough").unwrap();
    assert!(matches!(Credential::make("x", "short"), Err(Refusal::Invalid("password", _))));
    let mut a = accounts.lock();
    let add =
        |a: &mut Accounts, name: &str, role: &str| a.add(name, role, Rights::NONE, &credential, 1);
    for name in ["", ".x", "a b", "a/b", "ä", &"x".repeat(65), "a\"b", "a:b"] {
        assert!(
            matches!(add(&mut a, name, "viewer"), Err(Refusal::Invalid("username", _))),
            "{name}"
        );
    }
    assert!(matches!(add(&mut a, "bob", "viewer"), Err(Refusal::Conflict(_))));
    for role in ["", "guest", "Viewer", "none"] {
        assert!(matches!(add(&mut a, "eve", role), Err(Refusal::Invalid("role", _))), "{role}");
    }
    assert!(matches!(a.remove("ann"), Err(Refusal::Conflict(_))));
    assert!(matches!(a.change("ann", Some("viewer"), None, 2), Err(Refusal::Conflict(_))));
    a.change("bob", Some("administrator"), None, 2).unwrap();
    a.remove("ann").unwrap();
    assert!(matches!(a.remove("ann"), Err(Refusal::NotFound(_))));

    for name in ["administrator", "operator", "viewer"] {
        assert!(matches!(a.put_role(name, Rights::NONE), Err(Refusal::Conflict(_))));
        assert!(matches!(a.remove_role(name), Err(Refusal::Conflict(_))));
    }
    assert!(matches!(a.put_role("guest", Rights::ALL), Err(Refusal::Invalid("permissions", _))));
    a.put_role("night", Rights::ALL).unwrap();
    add(&mut a, "eve", "night").unwrap();
    assert!(matches!(a.remove_role("night"), Err(Refusal::Conflict(_))));
    a.remove("eve").unwrap();
    a.remove_role("night").unwrap();
    assert!(matches!(a.remove_role("night"), Err(Refusal::NotFound(_))));
    for i in 0..MAX_USERS - 1 {
        add(&mut a, &format!("user{i}"), "viewer").unwrap();
    }
    assert!(matches!(add(&mut a, "onemore", "viewer"), Err(Refusal::Conflict(_))));
}

#[test]
fn the_first_user() {
    let accounts = empty();
    let mut a = accounts.lock();
    let made = a.ensure_admin(None, 1).unwrap().unwrap();
    assert_eq!(a.user(ADMIN).unwrap().role, "administrator");
    assert!(a.ensure_admin(None, 2).unwrap().is_none());
    let generation = |a: &Accounts| a.table().users.find(ADMIN).unwrap().generation;
    let before = generation(&a);
    assert!(a.ensure_admin(Some(&made), 3).unwrap().is_none());
    assert_eq!(generation(&a), before, "the same password changes nothing");
    assert!(a.ensure_admin(Some("short"), 4).is_err());
    assert!(a.ensure_admin(Some("another one"), 4).unwrap().is_none());
    assert_ne!(generation(&a), before);
    drop(a);
    assert!(is_password(&accounts, ADMIN, "another one"));
}

#[test]
fn users_of_an_earlier_version_are_taken_over_once() {
    let data: PathBuf = std::env::temp_dir().join(format!("lensd-legacy-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(data.join("state")).unwrap();
    let file = data.join("state/users.json");
    let ha1 = |a: Algorithm| a.hash("ann:lensd:secret123");
    let old = json!({
        "realm": "lensd", "open": false,
        "users": [{"name": "ann", "role": "administrator",
            "ha1_md5": ha1(Algorithm::Md5), "ha1_sha256": ha1(Algorithm::Sha256)}],
        "tokens": [{"sha256": Token::hash("tok"), "user": "ann", "expires_ms": 0}],
    });
    std::fs::write(&file, old.to_string()).unwrap();
    let store = Arc::new(Store::open(&data).unwrap());
    let accounts = Mutex::new(Accounts::new(Arc::clone(&store), false));
    let note = accounts.lock().take_over(&data, 1).unwrap();
    assert!(note.starts_with("1 users") && !file.exists(), "{note}");
    assert_eq!(accounts.lock().take_over(&data, 1), None);
    let users = accounts.lock().table().users;
    assert_eq!(users.find("ann").unwrap().ha1_md5, ha1(Algorithm::Md5));
    assert_eq!(users.login_by_token("tok", 9).unwrap().user, "ann");
    assert!(store.read("password/ann").is_none());
    assert!(!is_password(&accounts, "ann", "secret124"));
    assert!(is_password(&accounts, "ann", "secret123"));
    assert!(store.read("password/ann").is_some(), "what was missing is made at the first log-in");
    assert!(is_password(&accounts, "ann", "secret123"));
    let generation = |u: &Users| u.find("ann").unwrap().generation;
    assert_eq!(generation(&users), generation(&accounts.lock().table().users));

    std::fs::write(&file, "{").unwrap();
    let note = accounts.lock().take_over(&data, 1).unwrap();
    assert!(note.contains("users.json.damaged") && !file.exists(), "{note}");
    std::fs::remove_dir_all(&data).unwrap();
}

#[test]
fn without_the_devices_key_passwords_still_log_in_and_make_the_rest_anew() {
    let data: PathBuf = std::env::temp_dir().join(format!("lensd-nokey-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    let open = || Mutex::new(Accounts::new(Arc::new(Store::open(&data).unwrap()), false));
    let accounts = open();
    accounts.lock().ensure_admin(Some("secret123"), 1).unwrap();
    drop(accounts);
    std::fs::remove_file(data.join("state/device.key")).unwrap();
    let accounts = open();
    let md5 = || accounts.lock().table().users.find(ADMIN).unwrap().ha1_md5.clone();
    assert_eq!(md5(), "");
    assert!(is_password(&accounts, ADMIN, "secret123"));
    assert_eq!(md5(), Algorithm::Md5.hash("admin:lensd:secret123"));
    std::fs::remove_dir_all(&data).unwrap();
}

#[test]
fn several_users_are_changed_together_or_not_at_all() {
    let accounts = two();
    let mut accounts = accounts.lock();
    let role = |all: &Accounts, name: &str| all.users()[name].role.clone();
    let both = |ann, bob| [("ann".to_owned(), ann, None), ("bob".to_owned(), bob, None)];
    for refused in [
        vec![("bob".to_owned(), Role::Operator, None), ("eve".to_owned(), Role::Viewer, None)],
        Vec::from(both(Role::Viewer, Role::Operator)),
    ] {
        assert!(accounts.change_all(&refused, 5).is_err());
        assert_eq!(
            (role(&accounts, "ann"), role(&accounts, "bob")),
            words("administrator", "viewer")
        );
    }
    // Each would be the last administrator without the other.
    accounts.change_all(&both(Role::Viewer, Role::Administrator), 5).unwrap();
    assert_eq!((role(&accounts, "ann"), role(&accounts, "bob")), words("viewer", "administrator"));
    let credential = Credential::make("ann", "ann-other").unwrap();
    let change = [("ann".to_owned(), Role::Viewer, Some(credential))];
    accounts.change_all(&change, 6).unwrap();
    assert_eq!(accounts.users()["ann"].generation, 1);
}

fn words(ann: &str, bob: &str) -> (String, String) {
    (ann.to_owned(), bob.to_owned())
}
