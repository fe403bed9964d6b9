//! Which sysctls pods may set. Pure.

use super::admit::Refusal;
use super::spec;
use k8s_openapi::api::core::v1::Pod;

/// Kept apart by namespaces, and harmless to the node; upstream's list.
const SAFE: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

/// What beside those a node's owner allows: names, and beginnings of names that end in `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnsafeSysctls(Vec<String>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SysctlError {
    #[error("sysctl {0:?} is no name of a sysctl, nor the beginning of one with a * at its end")]
    Syntax(String),
    #[error("the sysctls {0:?} are not known to be namespaced")]
    OfTheNode(String),
}

impl UnsafeSysctls {
    /// # Errors
    /// A name that is none, or of what all pods share.
    pub fn new<'a>(names: impl Iterator<Item = &'a String>) -> Result<Self, SysctlError> {
        let check = |given: &String| {
            let name = dotted(given);
            let stem = name.strip_suffix('*').unwrap_or(&name);
            let known = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
            if stem.is_empty() || !stem.chars().all(known) {
                return Err(SysctlError::Syntax(given.clone()));
            }
            namespace(stem).ok_or_else(|| SysctlError::OfTheNode(stem.to_owned()))?;
            Ok(name)
        };
        Ok(UnsafeSysctls(names.map(check).collect::<Result<_, _>>()?))
    }

    fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|own| match own.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => own == name,
        })
    }
}

fn dotted(name: &str) -> String {
    // What comes first decides, as an interface may have the other in its name.
    match name.find(['.', '/']).map(|at| &name[at..=at]) {
        Some("/") => name
            .chars()
            .map(|letter| {
                if letter == '/' {
                    '.'
                } else if letter == '.' {
                    '/'
                } else {
                    letter
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// What keeps a sysctl's values apart.
fn namespace(name: &str) -> Option<&'static str> {
    match name {
        "kernel.sem" => Some("IPC"),
        _ if ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|stem| name.starts_with(stem)) => Some("IPC"),
        _ if name.starts_with("net.") => Some("Net"),
        _ => None,
    }
}

/// # Errors
/// A sysctl that would change the node, or that nobody has allowed.
pub fn check(pod: &Pod, allowed: &UnsafeSysctls) -> Result<(), Refusal> {
    let spec = spec::spec(pod);
    let context = spec.security_context.as_ref();
    for sysctl in context.into_iter().flat_map(|context| context.sysctls.iter().flatten()) {
        let name = dotted(&sysctl.name);
        let shared = |kind: &str| match kind {
            "IPC" => spec.host_ipc == Some(true),
            _ => spec.host_network == Some(true),
        };
        let known = SAFE.contains(&name.as_str()) || allowed.allow(&name);
        let why = match namespace(&name) {
            Some(kind) if known && shared(kind) => format!("not allowed with host {kind} enabled"),
            Some(_) if known => continue,
            _ => "not allowlisted".to_owned(),
        };
        return Err(Refusal::rejected("SysctlForbidden", &format!("forbidden sysctl: {name:?} {why}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn allowed(names: &[&str]) -> Result<UnsafeSysctls, SysctlError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        UnsafeSysctls::new(names.iter())
    }

    #[test]
    fn sysctls_that_reach_the_node_are_refused() {
        let ours = allowed(&["kernel.msg*", "net/core/somaxconn"]).unwrap();
        for (name, host, expected) in [
            ("kernel.shm_rmid_forced", "hostNetwork", None),
            ("net/ipv4/tcp_syncookies", "hostIPC", None),
            ("net.ipv4.tcp_syncookies", "hostNetwork", Some("not allowed with host Net enabled")),
            ("kernel.shm_rmid_forced", "hostIPC", Some("not allowed with host IPC enabled")),
            ("kernel.msgmax", "hostPID", None),
            ("kernel.msgmax", "hostIPC", Some("not allowed with host IPC enabled")),
            ("net.core.somaxconn", "hostPID", None),
            ("net.core.somaxconn2", "hostPID", Some("not allowlisted")),
            ("kernel.shmmax", "hostPID", Some("not allowlisted")),
            ("vm.swappiness", "hostPID", Some("not allowlisted")),
        ] {
            let context = json!({"sysctls": [{"name": name, "value": "1"}]});
            let spec = json!({"containers": [], host: true, "securityContext": context});
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            let refused = check(&pod, &ours).err().map(|refusal| refusal.message);
            let expected = expected.map(|why| format!("Pod was rejected: forbidden sysctl: {name:?} {why}"));
            assert_eq!(refused, expected, "{name} {host}");
        }
    }

    #[test]
    fn only_what_pods_have_apart_can_be_allowed() {
        for (name, why) in [
            ("vm.swappiness", "the sysctls \"vm.swappiness\" are not known to be namespaced"),
            ("kernel.*", "the sysctls \"kernel.\" are not known to be namespaced"),
            ("*", "sysctl \"*\" is no name of a sysctl, nor the beginning of one with a * at its end"),
        ] {
            assert_eq!(allowed(&[name]).unwrap_err().to_string(), why);
        }
        assert_eq!(dotted("net/ipv4/conf/eth0.1/rp_filter"), "net.ipv4.conf.eth0/1.rp_filter");
    }
}
