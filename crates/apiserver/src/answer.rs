//! What the generic path answers, before anyone knows in which media type it will be sent.

use crate::object::Object;
use crate::resources::Resource;
use crate::watch::Watcher;
use bytes::Bytes;
use meta::Status;
use std::sync::Arc;
use store::Revision;

pub enum Answer {
    Object {
        object: Arc<Object>,
        created: bool,
    },
    /// A virtual object (Scale, TokenRequest, a review) as canonical JSON.
    Other {
        json: Bytes,
        type_id: wire::schema::TypeId,
        created: bool,
    },
    List(Listing),
    Watch(Box<Watcher>),
    /// Of a finished delete.
    Status(Status),
}

/// A page of objects, all as of one revision.
pub struct Listing {
    pub resource: Arc<Resource>,
    pub revision: Revision,
    pub items: Vec<Arc<Object>>,
    pub continue_token: Option<String>,
    pub remaining: Option<i64>,
}
