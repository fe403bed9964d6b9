//! Other people's firewalls. An accept in one nftables table does not undo a drop in another, so a
//! host whose FORWARD policy is DROP (every host with Docker) needs a rule in that very chain.
//!
//! Where the chain is iptables' own, two rules with our mark are put in front: into DOCKER-USER,
//! which Docker leaves to others, or else into FORWARD. Any other table is left alone and reported.

use sys::net::nftables::{Batch, Expression, Family, ListedChain, Nftables, Table, Verdict, rule};
use sys::net::{Error, Ipv4Net};

const HOOK_FORWARD: u32 = 2;
const CHAINS: [&str; 2] = ["DOCKER-USER", "FORWARD"];

fn iptables() -> Table {
    Table { family: Family::Ip, name: "filter".to_owned() }
}

/// The mark on our rules.
fn owner(instance: &str) -> String {
    format!("kutter-{instance}")
}

/// Lets the pods' packets through where that can be done, and says where it cannot.
pub(crate) fn open(nft: &mut Nftables, instance: &str, pods: Ipv4Net) -> Result<Option<String>, Error> {
    let chains = nft.chains()?;
    let mut problem = None;
    for chain in chains.iter().filter(|chain| drops_forwarded(chain)) {
        if chain.family == Family::Ip as u8 && chain.table == "filter" && chain.name == "FORWARD" {
            accept(nft, &chains, instance, pods)?;
        } else {
            problem.get_or_insert_with(|| {
                format!(
                    "the firewall chain {} of table {} drops forwarded packets: allow {pods} in it, or pods cannot be reached",
                    chain.name, chain.table
                )
            });
        }
    }
    Ok(problem)
}

fn drops_forwarded(chain: &ListedChain) -> bool {
    let sees_ipv4 = chain.family == Family::Ip as u8 || chain.family == Family::Inet as u8;
    sees_ipv4 && chain.hook == Some(HOOK_FORWARD) && chain.drops_by_default
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
