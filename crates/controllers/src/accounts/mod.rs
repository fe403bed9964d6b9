//! What every namespace has from its first moment: the ServiceAccount `default` and the ConfigMap
//! with the cluster's root certificates. And the Secrets that hold tokens of accounts,
//! filled, and cleared away when nobody uses them.

mod cleaner;
mod defaults;
#[cfg(test)]
mod tests;
mod tokens;

pub use cleaner::TOKEN_CLEANER;
pub use defaults::{DEFAULT_ACCOUNT, ROOT_CA};
pub use tokens::{TOKENS, TokenIssuer};
