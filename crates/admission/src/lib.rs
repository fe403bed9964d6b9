//! The admission chain: one plugin a file, run in the order of ALL.
