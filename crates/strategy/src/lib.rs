//! One file per kind: validation, computed defaults, update and status rules, print columns.
