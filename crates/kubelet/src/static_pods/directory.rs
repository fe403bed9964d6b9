//! The files of static pods. A file that cannot be read as a pod is told of and changes nothing: what
//! it said before goes on.

use super::ManifestOptions;
use super::manifest::{self, StaticPod};
use base::Timestamp;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;

/// Larger files are no pods.
const MAX_BYTES: u64 = 10 << 20;
const MAX_FILES: usize = 500;

/// When a file was last written, its size, and which file it is.
type Mark = (i64, i64, u64, u64);

pub struct Directory {
    options: ManifestOptions,
    marks: BTreeMap<PathBuf, Mark>,
    pods: BTreeMap<PathBuf, Arc<StaticPod>>,
    is_missing: bool,
}

impl Directory {
    pub fn new(options: ManifestOptions) -> Self {
        Directory { options, marks: BTreeMap::new(), pods: BTreeMap::new(), is_missing: false }
    }

    /// All pods; None: nothing has changed, or the directory cannot be read now.
    pub fn read(&mut self, node: &str, now: Timestamp) -> Option<Vec<Arc<StaticPod>>> {
        let marks = match marks(&self.options.directory) {
            Ok(marks) => marks,
            Err(error) => {
                if !std::mem::replace(&mut self.is_missing, true) {
                    warn!(directory = %self.options.directory.display(), %error, "cannot read the pods' manifests");
                }
                return None;
            }
        };
        self.is_missing = false;
        if marks == self.marks {
            return None;
        }
        for (path, mark) in &marks {
            if self.marks.get(path) == Some(mark) {
                continue;
            }
            match read(&self.options, path, node, now) {
                Ok(pod) => {
                    self.pods.insert(path.clone(), Arc::new(pod));
                }
                Err(why) => warn!(file = %path.display(), why, "this file is no manifest of a pod"),
            }
        }
        self.pods.retain(|path, _| marks.contains_key(path));
        self.marks = marks;
        Some(self.unique())
    }

    /// The first file of each name counts.
    fn unique(&self) -> Vec<Arc<StaticPod>> {
        let mut all: Vec<Arc<StaticPod>> = Vec::new();
        for (path, pod) in &self.pods {
            let taken =
                |other: &Arc<StaticPod>| (&other.pod.namespace, &other.pod.name) == (&pod.pod.namespace, &pod.pod.name);
            if all.iter().any(taken) {
                warn!(file = %path.display(), pod = %pod.pod, "another file has a pod of this name; ignoring this one");
            } else {
                all.push(pod.clone());
            }
        }
        all
    }
}

/// The files that may be manifests: not the hidden ones.
fn marks(directory: &Path) -> std::io::Result<BTreeMap<PathBuf, Mark>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory)?.flatten() {
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // Links count as what they lead to.
        let Ok(found) = std::fs::metadata(entry.path()) else { continue };
        if found.is_file() && !is_hidden && all.len() < MAX_FILES {
            all.insert(entry.path(), (found.mtime(), found.mtime_nsec(), found.len(), found.ino()));
        }
    }
    Ok(all)
}

fn read(options: &ManifestOptions, path: &Path, node: &str, now: Timestamp) -> Result<StaticPod, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("{size} bytes are more than {MAX_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    manifest::make((options.read)(&text)?, path, node, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<serde_json::Value, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn files_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let pod = |name: &str| format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"containers":[]}}}}"#);
        let mut directory = Directory::new(ManifestOptions { directory: folder.path().to_owned(), read: parse });
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut names = || {
            let found = directory.read("n", now)?;
            Some(found.iter().map(|pod| pod.pod.name.clone()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names(), None, "an empty directory is nothing new");
        write("b", &pod("b"));
        write("a", &pod("a"));
        write(".hidden", &pod("hidden"));
        write("z", &pod("a"));
        write("broken", "{");
        assert_eq!(names().as_deref(), Some("a-n b-n"));
        assert_eq!(names(), None);
        write("b", "half a fi");
        assert_eq!(names().as_deref(), Some("a-n b-n"), "what it said before goes on");
        write("b", &pod("longer"));
        assert_eq!(names().as_deref(), Some("a-n longer-n"));
        std::fs::remove_file(folder.path().join("a")).unwrap();
        assert_eq!(names().as_deref(), Some("longer-n a-n"));
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(names(), None, "nothing is ended because a disk went away");
    }
}
