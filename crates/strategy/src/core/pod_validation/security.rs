//! Security contexts of pods and containers.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

const SECCOMP: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

pub fn pod(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (context, here) = (&spec["securityContext"], path.child("securityContext"));
    ids(context, &["runAsUser", "runAsGroup", "fsGroup"], &here, errors);
    for (at, group) in items(context, "supplementalGroups").iter().enumerate() {
        id(group, &here.child("supplementalGroups").index(at), errors);
    }
    let policy = text(context, "fsGroupChangePolicy");
    check::one_of(errors, &here.child("fsGroupChangePolicy"), policy, &["OnRootMismatch", "Always"]);
    profile(&context["seccompProfile"], "seccomp", &here.child("seccompProfile"), errors);
    let mut names: Vec<&str> = Vec::new();
    for (at, sysctl) in items(context, "sysctls").iter().enumerate() {
        let (here, name) = (here.child("sysctls").index(at).child("name"), text(sysctl, "name"));
        if check::required(errors, &here, name) {
            if !is_sysctl(name) {
                let why = format!("must have at most {MAX_SYSCTL} characters and match regex {SYSCTL}");
                errors.push(FieldError::invalid(&here, name, &why));
            } else if names.contains(&name) {
                errors.push(FieldError::duplicate(&here, name));
            }
        }
        names.push(name);
    }
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), true, why));
    }
    if spec["hostUsers"] == false {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec[field] == true {
                let why = "when `hostUsers` is false";
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
    }
}

const MAX_SYSCTL: usize = 253;
const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// Parts of small letters, digits, `-` and `_` that neither start nor end with the last two.
fn is_sysctl(name: &str) -> bool {
    let plain = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte);
    name.len() <= MAX_SYSCTL
        && name
            .split(['.', '/'])
            .map(str::as_bytes)
            .all(|part| plain(part.first()) && plain(part.last()) && part.iter().all(inner))
}

pub fn container(one: &Value, path: &Path, errors: &mut ErrorList) {
    let (context, here) = (&one["securityContext"], path.child("securityContext"));
    if !context.is_object() {
        return;
    }
    ids(context, &["runAsUser", "runAsGroup"], &here, errors);
    profile(&context["seccompProfile"], "seccomp", &here.child("seccompProfile"), errors);
    check::one_of(errors, &here.child("procMount"), text(context, "procMount"), &["Default", "Unmasked"]);
    if context["allowPrivilegeEscalation"] == false {
        let added = items(&context["capabilities"], "add");
        if context["privileged"] == true {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(&here, context.clone(), why));
        }
        if added.iter().any(|one| one == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(&here, context.clone(), why));
        }
    }
}

fn profile(profile: &Value, what: &str, path: &Path, errors: &mut ErrorList) {
    if !profile.is_object() {
        return;
    }
    let (kind, local, here) =
        (text(profile, "type"), text(profile, "localhostProfile"), path.child("localhostProfile"));
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "type is required when seccompProfile is set"));
    } else {
        check::one_of(errors, &path.child("type"), kind, SECCOMP);
    }
    if kind == "Localhost" {
        if local.is_empty() {
            let why = format!("must be set when {what} type is Localhost");
            errors.push(FieldError::required(&here, &why));
        } else {
            super::volumes::descending(local, &here, errors);
        }
    } else if !profile["localhostProfile"].is_null() {
        let why = format!("can only be set when {what} type is Localhost");
        errors.push(FieldError::invalid(&here, local, &why));
    }
}

fn ids(context: &Value, fields: &[&str], path: &Path, errors: &mut ErrorList) {
    for field in fields {
        id(&context[*field], &path.child(field), errors);
    }
}

fn id(id: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(id) = id.as_i64() {
        check::all(errors, path, id, validation::in_range(id, 0, i64::from(i32::MAX)));
    }
}
