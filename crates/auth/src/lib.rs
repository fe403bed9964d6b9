//! Who is asking and whether they may: certificates, tokens, RBAC, the Node authorizer.
//!
//! Mostly pure rules and cryptography; nothing here knows where objects are stored. The few things
//! that ask others (webhooks, issuers' key sets, key services) are configured by upstream's files.
//! The API server feeds the indexes with every object it commits, answers the few look-ups from
//! memory and asks [`Authorizer::authorize`] once per request; `cluster` uses [`pki`] for its
//! certificates.

pub mod authn;
pub mod authorization;
pub mod authorizer;
pub mod encryption;
pub mod file;
pub mod jwt;
pub mod node;
pub mod pki;
pub mod policy;
pub mod rbac;
pub mod remote;
pub mod secret;
pub mod signers;
#[cfg(test)]
mod testing;
pub mod wait;

pub use authorizer::{Authorizer, Decision, Union};
pub use meta::{Attributes, User};
pub use policy::bootstrap_policy;

/// Groups and users that stand for how a request was authenticated.
pub mod names {
    pub const ANONYMOUS: &str = "system:anonymous";
    pub const AUTHENTICATED: &str = "system:authenticated";
    pub const UNAUTHENTICATED: &str = "system:unauthenticated";
    /// Members may do everything.
    pub const MASTERS: &str = "system:masters";
    pub const NODES: &str = "system:nodes";
    /// A kubelet's user is this and its node's name.
    pub const NODE_PREFIX: &str = "system:node:";
    pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
    pub const BOOTSTRAP_PREFIX: &str = "system:bootstrap:";
    pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
    pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
    /// The API server calling itself.
    pub const API_SERVER: &str = "system:apiserver";
}
