//! A disk in memory that remembers what was synced and what was only written, and can lose power.
//!
//! The model is a page cache over sectors that are written back in any order: on power loss each
//! sector keeps the writes up to some point, each on its own, and so does the file's length. Bytes
//! beside a write are never harmed (SQLite counts on that, as its Unix layer declares).

use base::Rng;
use std::collections::BTreeMap;

const SECTOR: usize = 512;

/// The machine has no power, or there is no such file.
pub struct Failed;

#[derive(Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    /// Changes left until the power goes; None: it stays.
    fuse: Option<usize>,
    dead: bool,
    /// A disk that lies: syncing files whose names end so does nothing.
    ignores_sync_of: Option<&'static str>,
    syncs: usize,
}

#[derive(Default, Clone)]
struct File {
    /// What programs see.
    now: Vec<u8>,
    /// What is certain to survive.
    synced: Vec<u8>,
    /// What leads from `synced` to `now`.
    pending: Vec<Change>,
    /// Whether the file's name is certain to survive.
    entry_synced: bool,
    /// Unlinked; but the directory was not synced, so it may come back.
    unlinked: bool,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, data } => {
                let end = offset + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(data);
            }
            Change::Truncate(length) => content.resize(*length, 0),
        }
    }

    /// The part of the change that falls into the sector at `start`.
    fn apply_to_sector(&self, start: usize, sector: &mut [u8]) {
        match self {
            Change::Write { offset, data } => {
                let (from, to) = ((*offset).max(start), (offset + data.len()).min(start + sector.len()));
                if from < to {
                    sector[from - start..to - start].copy_from_slice(&data[from - offset..to - offset]);
                }
            }
            Change::Truncate(length) => {
                let from = length.saturating_sub(start).min(sector.len());
                sector[from..].fill(0);
            }
        }
    }

    fn touches(&self, start: usize) -> bool {
        match self {
            Change::Write { offset, data } => *offset < start + SECTOR && start < offset + data.len(),
            Change::Truncate(length) => *length < start + SECTOR,
        }
    }
}

impl Disk {
    /// From now on syncing files whose names end with `suffix` does nothing.
    pub fn ignore_sync_of(&mut self, suffix: &'static str) {
        self.ignores_sync_of = Some(suffix);
    }

    /// Lets the power go after `changes` more changes.
    pub fn light_fuse(&mut self, changes: usize) {
        self.fuse = Some(changes);
    }

    pub fn syncs(&self) -> usize {
        self.syncs
    }

    /// Whether it still works.
    pub fn check(&self) -> Result<(), Failed> {
        if self.dead { Err(Failed) } else { Ok(()) }
    }

    /// Counts a change; the one that burns the fuse down does not happen.
    fn burn(&mut self) -> Result<(), Failed> {
        self.check()?;
        if let Some(fuse) = &mut self.fuse {
            if *fuse == 0 {
                self.dead = true;
                return Err(Failed);
            }
            *fuse -= 1;
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<&mut File, Failed> {
        self.check()?;
        self.files.get_mut(path).filter(|file| !file.unlinked).ok_or(Failed)
    }

    pub fn exists(&mut self, path: &str) -> bool {
        self.file(path).is_ok_and(|file| !file.now.is_empty())
    }

    pub fn open(&mut self, path: &str, create: bool) -> Result<(), Failed> {
        self.check()?;
        if self.file(path).is_ok() {
            return Ok(());
        }
        if !create {
            return Err(Failed);
        }
        // The store makes its database's entry itself and syncs the directory before SQLite runs.
        let entry_synced = path.ends_with(".db");
        self.files.insert(path.to_owned(), File { entry_synced, ..File::default() });
        Ok(())
    }

    pub fn read(&mut self, path: &str, offset: usize, buffer: &mut [u8]) -> Result<usize, Failed> {
        let file = self.file(path)?;
        let from = offset.min(file.now.len());
        let to = (offset + buffer.len()).min(file.now.len());
        buffer[..to - from].copy_from_slice(&file.now[from..to]);
        buffer[to - from..].fill(0);
        Ok(to - from)
    }

    pub fn len(&mut self, path: &str) -> Result<usize, Failed> {
        Ok(self.file(path)?.now.len())
    }

    pub fn write(&mut self, path: &str, offset: usize, data: &[u8]) -> Result<(), Failed> {
        self.burn()?;
        self.change(path, Change::Write { offset, data: data.to_vec() })
    }

    pub fn truncate(&mut self, path: &str, length: usize) -> Result<(), Failed> {
        self.burn()?;
        self.change(path, Change::Truncate(length))
    }

    fn change(&mut self, path: &str, change: Change) -> Result<(), Failed> {
        let file = self.file(path)?;
        change.apply(&mut file.now);
        file.pending.push(change);
        Ok(())
    }

    /// Also makes the file's name durable, as SQLite's Unix layer does for its logs.
    pub fn sync(&mut self, path: &str) -> Result<(), Failed> {
        self.burn()?;
        self.syncs += 1;
        if self.ignores_sync_of.is_some_and(|suffix| path.ends_with(suffix)) {
            return Ok(());
        }
        let file = self.file(path)?;
        for change in file.pending.drain(..) {
            change.apply(&mut file.synced);
        }
        file.entry_synced = true;
        Ok(())
    }

    pub fn delete(&mut self, path: &str, sync_directory: bool) -> Result<(), Failed> {
        self.burn()?;
        if sync_directory {
            self.files.remove(path);
        } else if let Some(file) = self.files.get_mut(path) {
            file.unlinked = true;
        }
        Ok(())
    }

    /// The power goes; what was not synced survives as `rng` has it. Then it is back.
    pub fn lose_power(&mut self, rng: &Rng) {
        // How much survives differs from loss to loss, the extremes included.
        let share = [0.0, 0.1, 0.5, 0.9, 1.0][rng.usize(..5)];
        self.files.retain(|_, file| file.entry_synced && !file.unlinked || rng.chance(share));
        for file in self.files.values_mut() {
            let survived = file.after_loss(share, rng);
            *file = File { now: survived.clone(), synced: survived, entry_synced: true, ..File::default() };
        }
        self.fuse = None;
        self.dead = false;
    }
}

impl File {
    fn after_loss(&self, share: f64, rng: &Rng) -> Vec<u8> {
        // How many of the changes that touch something survive: all, or some of the first.
        let kept = |changes: usize| if rng.chance(share) { changes } else { rng.usize(..=changes) };
        let kept = |changes| if share == 0.0 { 0 } else { kept(changes) };
        let mut length = self.synced.len();
        for change in &self.pending[..kept(self.pending.len())] {
            length = match change {
                Change::Write { offset, data } => length.max(offset + data.len()),
                Change::Truncate(shorter) => *shorter,
            };
        }
        let mut survived = self.synced.clone();
        survived.resize(length, 0);
        for (index, sector) in survived.chunks_mut(SECTOR).enumerate() {
            let start = index * SECTOR;
            let touching: Vec<_> = self.pending.iter().filter(|change| change.touches(start)).collect();
            for change in &touching[..kept(touching.len())] {
                change.apply_to_sector(start, sector);
            }
        }
        survived
    }
}
