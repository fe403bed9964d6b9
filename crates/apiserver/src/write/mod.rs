//! Creates, updates, patches and deletes: one path for every kind.
//!
//! decode → default → admit → track fields → validate → admit again → commit. Retries after a
//! conflict end with the request's time, and run the whole path again on the newer object.

mod admit;
mod charge;
mod create;
mod decode;
mod delete;
mod finish;
pub(crate) mod metadata;
mod modify;
mod shape;
mod track;

pub(crate) use charge::Tills;
pub use decode::Media;
pub(crate) use decode::{Expected, decode, decode_object, default, default_type, parse_yaml, struct_of};
pub(crate) use finish::Draft;
pub(crate) use modify::{Part, patched};

use crate::resources::Resource;
use crate::server::Server;
use admission::{Attributes, Operation, Subject};
use base::{Clock, Timestamp};
use client::Options;
use meta::{GroupVersionKind, Status, User};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use strategy::Context;
use tokio::time::Instant;

/// Who writes, and what the answer shall tell beside the object.
pub struct Caller<'a> {
    pub user: &'a User,
    pub user_agent: &'a str,
    /// Texts for Warning headers.
    pub warnings: &'a mut Vec<String>,
    /// What audit will tell of the request, where it will.
    pub record: Option<&'a audit::Record>,
}

/// How long a write whose client names no version is tried again on newer objects: as upstream, as
/// long as a request may take. Each conflict is another write that succeeded, so somebody gets on.
pub(crate) struct Patience {
    clock: Clock,
    until: Instant,
    lost: u32,
}

/// Who lost this often in a row leaves the others some room.
const LOST_AT_ONCE: u32 = 10;
const PAUSE: Duration = Duration::from_millis(5);

impl Patience {
    /// After a conflict.
    ///
    /// # Errors
    /// The request's time is over.
    pub async fn again(&mut self) -> Result<(), Status> {
        if self.clock.instant() >= self.until {
            return Err(Status::timeout(
                "request did not complete within requested timeout - context deadline exceeded",
                0,
            ));
        }
        self.lost += 1;
        if self.lost >= LOST_AT_ONCE {
            self.clock.sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl Server {
    pub(crate) fn patience(&self) -> Patience {
        let clock = self.env.clock.clone();
        Patience { until: clock.instant() + self.settings.limits.request_timeout, clock, lost: 0 }
    }
}

impl Caller<'_> {
    /// Hands admission's notes to audit.
    pub(crate) fn note(&mut self, notes: BTreeMap<String, String>) {
        let Some(record) = self.record else { return };
        for (key, value) in notes {
            record.annotate(key, value);
        }
    }

    /// The field manager: as asked, else the first part of the user agent, as upstream.
    pub(crate) fn manager<'m>(&'m self, options: &'m Options) -> &'m str {
        match options.field_manager.as_deref() {
            Some(manager) if !manager.is_empty() => manager,
            _ => self.user_agent.split(['/', ' ']).next().unwrap_or("unknown"),
        }
    }

    pub(crate) fn context<'c>(&'c self, now: Timestamp, subresource: &'c str) -> Context<'c> {
        Context {
            now,
            user_name: &self.user.name,
            user_uid: &self.user.uid,
            user_groups: &self.user.groups,
            user_extra: &self.user.extra,
            subresource,
        }
    }
}

/// A write as admission judges it, before and after it was changed.
pub(crate) struct Judged<'a> {
    pub operation: Operation,
    pub resource: &'a Resource,
    /// What is sent, where it is not the resource's own kind: an Eviction, a Binding.
    pub sent: Option<&'a GroupVersionKind>,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub user: &'a User,
    pub dry_run: bool,
    /// For the options that came with it; None: there are none.
    pub asked: Option<&'a client::Request>,
}

impl Judged<'_> {
    pub fn attributes<'b>(&'b self, object: Subject<'b>, old_object: Option<&'b Value>) -> Attributes<'b> {
        Attributes {
            operation: self.operation,
            kind: self.sent.cloned().unwrap_or_else(|| self.resource.gvk()),
            resource: self.resource.gvr(),
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            object,
            old_object,
            user: self.user,
            dry_run: self.dry_run,
            options: &Value::Null,
            audit: BTreeMap::new(),
        }
    }
}

/// True for `dryRun=All`.
///
/// # Errors
/// Any other value.
pub(crate) fn is_dry_run(options: &Options) -> Result<bool, Status> {
    match options.dry_run.as_deref() {
        None | Some("") => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let path = meta::field::Path::new("dryRun");
            let error = meta::field::FieldError::not_supported(&path, other, &["All"]);
            Err(meta::field::invalid("meta.k8s.io", "CreateOptions", "", &[error]))
        }
    }
}

pub(crate) fn conflict(resource: &Resource, name: &str) -> Status {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Status::conflict(&resource.group_resource(), name, why)
}
