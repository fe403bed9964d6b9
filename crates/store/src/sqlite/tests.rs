//! What only the store on a disk has: restarts, the lock, the format, sealed values, the queue.

use super::*;
use crate::Expect;
use tempfile::{TempDir, tempdir};

fn create(key: &str, value: impl Into<Bytes>) -> Write {
    Write { key: key.into(), expect: Expect::Absent, value: Some(value.into()), last: None }
}

fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(dir.path(), &Env::real(), None).unwrap()
}

struct Deaf;

impl Sink for Deaf {
    fn publish(&mut self, _: &[Event]) {}
}

#[tokio::test]
async fn a_restart_finds_everything_and_revisions_go_on() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    for index in 1..=10 {
        assert_eq!(store.commit(create(&format!("/{index:02}"), "v")).await.unwrap(), index);
    }
    let gone = Write { key: "/10".into(), expect: Expect::Revision(10), value: None, last: None };
    assert_eq!(store.commit(gone).await.unwrap(), 11);
    // The newest row is a delete, which compaction removes: its number must not come again.
    store.compact(11).await.unwrap();
    store.close().await;
    let store = open(&dir);
    let started = store.start(Box::new(Deaf)).unwrap();
    assert_eq!((started.revision, started.oldest, started.entries.len()), (11, 11, 9));
    assert_eq!(store.commit(create("/10", "v")).await.unwrap(), 12);
    // Dropped, not closed: what was answered is there all the same.
    let closed = store.closed();
    drop(store);
    closed.await;
    assert_eq!(open(&dir).start(Box::new(Deaf)).unwrap().revision, 12);
}

#[tokio::test]
async fn a_directory_serves_one_process() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let refused = SqliteStore::open(dir.path(), &Env::real(), None).err().unwrap();
    assert!(matches!(&refused, OpenError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
    store.close().await;
    open(&dir);
}

#[tokio::test]
async fn foreign_newer_and_unusable_directories_are_refused_by_name() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &str); 4] = [
        (|dir| sql(dir, "PRAGMA user_version = 2"), "has data format 2, this version knows up to 1"),
        (|dir| sql(dir, "PRAGMA application_id = 7"), "is not one of this program's databases"),
        (|dir| std::fs::write(dir.join("store.db"), vec![b'x'; 8192]).unwrap(), "is not one of this program's"),
        (
            |dir| {
                std::fs::remove_file(dir.join("lock")).unwrap();
                std::fs::create_dir(dir.join("lock")).unwrap();
            },
            "lock: Is a directory",
        ),
    ];
    for (spoil, expected) in cases {
        let dir = tempdir().unwrap();
        open(&dir).close().await;
        spoil(dir.path());
        let refused = SqliteStore::open(dir.path(), &Env::real(), None).err().unwrap().to_string();
        assert!(refused.contains(expected) && refused.contains(dir.path().to_str().unwrap()), "{refused}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = SqliteStore::open(&file.path().join("dir"), &Env::real(), None).err().unwrap();
    assert!(matches!(refused, OpenError::Directory { .. }), "{refused}");
}

fn sql(dir: &Path, sql: &str) {
    Connection::open(dir.join("store.db")).unwrap().execute_batch(sql).unwrap();
}

/// Turns bytes round and puts the key in front, as a cipher with associated data would refuse a
/// value under another key. Leaves keys under /plain alone.
struct Mirror;

impl Transformer for Mirror {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let sealed = || format!("sealed:{key}:").into_bytes().into_iter().chain(value.iter().rev().copied()).collect();
        Ok((!key.starts_with("/plain")).then(sealed))
    }

    fn open(&self, key: &str, stored: Bytes) -> Result<Bytes, String> {
        let Some(rest) = stored.strip_prefix(b"sealed:") else { return Ok(stored) };
        let sealed = rest.strip_prefix(format!("{key}:").as_bytes()).ok_or("sealed for another key")?;
        Ok(sealed.iter().rev().copied().collect())
    }
}

#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<Event>>>);

impl Sink for Published {
    fn publish(&mut self, events: &[Event]) {
        self.0.lock().unwrap().extend_from_slice(events);
    }
}

