//! `kutter secrets rotate-key`, and the server's part in it: a new key seals, everything is written
//! again with it, and the old key goes.
//!
//! What is to be done stands in the file of keys, so that a crash at any step is made up for by the
//! next start: while there are two keys, a server writes everything again and then drops the second.

use crate::command_line;
use crate::sealing::Sealing;
use anyhow::{Context as _, bail, ensure};
use apiserver::Server;
use auth::encryption::{Encryption, Keyring};
use base::Env;
use clap::{ArgMatches, Command};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::{Event, OpenError, Revision, Sink, SqliteStore, Store};
use tracing::{info, warn};

/// In the data dir.
pub const KEYS: &str = "encryption.keys";
/// What the server's own keys seal.
const SEALED: &str = "/registry/secrets/";
/// How often a server looks whether it is to begin.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the command waits for a server that is running.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Rotation {
    pub env: Env,
    pub store: Arc<dyn Store>,
    pub encryption: Arc<Encryption>,
    pub keys: Keyring,
}

impl Rotation {
    /// Does what the file of keys says, for as long as the server runs.
    pub async fn follow(self, server: Arc<Server>) {
        loop {
            if let Err(error) = self.turn(&|| server.revision()).await {
                warn!(%error, "the rotation of the encryption key did not come to its end; it will be tried again");
            }
            self.env.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Ends a rotation that was begun.
    async fn turn(&self, revision: &(dyn Fn() -> Revision + Sync)) -> anyhow::Result<()> {
        if !self.keys.is_rotating()? {
            return Ok(());
        }
        self.encryption.set_own(self.keys.sealer()?);
        let written = store::reseal(self.store.as_ref(), &self.env.clock, SEALED, revision).await?;
        self.keys.finish()?;
        self.encryption.set_own(self.keys.sealer()?);
        info!(written, "everything is sealed with the new encryption key");
        Ok(())
    }
}

pub fn command() -> Command {
    Command::new("secrets")
        .about("Encryption of Secrets at rest")
        .subcommand_required(true)
        .arg(command_line::data_dir().global(true))
        .after_help("Example:\n  kutter secrets rotate-key")
        .subcommand(Command::new("rotate-key").about("Seal every Secret with a new key and drop the old one"))
}

pub fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    rotate(&command_line::dir(matches))
}

/// Rotates the key: by the server that runs on this data dir, or without one.
pub fn rotate(data_dir: &Path) -> anyhow::Result<ExitCode> {
    let keys = Keyring::at(&data_dir.join(KEYS));
    ensure!(data_dir.join(KEYS).exists(), "no server was started in {}", data_dir.display());
    if !keys.begin()? {
        eprintln!("a rotation was begun before; it goes on");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let env = Env::real();
        let encryption = Arc::new(Encryption::new(keys.sealer()?));
        match SqliteStore::open(&data_dir.join("store"), &env, Some(Arc::new(Sealing(encryption.clone())))) {
            Ok(store) => alone(Rotation { env, store: Arc::new(store), encryption, keys }).await?,
            // Its server has it, and looks at the keys now and then.
            Err(OpenError::Locked { .. }) => wait(&env, &keys).await?,
            Err(error) => return Err(error.into()),
        }
        println!("the encryption key was replaced, and every Secret is sealed with the new one");
        Ok(ExitCode::SUCCESS)
    })
}

async fn alone(rotation: Rotation) -> anyhow::Result<()> {
    let newest = Arc::new(AtomicU64::new(0));
    let started = rotation.store.start(Box::new(Newest(newest.clone())))?;
    newest.fetch_max(started.revision, Ordering::AcqRel);
    drop(started);
    let outcome = rotation.turn(&|| newest.load(Ordering::Acquire)).await;
    rotation.store.close().await;
    outcome
}

