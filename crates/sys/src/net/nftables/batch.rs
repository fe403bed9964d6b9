//! One transaction of changes.

use super::super::netlink::{APPEND, Attributes, CREATE, Messages};
use super::element::{self, ELEMENT_ROOM, Element};
use super::{Expression, SUBSYSTEM, Table, Type};

const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const DELETE_CHAIN: u16 = SUBSYSTEM | 5;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;

/// A nested attribute's length has 16 bits; elements beyond go into the next message.
const ELEMENTS_PER_MESSAGE: usize = 60_000 / ELEMENT_ROOM;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A chain; with a hook, one that packets come to by themselves. Their policy is accept.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    pub name: &'a str,
    pub hook: Option<(ChainKind, Hook, i32)>,
}

#[derive(Debug, Clone, Copy)]
pub enum MapData<'a> {
    /// A set.
    None,
    Types(&'a [Type]),
    Verdict,
}

#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    pub name: &'a str,
    pub key: &'a [Type],
    pub data: MapData<'a>,
    /// Packets may add entries, which time out.
    pub dynamic: bool,
}

const FLAG_MAP: u32 = 0x8;
const FLAG_TIMEOUT: u32 = 0x10;
const FLAG_EVAL: u32 = 0x20;
const VERDICT_TYPE: u32 = 0xffff_ff00;
/// So many clients are remembered; more are served without memory.
const DYNAMIC_SIZE: u32 = 1 << 20;

/// Changes to the tables, in order. Nothing happens before [`super::Nftables::commit`].
pub struct Batch {
    messages: Messages,
    sets: u32,
    changes: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    pub fn new() -> Self {
        let mut messages = Messages::default();
        messages.push("cannot begin the nftables batch", BATCH_BEGIN, 0, &[0, 0, 0, 10], |_| {});
        Batch { messages, sets: 0, changes: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// How many bytes go to the kernel.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    fn push(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        table: &Table,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.changes += 1;
        self.messages.push(what, kind, flags, &[table.family as u8, 0, 0, 0], fill);
    }

    /// Makes the table, or leaves the one that is there.
    pub fn add_table(&mut self, table: &Table) -> &mut Self {
        self.push("cannot add the nftables table", NEW_TABLE, CREATE, table, |attributes| {
            attributes.text(1, &table.name);
        });
        self
    }

    /// Deletes the table with all in it, if it is there.
    pub fn remove_table(&mut self, table: &Table) -> &mut Self {
        // Deleting what is not there would fail the batch; making it first costs nothing.
        self.add_table(table);
        self.push("cannot delete the nftables table", DELETE_TABLE, 0, table, |attributes| {
            attributes.text(1, &table.name);
        });
        self
    }

    pub fn add_chain(&mut self, table: &Table, chain: Chain<'_>) -> &mut Self {
        self.push("cannot add the nftables chain", NEW_CHAIN, CREATE, table, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(3, chain.name);
            if let Some((kind, hook, priority)) = chain.hook {
                attributes.nest(4, |inner| {
                    inner.be32(1, hook as u32);
                    inner.be32(2, priority as u32);
                });
                attributes.text(7, if kind == ChainKind::Nat { "nat" } else { "filter" });
            }
        });
        self
    }

    /// Makes a chain with a hook drop what reaches its end.
    pub fn drop_by_default(&mut self, table: &Table, chain: &str) -> &mut Self {
        self.push("cannot set the nftables chain's policy", NEW_CHAIN, CREATE, table, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(3, chain);
            attributes.be32(5, 0);
        });
        self
    }

    pub fn delete_chain(&mut self, table: &Table, chain: &str) -> &mut Self {
        self.push("cannot delete the nftables chain", DELETE_CHAIN, 0, table, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(3, chain);
        });
        self
    }

    pub fn add_set(&mut self, table: &Table, set: Set<'_>) -> &mut Self {
        self.sets += 1;
        let id = self.sets;
        let (map, kind, length) = match set.data {
            MapData::None => (0, 0, 0),
            MapData::Types(types) => (FLAG_MAP, Type::number(types), Type::length(types)),
            MapData::Verdict => (FLAG_MAP, VERDICT_TYPE, 0),
        };
        let dynamic = if set.dynamic { FLAG_TIMEOUT | FLAG_EVAL } else { 0 };
        self.push("cannot add the nftables set", NEW_SET, CREATE, table, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(2, set.name);
            attributes.be32(3, map | dynamic);
            attributes.be32(4, Type::number(set.key));
            attributes.be32(5, Type::length(set.key));
            if map != 0 {
                attributes.be32(6, kind);
                attributes.be32(7, length);
            }
            if set.dynamic {
                attributes.nest(9, |description| description.be32(1, DYNAMIC_SIZE));
            }
            attributes.be32(10, id);
        });
        self
    }

    pub fn add_elements(&mut self, table: &Table, set: &str, elements: &[Element]) -> &mut Self {
        self.elements("cannot add to the nftables set", NEW_ELEMENT, CREATE, table, set, elements)
    }

    pub fn delete_elements(&mut self, table: &Table, set: &str, elements: &[Element]) -> &mut Self {
        self.elements("cannot delete from the nftables set", DELETE_ELEMENT, 0, table, set, elements)
    }

    fn elements(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        table: &Table,
        set: &str,
        elements: &[Element],
    ) -> &mut Self {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push(what, kind, flags, table, |attributes| {
                attributes.text(1, &table.name);
                attributes.text(2, set);
                attributes.nest(3, |list| {
                    for element in chunk {
                        element::write(list, element, kind == DELETE_ELEMENT);
                    }
                });
            });
        }
        self
    }

    /// Adds a rule at the chain's end.
    pub fn add_rule(&mut self, table: &Table, chain: &str, expressions: &[Expression]) -> &mut Self {
        self.rule(CREATE | APPEND, table, chain, expressions, "")
    }

    /// Adds a rule at the chain's beginning, with a mark of its owner that listings show.
    pub fn insert_rule(&mut self, table: &Table, chain: &str, expressions: &[Expression], owner: &str) -> &mut Self {
        self.rule(CREATE, table, chain, expressions, owner)
    }

    fn rule(&mut self, flags: u16, table: &Table, chain: &str, expressions: &[Expression], comment: &str) -> &mut Self {
        self.push("cannot add the nftables rule", NEW_RULE, flags, table, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(2, chain);
            attributes.nest(4, |list| expressions.iter().for_each(|expression| expression.write(list)));
            if !comment.is_empty() {
                attributes.bytes(7, &comment_data(comment));
            }
        });
        self
    }

    pub fn delete_rule(&mut self, table: &Table, chain: &str, handle: u64) -> &mut Self {
        self.push("cannot delete the nftables rule", DELETE_RULE, 0, table, |attributes| {
            attributes.text(1, &table.name);
            attributes.text(2, chain);
            attributes.be64(3, handle);
        });
        self
    }

    /// The messages, closed. None: there is nothing to do.
    pub(super) fn finish(mut self) -> Option<Messages> {
        if self.is_empty() {
            return None;
        }
        // Kernels before 6.10 acknowledge no end of a batch: the last change answers for all.
        self.messages.acknowledge_last();
        self.messages.push("cannot commit the nftables batch", BATCH_END, 0, &[0, 0, 0, 10], |_| {});
        Some(self.messages)
    }
}

/// User data as nft(8) writes it: a type, a length, the text with its closing zero.
fn comment_data(comment: &str) -> Vec<u8> {
    let text = &comment.as_bytes()[..comment.len().min(127)];
    let mut data = vec![0, text.len() as u8 + 1];
    data.extend_from_slice(text);
    data.push(0);
    data
}
