//! Profiles: what a debugging container may do, and what of the node it sees.

use crate::failure::{Failure, Outcome};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Legacy,
    General,
    Baseline,
    Restricted,
    Netadmin,
    Sysadmin,
}

/// How the container is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Ephemeral,
    Copy,
    Node,
}

const ALL: &[(&str, Profile)] = &[
    ("legacy", Profile::Legacy),
    ("general", Profile::General),
    ("baseline", Profile::Baseline),
    ("restricted", Profile::Restricted),
    ("netadmin", Profile::Netadmin),
    ("sysadmin", Profile::Sysadmin),
];

impl Profile {
    pub fn of(name: &str) -> Outcome<Self> {
        let found = ALL.iter().find(|(known, _)| *known == name).map(|(_, profile)| *profile);
        found.ok_or_else(|| Failure::message(format!("unknown profile: {name}")))
    }

    pub fn container(self, style: Style, container: &mut Value) {
        if style == Style::Node && !matches!(self, Profile::Baseline | Profile::Restricted | Profile::Netadmin) {
            container["volumeMounts"] = json!([{"mountPath": "/host", "name": "host-root"}]);
        }
        match (self, style) {
            (Profile::General, Style::Ephemeral | Style::Copy) => add_capabilities(container, &["SYS_PTRACE"]),
            (Profile::Netadmin, _) => add_capabilities(container, &["NET_ADMIN", "NET_RAW"]),
            (Profile::Sysadmin, _) => container["securityContext"]["privileged"] = json!(true),
            (Profile::Restricted, _) => {
                let context = &mut container["securityContext"];
                context["allowPrivilegeEscalation"] = json!(false);
                context["capabilities"] = json!({"drop": ["ALL"]});
                context["runAsNonRoot"] = json!(true);
                context["seccompProfile"] = json!({"type": "RuntimeDefault"});
            }
            (Profile::Baseline, Style::Copy | Style::Ephemeral) => {
                container.as_object_mut().map(|map| map.remove("securityContext"));
            }
            _ => {}
        }
    }

    pub fn pod(self, style: Style, pod: &mut Value) {
        let spec = &mut pod["spec"];
        if style != Style::Node {
            return;
        }
        if !matches!(self, Profile::Baseline | Profile::Restricted) {
            for field in ["hostNetwork", "hostPID"] {
                spec[field] = json!(true);
            }
            if self != Profile::Netadmin {
                spec["hostIPC"] = json!(true);
            }
        }
        if !matches!(self, Profile::Baseline | Profile::Restricted | Profile::Netadmin) {
            spec["volumes"] = json!([{"name": "host-root", "hostPath": {"path": "/"}}]);
        }
    }
}

fn add_capabilities(container: &mut Value, wanted: &[&str]) {
    let added = &mut container["securityContext"]["capabilities"]["add"];
    let mut all = added.as_array().cloned().unwrap_or_default();
    for capability in wanted {
        if !all.iter().any(|known| known == capability) {
            all.push(json!(capability));
        }
    }
    *added = json!(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_profiles_allow() {
        let rows = [
            ("general", Style::Ephemeral, "{\"capabilities\":{\"add\":[\"SYS_PTRACE\"]}}"),
            ("general", Style::Node, "null"),
            ("baseline", Style::Ephemeral, "null"),
            ("netadmin", Style::Node, "{\"capabilities\":{\"add\":[\"NET_ADMIN\",\"NET_RAW\"]}}"),
            ("sysadmin", Style::Copy, "{\"privileged\":true}"),
            (
                "restricted",
                Style::Ephemeral,
                "{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"]},\"runAsNonRoot\":true,\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}",
            ),
        ];
        for (name, style, expected) in rows {
            let mut container = json!({"name": "c"});
            Profile::of(name).unwrap().container(style, &mut container);
            assert_eq!(container["securityContext"].to_string(), expected, "{name} {style:?}");
        }
        assert!(Profile::of("other").is_err());
    }
}
