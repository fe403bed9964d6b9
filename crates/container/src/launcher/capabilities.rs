//! Capabilities: docker's default set, what a pod adds and drops.

use crate::runtime::ContainerConfig;

/// Names by number, from 0.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

const ALL: u64 = (1 << NAMES.len()) - 1;

/// The bit of a capability; `CAP_` in front and any case are fine.
pub fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == name).map(|number| 1 << number)
}

/// What the container may have at all.
pub fn wanted(config: &ContainerConfig) -> Result<u64, String> {
    if config.privileged {
        return Ok(ALL);
    }
    let all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let known =
        |name: &String| bit(name).ok_or_else(|| format!("unknown capability \"CAP_{}\"", name.to_ascii_uppercase()));
    let others = |names: &[String]| -> Result<u64, String> {
        names.iter().filter(|name| !name.eq_ignore_ascii_case("ALL")).try_fold(0, |set, name| Ok(set | known(name)?))
    };
    let default = DEFAULT.iter().filter_map(|name| bit(name)).fold(0, |set, bit| set | bit);
    let mut set = if all(&config.add_capabilities) { ALL } else { default };
    if all(&config.drop_capabilities) {
        set = 0;
    }
    // What is named outlives "ALL" on the other side, and dropping comes last.
    set |= others(&config.add_capabilities)?;
    Ok(set & !others(&config.drop_capabilities)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_and_dropped() {
        let case = |add: &[&str], drop: &[&str]| {
            wanted(&ContainerConfig {
                add_capabilities: add.iter().map(|name| (*name).to_owned()).collect(),
                drop_capabilities: drop.iter().map(|name| (*name).to_owned()).collect(),
                ..ContainerConfig::default()
            })
        };
        assert_eq!(case(&[], &[]), Ok(0xa804_25fb));
        assert_eq!(case(&[], &["ALL"]), Ok(0));
        assert_eq!(case(&["NET_ADMIN"], &["all"]), Ok(1 << 12));
        assert_eq!(case(&["ALL"], &["CAP_CHOWN"]), Ok(ALL & !1));
        assert_eq!(case(&["NONE_SUCH"], &[]), Err("unknown capability \"CAP_NONE_SUCH\"".to_owned()));
    }
}
