//! StorageVersionMigration.

use crate::check;
use crate::declared::Declared;
use meta::field::{FieldError, Path};

pub const STORAGE_VERSION_MIGRATION: Declared = Declared::new("storagemigration.k8s.io", "StorageVersionMigration")
    .validates(|new, old, errors| {
        let resource = &new["spec"]["resource"]["resource"];
        if resource.as_str().is_none_or(str::is_empty) {
            let path = Path::new("spec").child("resource").child("resource");
            errors.push(FieldError::required(&path, "resource is required"));
        }
        if let Some(old) = old {
            check::immutable(errors, &Path::new("spec"), &new["spec"], &old["spec"]);
        }
    });
