//! What rules are made of: each expression reads or writes registers, or ends with a verdict.

use super::super::netlink::Attributes;
use std::time::Duration;

/// One of sixteen registers of four bytes. Longer keys lie in neighbouring ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// Where a lookup in a verdict map, or an immediate verdict, puts its result.
const VERDICT_REGISTER: u32 = 0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

impl Verdict {
    pub(super) fn write(&self, data: &mut Attributes<'_>) {
        let (code, chain) = match self {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5_i32, None),
        };
        data.be32(1, code as u32);
        if let Some(chain) = chain {
            data.text(2, chain);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    Mark = 3,
    InputName = 6,
    OutputName = 7,
    Protocol = 16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal = 0,
    NotEqual = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    Source = 0,
    Destination = 1,
}

/// Of which address the kernel's own route type is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fib {
    SourceType = 1,
    DestinationType = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    Meta {
        key: Meta,
        to: Register,
    },
    SetMeta {
        key: Meta,
        from: Register,
    },
    /// The lowest bits of the connection's state: 1 invalid, 2 established, 4 related, 8 new.
    CtState {
        to: Register,
    },
    /// Bit 5: the destination was translated.
    CtStatus {
        to: Register,
    },
    /// The destination address before translation.
    CtOriginalAddress {
        to: Register,
    },
    /// The destination port before translation.
    CtOriginalPort {
        to: Register,
    },
    Network {
        offset: u32,
        length: u32,
        to: Register,
    },
    Transport {
        offset: u32,
        length: u32,
        to: Register,
    },
    Compare {
        register: Register,
        with: Comparison,
        value: Vec<u8>,
    },
    /// `register & mask ^ flip`
    Bitwise {
        register: Register,
        mask: Vec<u8>,
        flip: Vec<u8>,
    },
    Immediate {
        to: Register,
        value: Vec<u8>,
    },
    /// Ends the rule where the key is not in the set (or is, inverted).
    Member {
        set: String,
        key: Register,
        inverted: bool,
    },
    /// Ends the rule where the key is not in the map.
    Map {
        map: String,
        key: Register,
        to: Register,
    },
    VerdictMap {
        map: String,
        key: Register,
    },
    /// A random number below `modulus`, plus `offset`.
    Random {
        modulus: u32,
        offset: u32,
        to: Register,
    },
    Fib {
        of: Fib,
        to: Register,
    },
    /// Adds an entry to a map from packets, or refreshes its timeout: an entry that is there keeps
    /// its value.
    Update {
        map: String,
        key: Register,
        value: Register,
        timeout: Duration,
    },
    Nat {
        kind: NatKind,
        address: Register,
        port: Option<Register>,
    },
    Masquerade,
    /// With an ICMP "port unreachable".
    Reject,
    /// With a TCP reset; for rules that match TCP.
    Reset,
    Counter,
    Verdict(Verdict),
}

const DATA_VALUE: u16 = 1;
const FULLY_RANDOM: u32 = 0x10;

impl Expression {
    pub fn jump(chain: &str) -> Self {
        Expression::Verdict(Verdict::Jump(chain.to_owned()))
    }

    pub fn goto(chain: &str) -> Self {
        Expression::Verdict(Verdict::Goto(chain.to_owned()))
    }

