//! RuntimeClass.

use crate::check;
use crate::declared::Declared;
use crate::tree::text;
use meta::field::{ErrorList, Path};
use serde_json::Value;

pub const RUNTIME_CLASS: Declared =
    Declared::new("node.k8s.io", "RuntimeClass").updated_with_revision().validates(validate);

fn validate(class: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (path, handler) = (Path::new("handler"), text(class, "handler"));
    match old {
        None => check::all(errors, &path, handler, meta::validation::dns1123_label(handler)),
        Some(old) => check::immutable(errors, &path, &class["handler"], &old["handler"]),
    }
}
