//! Other people's firewalls. An accept in one nftables table does not undo a drop in another, so a
//! host whose FORWARD policy is DROP (every host with Docker) needs a rule in that very chain.
//!
//! Where the chain is iptables' own, two rules with our mark are put in front: into DOCKER-USER,
//! which Docker leaves to others, or else into FORWARD. Any other table is left alone and reported.

use sys::net::nftables::{Batch, Expression, Family, ListedChain, Nftables, Table, Verdict, rule};
use sys::net::{Error, Ipv4Net};

const HOOK_INPUT: u32 = 1;
const HOOK_FORWARD: u32 = 2;
const CHAINS: [&str; 2] = ["DOCKER-USER", "FORWARD"];

fn iptables() -> Table {
    Table { family: Family::Ip, name: "filter".to_owned() }
}

/// The mark on our rules.
fn owner(instance: &str) -> String {
    format!("kutter-{instance}")
}

/// Lets the pods' packets through where that can be done, and says where it cannot. Whether a
/// chain that drops by default has rules for the pods is not to be seen from here.
pub(crate) fn open(nft: &mut Nftables, instance: &str, pods: Ipv4Net) -> Result<Option<String>, Error> {
    let chains = nft.chains()?;
    let mut problem = None;
    for chain in chains.iter().filter(|chain| chain.drops_by_default && sees_ipv4(chain)) {
        let (name, table) = (&chain.name, &chain.table);
        match chain.hook {
            Some(HOOK_FORWARD) if is_iptables_forward(chain) => accept(nft, &chains, instance, pods)?,
            Some(HOOK_FORWARD) => {
                problem.get_or_insert_with(|| {
                    format!(
                        "the firewall chain {name} of table {table} drops forwarded packets by default: \
                         pods cannot be reached unless it allows {pods}"
                    )
                });
            }
            Some(HOOK_INPUT) => {
                problem.get_or_insert_with(|| {
                    format!(
                        "the firewall chain {name} of table {table} drops packets to this host by default: \
                         pods cannot reach DNS and the API server unless it allows {pods}"
                    )
                });
            }
            _ => {}
        }
    }
    Ok(problem)
}

fn sees_ipv4(chain: &ListedChain) -> bool {
    chain.family == Family::Ip as u8 || chain.family == Family::Inet as u8
}

fn is_iptables_forward(chain: &ListedChain) -> bool {
    chain.family == Family::Ip as u8 && chain.table == iptables().name && chain.name == "FORWARD"
}

fn accept(nft: &mut Nftables, chains: &[ListedChain], instance: &str, pods: Ipv4Net) -> Result<(), Error> {
    let table = iptables();
    let standing = |name: &&&str| {
        chains.iter().any(|chain| chain.family == Family::Ip as u8 && chain.table == table.name && chain.name == **name)
    };
    let Some(chain) = CHAINS.iter().find(standing) else { return Ok(()) };
    let owner = owner(instance);
    if nft.rules(&table, chain)?.iter().any(|rule| rule.comment == owner) {
        return Ok(());
    }
    let mut batch = Batch::new();
    for mut matches in [rule::source_in(pods), rule::destination_in(pods)] {
        matches.extend([Expression::Counter, Expression::Verdict(Verdict::Accept)]);
        batch.insert_rule(&table, chain, &matches, &owner);
    }
    nft.commit(batch)
}

/// Takes our rules out again.
pub(crate) fn close(nft: &mut Nftables, instance: &str) -> Result<(), Error> {
    let table = iptables();
    let owner = owner(instance);
    let chains = nft.chains()?;
    let mut batch = Batch::new();
    for chain in chains.iter().filter(|chain| chain.family == Family::Ip as u8 && chain.table == table.name) {
        if CHAINS.contains(&chain.name.as_str()) {
            for rule in nft.rules(&table, &chain.name)?.iter().filter(|rule| rule.comment == owner) {
                batch.delete_rule(&table, &chain.name, rule.handle);
            }
        }
    }
    nft.commit(batch)
}
