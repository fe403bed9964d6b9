//! Who the program runs as: the image's passwd and group files, and what the pod says.

use crate::runtime::ContainerConfig;
use crate::state::StartedRecord;

/// Longest passwd or group file that is read.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Most groups a process can be in.
const MAX_GROUPS: usize = 65_536;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

impl Identity {
    pub fn started(&self) -> StartedRecord {
        StartedRecord { started_at: 0, uid: self.uid, gid: self.gid, groups: self.groups.clone() }
    }
}

struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// The identity the configuration asks for. Reads /etc of the current root.
pub fn resolve(config: &ContainerConfig) -> Result<Identity, String> {
    identify(config, &read("/etc/passwd"), &read("/etc/group"))
}

/// The identity a container was started with, for another program in it.
pub fn of(started: &StartedRecord) -> Identity {
    let accounts = accounts(&read("/etc/passwd"));
    let home = accounts.into_iter().find(|account| account.uid == started.uid).map(|account| account.home);
    Identity {
        uid: started.uid,
        gid: started.gid,
        groups: started.groups.clone(),
        home: home.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".to_owned()),
    }
}

fn read(path: &str) -> String {
    use std::io::Read;
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(MAX_FILE).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn accounts(passwd: &str) -> Vec<Account> {
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.to_owned() })
    };
    passwd.lines().filter_map(line).collect()
}

/// Groups as (name, number, members).
fn groups(text: &str) -> Vec<(&str, u32, Vec<&str>)> {
    fn line(line: &str) -> Option<(&str, u32, Vec<&str>)> {
        let mut fields = line.trim().split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        let members = fields.next().unwrap_or_default().split(',').filter(|member| !member.is_empty());
        Some((name, number, members.collect()))
    }
    text.lines().filter_map(line).collect()
}

fn identify(config: &ContainerConfig, passwd: &str, group: &str) -> Result<Identity, String> {
    let accounts = accounts(passwd);
    let known = groups(group);
    let (user, named_group) = match config.run_as_uid {
        Some(uid) => (uid.to_string(), None),
        None => match config.user.split_once(':') {
            Some((user, group)) => (user.to_owned(), Some(group)),
            None => (config.user.clone(), None),
        },
    };
    let user = if user.is_empty() { "0".to_owned() } else { user };
    // A name wins over a number, as a user may be called 1000.
    let by_name = accounts.iter().find(|account| account.name == user);
    let account = by_name.or_else(|| accounts.iter().find(|one| user.parse() == Ok(one.uid)));
    let uid = match (account, user.parse::<u32>()) {
        (Some(account), _) => account.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(format!("unable to find user {user}: no matching entries in passwd file")),
    };
    let gid = match (config.run_as_gid, named_group) {
        (Some(gid), _) => gid,
        (None, Some(name)) if !name.is_empty() => {
            let found = known.iter().find(|one| one.0 == name).map(|one| one.1).or_else(|| name.parse().ok());
            found.ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))?
        }
        _ => account.map_or(0, |account| account.gid),
    };
    let mut wanted = vec![gid];
    wanted.extend(&config.supplemental_groups);
    if let (false, Some(account)) = (config.supplemental_groups_strict, account) {
        let member = known.iter().filter(|one| one.2.contains(&account.name.as_str()));
        wanted.extend(member.map(|one| one.1));
    }
    let mut unique: Vec<u32> = Vec::new();
    for one in wanted {
        if !unique.contains(&one) && unique.len() < MAX_GROUPS {
            unique.push(one);
        }
    }
    let home = account.map(|account| account.home.clone()).filter(|home| !home.is_empty());
    Ok(Identity { uid, gid, groups: unique, home: home.unwrap_or_else(|| "/".to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nextra:x:50:web,other\n";

    #[test]
    fn users_and_groups() {
        let config = |user: &str, uid, gid, strict| ContainerConfig {
            user: user.to_owned(),
            run_as_uid: uid,
            run_as_gid: gid,
            supplemental_groups: vec![7],
            supplemental_groups_strict: strict,
            ..ContainerConfig::default()
        };
        for (config, expected) in [
            (config("", None, None, false), Ok((0, 0, vec![0, 7], "/root"))),
            (config("web", None, None, false), Ok((33, 34, vec![34, 7, 50], "/var/www"))),
            (config("web", None, None, true), Ok((33, 34, vec![34, 7], "/var/www"))),
            (config("33:extra", None, None, true), Ok((33, 50, vec![50, 7], "/var/www"))),
            (config("web", Some(1000), None, false), Ok((1000, 0, vec![0, 7], "/"))),
            (config("web", Some(33), Some(9), false), Ok((33, 9, vec![9, 7, 50], "/var/www"))),
            (config("who", None, None, false), Err("unable to find user who: no matching entries in passwd file")),
            (config("0:who", None, None, false), Err("unable to find group who: no matching entries in group file")),
        ] {
            let found = identify(&config, PASSWD, GROUP);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(
                found.map(|one| (one.uid, one.gid, one.groups, one.home)),
                expected.map(|one| (one.0, one.1, one.2, one.3.to_owned()))
            );
        }
    }
}
