//! hostPath: a file or directory of the node itself, checked or made as its type says.

use crate::mounts::BoxFuture;
use crate::{Mounted, Request, VolumeError, VolumeType};
use k8s_openapi::api::core::v1::Volume;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub struct HostPath;

impl VolumeType for HostPath {
    fn directory_name(&self) -> &'static str {
        "kubernetes.io~host-path"
    }

    fn matches(&self, volume: &Volume) -> bool {
        volume.host_path.is_some()
    }

    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>> {
        Box::pin(async move {
            let source = request.volume.host_path.clone().unwrap_or_default();
            check(Path::new(&source.path), source.type_.as_deref().unwrap_or(""))?;
            Ok(Mounted { path: PathBuf::from(source.path), read_only: false })
        })
    }
}

fn check(path: &Path, kind: &str) -> Result<(), VolumeError> {
    match kind {
        // Whatever stands there; container runtimes make a directory of nothing.
        "" if !path.exists() => make_directory(path),
        "" => Ok(()),
        "DirectoryOrCreate" if !path.exists() => make_directory(path),
        "FileOrCreate" if !path.exists() => make_file(path),
        "DirectoryOrCreate" | "Directory" => expect(path, "a directory", |kind| kind.is_dir()),
        "FileOrCreate" | "File" => expect(path, "a file", |kind| kind.is_file()),
        "Socket" => expect(path, "a socket file", |kind| kind.is_socket()),
        "CharDevice" => expect(path, "a character device", |kind| kind.is_char_device()),
        "BlockDevice" => expect(path, "a block device", |kind| kind.is_block_device()),
        other => Err(VolumeError::Other(format!("{other} is an invalid volume type"))),
    }
}

fn expect(path: &Path, expected: &'static str, is: impl Fn(&std::fs::FileType) -> bool) -> Result<(), VolumeError> {
    match std::fs::metadata(path) {
        Ok(meta) if is(&meta.file_type()) => Ok(()),
        _ => Err(VolumeError::HostPathType { path: path.display().to_string(), expected }),
    }
}

fn make_directory(path: &Path) -> Result<(), VolumeError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| VolumeError::io("create", path, error))
}

fn make_file(path: &Path) -> Result<(), VolumeError> {
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o644).open(path);
    made.map(drop).map_err(|error| VolumeError::io("create", path, error))
}
