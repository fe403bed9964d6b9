//! What the levels check, in the order upstream reports it: baseline's checks by name, then
//! restricted's, where some of the latter stand in for some of the former.

use super::policy::{Level, Rule};
use crate::paths::{at, containers, items, labels, text};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// One thing a pod may not do.
pub(super) struct Finding {
    pub reason: Cow<'static, str>,
    pub detail: String,
}

type Check = fn(&Value, Rule) -> Option<Finding>;

struct Def {
    level: Level,
    /// The first minor version that has it.
    since: u32,
    /// Not at the restricted level (from this minor version on), which has a stricter one.
    replaced_since: Option<u32>,
    check: Check,
}

const fn baseline(check: Check) -> Def {
    Def { level: Level::Baseline, since: 0, replaced_since: None, check }
}

const fn replaced(since: u32, check: Check) -> Def {
    Def { level: Level::Baseline, since: 0, replaced_since: Some(since), check }
}

const fn restricted(since: u32, check: Check) -> Def {
    Def { level: Level::Restricted, since, replaced_since: None, check }
}

const ALL: [Def; 18] = [
    baseline(app_armor),
    replaced(22, capabilities_baseline),
    baseline(host_namespaces),
    replaced(0, host_path_volumes),
    baseline(host_ports),
    Def { level: Level::Baseline, since: 34, replaced_since: None, check: probe_hosts },
    baseline(privileged),
    baseline(proc_mount),
    baseline(selinux),
    Def { level: Level::Baseline, since: 19, replaced_since: Some(19), check: seccomp_baseline },
    baseline(sysctls),
    baseline(host_process),
    restricted(8, privilege_escalation),
    restricted(22, capabilities_restricted),
    restricted(0, restricted_volumes),
    restricted(0, run_as_non_root),
    restricted(23, run_as_user),
    restricted(19, seccomp_restricted),
];

/// All that `pod` (or a pod template) does against `rule`.
pub(super) fn run(rule: Rule, pod: &Value) -> Vec<Finding> {
    let strictest = rule.level == Level::Restricted;
    ALL.iter()
        .filter(|def| def.level <= rule.level && rule.since(def.since))
        .filter(|def| !(strictest && def.replaced_since.is_some_and(|minor| rule.since(minor))))
        .filter_map(|def| (def.check)(pod, rule))
        .collect()
}

fn finding(reason: impl Into<Cow<'static, str>>, detail: String) -> Option<Finding> {
    Some(Finding { reason: reason.into(), detail })
}

fn plural<'t>(one: &'t str, many: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { many }
}

fn quoted<'t>(names: impl IntoIterator<Item = &'t str>) -> String {
    names.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// `container "a"`, `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names.iter().copied()))
}

fn name(container: &Value) -> &str {
    text(container, &["name"])
}

/// The names of the containers for which `is_bad`.
fn bad(pod: &Value, is_bad: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(&pod["spec"]).filter(|container| is_bad(container)).map(name).collect()
}

/// What pod and containers set at `path` of their security context and `is_bad`: who, and the values.
fn set_badly<'v>(pod: &'v Value, path: &[&str], is_bad: impl Fn(&str) -> bool) -> (Vec<String>, BTreeSet<&'v str>) {
    let read = |holder: &'v Value| {
        let context = at(holder, &["securityContext"])?;
        at(context, path).and_then(Value::as_str).filter(|value| is_bad(value))
    };
    let mut values: BTreeSet<&str> = BTreeSet::new();
    let mut setters = Vec::new();
    if let Some(value) = read(&pod["spec"]) {
        values.insert(value);
        setters.push("pod".to_owned());
    }
    let mut names = Vec::new();
    for container in containers(&pod["spec"]) {
        if let Some(value) = read(container) {
            values.insert(value);
            names.push(name(container));
        }
    }
    if !names.is_empty() {
        setters.push(named(&names));
    }
    (setters, values)
}

