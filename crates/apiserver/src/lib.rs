//! The API server: one generic REST path for every kind.
//!
//! request → authenticate → authorize → decode → default → admit → validate → commit → respond.
//! [`Server`] is the transport-free heart; [`http`] puts it on a socket, [`Local`] gives it to
//! rooms in the same process. Only wiring and tests use this crate; rooms use `client`.

mod access;
pub mod aggregate;
mod answer;
mod apis;
mod collection;
pub mod connect;
mod custom;
mod directory;
mod discovery;
mod dispatch;
mod filter;
mod flow;
pub mod http;
mod local;
mod lookup;
pub mod manifest;
mod object;
mod openapi;
mod read;
mod resources;
mod review;
mod server;
mod services;
mod snapshots;
mod subresources;
mod table;
mod token_use;
mod upkeep;
mod usage;
mod views;
mod watch;
mod write;

pub use access::{Access, Observer};
pub use apis::Apis;
pub use discovery::GIT_VERSION;
pub use flow::Limits;
pub use http::go_duration;
pub use local::Local;
pub use object::{Index, Object};
pub use resources::{Held, Resource, Resources};
pub use server::{Identity, Links, Server, Settings, StartError};
