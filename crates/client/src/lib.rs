//! How rooms talk to the API server: one trait, in process or over HTTPS, and on top of it caches,
//! work queues and typed calls.
//!
//! Every controller, the scheduler, the node and kubectl go through [`Api`]; none of them knows
//! which side of a wire it is on.

pub mod api;
pub mod cache;
pub mod credentials;
pub mod events;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
pub mod https;
pub mod kubeconfig;
pub mod leader;
pub mod queue;
pub mod typed;
pub mod webhook;

pub use api::{
    Api, BoxFuture, DeleteOptions, Error, Event, EventType, List, Options, PatchType, Preconditions, ReadAhead,
    Request, Response, Verb, Watch,
};
pub use cache::{Cache, Caches, Change, Item, Key, Projection, Selection};
pub use events::{ObjectRef, Recorder};
pub use https::{Body, BoxIo, ClientCertificate, Https, HttpsOptions, Roots, TokenSource};
pub use kubeconfig::Kubeconfig;
pub use queue::WorkQueue;
pub use typed::{Client, resource_of};
