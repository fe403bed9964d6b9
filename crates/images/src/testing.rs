//! Tars, archives and images made by hand, for the tests of this crate.
#![allow(clippy::unwrap_used)]

use crate::digest::Digest;
use serde_json::json;

/// One tar entry. Owner is 7:8, time 1234, mode of files 4755.
pub enum Item<'a> {
    File(&'a str, &'a [u8]),
    Folder(&'a str, u32),
    Symlink(&'a str, &'a str),
    HardLink(&'a str, &'a str),
    Node(&'a str, u32, u32),
    Xattr(&'a str, &'a str, &'a [u8]),
}

pub fn tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1234);
        header.set_mode(0o4755);
        let (path, data): (&str, &[u8]) = match item {
            Item::File(path, data) => (path, data),
            Item::Folder(path, mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                (path, b"")
            }
            Item::Symlink(path, target) | Item::HardLink(path, target) => {
                let symbolic = matches!(item, Item::Symlink(..));
                header.set_entry_type(if symbolic { tar::EntryType::Symlink } else { tar::EntryType::Link });
                header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
                (path, b"")
            }
            Item::Node(path, major, minor) => {
                header.set_entry_type(tar::EntryType::Char);
                header.set_device_major(*major).unwrap();
                header.set_device_minor(*minor).unwrap();
                (path, b"")
            }
            Item::Xattr(path, name, value) => {
                let name = format!("SCHILY.xattr.{name}");
                tar.append_pax_extensions([(name.as_str(), *value)]).unwrap();
                (path, b"")
            }
        };
        header.set_size(data.len() as u64);
        // As it is: the builder's own setter refuses names that climb.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, data).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

/// A configuration over the layers of these uncompressed tars.
pub fn config(layers: &[Vec<u8>], architecture: &str) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {
            "User": "9", "Env": ["A=b"], "Entrypoint": ["/run"], "Cmd": null, "WorkingDir": "/w",
            "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}, "Labels": {"l": "1"}, "StopSignal": "SIGQUIT",
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    serde_json::to_vec(&config).unwrap()
}

pub fn host_architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}