async fn wait(env: &Env, keys: &Keyring) -> anyhow::Result<()> {
    let end = env.clock.instant() + PATIENCE;
    while keys.is_rotating()? {
        if env.clock.instant() > end {
            bail!("the server did not end the rotation in time; it goes on with it, see its log");
        }
        env.clock.sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Follows the newest revision.
struct Newest(Arc<AtomicU64>);

impl Sink for Newest {
    fn publish(&mut self, events: &[Event]) {
        if let Some(last) = events.last() {
            self.0.fetch_max(last.revision, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use store::{Expect, StoreError, Transformer, Write};

    const PLAIN: &str = "this-must-never-be-on-the-disk";
    const MANY: usize = 20;

    /// Seals as the server does, until it is killed.
    struct Mortal {
        inner: Sealing,
        left: AtomicU64,
    }

    impl Transformer for Mortal {
        fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
            let lives = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
            lives.map_err(|_| "killed".to_owned())?;
            self.inner.seal(key, value)
        }

        fn open(&self, key: &str, stored: Bytes) -> Result<Bytes, String> {
            self.inner.open(key, stored)
        }
    }

    struct Life {
        rotation: Rotation,
        newest: Arc<AtomicU64>,
        entries: Vec<store::Entry>,
    }

    /// A server's start on what is on the disk; it dies at its write after `writes`.
    fn live(home: &Path, writes: u64) -> Life {
        let env = Env::real();
        let keys = Keyring::at(&home.join(KEYS));
        let encryption = Arc::new(Encryption::new(keys.sealer().unwrap()));
        let mortal = Mortal { inner: Sealing(encryption.clone()), left: AtomicU64::new(writes) };
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&home.join("store"), &env, Some(Arc::new(mortal))).unwrap());
        let newest = Arc::new(AtomicU64::new(0));
        let started = store.start(Box::new(Newest(newest.clone()))).unwrap();
        newest.fetch_max(started.revision, Ordering::AcqRel);
        Life { rotation: Rotation { env, store, encryption, keys }, newest, entries: started.entries }
    }

    impl Life {
        async fn turn(&self) -> anyhow::Result<()> {
            self.rotation.turn(&|| self.newest.load(Ordering::Acquire)).await
        }

        async fn put(&self, name: &str, value: String, expect: Expect) -> Result<Revision, StoreError> {
            let key = format!("{SEALED}default/{name}").into();
            self.rotation.store.commit(Write { key, expect, value: Some(value.into()), last: None }).await
        }

        async fn end(self) {
            self.rotation.store.close().await;
        }
    }

    fn value(number: usize) -> String {
        format!("{{\"data\":\"{PLAIN}-{number}\"}}")
    }

    fn contains(place: &Path, text: &str) -> bool {
        std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
            true => contains(&path, text),
            false => std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes()),
        })
    }

    /// Killed at every few writes, before the first and after the last; then it must come to its end.
    #[tokio::test]
    async fn a_rotation_survives_being_killed_at_any_step() {
        for kill_after in [0, 1, 7, MANY as u64 - 1, MANY as u64] {
            let home = tempfile::tempdir().unwrap();
            let first = live(home.path(), u64::MAX);
            for number in 0..MANY {
                let made = first.put(&format!("s{number}"), value(number), Expect::Absent).await.unwrap();
                // There is history, too, sealed with the old key.
                first.put(&format!("s{number}"), value(number), Expect::Revision(made)).await.unwrap();
            }
            first.end().await;
            let keys = Keyring::at(&home.path().join(KEYS));
            assert!(keys.begin().unwrap());

            let killed = live(home.path(), kill_after);
            let outcome = killed.turn().await;
            assert_eq!(outcome.is_err(), kill_after < MANY as u64, "{outcome:?}");
            assert_eq!(keys.is_rotating().unwrap(), outcome.is_err());
            killed.end().await;

            let next = live(home.path(), u64::MAX);
            next.turn().await.unwrap();
            assert!(!keys.is_rotating().unwrap());
            next.end().await;
            // Only the new key is left, and everything opens with it.
            let last = live(home.path(), u64::MAX);
            assert_eq!(last.entries.len(), MANY, "killed after {kill_after}");
            for entry in &last.entries {
                let number: usize = entry.key.rsplit('s').next().unwrap().parse().unwrap();
                assert_eq!(entry.value, value(number));
            }
            last.end().await;
            assert!(!contains(home.path(), PLAIN) && contains(home.path(), "k8s:enc:aesgcm:v1:key2:"));
        }
    }

    #[tokio::test]
    async fn what_is_written_meanwhile_is_not_lost() {
        let home = tempfile::tempdir().unwrap();
        let life = live(home.path(), u64::MAX);
        let mut revision = life.put("s0", value(0), Expect::Absent).await.unwrap();
        assert!(life.rotation.keys.begin().unwrap());
        let writes = async {
            let mut written = 0;
            for number in 1..200 {
                match life.put("s0", value(number), Expect::Revision(revision)).await {
                    Ok(newest) => (revision, written) = (newest, number),
                    Err(StoreError::Conflict { current }) => revision = current.unwrap().revision,
                    Err(error) => panic!("{error}"),
                }
                life.rotation.env.clock.sleep(Duration::from_millis(3)).await;
            }
            written
        };
        let (outcome, written) = tokio::join!(life.turn(), writes);
        outcome.unwrap();
        life.end().await;
        let after = live(home.path(), u64::MAX);
        assert_eq!(after.entries[0].value, value(written));
        after.end().await;
    }

    #[test]
    fn the_command_does_it_all_where_no_server_runs() {
        let home = tempfile::tempdir().unwrap();
        assert!(rotate(home.path()).is_err(), "there is nothing to rotate");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let life = live(home.path(), u64::MAX);
            life.put("s1", value(1), Expect::Absent).await.unwrap();
            life.end().await;
        });
        drop(runtime);
        rotate(home.path()).unwrap();
        rotate(home.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let life = live(home.path(), u64::MAX);
            assert_eq!(life.entries[0].value, value(1));
            life.end().await;
        });
        assert!(contains(home.path(), "k8s:enc:aesgcm:v1:key3:") && !contains(home.path(), PLAIN));
    }
}
