//! The API server: one generic REST path for every kind, the watch cache and discovery.
