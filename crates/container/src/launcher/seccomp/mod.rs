//! System call filters: the default profile and profiles in the JSON form of docker and
//! upstream. Compiled by `seccompiler`, installed by `sys` (which does not set no_new_privs).
//!
//! The kernel obeys the strictest of several filters. So a profile becomes one filter that lets
//! everything named pass, and one more per stricter action.
//!
//! Only the native instruction set is let through: a program of another one (32-bit on x86-64) is
//! killed.

mod default;
mod numbers;
mod profile;

pub use profile::profile;

use default::{AF_VSOCK, ALLOWED, NAMESPACE_FLAGS, PERSONALITIES, WITH_CAPABILITY};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use sys::process::FilterInstruction;

pub type Filter = Vec<FilterInstruction>;
/// Per call number the conditions under which a filter's action applies; none: always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters of RuntimeDefault for a program with these capabilities.
pub fn runtime_default(capabilities: u64) -> Result<Vec<Filter>, String> {
    let has = |name: &str| super::capabilities::bit(name).is_some_and(|bit| capabilities & bit != 0);
    let mut rules = Rules::new();
    let mut allow = |names: &[&str]| {
        rules.extend(names.iter().filter_map(|name| numbers::number(name)).map(|number| (number, Vec::new())));
    };
    allow(ALLOWED);
    for (capability, names) in WITH_CAPABILITY {
        if has(capability) {
            allow(names);
        }
    }
    let administrator = has("SYS_ADMIN");
    if !administrator {
        add(&mut rules, "clone", &[(0, SeccompCmpOp::MaskedEq(NAMESPACE_FLAGS), 0)])?;
        // Let through here, answered ENOSYS below: the C library then falls back to clone, whose
        // flags can be looked at.
        allow_all(&mut rules, "clone3");
    }
    add(&mut rules, "socket", &[(0, SeccompCmpOp::Ne, AF_VSOCK)])?;
    for personality in PERSONALITIES {
        add(&mut rules, "personality", &[(0, SeccompCmpOp::Eq, personality)])?;
    }
    let mut filters = vec![compile(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?];
    if !administrator {
        let mut rules = Rules::new();
        allow_all(&mut rules, "clone3");
        filters.push(compile(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?);
    }
    Ok(filters)
}

fn allow_all(rules: &mut Rules, name: &str) {
    if let Some(number) = numbers::number(name) {
        rules.insert(number, Vec::new());
    }
}

/// Adds a rule: all conditions (argument, comparison, value) have to hold.
fn add(rules: &mut Rules, name: &str, conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<(), String> {
    let Some(number) = numbers::number(name) else { return Ok(()) };
    let made: Result<Vec<SeccompCondition>, _> = conditions
        .iter()
        .map(|(index, operator, value)| {
            SeccompCondition::new(*index, SeccompCmpArgLen::Qword, operator.clone(), *value)
        })
        .collect();
    let rule = SeccompRule::new(made.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    match rules.get_mut(&number) {
        // Without conditions already.
        Some(known) if known.is_empty() => {}
        Some(known) => known.push(rule),
        None => drop(rules.insert(number, vec![rule])),
    }
    Ok(())
}

fn compile(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<Filter, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).map_err(|error| error.to_string())?;
    let program = BpfProgram::try_from(filter).map_err(|error| error.to_string())?;
    let convert = |one: &seccompiler::sock_filter| FilterInstruction {
        code: one.code,
        jump_true: one.jt,
        jump_false: one.jf,
        value: one.k,
    };
    Ok(program.iter().map(convert).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_default_is_known_here() {
        let named = ALLOWED.iter().chain(WITH_CAPABILITY.iter().flat_map(|(_, names)| names.iter()));
        // Not on this architecture, or removed from Linux.
        let absent: Vec<&&str> = named.filter(|name| numbers::number(name).is_none()).collect();
        assert!(absent.iter().all(|name| ["epoll_ctl_old", "epoll_wait_old"].contains(name)), "{absent:?}");
        assert!(runtime_default(0).unwrap()[0].len() > 300);
        assert_eq!(runtime_default(u64::MAX).unwrap().len(), 1);
    }
}