    fn name(&self) -> &'static str {
        match self {
            Expression::Meta { .. } | Expression::SetMeta { .. } => "meta",
            Expression::CtState { .. }
            | Expression::CtStatus { .. }
            | Expression::CtOriginalAddress { .. }
            | Expression::CtOriginalPort { .. } => "ct",
            Expression::Network { .. } | Expression::Transport { .. } => "payload",
            Expression::Compare { .. } => "cmp",
            Expression::Bitwise { .. } => "bitwise",
            Expression::Immediate { .. } | Expression::Verdict(_) => "immediate",
            Expression::Member { .. } | Expression::Map { .. } | Expression::VerdictMap { .. } => "lookup",
            Expression::Random { .. } => "numgen",
            Expression::Fib { .. } => "fib",
            Expression::Update { .. } => "dynset",
            Expression::Nat { .. } => "nat",
            Expression::Masquerade => "masq",
            Expression::Reject | Expression::Reset => "reject",
            Expression::Counter => "counter",
        }
    }

    pub(super) fn write(&self, list: &mut Attributes<'_>) {
        list.nest(1, |expression| {
            expression.text(1, self.name());
            expression.nest(2, |data| {
                self.write_matches(data);
                self.write_actions(data);
            });
        });
    }

    fn write_matches(&self, data: &mut Attributes<'_>) {
        match self {
            Expression::Meta { key, to } => {
                data.be32(2, *key as u32);
                data.be32(1, to.number());
            }
            Expression::CtState { to } => {
                data.be32(2, 0);
                data.be32(1, to.number());
            }
            Expression::CtStatus { to } => {
                data.be32(2, 2);
                data.be32(1, to.number());
            }
            Expression::CtOriginalAddress { to } => {
                data.be32(2, 20);
                data.be32(1, to.number());
                data.u8(3, 0);
            }
            Expression::CtOriginalPort { to } => {
                data.be32(2, 12);
                data.be32(1, to.number());
                data.u8(3, 0);
            }
            Expression::Network { offset, length, to } => payload(data, 1, *offset, *length, *to),
            Expression::Transport { offset, length, to } => payload(data, 2, *offset, *length, *to),
            Expression::Compare { register, with, value } => {
                data.be32(1, register.number());
                data.be32(2, *with as u32);
                data.nest(3, |inner| inner.bytes(DATA_VALUE, value));
            }
            Expression::Bitwise { register, mask, flip } => {
                data.be32(1, register.number());
                data.be32(2, register.number());
                data.be32(3, mask.len() as u32);
                data.nest(4, |inner| inner.bytes(DATA_VALUE, mask));
                data.nest(5, |inner| inner.bytes(DATA_VALUE, flip));
            }
            Expression::Random { modulus, offset, to } => {
                data.be32(1, to.number());
                data.be32(2, *modulus);
                data.be32(3, 1);
                data.be32(4, *offset);
            }
            Expression::Fib { of, to } => {
                data.be32(1, to.number());
                data.be32(2, 3);
                data.be32(3, *of as u32);
            }
            _ => {}
        }
    }

    fn write_actions(&self, data: &mut Attributes<'_>) {
        match self {
            Expression::SetMeta { key, from } => {
                data.be32(2, *key as u32);
                data.be32(3, from.number());
            }
            Expression::Immediate { to, value } => {
                data.be32(1, to.number());
                data.nest(2, |inner| inner.bytes(DATA_VALUE, value));
            }
            Expression::Verdict(verdict) => {
                data.be32(1, VERDICT_REGISTER);
                data.nest(2, |inner| inner.nest(2, |inner| verdict.write(inner)));
            }
            Expression::Member { set, key, inverted } => {
                data.text(1, set);
                data.be32(2, key.number());
                data.be32(5, u32::from(*inverted));
            }
            Expression::Map { map, key, to } => {
                data.text(1, map);
                data.be32(2, key.number());
                data.be32(3, to.number());
            }
            Expression::VerdictMap { map, key } => {
                data.text(1, map);
                data.be32(2, key.number());
                data.be32(3, VERDICT_REGISTER);
            }
            Expression::Update { map, key, value, timeout } => {
                data.text(1, map);
                data.be32(3, 1);
                data.be32(4, key.number());
                data.be32(5, value.number());
                data.be64(6, u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
            }
            Expression::Nat { kind, address, port } => {
                data.be32(1, *kind as u32);
                data.be32(2, libc::AF_INET as u32);
                data.be32(3, address.number());
                data.be32(4, address.number());
                if let Some(port) = port {
                    data.be32(5, port.number());
                    data.be32(6, port.number());
                }
            }
            // A port at random: two connections that pick the next free one at the same time would
            // pick the same, and one of them would lose its first packet.
            Expression::Masquerade => data.be32(1, FULLY_RANDOM),
            Expression::Reject => {
                data.be32(1, 0);
                data.u8(2, 3);
            }
            Expression::Reset => {
                data.be32(1, 1);
                data.u8(2, 0);
            }
            _ => {}
        }
    }
}

fn payload(data: &mut Attributes<'_>, base: u32, offset: u32, length: u32, to: Register) {
    data.be32(1, to.number());
    data.be32(2, base);
    data.be32(3, offset);
    data.be32(4, length);
}

/// Ready-made matches and actions; a rule is several of them in a row.
pub mod rule {
    use super::{Comparison, Expression, Fib, Meta, Register};
    use crate::net::Ipv4Net;
    use std::net::Ipv4Addr;

    const FIRST: Register = Register(0);
    const ROUTE_LOCAL: u32 = 2;
    const STATE_NEW: u32 = 8;
    const STATUS_DESTINATION_TRANSLATED: u32 = 32;

    pub fn source(to: Register) -> Expression {
        Expression::Network { offset: 12, length: 4, to }
    }

    pub fn destination(to: Register) -> Expression {
        Expression::Network { offset: 16, length: 4, to }
    }

    pub fn protocol(to: Register) -> Expression {
        Expression::Meta { key: Meta::Protocol, to }
    }

