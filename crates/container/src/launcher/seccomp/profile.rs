//! Localhost profiles: the JSON form that docker and upstream use.

use super::{Filter, Rules, add, allow_all, compile, numbers};
use seccompiler::{SeccompAction, SeccompCmpOp};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    name: Option<String>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Default, Deserialize)]
struct Condition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
}

/// The filters of a profile for a program with these capabilities.
pub fn profile(json: &[u8], capabilities: u64) -> Result<Vec<Filter>, String> {
    let profile: Profile =
        serde_json::from_slice(json).map_err(|error| format!("decoding seccomp profile failed: {error}"))?;
    let default = action(&profile.default_action, profile.default_errno_ret)?;
    // Rules by their action, in the profile's order.
    let mut by_action: Vec<(SeccompAction, Rules)> = Vec::new();
    for group in profile.syscalls.iter().filter(|group| applies(group, capabilities)) {
        let matched = action(&group.action, group.errno_ret)?;
        if matched == default {
            continue;
        }
        let position = by_action.iter().position(|(known, _)| *known == matched);
        let position = position.unwrap_or_else(|| {
            by_action.push((matched, Rules::new()));
            by_action.len() - 1
        });
        fill(&mut by_action[position].1, group)?;
    }
    layers(default, by_action)
}

/// One filter for what is let through, one per stricter action.
fn layers(default: SeccompAction, by_action: Vec<(SeccompAction, Rules)>) -> Result<Vec<Filter>, String> {
    let mut filters = Vec::new();
    if default != SeccompAction::Allow {
        let mut through = Rules::new();
        for (matched, rules) in &by_action {
            for (number, conditions) in rules {
                let known = through.entry(*number).or_insert_with(|| conditions.clone());
                if conditions.is_empty() {
                    known.clear();
                } else if !known.is_empty() && *matched != SeccompAction::Allow {
                    known.extend(conditions.iter().cloned());
                }
            }
        }
        filters.push(compile(through, default, SeccompAction::Allow)?);
    }
    for (matched, rules) in by_action {
        if matched != SeccompAction::Allow {
            filters.push(compile(rules, SeccompAction::Allow, matched)?);
        }
    }
    Ok(filters)
}

fn applies(group: &Group, capabilities: u64) -> bool {
    let holds = |name: &String| super::super::capabilities::bit(name).is_some_and(|bit| capabilities & bit != 0);
    let here = if cfg!(target_arch = "x86_64") { ["amd64", "x86_64"] } else { ["arm64", "aarch64"] };
    let none = Condition::default();
    let (includes, excludes) = (group.includes.as_ref().unwrap_or(&none), group.excludes.as_ref().unwrap_or(&none));
    let list = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    let (wanted, unwanted) = (list(&includes.arches), list(&excludes.arches));
    let is_here = |names: &[String]| names.iter().any(|name| here.contains(&name.as_str()));
    list(&includes.caps).iter().all(holds)
        && !list(&excludes.caps).iter().any(holds)
        && (wanted.is_empty() || is_here(&wanted))
        && !is_here(&unwanted)
}

fn fill(rules: &mut Rules, group: &Group) -> Result<(), String> {
    let arguments = group.args.as_deref().unwrap_or_default();
    let conditions: Result<Vec<(u8, SeccompCmpOp, u64)>, String> = arguments.iter().map(condition).collect();
    let conditions = conditions?;
    for name in group.names.iter().chain(&group.name) {
        if conditions.is_empty() {
            allow_all(rules, name);
        } else if numbers::number(name).is_some() {
            add(rules, name, &conditions)?;
        }
    }
    Ok(())
}

fn condition(argument: &Argument) -> Result<(u8, SeccompCmpOp, u64), String> {
    let Argument { index, value, value_two, op } = argument;
    Ok(match op.as_str() {
        "SCMP_CMP_NE" => (*index, SeccompCmpOp::Ne, *value),
        "SCMP_CMP_LT" => (*index, SeccompCmpOp::Lt, *value),
        "SCMP_CMP_LE" => (*index, SeccompCmpOp::Le, *value),
        "SCMP_CMP_EQ" => (*index, SeccompCmpOp::Eq, *value),
        "SCMP_CMP_GE" => (*index, SeccompCmpOp::Ge, *value),
        "SCMP_CMP_GT" => (*index, SeccompCmpOp::Gt, *value),
        // The mask comes first, then what has to be left.
        "SCMP_CMP_MASKED_EQ" => (*index, SeccompCmpOp::MaskedEq(*value), *value_two),
        other => return Err(format!("invalid seccomp operator {other:?}")),
    })
}

fn action(name: &str, errno: Option<u32>) -> Result<SeccompAction, String> {
    Ok(match name {
        "SCMP_ACT_ALLOW" => SeccompAction::Allow,
        "SCMP_ACT_ERRNO" => SeccompAction::Errno(errno.unwrap_or(libc::EPERM as u32)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => SeccompAction::KillThread,
        "SCMP_ACT_KILL_PROCESS" => SeccompAction::KillProcess,
        "SCMP_ACT_LOG" => SeccompAction::Log,
        "SCMP_ACT_TRAP" => SeccompAction::Trap,
        other => return Err(format!("seccomp action {other:?} is not supported")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_become_filters() {
        let compiled = |text: &str| profile(text.as_bytes(), 0).map(|filters| filters.len());
        let allow = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"},
            {"names":["chmod"],"action":"SCMP_ACT_LOG"},
            {"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#;
        assert_eq!(compiled(allow), Ok(2));
        let deny = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[
            {"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
            {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"}]},
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        assert_eq!(compiled(deny), Ok(1));
        assert!(compiled("{}").unwrap_err().starts_with("decoding seccomp profile failed"));
        assert!(compiled(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#).is_err());
    }
}
