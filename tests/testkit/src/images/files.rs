//! A file system in the making, written out as one layer: the same bytes every time.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Paths without a leading slash.
#[derive(Default)]
pub struct Files(BTreeMap<String, (u32, Node)>);

enum Node {
    Folder,
    File(Vec<u8>),
    Link(String),
}

impl Files {
    /// What every image has: root's home, a place for temporary files, users and groups.
    pub fn base() -> Self {
        let mut files = Files::default();
        files.folder("root", 0o700).folder("tmp", 0o1777).folder("var", 0o755).folder("run", 0o755);
        files.text("etc/passwd", PASSWD).text("etc/group", GROUP);
        files
    }

    pub fn folder(&mut self, path: &str, mode: u32) -> &mut Self {
        self.add(path, mode, Node::Folder)
    }

    pub fn text(&mut self, path: &str, text: &str) -> &mut Self {
        self.add(path, 0o644, Node::File(text.as_bytes().to_vec()))
    }

    pub fn script(&mut self, path: &str, text: &str) -> &mut Self {
        self.add(path, 0o755, Node::File(text.as_bytes().to_vec()))
    }

    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, 0o777, Node::Link(target.to_owned()))
    }

    /// The file `source` of this machine; links are followed.
    pub fn copy(&mut self, path: &str, source: &Path) -> Result<&mut Self> {
        let mode = fs::metadata(source).with_context(|| format!("look at {}", source.display()))?.permissions().mode();
        self.copy_as(path, source, mode & 0o777)
    }

    /// As [`Self::copy`], with access bits of the caller's choice.
    pub fn copy_as(&mut self, path: &str, source: &Path, mode: u32) -> Result<&mut Self> {
        let bytes = fs::read(source).with_context(|| format!("read {}", source.display()))?;
        Ok(self.add(path, mode, Node::File(bytes)))
    }

    pub fn append(&mut self, path: &str, line: &str) -> &mut Self {
        if let Some((_, Node::File(bytes))) = self.0.get_mut(path) {
            bytes.extend_from_slice(line.as_bytes());
        }
        self
    }

    fn add(&mut self, path: &str, mode: u32, node: Node) -> &mut Self {
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert((0o755, Node::Folder));
        }
        self.0.insert(path.to_owned(), (mode, node));
        self
    }

    pub fn layer(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, (mode, node)) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_mode(*mode);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            match node {
                Node::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    tar.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
                Node::File(bytes) => {
                    header.set_size(bytes.len() as u64);
                    tar.append_data(&mut header, path, bytes.as_slice())?;
                }
                Node::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    tar.append_link(&mut header, path, target)?;
                }
            }
        }
        Ok(tar.into_inner()?)
    }

    /// As a kernel unpacks them into its first root.
    pub fn cpio(&self) -> Vec<u8> {
        const FOLDER: u32 = 0o040_000;
        const FILE: u32 = 0o100_000;
        const LINK: u32 = 0o120_000;
        let mut archive = Vec::new();
        for (inode, (path, (mode, node))) in self.0.iter().enumerate() {
            match node {
                Node::Folder => entry(&mut archive, inode, path, FOLDER | mode, &[]),
                Node::File(bytes) => entry(&mut archive, inode, path, FILE | mode, bytes),
                Node::Link(target) => entry(&mut archive, inode, path, LINK | mode, target.as_bytes()),
            }
        }
        entry(&mut archive, 0, "TRAILER!!!", 0, &[]);
        archive
    }
}

/// One entry of the archive that a kernel unpacks at its start ("newc").
fn entry(archive: &mut Vec<u8>, inode: usize, path: &str, mode: u32, bytes: &[u8]) {
    let size = bytes.len();
    let name = path.len() + 1;
    // Magic, inode, mode, user, group, links, time, size, two device numbers twice, name's length, checksum.
    archive.extend_from_slice(
        format!("070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name:08x}{0:08x}", 0, 1)
            .as_bytes(),
    );
    archive.extend_from_slice(path.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/:/bin/false
";

const GROUP: &str = "\
root:x:0:
daemon:x:1:
www-data:x:33:
nogroup:x:65534:
";
