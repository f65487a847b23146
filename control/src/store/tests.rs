use super::*;
use serde_json::json;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lensd-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("state").join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(pairs: &[(&str, Value)]) -> Vec<(String, Option<Value>)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), Some(v.clone()))).collect()
}

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let folder = Folder::new("restart");
    let store = Store::open(&folder.0).unwrap();
    assert!(store.notes().is_empty() && store.fault().is_none());
    store.save_settings(&settings(&[("fps", json!(25)), ("name", json!("Ä"))])).unwrap();
    store.save_settings(&[("name".to_owned(), None)]).unwrap();
    store.save_secret("s3", b"hidden").unwrap();
    let large = "x".repeat(40_000);
    store.save_settings(&settings(&[("large", json!(large))])).unwrap();
    assert!(matches!(Store::open(&folder.0), Err(StoreError::InUse(_))));
    drop(store);

    let store = Store::open(&folder.0).unwrap();
    assert!(store.notes().is_empty(), "{:?}", store.notes());
    let found = store.load_settings();
    assert_eq!((found.len(), &found["fps"]), (2, &json!(25)));
    assert_eq!(found["large"], json!(large));
    assert_eq!(store.load_secret("s3").unwrap().as_slice(), b"hidden");
    for name in ["data.mdb", "device.key", "lock"] {
        assert_eq!(fs::metadata(folder.file(name)).unwrap().mode() & 0o077, 0, "{name}");
    }
    let bytes = fs::read(folder.file("data.mdb")).unwrap();
    assert!(!bytes.windows(6).any(|w| w == b"hidden"), "a secret in the clear");
}

#[test]
fn lmdb_reads_and_scans_what_was_committed() {
    let folder = Folder::new("kv");
    fs::create_dir_all(&folder.0).unwrap();
    let mut kv = Kv::open(&folder.0, 1 << 20).unwrap();
    assert!(kv.scan("").unwrap().is_empty() && kv.scan("a").unwrap().is_empty());
    let mut set = ChangeSet::default();
    for key in ["a/1", "a/2", "b/1"] {
        set.put(key, key);
    }
    set.put("gone", "");
    set.delete("gone");
    kv.commit(&set).unwrap();
    assert_eq!(kv.read("a/2").unwrap().unwrap(), b"a/2");
    assert_eq!(kv.read("gone").unwrap(), None);
    let keys = |prefix: &str| kv.scan(prefix).unwrap().len();
    assert_eq!([keys(""), keys("a/"), keys("b"), keys("c")], [3, 2, 1, 0]);
}

#[test]
fn a_set_that_does_not_fit_changes_nothing() {
    let folder = Folder::new("full");
    let store = Store::open_sized(&folder.0, 1 << 17).unwrap();
    store.save_settings(&settings(&[("a", json!(1))])).unwrap();
    let much: Vec<_> = (0..9).map(|i| (format!("k{i}"), Some(json!("x".repeat(30_000))))).collect();
    assert!(matches!(store.save_settings(&much), Err(StoreError::NoRoom(_))));
    assert_eq!(store.load_settings().len(), 1);
    store.save_settings(&settings(&[("a", json!(2))])).unwrap();
    let long = "k".repeat(600);
    let refused = store.save_settings(&settings(&[("b", json!(1)), (&long, json!(1))]));
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    drop(store);
    let store = Store::open(&folder.0).unwrap();
    assert_eq!(store.load_settings(), BTreeMap::from([("a".to_owned(), json!(2))]));
}

