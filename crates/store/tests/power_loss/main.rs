//! The crash proof: power is lost a thousand times while many writes are under way, and each time
//! what was answered is there afterwards, what was refused is not, and no revision comes twice.
//!
//! The store under test is the one that production opens; only SQLite's file layer is replaced, by
//! a disk that drops, tears and reorders what was not synced (`disk`, `vfs`). A disk whose sync
//! does nothing must be caught by the same checks: that proves that they can fail.
#![allow(unsafe_code)]

#[cfg(test)]
mod disk;
#[cfg(test)]
mod model;
#[cfg(test)]
mod vfs;

use base::{Env, Rng};
use disk::Disk;
use model::{Checked, Model};
use std::path::Path;
use store::{Options, SqliteStore, Store};
use vfs::Machine;

const LOSSES: u64 = 1000;
/// Which losses are tried; another one by the variable `POWER_LOSS_SEED`.
const SEED: u64 = 20_261_120;

fn seed() -> u64 {
    std::env::var("POWER_LOSS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED)
}

/// Loses power a thousand times; fails with what the checks found. After the first life the disk
/// ignores the syncs of what ends with `unsynced`.
async fn run(name: &str, unsynced: Option<&'static str>) -> Result<Model, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let machine = Machine::register(name, Disk::default());
    let rng = Rng::seeded(seed());
    let mut model = Model::new(rng.fork());
    for loss in 0..LOSSES {
        // From the first change on, and rarely after so many that the log was moved several times.
        let fuse = 1usize << rng.usize(..11);
        machine.disk().light_fuse(rng.usize(..fuse));
        let lived = live(&mut model, &machine, dir.path(), name).await;
        lived.map_err(|found| format!("loss {loss}, seed {}: {found}", seed()))?;
        machine.reboot();
        machine.disk().lose_power(&rng);
        if let Some(suffix) = unsynced {
            machine.disk().ignore_sync_of(suffix);
        }
    }
    // Once more with the power on: everything must still be there.
    let store = open(dir.path(), name).map_err(|error| error.to_string())?;
    model.check(&store).await?;
    store.close().await;
    assert!(machine.disk().syncs() > 0);
    Ok(model)
}

fn open(dir: &Path, vfs: &str) -> Result<SqliteStore, store::OpenError> {
    let options = Options { vfs: Some(vfs.to_owned()), checkpoint_bytes: 256 << 10, ..Options::default() };
    SqliteStore::open_with(dir, &Env::real(), options)
}

/// One life of the machine: start, check what is there, write until the power goes.
async fn live(model: &mut Model, machine: &Machine, dir: &Path, vfs: &str) -> Result<(), String> {
    let store = match open(dir, vfs) {
        Ok(store) => store,
        // The power went during the start: nothing to find fault with.
        Err(_) if machine.disk().check().is_err() => return Ok(()),
        Err(error) => return Err(format!("what survived cannot be opened: {error}")),
    };
    match model.check(&store).await? {
        Checked::Complete => model.write_until_failure(&store).await?,
        Checked::Interrupted(_) if machine.disk().check().is_err() => {}
        Checked::Interrupted(error) => return Err(format!("what survived cannot be read: {error}")),
    }
    store.close().await;
    Ok(())
}

/// Whether a check failed because of what the disk lost.
fn is_loss(found: &str) -> bool {
    let texts = ["was acknowledged", "was published", "has gaps", "what survived cannot be"];
    texts.iter().any(|text| found.contains(text))
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_a_thousand_power_losses() {
    let model = run("power-loss", None).await.unwrap();
    eprintln!("{model}");
    assert!(model.acknowledged() > 10 * LOSSES, "too few writes to prove anything: {model}");
    assert!(model.uncertain() > LOSSES / 4, "too few writes were under way at the losses: {model}");
}

#[tokio::test]
async fn the_checks_catch_a_log_that_is_not_synced() {
    let found = run("lying-log", Some("store.db-wal")).await.err().expect("the loss goes unnoticed");
    eprintln!("found, as it should be: {found}");
    assert!(is_loss(&found), "{found}");
}

#[tokio::test]
async fn the_checks_catch_a_database_that_is_not_synced_before_its_log_is_dropped() {
    let found = run("lying-database", Some("store.db")).await.err().expect("the loss goes unnoticed");
    eprintln!("found, as it should be: {found}");
    assert!(is_loss(&found), "{found}");
}

#[tokio::test]
async fn power_lost_while_the_store_is_made_leaves_one_that_opens() {
    let machine = Machine::register("creation", Disk::default());
    let rng = Rng::seeded(seed());
    let mut interrupted = 0;
    for fuse in 0..200 {
        let dir = tempfile::tempdir().unwrap();
        machine.disk().light_fuse(fuse / 5);
        match open(dir.path(), "creation") {
            Ok(store) => store.close().await,
            Err(_) => interrupted += 1,
        }
        machine.reboot();
        machine.disk().lose_power(&rng);
        let store = open(dir.path(), "creation").unwrap();
        let mut model = Model::new(rng.fork());
        assert!(matches!(model.check(&store).await.unwrap(), Checked::Complete), "after {} changes", fuse / 5);
        store.close().await;
        machine.reboot();
    }
    assert!(interrupted > 20, "{interrupted} starts were interrupted");
}