/// Linux' rules do not bind pods that say they run on Windows.
fn is_windows(pod: &Value, rule: Rule) -> bool {
    rule.since(25) && pod["spec"]["os"]["name"] == "windows"
}

fn app_armor(pod: &Value, _: Rule) -> Option<Finding> {
    let (mut setters, mut values) =
        set_badly(pod, &["appArmorProfile", "type"], |kind| !matches!(kind, "RuntimeDefault" | "Localhost"));
    let mut notes = Vec::new();
    for (key, value) in
        labels(pod, "annotations").filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
    {
        if !(value.is_empty() || value == "runtime/default" || value.starts_with("localhost/")) {
            values.insert(value);
            notes.push(key);
        }
    }
    if !notes.is_empty() {
        setters.push(format!("{} {}", plural("annotation", "annotations", notes.len()), quoted(notes)));
    }
    if setters.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    finding(reason, format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(values)))
}

const HARMLESS_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Containers that add capabilities other than `allowed`, and which.
fn added<'v>(pod: &'v Value, allowed: &[&str]) -> (Vec<&'v str>, BTreeSet<&'v str>) {
    let (mut names, mut capabilities) = (Vec::new(), BTreeSet::new());
    for container in containers(&pod["spec"]) {
        let list = items(container, &["securityContext", "capabilities", "add"]);
        let more: Vec<&str> = list.iter().filter_map(Value::as_str).filter(|one| !allowed.contains(one)).collect();
        if !more.is_empty() {
            names.push(name(container));
            capabilities.extend(more);
        }
    }
    (names, capabilities)
}

fn must_not_add(names: &[&str], capabilities: BTreeSet<&str>) -> String {
    format!("{} must not include {} in securityContext.capabilities.add", named(names), quoted(capabilities))
}

fn capabilities_baseline(pod: &Value, _: Rule) -> Option<Finding> {
    let (names, capabilities) = added(pod, &HARMLESS_CAPABILITIES);
    if names.is_empty() {
        return None;
    }
    finding("non-default capabilities", must_not_add(&names, capabilities))
}

fn capabilities_restricted(pod: &Value, rule: Rule) -> Option<Finding> {
    if is_windows(pod, rule) {
        return None;
    }
    let drops_all = |container: &Value| {
        items(container, &["securityContext", "capabilities", "drop"]).iter().any(|one| one == "ALL")
    };
    let keeping = bad(pod, |container| !drops_all(container));
    let (names, capabilities) = added(pod, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&keeping)));
    }
    if !names.is_empty() {
        details.push(must_not_add(&names, capabilities));
    }
    if details.is_empty() {
        return None;
    }
    finding("unrestricted capabilities", details.join("; "))
}

fn host_namespaces(pod: &Value, _: Rule) -> Option<Finding> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod["spec"][field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() {
        return None;
    }
    finding("host namespaces", shared.join(", "))
}

