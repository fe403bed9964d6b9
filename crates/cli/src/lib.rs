//! kubectl: one command a file.
