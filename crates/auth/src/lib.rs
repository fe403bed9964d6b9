//! Who is asking and whether they may: certificates, tokens, RBAC, the Node authorizer.
