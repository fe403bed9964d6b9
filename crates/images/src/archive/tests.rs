//! Archives made by hand, imported for real: this needs root.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::testing::{Item, config, gzip, host_architecture, tar, zstd};
use base::Rng;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

type Files = BTreeMap<String, Vec<u8>>;

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("images"), Rng::seeded(1)).unwrap()
}

fn archive_of(files: &Files) -> Vec<u8> {
    let items: Vec<_> = files.iter().map(|(name, bytes)| Item::File(name, bytes)).collect();
    tar(&items)
}

fn import_bytes(store: &Store, bytes: Vec<u8>) -> Result<Vec<Image>> {
    import(store, Archive::Stream(Box::new(io::Cursor::new(bytes))))
}

fn layers() -> Vec<Vec<u8>> {
    vec![tar(&[Item::File("low", b"1"), Item::File("both", b"low")]), tar(&[Item::File("both", b"high")])]
}

fn docker(architecture: &str) -> Files {
    let layers = layers();
    let config = config(&layers, architecture);
    let name = format!("{}.json", Digest::of(&config).hex());
    let manifest =
        json!([{"Config": name, "RepoTags": ["busybox:1", "busybox:2"], "Layers": ["0/layer.tar", "1/layer.tar"]}]);
    Files::from([
        ("manifest.json".into(), serde_json::to_vec(&manifest).unwrap()),
        (name, config),
        ("0/layer.tar".into(), layers[0].clone()),
        ("1/layer.tar".into(), gzip(&layers[1])),
    ])
}

fn add(files: &mut Files, bytes: Vec<u8>) -> serde_json::Value {
    let (digest, size) = (Digest::of(&bytes), bytes.len());
    files.insert(format!("blobs/sha256/{}", digest.hex()), bytes);
    json!({"digest": digest, "size": size})
}

fn platform(mut entry: serde_json::Value, architecture: &str) -> serde_json::Value {
    entry["platform"] = json!({"os": "linux", "architecture": architecture});
    entry["mediaType"] = OCI_MANIFEST.into();
    entry
}

/// One name, two platforms and an attestation behind an index.
fn oci() -> Files {
    let layers = layers();
    let mut files = Files::new();
    let mut manifests = Vec::new();
    for architecture in ["s390x", host_architecture()] {
        let config = add(&mut files, config(&layers, architecture));
        let layers = [add(&mut files, gzip(&layers[0])), add(&mut files, zstd(&layers[1]))];
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        let entry = add(&mut files, serde_json::to_vec(&manifest).unwrap());
        manifests.push(platform(entry, architecture));
    }
    manifests.push(platform(add(&mut files, b"{}".to_vec()), "unknown"));
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    let mut entry = add(&mut files, serde_json::to_vec(&index).unwrap());
    entry["mediaType"] = OCI_INDEX.into();
    entry["annotations"] =
        json!({"io.containerd.image.name": "quay.io/a/b:3", "org.opencontainers.image.ref.name": "3"});
    let top = json!({"schemaVersion": 2, "manifests": [entry]});
    files.insert("index.json".into(), serde_json::to_vec(&top).unwrap());
    files
}

fn assert_runs(image: &Image) {
    assert_eq!(std::fs::read(image.layers[0].join("both")).unwrap(), b"high");
    assert_eq!(std::fs::read(image.layers[1].join("low")).unwrap(), b"1");
    let run = &image.config;
    assert_eq!((run.entrypoint.as_slice(), run.cmd.len()), (&["/run".to_owned()][..], 0));
    assert_eq!((run.user.as_str(), run.workdir.as_str(), run.stop_signal.as_str()), ("9", "/w", "SIGQUIT"));
    assert_eq!((run.volumes[0].as_str(), run.exposed_ports[0].as_str()), ("/v", "80/tcp"));
}

