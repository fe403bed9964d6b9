//! The volumes of a pod that bear on its place: claims, and disks that only one pod may use.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// A claim by name; an ephemeral one is made for the pod under its name.
    Claim {
        name: String,
        is_ephemeral: bool,
    },
    Disk(Disk),
}

/// A disk named in the pod itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disk {
    Gce { name: String, read_only: bool },
    Ebs { id: String },
    Iscsi { iqn: String, read_only: bool },
    Rbd { monitors: Vec<String>, pool: String, image: String, read_only: bool },
}

impl Disk {
    /// Whether two pods on one node cannot have both.
    pub fn clashes_with(&self, other: &Disk) -> bool {
        match (self, other) {
            (Disk::Gce { name, read_only }, Disk::Gce { name: standing, read_only: also }) => {
                name == standing && !(*read_only && *also)
            }
            (Disk::Ebs { id }, Disk::Ebs { id: standing }) => id == standing,
            (Disk::Iscsi { iqn, read_only }, Disk::Iscsi { iqn: standing, read_only: also }) => {
                iqn == standing && !(*read_only && *also)
            }
            (
                Disk::Rbd { monitors, pool, image, read_only },
                Disk::Rbd { monitors: theirs, pool: their_pool, image: their_image, read_only: also },
            ) => {
                let shared = monitors.iter().any(|one| theirs.contains(one));
                shared && pool == their_pool && image == their_image && !(*read_only && *also)
            }
            _ => false,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wire {
    name: String,
    persistent_volume_claim: Option<Claim>,
    ephemeral: Option<serde::de::IgnoredAny>,
    gce_persistent_disk: Option<Gce>,
    aws_elastic_block_store: Option<Ebs>,
    iscsi: Option<Iscsi>,
    rbd: Option<Rbd>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Gce {
    pd_name: String,
    read_only: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ebs {
    #[serde(rename = "volumeID")]
    volume_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Iscsi {
    iqn: String,
    read_only: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Rbd {
    monitors: Vec<String>,
    pool: String,
    image: String,
    read_only: bool,
}

impl Wire {
    pub fn read(self, pod: &str) -> Option<Volume> {
        if let Some(claim) = self.persistent_volume_claim {
            return Some(Volume::Claim { name: claim.claim_name, is_ephemeral: false });
        }
        if self.ephemeral.is_some() {
            return Some(Volume::Claim { name: format!("{pod}-{}", self.name), is_ephemeral: true });
        }
        if let Some(disk) = self.gce_persistent_disk {
            return Some(Volume::Disk(Disk::Gce { name: disk.pd_name, read_only: disk.read_only }));
        }
        if let Some(disk) = self.aws_elastic_block_store {
            return Some(Volume::Disk(Disk::Ebs { id: disk.volume_id }));
        }
        if let Some(disk) = self.iscsi {
            return Some(Volume::Disk(Disk::Iscsi { iqn: disk.iqn, read_only: disk.read_only }));
        }
        let Rbd { monitors, pool, image, read_only } = self.rbd?;
        Some(Volume::Disk(Disk::Rbd { monitors, pool, image, read_only }))
    }
}
