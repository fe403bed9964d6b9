//! What a run has: where the programs and files are, how big the loads are, and the sizes of a quick
//! and of a full run.

use crate::process::output;
use anyhow::Context as _;
use base::Env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Turns of each side.
    pub rounds: usize,
    /// Pods that are created and listed.
    pub pods: u64,
    pub get_seconds: u64,
    pub lists: u64,
    pub patched: u64,
    /// Watchers, and how many changes each gets.
    pub watches: &'static [(u64, u64)],
    pub nodes: u64,
    pub scheduled: u64,
    pub affine: u64,
}

impl Sizes {
    pub fn quick() -> Self {
        Sizes {
            rounds: 2,
            pods: 15_500,
            get_seconds: 3,
            lists: 12,
            patched: 2_000,
            watches: &[(100, 200)],
            nodes: 1_000,
            scheduled: 2_000,
            affine: 0,
        }
    }

    pub fn full() -> Self {
        Sizes {
            rounds: 3,
            pods: 15_500,
            get_seconds: 8,
            lists: 24,
            patched: 5_000,
            watches: &[(100, 500), (1_000, 100)],
            nodes: 1_000,
            scheduled: 5_000,
            affine: 5_000,
        }
    }
}

pub struct Bench {
    pub env: Env,
    pub sizes: Sizes,
    pub kutter: PathBuf,
    /// The folder of upstream's binaries.
    pub upstream: PathBuf,
    pub cache: PathBuf,
    /// For data and logs; on the same disk for both sides, and removed at the end.
    pub scratch: tempfile::TempDir,
}

/// Below the checkout's own folder of built things unless told otherwise.
const KUTTER: &str = "target/release/kutter";

impl Bench {
    pub fn new(env: Env, sizes: Sizes, kutter: Option<PathBuf>) -> anyhow::Result<Self> {
        let root = checkout();
        let kutter = kutter.unwrap_or_else(|| root.join(KUTTER));
        anyhow::ensure!(kutter.exists(), "there is no {}: cargo build --release -p kutter", kutter.display());
        let upstream = output(Command::new(root.join("tools/upstream")).arg("--where"))?;
        let cache = match std::env::var_os("KUTTER_CACHE") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache/kutter"),
        };
        std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(&cache)?;
        Ok(Bench { env, sizes, kutter, upstream: PathBuf::from(upstream.trim()), cache, scratch })
    }

    /// A folder for one run of one side.
    pub fn folder(&self, name: &str) -> anyhow::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(name).tempdir_in(self.scratch.path()).context("cannot make a folder")
    }
}

pub fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