#[test]
fn docker_archives_in_every_wrapping() {
    let files = docker(host_architecture());
    let plain = archive_of(&files);
    for bytes in [plain.clone(), gzip(&plain), zstd(&plain)] {
        let folder = tempfile::tempdir().unwrap();
        let images = import_bytes(&open(folder.path()), bytes.clone()).unwrap();
        assert_eq!(images[0].repo_tags, ["docker.io/library/busybox:1", "docker.io/library/busybox:2"]);
        assert_runs(&images[0]);
        // The same from a file, twice: nothing new, nothing left behind.
        std::fs::write(folder.path().join("archive"), &bytes).unwrap();
        let store = open(folder.path());
        assert_eq!(import(&store, Archive::Path(folder.path().join("archive"))).unwrap(), images);
        assert_eq!(std::fs::read_dir(folder.path().join("images/work")).unwrap().count(), 0);
        assert_eq!(store.images().unwrap().to_vec(), images);
    }
}

#[test]
fn an_oci_layout_as_folder_and_tar() {
    let (files, folder) = (oci(), tempfile::tempdir().unwrap());
    let layout = folder.path().join("layout");
    for (name, bytes) in &files {
        std::fs::create_dir_all(layout.join(name).parent().unwrap()).unwrap();
        std::fs::write(layout.join(name), bytes).unwrap();
    }
    let store = open(folder.path());
    let images = import(&store, Archive::Path(layout)).unwrap();
    assert_eq!((images.len(), images[0].repo_tags.as_slice()), (1, &["quay.io/a/b:3".to_owned()][..]));
    assert!(images[0].repo_digests[0].starts_with("quay.io/a/b@sha256:"));
    assert_runs(&images[0]);
    assert_eq!(import_bytes(&store, archive_of(&files)).unwrap(), images);
}

#[test]
fn a_name_moves_and_what_nobody_names_is_collected() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (open(folder.path()), open(folder.path()));
    let first = import_bytes(&store, archive_of(&docker(host_architecture()))).unwrap().remove(0);
    // Another process sees it at once.
    assert_eq!(other.images().unwrap().first(), Some(&first));
    let mut files = docker(host_architecture());
    let layers = vec![layers().remove(0)];
    let config = config(&layers, host_architecture());
    files.insert("new.json".into(), config);
    let manifest = json!([{"Config": "new.json", "RepoTags": ["busybox:1"], "Layers": ["0/layer.tar"]}]);
    files.insert("manifest.json".into(), serde_json::to_vec(&manifest).unwrap());
    let second = import_bytes(&other, archive_of(&files)).unwrap().remove(0);
    let images = store.images().unwrap();
    assert_eq!(images[0].repo_tags, ["docker.io/library/busybox:2"]);
    assert_eq!(images[1].repo_tags, ["docker.io/library/busybox:1"]);
    // The layer both have stays, the other goes; not while somebody works.
    assert!(store.remove(&first.id).unwrap() && !store.remove(&first.id).unwrap());
    let work = other.work().unwrap();
    store.collect().unwrap();
    assert!(first.layers[0].exists());
    drop(work);
    store.collect().unwrap();
    assert!(!first.layers[0].exists() && second.layers[0].exists());
    assert_eq!(std::fs::read_dir(folder.path().join("images/blobs")).unwrap().count(), 1);
}

#[test]
fn leftovers_of_a_crash_go_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for path in ["layers/half", "work/dead/layer"] {
        std::fs::create_dir_all(store.root().join(path)).unwrap();
    }
    drop(store);
    let store = open(folder.path());
    for path in ["layers", "work"] {
        assert_eq!(std::fs::read_dir(store.root().join(path)).unwrap().count(), 0, "{path}");
    }
    std::fs::write(store.root().join("images.json"), r#"{"format":2}"#).unwrap();
    let newer = Store::open(store.root(), Rng::seeded(1)).err().unwrap();
    assert!(newer.to_string().contains("has format 2, this program reads 1"), "{newer}");
}

