//! Plans by table, the rest against the real kernel in namespaces of their own. Need root.

mod kernel;
mod plans;
