//! kustomize's core: what `kubectl kustomize` prints and `-k` applies.
//!
//! A folder's kustomization names resources, bases and components, generates ConfigMaps and
//! Secrets, and changes them all: patches, namespace, names, labels, annotations, images, replicas,
//! replacements. Names and hashes are upstream's. Nothing is fetched and nothing is run: remote
//! bases, Helm charts, plugins and `vars` are refused. Called by `kubectl kustomize` and by every
//! command with `-k`.

mod fields;
mod file;
mod generate;
mod load;
mod names;
mod order;
mod patch;
mod references;
mod replace;
mod resource;
mod transform;

pub use generate::hash_named as hash;

use crate::failure::{Failure, Outcome};
use serde_json::Value;
use std::path::Path;

/// What a folder's kustomization makes, in the order it is applied in.
pub fn build(folder: &str) -> Outcome<Vec<Value>> {
    let root = Path::new(folder);
    let root = root.canonicalize().map_err(|why| {
        let shown = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Failure::message(format!(
            "must build at directory: not a valid directory: evalsymlink failure on '{folder}' : lstat {}: {}",
            shown.display(),
            crate::session::io_text(&why)
        ))
    })?;
    if !root.is_dir() {
        return Err(Failure::message(format!("must build at directory: '{}': file is not directory", root.display())));
    }
    let mut made = load::load(&root)?;
    names::add_hashes(&mut made.resources);
    references::follow(&mut made.resources);
    if made.sorts {
        order::sort(&mut made.resources);
    }
    Ok(made.resources.into_iter().map(|resource| resource.object).collect())
}

/// The same as one text of YAML documents.
pub fn text(objects: &[Value]) -> String {
    objects.iter().map(wire::yaml::to_string).collect::<Vec<_>>().join("---\n")
}

#[cfg(test)]
mod tests;
