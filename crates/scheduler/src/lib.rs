//! The scheduler: queues, node snapshot, plugins as pure rules.
