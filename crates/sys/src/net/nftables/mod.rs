//! nftables without nft(8): tables, chains, sets, maps and rules, changed in atomic batches.
//!
//! A [`Batch`] is one transaction: the kernel does all of it or nothing, and packets see the rules
//! before it or after it, never between. Layouts are kept such that nft 1.0.6 can print them.

mod batch;
mod element;
mod expression;
mod list;

pub use batch::{Batch, Chain, ChainKind, Hook, MapData, Set};
pub use element::{Element, Key, Type, Value};
pub use expression::{Comparison, Expression, Fib, Meta, NatKind, Register, Verdict, rule};
pub use list::{ListedChain, ListedRule};

use super::netlink::{Error, Socket};
use nix::sys::socket::SockProtocol;

pub(super) const SUBSYSTEM: u16 = 10 << 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Inet = 1,
    Ip = 2,
    Ip6 = 10,
}

/// Names a table; every other object is named within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub family: Family,
    pub name: String,
}

impl Table {
    /// The table of `room` in the instance of that id.
    pub fn of_instance(room: &str, instance: &str) -> Self {
        Table { family: Family::Ip, name: format!("kutter-{room}-{instance}") }
    }
}

/// A connection to one network namespace's tables.
pub struct Nftables(Socket);

impl Nftables {
    /// To the calling thread's namespace.
    pub fn open() -> Result<Self, Error> {
        Socket::open(SockProtocol::NetlinkNetFilter).map(Nftables)
    }

    /// Does all of the batch, or nothing.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        match batch.finish() {
            Some(messages) => self.0.transaction(&messages),
            None => Ok(()),
        }
    }
}