#[test]
fn a_damaged_file_is_kept_and_does_not_stop_the_start() {
    let folder = Folder::new("damage");
    let fill = |store: &Store| {
        let many: Vec<_> =
            (0..300).map(|i| (format!("key{i:04}"), Some(json!("x".repeat(i))))).collect();
        store.save_settings(&many).unwrap();
    };
    fill(&Store::open(&folder.0).unwrap());
    let good = fs::read(folder.file("data.mdb")).unwrap();
    assert_eq!(check_file(&good), Ok(()));

    // Wherever its page was copied to; behind the key stand its checksum and its value.
    let mut bent = good.clone();
    let name = b"setting/key0123";
    let ats = (0..bent.len() - 64).filter(|at| bent[*at..].starts_with(name)).collect::<Vec<_>>();
    ats.iter().for_each(|at| bent[at + name.len() + 9] = b'y');
    for (what, bytes, rest) in [
        ("cut off", good[..good.len() / 2].to_vec(), 0),
        ("another program's", b"SQLite format 3\0".repeat(1000), 0),
        ("zeros", vec![0; 100_000], 0),
        ("one entry", bent, 299),
    ] {
        fs::write(folder.file("data.mdb"), &bytes).unwrap();
        let store = Store::open(&folder.0).unwrap();
        let notes = store.notes().join("\n");
        assert!(notes.contains("damaged-"), "{what}: {notes}");
        assert_eq!(store.load_settings().len(), rest, "{what}");
        let aside = fs::read_dir(folder.0.join("state"))
            .unwrap()
            .flatten()
            .find_map(|e| e.file_name().to_str()?.starts_with("damaged-").then(|| e.path()));
        let aside = aside.unwrap();
        assert_eq!(fs::read(aside.join("data.mdb")).unwrap(), bytes, "{what}");
        fs::remove_dir_all(aside).unwrap();
        drop(store);
        fs::remove_file(folder.file("data.mdb")).unwrap();
        assert!(Store::open(&folder.0).unwrap().notes().is_empty());
    }
}

