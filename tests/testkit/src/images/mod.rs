//! Images for tests, made on this machine from Debian packages and the project's own server: no
//! registry is asked for anything.
//!
//! Each family of images is one archive as `docker save` writes it, made once and kept until what
//! it was made from changes. Adding one: a file here and a line in [`ALL`].

pub mod busybox;
pub mod debian;
pub mod docker_archive;
pub mod files;
pub mod nginx;
mod server;

use anyhow::{Context, Result, bail};
use docker_archive::Image;
use files::Files;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Images that are made together.
pub struct Family {
    /// The archive's name and the images' repository.
    pub name: &'static str,
    pub tags: &'static [&'static str],
    /// What the archive must be newer than.
    sources: fn() -> Vec<PathBuf>,
    make: fn(&Path) -> Result<Made<'static>>,
}

/// One file system, run in several ways.
pub struct Made<'t> {
    pub files: Files,
    pub images: Vec<Image<'t>>,
}

pub const ALL: &[Family] = &[busybox::FAMILY, server::KUTTER_TEST, server::TOMCAT, nginx::FAMILY];

/// The archive that holds the image `name`, as `nginx` or `nginx:1.27`; made where it is missing.
pub fn archive(name: &str) -> Result<PathBuf> {
    archive_in(name, &default_folder())
}

/// Every archive, made in `folder` where they are missing.
pub fn all_in(folder: &Path) -> Result<Vec<PathBuf>> {
    ALL.iter().map(|family| archive_in(family.name, folder)).collect()
}

/// `target/test-images`.
pub fn default_folder() -> PathBuf {
    root().join("target/test-images")
}

pub fn archive_in(name: &str, folder: &Path) -> Result<PathBuf> {
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let Some(family) = ALL.iter().find(|family| family.name == repository && family.tags.contains(&tag)) else {
        bail!("there is no test image {name}");
    };
    let path = folder.join(format!("{repository}.tar"));
    let made = modified(&path);
    let sources = (family.sources)().iter().map(|source| modified(source)).max().flatten();
    if made.is_some() && made >= sources {
        return Ok(path);
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    // Several tests may be at it at once: each makes its own and the last one wins.
    let work = tempfile::tempdir_in(folder)?;
    let made = (family.make)(work.path()).with_context(|| format!("make test image {repository}"))?;
    let whole = work.path().join("archive.tar");
    docker_archive::write(&whole, repository, &made)?;
    fs::rename(&whole, &path)?;
    Ok(path)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}

/// The repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The files that say how images are made.
fn recipe() -> Vec<PathBuf> {
    sources_below("tests/testkit/src/images")
}

fn sources_below(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