fn host_path_volumes(pod: &Value, _: Rule) -> Option<Finding> {
    let volumes = items(&pod["spec"], &["volumes"]).iter().filter(|volume| at(volume, &["hostPath"]).is_some());
    let names: Vec<&str> = volumes.map(name).collect();
    if names.is_empty() {
        return None;
    }
    finding("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)))
}

fn host_ports(pod: &Value, _: Rule) -> Option<Finding> {
    let mut ports = BTreeSet::new();
    let mut names = Vec::new();
    for container in containers(&pod["spec"]) {
        let own = items(container, &["ports"]).iter().filter_map(|port| port["hostPort"].as_i64());
        let own: Vec<i64> = own.filter(|port| *port != 0).collect();
        if !own.is_empty() {
            names.push(name(container));
            // As text, the way they are told.
            ports.extend(own.iter().map(i64::to_string));
        }
    }
    if names.is_empty() {
        return None;
    }
    let reason = plural("hostPort", "hostPorts", ports.len());
    let list = ports.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    finding(reason, format!("{} {} {reason} {list}", named(&names), plural("uses", "use", names.len())))
}

fn probe_hosts(pod: &Value, _: Rule) -> Option<Finding> {
    const HANDLERS: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let mut hosts = BTreeSet::new();
    let mut names = Vec::new();
    for container in containers(&pod["spec"]) {
        let handlers = HANDLERS.iter().filter_map(|path| at(container, path));
        let own: Vec<&str> = handlers
            .flat_map(|handler| [text(handler, &["httpGet", "host"]), text(handler, &["tcpSocket", "host"])])
            .filter(|host| !host.is_empty())
            .collect();
        if !own.is_empty() {
            names.push(name(container));
            hosts.extend(own);
        }
    }
    if names.is_empty() {
        return None;
    }
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    finding(
        "probe or lifecycle host",
        format!("{} {} {what} {}", named(&names), plural("uses", "use", names.len()), quoted(hosts)),
    )
}

fn privileged(pod: &Value, _: Rule) -> Option<Finding> {
    let names = bad(pod, |container| container["securityContext"]["privileged"] == true);
    if names.is_empty() {
        return None;
    }
    finding("privileged", format!("{} must not set securityContext.privileged=true", named(&names)))
}

fn proc_mount(pod: &Value, _: Rule) -> Option<Finding> {
    let mut values = BTreeSet::new();
    let mut names = Vec::new();
    for container in containers(&pod["spec"]) {
        let value = text(container, &["securityContext", "procMount"]);
        if !matches!(value, "" | "Default") {
            values.insert(value);
            names.push(name(container));
        }
    }
    if names.is_empty() {
        return None;
    }
    finding("procMount", format!("{} must not set securityContext.procMount to {}", named(&names), quoted(values)))
}

fn selinux(pod: &Value, rule: Rule) -> Option<Finding> {
    let fine = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || kind == "container_engine_t" && rule.since(31)
    };
    let options = |holder: &Value, field: &str| text(holder, &["securityContext", "seLinuxOptions", field]).to_owned();
    let offends = |holder: &Value| {
        !fine(&options(holder, "type")) || !options(holder, "user").is_empty() || !options(holder, "role").is_empty()
    };
    let holders = || std::iter::once(&pod["spec"]).chain(containers(&pod["spec"]));
    let mut setters = Vec::new();
    if offends(&pod["spec"]) {
        setters.push("pod".to_owned());
    }
    let names = bad(pod, offends);
    if !names.is_empty() {
        setters.push(named(&names));
    }
    if setters.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = holders().map(|holder| options(holder, "type")).filter(|kind| !fine(kind)).collect();
    let mut details = Vec::new();
    if !kinds.is_empty() {
        details.push(format!("{} {}", plural("type", "types", kinds.len()), quoted(kinds.iter().map(String::as_str))));
    }
    for field in ["user", "role"] {
        if holders().any(|holder| !options(holder, field).is_empty()) {
            details.push(format!("{field} may not be set"));
        }
    }
    let who = setters.join(" and ");
    finding("seLinuxOptions", format!("{who} set forbidden securityContext.seLinuxOptions: {}", details.join("; ")))
}

fn seccomp_baseline(pod: &Value, _: Rule) -> Option<Finding> {
    let (setters, values) =
        set_badly(pod, &["seccompProfile", "type"], |kind| !matches!(kind, "RuntimeDefault" | "Localhost"));
    if setters.is_empty() {
        return None;
    }
    let who = setters.join(" and ");
    finding("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values)))
}

fn seccomp_restricted(pod: &Value, rule: Rule) -> Option<Finding> {
    if is_windows(pod, rule) {
        return None;
    }
    if let Some(found) = seccomp_baseline(pod, rule) {
        return Some(found);
    }
    let path = &["securityContext", "seccompProfile", "type"];
    if at(&pod["spec"], path).is_some() {
        return None;
    }
    let names = bad(pod, |container| at(container, path).is_none());
    if names.is_empty() {
        return None;
    }
    finding(
        "seccompProfile",
        format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named(&names)
        ),
    )
}