#[tokio::test]
async fn values_are_sealed_on_disk_and_plain_everywhere_else() {
    let dir = tempdir().unwrap();
    let sealed = || SqliteStore::open(dir.path(), &Env::real(), Some(Arc::new(Mirror))).unwrap();
    let old = open(&dir);
    old.commit(create("/secrets/old", "stored-before-sealing")).await.unwrap();
    old.close().await;
    let store = sealed();
    let published = Published::default();
    store.start(Box::new(published.clone())).unwrap();
    store.commit(create("/secrets/a", "first-password")).await.unwrap();
    store.commit(create("/plain/b", "no-secret")).await.unwrap();
    let gone = Write {
        key: "/secrets/a".into(),
        expect: Expect::Revision(2),
        value: None,
        last: Some("last-password".into()),
    };
    store.commit(gone).await.unwrap();
    let events = store.history(1, 10).await.unwrap();
    assert_eq!(events, *published.0.lock().unwrap());
    assert_eq!(events[2].last, Some("last-password".into()));
    assert_eq!(events[2].previous, Some((2, "first-password".into())));
    let then = store.entries_at("/secrets/".into(), 3).await.unwrap();
    assert_eq!(
        then.iter().map(|entry| &entry.value[..]).collect::<Vec<_>>(),
        [&b"first-password"[..], b"stored-before-sealing"]
    );
    store.close().await;
    let disk = std::fs::read(dir.path().join("store.db")).unwrap();
    let holds = |text: &str| disk.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("no-secret") && holds("drowssap-tsrif"));
    assert!(!holds("first-password") && !holds("last-password"));
    // A value moved under another key does not open.
    sql(dir.path(), "UPDATE history SET value = CAST('sealed:/other:x' AS BLOB) WHERE revision = 1");
    let refused = sealed().start(Box::new(Deaf)).unwrap_err();
    assert!(matches!(&refused, StoreError::Unreadable { key, .. } if &**key == "/secrets/old"), "{refused:?}");
}

/// Holds the writer up at its first event, until told to go on.
struct Gate(std::sync::mpsc::Receiver<()>);

impl Sink for Gate {
    fn publish(&mut self, _: &[Event]) {
        let _ = self.0.recv();
    }
}

#[tokio::test]
async fn writes_beyond_the_queue_are_refused_and_the_queued_ones_written() {
    let dir = tempdir().unwrap();
    let options = Options { queue: 8, ..Options::default() };
    let store = SqliteStore::open_with(dir.path(), &Env::real(), options).unwrap();
    let (open_gate, gate) = std::sync::mpsc::channel();
    store.start(Box::new(Gate(gate))).unwrap();
    let writes: Vec<_> = (0..100).map(|index| store.commit(create(&format!("/{index}"), "v"))).collect();
    drop(open_gate);
    let outcomes = futures_util::future::join_all(writes).await;
    let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let busy = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::Busy))).count();
    // Besides the queue, the writer may hold what it took before the gate shut.
    assert!(written >= 8 && busy > 0 && written + busy == 100, "{written} written, {busy} busy");
    assert_eq!(store.history(0, 1000).await.unwrap().len(), written);
}

#[tokio::test]
async fn the_log_is_moved_while_writes_go_on() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    for round in 0..40 {
        let value = Bytes::from(vec![7; 40_000]);
        let writes = (0..32).map(|index| store.commit(create(&format!("/{round}/{index}"), value.clone())));
        for outcome in futures_util::future::join_all(writes).await {
            outcome.unwrap();
        }
    }
    let log = std::fs::metadata(dir.path().join("store.db-wal")).unwrap().len();
    let database = std::fs::metadata(dir.path().join("store.db")).unwrap().len();
    assert!(database > 30 << 20, "{database} bytes in the database: the log is not moved");
    store.close().await;
    assert!(!dir.path().join("store.db-wal").exists(), "a clean end leaves no log, it was {log} bytes");
}

/// A small disk of its own, gone with the value.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> SmallDisk {
        let dir = tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", dir.path().to_str().unwrap()]);
        SmallDisk(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.path().to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = std::process::Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status} (the tests run as root)");
}

#[tokio::test]
async fn a_full_disk_closes_the_store_and_loses_nothing_answered() {
    let disk = SmallDisk::new("4m");
    let store = SqliteStore::open(disk.0.path(), &Env::real(), None).unwrap();
    let mut written = 0;
    let refused = loop {
        match store.commit(create(&format!("/{written}"), vec![b'x'; 100_000])).await {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
    };
    assert!(written > 10, "{written}");
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
    assert!(store.closed().await.contains("the disk is full"));
    assert!(matches!(store.commit(create("/more", "v")).await, Err(StoreError::Closed(_))));
    run("mount", &["-o", "remount,size=16m", disk.0.path().to_str().unwrap()]);
    let store = SqliteStore::open(disk.0.path(), &Env::real(), None).unwrap();
    let found = store.start(Box::new(Deaf)).unwrap().entries.len();
    assert_eq!(found, written);
    store.close().await;
}

#[tokio::test]
async fn a_disk_without_room_for_a_store_is_named() {
    let disk = SmallDisk::new("16k");
    let refused = SqliteStore::open(disk.0.path(), &Env::real(), None).err().unwrap();
    assert!(matches!(refused, OpenError::Full { .. }), "{refused}");
}