    /// TCP, UDP and SCTP have it in the same place.
    pub fn destination_port(to: Register) -> Expression {
        Expression::Transport { offset: 2, length: 2, to }
    }

    pub fn address(to: Register, address: Ipv4Addr) -> Expression {
        Expression::Immediate { to, value: address.octets().to_vec() }
    }

    pub fn source_in(network: Ipv4Net) -> Vec<Expression> {
        in_network(source(FIRST), network, Comparison::Equal)
    }

    pub fn source_outside(network: Ipv4Net) -> Vec<Expression> {
        in_network(source(FIRST), network, Comparison::NotEqual)
    }

    pub fn destination_in(network: Ipv4Net) -> Vec<Expression> {
        in_network(destination(FIRST), network, Comparison::Equal)
    }

    pub fn destination_outside(network: Ipv4Net) -> Vec<Expression> {
        in_network(destination(FIRST), network, Comparison::NotEqual)
    }

    fn in_network(load: Expression, network: Ipv4Net, with: Comparison) -> Vec<Expression> {
        let mut expressions = vec![load];
        if network.prefix() < 32 {
            let mask = network.mask().to_be_bytes().to_vec();
            expressions.push(Expression::Bitwise { register: FIRST, mask, flip: vec![0; 4] });
        }
        let value = network.address().octets().to_vec();
        expressions.push(Expression::Compare { register: FIRST, with, value });
        expressions
    }

    /// The destination is (or is not) one of this host's own addresses.
    pub fn destination_is_local(yes: bool) -> Vec<Expression> {
        let with = if yes { Comparison::Equal } else { Comparison::NotEqual };
        vec![
            Expression::Fib { of: Fib::DestinationType, to: FIRST },
            Expression::Compare { register: FIRST, with, value: ROUTE_LOCAL.to_ne_bytes().to_vec() },
        ]
    }

    pub fn source_is_local() -> Vec<Expression> {
        vec![
            Expression::Fib { of: Fib::SourceType, to: FIRST },
            Expression::Compare { register: FIRST, with: Comparison::Equal, value: ROUTE_LOCAL.to_ne_bytes().to_vec() },
        ]
    }

    pub fn is_tcp() -> Vec<Expression> {
        vec![protocol(FIRST), Expression::Compare { register: FIRST, with: Comparison::Equal, value: vec![6] }]
    }

    pub fn connection_is_new() -> Vec<Expression> {
        masked(Expression::CtState { to: FIRST }, STATE_NEW)
    }

    /// The connection's destination has been translated.
    pub fn connection_is_translated() -> Vec<Expression> {
        masked(Expression::CtStatus { to: FIRST }, STATUS_DESTINATION_TRANSLATED)
    }

    /// Some of the bits of `mask` are set in the packet's mark.
    pub fn marked(mask: u32) -> Vec<Expression> {
        masked(Expression::Meta { key: Meta::Mark, to: FIRST }, mask)
    }

    fn masked(load: Expression, mask: u32) -> Vec<Expression> {
        vec![
            load,
            Expression::Bitwise { register: FIRST, mask: mask.to_ne_bytes().to_vec(), flip: vec![0; 4] },
            Expression::Compare { register: FIRST, with: Comparison::NotEqual, value: vec![0; 4] },
        ]
    }

    /// Sets the bits of `mask` in the packet's mark.
    pub fn set_mark(mask: u32) -> Vec<Expression> {
        change_mark(!mask, mask)
    }

    pub fn clear_mark(mask: u32) -> Vec<Expression> {
        change_mark(!mask, 0)
    }

    fn change_mark(mask: u32, flip: u32) -> Vec<Expression> {
        vec![
            Expression::Meta { key: Meta::Mark, to: FIRST },
            Expression::Bitwise {
                register: FIRST,
                mask: mask.to_ne_bytes().to_vec(),
                flip: flip.to_ne_bytes().to_vec(),
            },
            Expression::SetMeta { key: Meta::Mark, from: FIRST },
        ]
    }

    /// The packet comes in through a link whose name starts with `prefix`.
    pub fn input_starts_with(prefix: &str) -> Vec<Expression> {
        vec![
            Expression::Meta { key: Meta::InputName, to: FIRST },
            Expression::Compare { register: FIRST, with: Comparison::Equal, value: prefix.as_bytes().to_vec() },
        ]
    }

    pub fn output_starts_with(prefix: &str) -> Vec<Expression> {
        vec![
            Expression::Meta { key: Meta::OutputName, to: FIRST },
            Expression::Compare { register: FIRST, with: Comparison::Equal, value: prefix.as_bytes().to_vec() },
        ]
    }
}