/// With the minor version that first allowed them.
const SAFE_SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(pod: &Value, rule: Rule) -> Option<Finding> {
    let safe = |name: &str| SAFE_SYSCTLS.iter().any(|(own, since)| *own == name && rule.since(*since));
    let list = items(&pod["spec"], &["securityContext", "sysctls"]).iter().map(name);
    let forbidden: Vec<&str> = list.filter(|name| !safe(name)).collect();
    if forbidden.is_empty() {
        return None;
    }
    finding("forbidden sysctls", forbidden.join(", "))
}

fn host_process(pod: &Value, _: Rule) -> Option<Finding> {
    let is_set = |holder: &Value| holder["securityContext"]["windowsOptions"]["hostProcess"] == true;
    let mut setters = Vec::new();
    if is_set(&pod["spec"]) {
        setters.push("pod".to_owned());
    }
    let names = bad(pod, is_set);
    if !names.is_empty() {
        setters.push(named(&names));
    }
    if setters.is_empty() {
        return None;
    }
    finding(
        "hostProcess",
        format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters.join(" and ")),
    )
}

fn privilege_escalation(pod: &Value, rule: Rule) -> Option<Finding> {
    let names = bad(pod, |container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    if names.is_empty() || is_windows(pod, rule) {
        return None;
    }
    finding(
        "allowPrivilegeEscalation != false",
        format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&names)),
    )
}

const PLAIN_VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

fn restricted_volumes(pod: &Value, _: Rule) -> Option<Finding> {
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in items(&pod["spec"], &["volumes"]) {
        let sources = volume.as_object().into_iter().flatten();
        let sources = sources.filter(|(key, value)| *key != "name" && !value.is_null()).map(|(key, _)| key.as_str());
        let bad: Vec<&str> = sources.filter(|kind| !PLAIN_VOLUMES.contains(kind) && *kind != "image").collect();
        if !bad.is_empty() {
            names.push(name(volume));
            kinds.extend(bad);
        }
    }
    if names.is_empty() {
        return None;
    }
    let (volumes, uses) = (plural("volume", "volumes", names.len()), plural("uses", "use", names.len()));
    let what = plural("restricted volume type", "restricted volume types", kinds.len());
    finding("restricted volume types", format!("{volumes} {} {uses} {what} {}", quoted(names), quoted(kinds)))
}

fn run_as_non_root(pod: &Value, _: Rule) -> Option<Finding> {
    let reason = "runAsNonRoot != true";
    let read = |holder: &Value| at(holder, &["securityContext", "runAsNonRoot"]).and_then(Value::as_bool);
    let of_pod = read(&pod["spec"]);
    let mut setters = Vec::new();
    if of_pod == Some(false) {
        setters.push("pod".to_owned());
    }
    let refusing = bad(pod, |container| read(container) == Some(false));
    if !refusing.is_empty() {
        setters.push(named(&refusing));
    }
    if !setters.is_empty() {
        return finding(reason, format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and ")));
    }
    let silent = bad(pod, |container| read(container).is_none() && of_pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    finding(reason, format!("pod or {} must set securityContext.runAsNonRoot=true", named(&silent)))
}

fn run_as_user(pod: &Value, _: Rule) -> Option<Finding> {
    let is_root = |holder: &Value| at(holder, &["securityContext", "runAsUser"]).is_some_and(|user| *user == 0);
    let mut setters = Vec::new();
    if is_root(&pod["spec"]) {
        setters.push("pod".to_owned());
    }
    let names = bad(pod, is_root);
    if !names.is_empty() {
        setters.push(named(&names));
    }
    if setters.is_empty() {
        return None;
    }
    finding("runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and ")))
}
