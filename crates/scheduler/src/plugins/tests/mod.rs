//! Each rule on small clusters, as upstream judges them, in its words.

mod local;
mod preemption;
mod spanning;
mod volumes;
