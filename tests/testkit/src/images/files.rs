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
        let bytes = fs::read(source).with_context(|| format!("read {}", source.display()))?;
        let mode = fs::metadata(source)?.permissions().mode() & 0o777;
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
