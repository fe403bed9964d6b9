//! The table of API types: groups, versions, names, scopes, fields, defaults. Data, hardly ever edited.