/// Whatever stands in a file, looking at it ends; and whatever passes, LMDB can be let loose on.
#[test]
fn bent_files_are_looked_at_without_a_fault() {
    let folder = Folder::new("bent");
    let store = Store::open(&folder.0).unwrap();
    for i in 0..200 {
        let value = json!("v".repeat(i * 37 % 9000));
        store.save_settings(&settings(&[(&format!("k{i}"), value)])).unwrap();
    }
    drop(store);
    let good = fs::read(folder.file("data.mdb")).unwrap();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut refused = 0;
    for _ in 0..2000 {
        let mut bent = good.clone();
        for _ in 0..=random(4) {
            let page = random(good.len() / 4096) * 4096;
            bent[page + random(64)] = u8::try_from(random(256)).unwrap();
        }
        bent.truncate(good.len() - random(2) * random(good.len()));
        refused += usize::from(check_file(&bent).is_err());
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_key_that_is_lost_loses_secrets_and_nothing_else() {
    let folder = Folder::new("key");
    let store = Store::open(&folder.0).unwrap();
    store.save_secret("a", b"1").unwrap();
    store.save_settings(&settings(&[("fps", json!(1))])).unwrap();
    drop(store);
    fs::set_permissions(folder.file("device.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&folder.0).unwrap();
    assert_eq!(store.notes().len(), 1);
    assert!(store.load_secret("a").is_some());
    drop(store);
    fs::write(folder.file("device.key"), "short").unwrap();
    let store = Store::open(&folder.0).unwrap();
    assert_eq!(store.notes().len(), 1);
    assert!(store.load_secret("a").is_none() && store.load_settings().len() == 1);
}

#[test]
fn a_newer_store_is_left_alone() {
    let folder = Folder::new("newer");
    let store = Store::open(&folder.0).unwrap();
    let mut set = ChangeSet::default();
    set.put(SCHEMA_KEY, "2");
    store.commit(&set).unwrap();
    drop(store);
    assert!(matches!(Store::open(&folder.0), Err(StoreError::Newer(_))));
    let volatile = Store::open_or_volatile(&folder.0);
    assert!(volatile.fault().unwrap().contains("newer"));
    volatile.save_settings(&settings(&[("fps", json!(1))])).unwrap();
    assert_eq!(volatile.load_settings().len(), 1);
}

#[test]
fn a_reset_keeps_what_it_should() {
    let folder = Folder::new("reset");
    let store = Store::open(&folder.0).unwrap();
    let some = [("categories", json!([1])), ("categoryCounter", json!(7)), ("fps", json!(9))];
    store.save_settings(&settings(&some)).unwrap();
    store.save_secret("s", b"x").unwrap();
    store.factory_reset(&["categories", "categoryCounter"]).unwrap();
    let left: Vec<String> = store.load_settings().into_keys().collect();
    assert_eq!(left, ["categories", "categoryCounter"]);
    assert!(store.load_secret("s").is_none());
    drop(store);
    assert!(Store::open(&folder.0).is_ok());
}

#[test]
fn what_is_secret_in_a_setting_is_sealed() {
    let folder = Folder::new("sealed");
    let store = Store::open(&folder.0).unwrap();
    let servers = json!([{"urls": "turn:h", "username": "u", "credential": "hidden77"}]);
    let key = "webrtc-ice-servers";
    let plain = |store: &Store| {
        let all = format!(
            "{:?}",
            store
                .scan("")
                .values()
                .map(|v| String::from_utf8_lossy(v).into_owned())
                .collect::<Vec<_>>()
        );
        all.contains("hidden77")
    };
    // As an earlier version stored it.
    let mut set = ChangeSet::default();
    set.put_json(format!("setting/{key}"), &servers).unwrap();
    store.commit(&set).unwrap();
    assert!(plain(&store));
    drop(store);
    let store = Store::open(&folder.0).unwrap();
    assert!(!plain(&store));
    assert_eq!(store.load_settings()[key], servers);
    let mut set = ChangeSet::default();
    set.put("user/ann", r#"{"role":"administrator"}"#);
    set.put("password/ann", "$argon2id$…");
    store.commit(&set).unwrap();

    let bare = store.export(None, &Secrets::new()).unwrap();
    assert_eq!(bare["settings"][key][0]["credential"], "***");
    store.import(&Import::read(bare.clone(), None).unwrap()).unwrap();
    assert_eq!(store.load_settings()[key], servers, "what an export hides is still here");
    let passphrase = Some("a long passphrase");
    let whole = store.export(passphrase, &Secrets::new()).unwrap();
    assert!(!whole.to_string().contains("hidden77"));

    let there = Folder::new("sealed-there");
    let other = Store::open(&there.0).unwrap();
    other.import(&Import::read(whole, passphrase).unwrap()).unwrap();
    assert_eq!(other.load_settings()[key], servers);
    other.save_settings(&settings(&[(key, json!([]))])).unwrap();
    other.import(&Import::read(bare.clone(), None).unwrap()).unwrap();
    assert_eq!(other.load_settings()[key], servers, "it was sealed here");
    other.save_settings(&[(key.to_owned(), None)]).unwrap();
    other.import(&Import::read(bare, None).unwrap()).unwrap();
    assert!(!other.load_settings().contains_key(key), "a mask is no credential");
}

#[test]
fn a_configuration_moves_to_another_device() {
    let (here, there) = (Folder::new("export"), Folder::new("import"));
    let store = Store::open(&here.0).unwrap();
    let mut set = ChangeSet::default();
    set.put("user/ann", r#"{"role":"administrator"}"#);
    set.put("password/ann", "$argon2id$…");
    store.put_secret(&mut set, "user/ann", b"secret123").unwrap();
    store.commit(&set).unwrap();
    store.save_settings(&settings(&[("fps", json!(30))])).unwrap();

    let bare = store.export(None, &Secrets::new()).unwrap();
    assert!(!bare.to_string().contains("argon2id"), "{bare}");
    let whole = store.export(Some("a long passphrase"), &Secrets::new()).unwrap();
    assert!(!whole.to_string().contains("secret123"));
    assert!(store.export(Some("short"), &Secrets::new()).is_err());

    let other = Store::open(&there.0).unwrap();
    let import = |value: &Value, passphrase: Option<&str>| {
        other.import(&Import::read(value.clone(), passphrase)?)
    };
    other.save_settings(&settings(&[("gain", json!(3))])).unwrap();
    for (value, passphrase) in [
        (&bare, None),
        (&whole, Some("another passphrase")),
        (&whole, None),
        (&json!({"lensd-configuration": 2}), None),
        (&json!({"lensd-configuration": 1, "users": 3}), None),
        (&json!({"lensd-configuration": 1, "user": {}}), None),
    ] {
        assert!(matches!(import(value, passphrase), Err(StoreError::Refused(_))));
    }
    assert_eq!(other.load_settings().len(), 1, "nothing half");
    import(&whole, Some("a long passphrase")).unwrap();
    assert_eq!(other.load_settings(), store.load_settings());
    assert_eq!(other.load_secret("user/ann").unwrap().as_slice(), b"secret123");
    import(&bare, None).unwrap();
    assert!(other.load_secret("user/ann").is_some(), "who is here keeps his password");
}
