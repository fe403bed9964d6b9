//! Reading back what stands in the kernel: enough to notice a flushed table and a firewall's
//! forwarding policy.

use super::super::netlink::{ACK, DUMP, Error, Messages, Parsed};
use super::{Element, Key, Nftables, SUBSYSTEM, Table};
use std::time::Duration;

const GET_TABLE: u16 = SUBSYSTEM | 1;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_RULE: u16 = SUBSYSTEM | 7;
const GET_ELEMENT: u16 = SUBSYSTEM | 13;
const UNSPECIFIED: u8 = 0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChain {
    pub family: u8,
    pub table: String,
    pub name: String,
    /// The hook's number, for chains that have one.
    pub hook: Option<u32>,
    pub drops_by_default: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    pub handle: u64,
    /// The comment, if nft(8)'s user data has one.
    pub comment: String,
}

impl Nftables {
    /// The table's handle, which changes when it is made anew; None: there is none.
    pub fn table(&mut self, table: &Table) -> Result<Option<u64>, Error> {
        let mut messages = Messages::default();
        messages.push(
            "cannot look up the nftables table",
            GET_TABLE,
            ACK,
            &[table.family as u8, 0, 0, 0],
            |attributes| {
                attributes.text(1, &table.name);
            },
        );
        let mut handle = None;
        match self.0.query(&messages, |payload| handle = attributes(payload).be64(4)) {
            Ok(()) => Ok(handle),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All chains of all tables.
    pub fn chains(&mut self) -> Result<Vec<ListedChain>, Error> {
        let mut messages = Messages::default();
        messages.push("cannot list nftables chains", GET_CHAIN, DUMP, &[UNSPECIFIED, 0, 0, 0], |_| {});
        let mut chains = Vec::new();
        self.0.query(&messages, |payload| {
            let found = attributes(payload);
            let (Some(table), Some(name)) = (found.text(1), found.text(3)) else { return };
            chains.push(ListedChain {
                family: payload.first().copied().unwrap_or_default(),
                table: table.to_owned(),
                name: name.to_owned(),
                hook: found.nested(4).be32(1),
                drops_by_default: found.be32(5) == Some(0),
            });
        })?;
        Ok(chains)
    }

    pub fn rules(&mut self, table: &Table, chain: &str) -> Result<Vec<ListedRule>, Error> {
        let mut messages = Messages::default();
        messages.push("cannot list nftables rules", GET_RULE, DUMP, &[table.family as u8, 0, 0, 0], |attributes| {
            attributes.text(1, &table.name);
            attributes.text(2, chain);
        });
        let mut rules = Vec::new();
        self.0.query(&messages, |payload| {
            let found = attributes(payload);
            if let Some(handle) = found.be64(3) {
                rules.push(ListedRule { handle, comment: found.value(7).map(comment).unwrap_or_default() });
            }
        })?;
        Ok(rules)
    }

    /// How many elements the set has.
    pub fn count_elements(&mut self, table: &Table, set: &str) -> Result<usize, Error> {
        let mut count = 0;
        self.visit_elements(table, set, |_| count += 1)?;
        Ok(count)
    }

    /// The elements of a map whose values are no verdicts; their timeouts are what is left of them.
    pub fn map_elements(&mut self, table: &Table, map: &str) -> Result<Vec<Element>, Error> {
        let mut elements = Vec::new();
        self.visit_elements(table, map, |element| {
            let value = |kind| element.nested(kind).value(1).and_then(Key::from_bytes);
            if let (Some(key), Some(value)) = (value(1), value(2)) {
                let timeout = element.be64(5).map(Duration::from_millis);
                elements.push(Element { timeout, ..Element::map(key, value) });
            }
        })?;
        Ok(elements)
    }

    /// The keys of a set.
    pub fn members(&mut self, table: &Table, set: &str) -> Result<Vec<Key>, Error> {
        let mut members = Vec::new();
        self.visit_elements(table, set, |element| {
            members.extend(element.nested(1).value(1).and_then(Key::from_bytes))
        })?;
        Ok(members)
    }

    fn visit_elements(&mut self, table: &Table, set: &str, mut visit: impl FnMut(Parsed<'_>)) -> Result<(), Error> {
        let mut messages = Messages::default();
        messages.push(
            "cannot list nftables elements",
            GET_ELEMENT,
            DUMP,
            &[table.family as u8, 0, 0, 0],
            |attributes| {
                attributes.text(1, &table.name);
                attributes.text(2, set);
            },
        );
        self.0.query(&messages, |payload| {
            attributes(payload).nested(3).for_each(|(_, element)| visit(Parsed(element)));
        })
    }
}

/// What stands after `struct nfgenmsg`.
fn attributes(payload: &[u8]) -> Parsed<'_> {
    Parsed(payload.get(4..).unwrap_or_default())
}

fn comment(mut data: &[u8]) -> String {
    while let [kind, length, rest @ ..] = data {
        let (value, after) = rest.split_at(usize::from(*length).min(rest.len()));
        if *kind == 0 {
            return String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned();
        }
        data = after;
    }
    String::new()
}
