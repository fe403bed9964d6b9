//! StorageVersionMigration.

use crate::check;
use crate::declared::Declared;
use meta::field::Path;

pub const STORAGE_VERSION_MIGRATION: Declared = Declared::new("storagemigration.k8s.io", "StorageVersionMigration")
    .validates(|new, old, errors| {
        if let Some(old) = old {
            check::immutable(errors, &Path::new("spec"), &new["spec"], &old["spec"]);
        }
    });
