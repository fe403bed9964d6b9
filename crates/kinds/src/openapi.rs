//! The API described as OpenAPI: `/openapi/v3` by group and version, `/openapi/v2` in one piece,
//! as `kubectl explain` and `kubectl apply` read them.
//!
//! Written from the type and resource tables on each request, which takes milliseconds: keeping
//! megabytes for the few clients that ask would cost more. Descriptions come from the build
//! ([`descriptions`]). Custom resources are brought by whoever holds their definitions.

mod custom;
mod descriptions;
mod gnostic;
mod models;
mod paths;
mod writer;

pub use custom::Custom;

use crate::resources::{Kind, all};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use wire::schema::TypeId;
use writer::Writer;

/// Which of OpenAPI's two dialects is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    V2,
    V3,
}

/// The media type that clients ask the protobuf form of version 2 by.
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The media type that it is answered with: Go's reader of media types refuses the other's `@`.
pub const V2_PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// What `info` calls the server.
const VERSION: &str = "v1.37.0";

/// A document as it is sent.
pub struct Document {
    pub body: Bytes,
    pub media_type: &'static str,
    /// With its quotes; the same until the program is another.
    pub etag: String,
}

const JSON: &str = "application/json";

/// The list of documents of what is served by default, and of custom resources: group, version
/// and fingerprint of each.
pub fn v3_index<'a>(customs: impl IntoIterator<Item = (&'a str, &'a str, u64)>) -> Document {
    let built_in = group_versions().map(|(group, version)| (group, version, fingerprint()));
    let mut all: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (group, version, print) in built_in.chain(customs) {
        let known = all.entry((group, version)).or_default();
        *known = mix(*known, print);
    }
    let print = all.values().fold(0, |sum, print| mix(sum, *print));
    let rows = all.into_iter().map(|((group, version), print)| (group, version, print));
    document(write_v3_index("/openapi/v3", rows), JSON, print)
}

/// The document of one group and version; None where nothing is known of it.
pub fn v3_document(group: &str, version: &str) -> Option<Document> {
    Some(document(write_v3(group, version)?, JSON, fingerprint()))
}