#[test]
fn a_damaged_archive_leaves_nothing() {
    let damage = |files: Files, change: &dyn Fn(&mut Files)| {
        let mut files = files;
        change(&mut files);
        archive_of(&files)
    };
    let host = host_architecture();
    let whole = archive_of(&docker(host));
    let other_layer = |files: &mut Files| _ = files.insert("0/layer.tar".into(), tar(&[Item::File("low", b"2")]));
    let no_layer = |files: &mut Files| _ = files.remove("1/layer.tar");
    let other_blob = |files: &mut Files| {
        for (name, bytes) in files.iter_mut().filter(|(name, _)| name.starts_with("blobs/")) {
            // Still readable, no longer what the name says.
            bytes.extend_from_slice(b" ");
            assert!(!name.is_empty());
        }
    };
    let bad_name = |files: &mut Files| {
        let text = String::from_utf8(files["manifest.json"].clone()).unwrap();
        files.insert("manifest.json".into(), text.replace("busybox:1", "Busybox").into_bytes());
    };
    for (name, bytes, expected) in [
        ("nothing", Vec::new(), "not an image archive"),
        ("text", b"hello".repeat(300), "archive"),
        ("cut off", whole[..whole.len() / 3].to_vec(), "archive"),
        ("a layer changed", damage(docker(host), &other_layer), "layer has digest"),
        ("a layer missing", damage(docker(host), &no_layer), "archive lacks \"1/layer.tar\""),
        ("blobs changed", damage(oci(), &other_blob), "has digest"),
        ("a bad name", damage(docker(host), &bad_name), "must be lowercase"),
        ("another platform", archive_of(&docker("s390x")), "no image for this machine's platform"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let error = import_bytes(&store, bytes).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
        store.collect().unwrap();
        assert_eq!(store.images().unwrap().len(), 0, "{name}");
        assert_eq!(std::fs::read_dir(store.root().join("layers")).unwrap().count(), 0, "{name}");
    }
}

/// Unmounts at the end, however the test ends.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn the_kernel_hides_what_layers_remove() {
    use std::os::fd::AsFd;
    let host = host_architecture();
    let layers = [
        tar(&[Item::File("a/one", b"1"), Item::File("a/two", b"2"), Item::File("b/old", b"3"), Item::File("c", b"4")]),
        tar(&[Item::File("a/.wh.one", b""), Item::File("b/.wh..wh..opq", b""), Item::File("b/new", b"5")]),
        tar(&[Item::File(".wh.c", b""), Item::Folder("c/", 0o755), Item::File("c/d", b"6")]),
    ];
    // Builders repeat layers, which the kernel refuses.
    let layers = [&layers[..2], &layers[..]].concat();
    let mut files = Files::from([("config.json".to_owned(), config(&layers, host))]);
    let names: Vec<_> = (0..layers.len()).map(|at| format!("{at}.tar")).collect();
    files.extend(names.iter().cloned().zip(layers.iter().cloned()));
    let manifest = json!([{"Config": "config.json", "RepoTags": ["x"], "Layers": names}]);
    files.insert("manifest.json".into(), serde_json::to_vec(&manifest).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let image = import_bytes(&open(folder.path()), archive_of(&files)).unwrap().remove(0);
    let place = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (target, upper, work) = (place("target"), place("upper"), place("overlay-work"));
    let open = |path: &Path| sys::mount::open_path(path).unwrap();
    let lower: Vec<_> = image.layers.iter().map(|layer| open(layer)).collect();
    sys::mount::overlay(&target, &lower, open(&upper).as_fd(), open(&work).as_fd(), false).unwrap();
    let _mounted = Mounted(target.clone());
    let names = |path: &str| {
        let entries = std::fs::read_dir(target.join(path)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(""), names("a"), names("b"), names("c")),
        (
            vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            vec!["two".to_owned()],
            vec!["new".to_owned()],
            vec!["d".to_owned()],
        )
    );
}
