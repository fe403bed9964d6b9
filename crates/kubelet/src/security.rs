//! The security contexts of pod and container merged into what the runtime is told.

use crate::pod::PodRef;
use container::runtime::{ContainerConfig, Seccomp};
use images::ImageConfig;
use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext};
use std::path::Path;

/// Hidden from containers, as every runtime does.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Fills in who the container is and what it may do.
///
/// # Errors
/// The message of CreateContainerConfigError.
pub fn apply(
    pod: &Pod,
    container: &Container,
    image: &ImageConfig,
    seccomp_directory: &Path,
    config: &mut ContainerConfig,
) -> Result<(), String> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(of_pod.run_as_user);
    let group = own.run_as_group.or(of_pod.run_as_group);
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        check_not_root(pod, container, user, &image.user)?;
    }
    config.user = if user.is_some() { String::new() } else { image.user.clone() };
    config.run_as_uid = number(user)?;
    config.run_as_gid = number(group)?;
    config.supplemental_groups = groups(&of_pod)?;
    config.supplemental_groups_strict = of_pod.supplemental_groups_policy.as_deref() == Some("Strict");
    config.privileged = own.privileged == Some(true);
    config.read_only_rootfs = own.read_only_root_filesystem == Some(true);
    config.no_new_privs = own.allow_privilege_escalation == Some(false);
    if let Some(capabilities) = &own.capabilities {
        config.add_capabilities = capabilities.add.clone().unwrap_or_default();
        config.drop_capabilities = capabilities.drop.clone().unwrap_or_default();
    }
    if !config.privileged && own.proc_mount.as_deref() != Some("Unmasked") {
        config.masked_paths = MASKED.map(str::to_owned).to_vec();
        config.readonly_paths = READ_ONLY.map(str::to_owned).to_vec();
    }
    config.seccomp = seccomp(&own, &of_pod, config.privileged, seccomp_directory)?;
    let profile = own.app_armor_profile.or(of_pod.app_armor_profile);
    config.apparmor_profile =
        profile.filter(|profile| profile.type_ == "Localhost").and_then(|own| own.localhost_profile);
    Ok(())
}

fn number(id: Option<i64>) -> Result<Option<u32>, String> {
    id.map(|id| u32::try_from(id).map_err(|_| format!("{id} is no user or group number"))).transpose()
}

fn groups(of_pod: &PodSecurityContext) -> Result<Vec<u32>, String> {
    let mut groups = Vec::new();
    for group in of_pod.supplemental_groups.iter().flatten().chain(&of_pod.fs_group) {
        groups.extend(number(Some(*group))?);
    }
    Ok(groups)
}

fn check_not_root(pod: &Pod, container: &Container, user: Option<i64>, of_image: &str) -> Result<(), String> {
    let place = format!("(pod: \"{}\", container: {})", PodRef::of(pod), container.name);
    if let Some(user) = user {
        let refused = format!("container's runAsUser breaks non-root policy {place}");
        return if user == 0 { Err(refused) } else { Ok(()) };
    }
    let name = of_image.split(':').next().unwrap_or("");
    match name.parse::<i64>() {
        Ok(0) => Err(format!("container has runAsNonRoot and image will run as root {place}")),
        Ok(_) => Ok(()),
        Err(_) if name.is_empty() => Err(format!("container has runAsNonRoot and image will run as root {place}")),
        Err(_) => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {place}"
        )),
    }
}

/// Without a word from the user the runtime's own profile stands (upstream's SeccompDefault).
fn seccomp(
    own: &SecurityContext,
    of_pod: &PodSecurityContext,
    privileged: bool,
    directory: &Path,
) -> Result<Seccomp, String> {
    if privileged {
        return Ok(Seccomp::Unconfined);
    }
    let Some(SeccompProfile { type_, localhost_profile }) =
        own.seccomp_profile.clone().or_else(|| of_pod.seccomp_profile.clone())
    else {
        return Ok(Seccomp::RuntimeDefault);
    };
    match (type_.as_str(), localhost_profile) {
        ("Unconfined", _) => Ok(Seccomp::Unconfined),
        ("Localhost", Some(profile)) if !profile.is_empty() => Ok(Seccomp::Localhost(directory.join(profile))),
        ("Localhost", _) => Err("localhostProfile must be set if seccompProfile type is Localhost.".to_owned()),
        _ => Ok(Seccomp::RuntimeDefault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(of_pod: serde_json::Value, own: serde_json::Value, user: &str) -> Result<ContainerConfig, String> {
        let container = json!({"name": "c", "securityContext": own});
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [container], "securityContext": of_pod}}))
        .unwrap();
        let image = ImageConfig { user: user.to_owned(), ..ImageConfig::default() };
        let mut config = ContainerConfig::default();
        let container = &crate::pod::spec::main_containers(&pod)[0];
        apply(&pod, container, &image, Path::new("/s"), &mut config).map(|()| config)
    }

    #[test]
    fn non_root_is_checked_in_upstreams_words() {
        let place = "(pod: \"p_n(u)\", container: c)";
        for (of_pod, own, user, error) in [
            (
                json!({"runAsNonRoot": true}),
                json!({}),
                "",
                Some("container has runAsNonRoot and image will run as root"),
            ),
            (
                json!({"runAsNonRoot": true}),
                json!({}),
                "0:0",
                Some("container has runAsNonRoot and image will run as root"),
            ),
            (
                json!({"runAsNonRoot": true}),
                json!({"runAsUser": 0}),
                "5",
                Some("container's runAsUser breaks non-root policy"),
            ),
            (
                json!({"runAsNonRoot": true}),
                json!({}),
                "nginx",
                Some(
                    "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root",
                ),
            ),
            (json!({"runAsNonRoot": true}), json!({}), "101", None),
            (json!({"runAsNonRoot": true, "runAsUser": 7}), json!({}), "", None),
            (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), "", None),
        ] {
            let outcome = run(of_pod, own, user).err();
            assert_eq!(outcome, error.map(|text| format!("{text} {place}")));
        }
    }

    #[test]
    fn the_containers_own_word_counts_more() {
        let config = run(
            json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4],
                "seccompProfile": {"type": "Unconfined"}}),
            json!({"runAsUser": 9, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"},
                "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}),
            "nginx",
        )
        .unwrap();
        assert_eq!((config.run_as_uid, config.run_as_gid, config.user.as_str()), (Some(9), Some(2), ""));
        assert_eq!(config.supplemental_groups, [4, 3]);
        assert!(config.no_new_privs && config.read_only_rootfs && !config.masked_paths.is_empty());
        assert_eq!(config.seccomp, Seccomp::Localhost("/s/a.json".into()));
        let open = run(json!({}), json!({"privileged": true}), "").unwrap();
        assert!(open.masked_paths.is_empty() && open.seccomp == Seccomp::Unconfined);
    }
}
