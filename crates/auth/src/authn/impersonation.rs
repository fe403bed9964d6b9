//! Acting as another user, by upstream's `Impersonate-*` headers, for those who may.

use super::service_account;
use crate::authorizer::Authorizer;
use crate::names;
use meta::{Attributes, Status, User};

const EXTRA_PREFIX: &str = "impersonate-extra-";
const GROUP: &str = "authentication.k8s.io";

/// The user to act as, where the headers (names in any case) ask for one and `user` may.
///
/// # Errors
/// The Status the client gets: 403, or 500 where groups or extras are asked for without a user.
pub fn impersonate<'h>(
    user: &User,
    headers: impl Iterator<Item = (&'h str, &'h str)>,
    authorizer: &dyn Authorizer,
) -> Result<Option<User>, Status> {
    let Some(mut wanted) = requested(headers)? else { return Ok(None) };
    allowed(user, &wanted, authorizer)?;
    if let Some((namespace, _)) = service_account::split_user_name(&wanted.name)
        && wanted.groups.is_empty()
    {
        wanted.groups = service_account::groups(namespace);
    }
    let known = wanted.in_group(names::AUTHENTICATED) || wanted.in_group(names::UNAUTHENTICATED);
    if !known {
        let group = if wanted.name == names::ANONYMOUS { names::UNAUTHENTICATED } else { names::AUTHENTICATED };
        wanted.groups.push(group.to_owned());
    }
    Ok(Some(wanted))
}

fn requested<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>) -> Result<Option<User>, Status> {
    let mut wanted = User::default();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "impersonate-user" => value.clone_into(&mut wanted.name),
            "impersonate-uid" => value.clone_into(&mut wanted.uid),
            "impersonate-group" => wanted.groups.push(value.to_owned()),
            _ => {
                if let Some(key) = name.strip_prefix(EXTRA_PREFIX) {
                    wanted.extra.entry(unescape(key)).or_default().push(value.to_owned());
                }
            }
        }
    }
    match (wanted.name.is_empty(), wanted == User::default()) {
        (false, _) => Ok(Some(wanted)),
        (true, true) => Ok(None),
        (true, false) => Err(Status::internal("requested impersonation without impersonating a user")),
    }
}

/// Each part of the other user is a permission of its own.
fn allowed(user: &User, wanted: &User, authorizer: &dyn Authorizer) -> Result<(), Status> {
    let ask = |group: &str, resource: &str, namespace: &str, subresource: &str, name: &str| {
        let version = if group.is_empty() { "" } else { "v1" };
        let attributes = Attributes { version, ..Attributes::resource(user, "impersonate", group, resource) };
        let attributes = attributes.namespace(namespace).subresource(subresource).name(name);
        let decision = authorizer.authorize(&attributes);
        if decision.is_allowed() { Ok(()) } else { Err(attributes.forbidden(decision.reason())) }
    };
    match service_account::split_user_name(&wanted.name) {
        Some((namespace, account)) => ask("", "serviceaccounts", namespace, "", account)?,
        None => ask("", "users", "", "", &wanted.name)?,
    }
    if !wanted.uid.is_empty() {
        ask(GROUP, "uids", "", "", &wanted.uid)?;
    }
    for group in &wanted.groups {
        ask("", "groups", "", "", group)?;
    }
    for (key, values) in &wanted.extra {
        values.iter().try_for_each(|value| ask(GROUP, "userextras", "", key, value))?;
    }
    Ok(())
}

/// Percent-decoding; what is not well escaped stays as it is.
fn unescape(key: &str) -> String {
    let bytes = key.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let code = code.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}
