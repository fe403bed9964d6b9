//! The one running instance of a data dir, as other commands find it: `<data-dir>/instance.json`.

use crate::process::Process;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Short id that names this instance's links, cgroups and tables.
    pub id: String,
    pub process: Process,
    /// How the API server is reached from this machine.
    pub server: String,
    pub node_name: String,
    /// The node's own process, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_process: Option<Process>,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("instance.json")
}

/// The id of a data dir: made once, so that what an earlier run left is found again.
pub fn id(data_dir: &Path) -> anyhow::Result<String> {
    let file = data_dir.join("instance-id");
    match std::fs::read_to_string(&file) {
        Ok(id) => Ok(id.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = base::Rng::from_os().name_suffix(6);
            std::fs::write(&file, &id).with_context(|| format!("cannot write {}", file.display()))?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// After `kutter down`: nothing runs any more.
pub fn forget(data_dir: &Path) -> anyhow::Result<()> {
    let file = path(data_dir);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

impl Instance {
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let target = path(data_dir);
        let fresh = target.with_extension("json.new");
        std::fs::write(&fresh, text).with_context(|| format!("cannot write {}", fresh.display()))?;
        std::fs::rename(&fresh, &target).with_context(|| format!("cannot write {}", target.display()))
    }

    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// None where nothing was ever started there.
    pub fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let file = path(data_dir);
        match std::fs::read(&file) {
            Ok(text) => {
                Ok(Some(serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }
}
