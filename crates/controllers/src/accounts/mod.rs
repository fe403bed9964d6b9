//! What every namespace has from its first moment: the ServiceAccount `default` and the ConfigMap
//! with the cluster's root certificates. And the Secrets that hold tokens of accounts.

mod defaults;
#[cfg(test)]
mod tests;
mod tokens;

pub use defaults::{DEFAULT_ACCOUNT, ROOT_CA};
pub use tokens::{TOKENS, TokenIssuer};
