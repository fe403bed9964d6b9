//! The pod network: addresses, links, routes between nodes.