/// The document of one group and version of custom resources.
pub fn v3_custom(customs: &[Custom<'_>]) -> Document {
    let kinds: Vec<&Kind> = customs.iter().map(|custom| custom.kind).collect();
    let print = customs.iter().fold(0, |sum, custom| mix(sum, custom.fingerprint));
    document(write_v3_of(&kinds, customs), JSON, print)
}

/// What other servers say of themselves in version 2, for those who ask us.
#[derive(Default)]
pub struct Others {
    pub paths: Map<String, Value>,
    /// Where one of ours has the name, ours stands for both.
    pub definitions: Map<String, Value>,
    /// Changes whenever the rest does.
    pub fingerprint: u64,
}

/// Version 2 of all that is served by default, of custom resources and of other servers, in the form that
/// `accept` asks for.
pub fn v2_document(accept: &str, customs: &[Custom<'_>], others: &Others) -> Document {
    let json = write_v2(&|row| row.served_by_default, customs, others);
    let print = customs.iter().fold(fingerprint(), |sum, custom| mix(sum, custom.fingerprint));
    let print = if others.paths.is_empty() { print } else { mix(print, others.fingerprint) };
    match accept.contains(V2_PROTOBUF) {
        true => document(write_v2_protobuf(&json), V2_PROTOBUF_ANSWER, print),
        false => document(json, JSON, print),
    }
}

fn document(body: Vec<u8>, media_type: &'static str, print: u64) -> Document {
    let kind = media_type.len();
    Document { body: body.into(), media_type, etag: format!("\"{print:016X}-{kind}\"") }
}

/// Two fingerprints as one.
fn mix(one: u64, other: u64) -> u64 {
    (one.rotate_left(5) ^ other).wrapping_mul(0x100_0000_01b3)
}

/// Groups and versions served by default.
fn group_versions() -> impl Iterator<Item = (&'static str, &'static str)> {
    let served = all().iter().filter(|row| row.served_by_default);
    served.map(|row| (row.group.as_ref(), row.version.as_ref())).collect::<BTreeSet<_>>().into_iter()
}

/// The list of documents: `{"paths": {"api/v1": {"serverRelativeURL": …}}}`, one for each group and
/// version. `base` is the path that documents stand under, `/openapi/v3`.
pub fn write_v3_index<'a>(base: &str, group_versions: impl IntoIterator<Item = (&'a str, &'a str, u64)>) -> Vec<u8> {
    let mut out = Writer::default();
    out.object(|out| {
        out.member("paths", |out| {
            out.object(|out| {
                for (group, version, print) in group_versions {
                    let path = paths::root(group, version);
                    out.member(&path, |out| {
                        let url = format!("{base}/{path}?hash={print:016X}");
                        out.object(|out| out.text("serverRelativeURL", &url));
                    });
                }
            });
        });
    });
    out.finish()
}

/// The bytes of [`v3_document`].
pub fn write_v3(group: &str, version: &str) -> Option<Vec<u8>> {
    let kinds: Vec<&Kind> = all().iter().filter(|row| row.group == group && row.version == version).collect();
    (!kinds.is_empty()).then(|| write_v3_of(&kinds, &[]))
}

fn write_v3_of(kinds: &[&Kind], customs: &[Custom<'_>]) -> Vec<u8> {
    let mut out = Writer::default();
    out.object(|out| {
        out.text("openapi", "3.0.0");
        info(out);
        out.member("paths", |out| out.object(|out| paths::write(out, Dialect::V3, kinds)));
        out.member("components", |out| {
            out.object(|out| {
                out.member("schemas", |out| {
                    models::write(out, Dialect::V3, kinds, &roots(kinds), customs, &Map::new())
                });
                out.member("securitySchemes", bearer_token);
            });
        });
        security(out);
    });
    out.finish()
}

/// The document of all kinds that `served` admits, of custom resources and of other servers.
pub fn write_v2(served: &dyn Fn(&Kind) -> bool, customs: &[Custom<'_>], others: &Others) -> Vec<u8> {
    let mut kinds: Vec<&Kind> = all().iter().filter(|row| served(row)).collect();
    kinds.extend(customs.iter().map(|custom| custom.kind));
    let mut out = Writer::default();
    out.object(|out| {
        out.text("swagger", "2.0");
        info(out);
        out.member("paths", |out| {
            out.object(|out| {
                paths::write(out, Dialect::V2, &kinds);
                others.paths.iter().for_each(|(path, item)| out.value(path, item));
            });
        });
        out.member("definitions", |out| {
            models::write(out, Dialect::V2, &kinds, &roots(&kinds), customs, &others.definitions)
        });
        out.member("securityDefinitions", bearer_token);
        security(out);
    });
    out.finish()
}

/// The same in protobuf, from the bytes of [`write_v2`].
pub fn write_v2_protobuf(document: &[u8]) -> Vec<u8> {
    gnostic::transcode(document)
}

/// `io.k8s.api.core.v1.Pod` for `core.v1.Pod`.
pub fn model_name(struct_name: &str) -> String {
    let prefix = match struct_name.split('.').next() {
        Some("meta") => "io.k8s.apimachinery.pkg.apis",
        Some("apiextensions") => "io.k8s.apiextensions-apiserver.pkg.apis",
        Some("apiregistration") => "io.k8s.kube-aggregator.pkg.apis",
        Some("metrics") => "io.k8s.metrics.pkg.apis",
        _ => "io.k8s.api",
    };
    format!("{prefix}.{struct_name}")
}

/// Changes whenever the documents may have, so that clients keep them until then.
fn fingerprint() -> u64 {
    let sources = [include_str!("types.tbl"), include_str!("resources.tbl"), env!("CARGO_PKG_VERSION")];
    let bytes = sources.iter().flat_map(|text| text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn info(out: &mut Writer) {
    out.member("info", |out| {
        out.object(|out| {
            out.text("title", "Kubernetes");
            out.text("version", VERSION);
        });
    });
}

fn bearer_token(out: &mut Writer) {
    out.object(|out| {
        out.member("BearerToken", |out| {
            out.object(|out| {
                out.text("type", "apiKey");
                out.text("name", "authorization");
                out.text("in", "header");
                out.text("description", "Bearer Token authentication");
            });
        });
    });
}

fn security(out: &mut Writer) {
    out.member("security", |out| {
        out.list([()], |out, ()| out.object(|out| out.member("BearerToken", |out| out.list([(); 0], |_, ()| {}))));
    });
}

/// The structs that paths refer to.
fn roots(kinds: &[&Kind]) -> BTreeSet<TypeId> {
    let common = ["meta.v1.DeleteOptions", "meta.v1.Status", "meta.v1.WatchEvent"];
    let mut roots: BTreeSet<TypeId> = common.iter().filter_map(|name| crate::type_id(name)).collect();
    for row in kinds {
        if row.model.is_some() {
            roots.extend(["meta.v1.ObjectMeta", "meta.v1.ListMeta"].iter().filter_map(|name| crate::type_id(name)));
        } else {
            roots.insert(row.type_id);
        }
        roots.extend(row.list_type_id);
        roots.extend(row.subresources.iter().filter_map(|sub| crate::type_of(&sub.group, &sub.version, &sub.kind)));
    }
    roots
}

#[cfg(test)]
mod tests;
