//! Stand-ins for the images of upstream's suite, under the very names it asks for: from its own
//! source tree and from Debian packages. No registry is asked for anything.
//!
//! Only what conformance specs use is here. Adding one: a function in a file of this folder and a
//! line in [`ALL`].

mod programs;
mod servers;

use crate::upstream::Upstream;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use testkit::images::files::Files;
use testkit::images::{Made, docker_archive};

/// A file system and how to run it, as an image's configuration has it.
type Contents = (Files, Value);

struct StandIn {
    repository: &'static str,
    /// Lays packages out in the folder, if it needs any.
    make: fn(&Upstream, &Path) -> Result<Contents>,
}

const ALL: &[StandIn] = &[
    StandIn { repository: "docker.io/library/busybox", make: programs::busybox },
    StandIn { repository: "docker.io/library/httpd", make: servers::httpd },
    StandIn { repository: "docker.io/library/nginx", make: servers::nginx },
    StandIn { repository: "gcr.io/kubernetes-e2e-test-images/jessie-dnsutils", make: programs::dnsutils },
    StandIn { repository: "gcr.io/kubernetes-e2e-test-images/kitten", make: servers::kitten },
    StandIn { repository: "gcr.io/kubernetes-e2e-test-images/nautilus", make: servers::nautilus },
    StandIn { repository: "gcr.io/kubernetes-e2e-test-images/nonewprivs", make: programs::nonewprivs },
    StandIn { repository: "gcr.io/kubernetes-e2e-test-images/nonroot", make: programs::nonroot },
    StandIn { repository: "gcr.io/kubernetes-e2e-test-images/sample-apiserver", make: servers::sample_apiserver },
    StandIn { repository: "k8s.gcr.io/e2e-test-images/agnhost", make: programs::agnhost },
    StandIn { repository: "k8s.gcr.io/etcd", make: servers::etcd },
    StandIn { repository: "k8s.gcr.io/pause", make: programs::pause },
];

/// An archive for each image that the suite lists and that has a stand-in; made where missing.
pub fn archives(upstream: &Upstream, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let mut archives = Vec::new();
    for (stand_in, tags) in wanted(&upstream.images()?)? {
        archives.push(archive(stand_in, &tags, upstream, folder)?);
    }
    Ok(archives)
}

/// The stand-ins with the tags that are asked for.
fn wanted(listed: &[String]) -> Result<Vec<(&'static StandIn, Vec<&str>)>> {
    let mut wanted = Vec::new();
    for stand_in in ALL {
        let tag =
            |image: &'_ String| image.split_once(':').is_some_and(|(repository, _)| repository == stand_in.repository);
        let images = listed.iter().filter(|image| tag(image));
        let tags: Vec<&str> = images.filter_map(|image| image.split_once(':').map(|(_, tag)| tag)).collect();
        if tags.is_empty() {
            bail!("the suite does not ask for {}", stand_in.repository);
        }
        wanted.push((stand_in, tags));
    }
    Ok(wanted)
}

fn archive(stand_in: &StandIn, tags: &[&str], upstream: &Upstream, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{}.tar", stand_in.repository.replace('/', "_")));
    let sources = sources(upstream).iter().filter_map(|source| modified(source)).max();
    if modified(&path).is_some_and(|made| sources.is_some_and(|sources| made > sources)) {
        return Ok(path);
    }
    println!("making {}", path.display());
    let work = tempfile::tempdir_in(folder)?;
    let why = || format!("make a stand-in for {}", stand_in.repository);
    let (files, run) = (stand_in.make)(upstream, work.path()).with_context(why)?;
    // The tag makes the images different ones, as the real ones are.
    let own = tags.iter().map(std::slice::from_ref);
    let images = own.map(|tags| docker_archive::Image { tags, run: with_tag(&run, tags[0]) }).collect();
    let whole = work.path().join("archive.tar");
    docker_archive::write(&whole, stand_in.repository, &Made { files, images })?;
    std::fs::rename(&whole, &path)?;
    Ok(path)
}

fn with_tag(run: &Value, tag: &str) -> Value {
    let mut run = run.clone();
    run["Labels"]["tag"] = tag.into();
    run
}

/// What the archives must be newer than: how they are made, and the programs in them.
fn sources(upstream: &Upstream) -> Vec<PathBuf> {
    let recipes = ["tests/conformance/src/images", "tests/testkit/src/images"];
    let folders = recipes.iter().map(|folder| crate::root().join(folder)).chain([upstream.bin.clone()]);
    folders
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .collect()
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stand_in_takes_the_tags_that_are_listed() {
        let mut listed: Vec<String> = ALL.iter().map(|stand_in| format!("{}:1", stand_in.repository)).collect();
        listed.extend(
            ["docker.io/library/busybox:2", "docker.io/library/perl:5", "other.io/busybox:3"].map(str::to_owned),
        );
        let wanted = wanted(&listed).unwrap_or_default();
        let tags: Vec<&[&str]> = wanted.iter().map(|(_, tags)| tags.as_slice()).collect();
        assert_eq!((tags.len(), tags[0], tags[1]), (ALL.len(), &["1", "2"][..], &["1"][..]));
        listed.remove(0);
        listed.retain(|image| image != "docker.io/library/busybox:2");
        assert!(super::wanted(&listed).is_err());
    }
}
