//! Set and map elements, and the types that tell nft(8) how to print them.

use super::super::netlink::Attributes;
use super::Verdict;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The types of nft(8) by its own numbers; a concatenation is six bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Ipv4 = 7,
    Protocol = 12,
    Port = 13,
    /// Any 32-bit number.
    Mark = 19,
}

impl Type {
    pub(super) fn number(types: &[Type]) -> u32 {
        types.iter().fold(0, |number, kind| (number << 6) | *kind as u32)
    }

    /// In a concatenation each part takes a whole register of four bytes.
    pub(super) fn length(types: &[Type]) -> u32 {
        match types {
            [Type::Protocol] => 1,
            [Type::Port] => 2,
            _ => 4 * types.len() as u32,
        }
    }
}

/// A key or a value of up to six parts. Ordered, so that plans can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key {
    bytes: [u8; 24],
    length: u8,
}

impl Key {
    pub const fn new() -> Self {
        Key { bytes: [0; 24], length: 0 }
    }

    pub fn ipv4(self, address: Ipv4Addr) -> Self {
        self.part(address.octets())
    }

    pub fn protocol(self, protocol: u8) -> Self {
        self.part([protocol, 0, 0, 0])
    }

    pub fn port(self, port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        self.part([high, low, 0, 0])
    }

    pub fn mark(self, mark: u32) -> Self {
        self.part(mark.to_ne_bytes())
    }

    /// # Panics
    /// With a seventh part: keys are written in code, not made of input.
    fn part(mut self, part: [u8; 4]) -> Self {
        let at = usize::from(self.length);
        self.bytes[at..at + 4].copy_from_slice(&part);
        self.length += 4;
        self
    }

    /// As it stands in the kernel. None: longer than any key of ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Key::new();
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        key.length = bytes.len() as u8;
        Some(key)
    }

    /// The key without its first part.
    pub fn rest(&self) -> Self {
        Key::from_bytes(self.as_bytes().get(4..).unwrap_or_default()).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Elements of a set have none.
    None,
    Key(Key),
    Verdict(Verdict),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub key: Key,
    pub value: Value,
    pub timeout: Option<Duration>,
}

impl Element {
    pub fn member(key: Key) -> Self {
        Element { key, value: Value::None, timeout: None }
    }

    pub fn map(key: Key, value: Key) -> Self {
        Element { key, value: Value::Key(value), timeout: None }
    }

    pub fn verdict(key: Key, verdict: Verdict) -> Self {
        Element { key, value: Value::Verdict(verdict), timeout: None }
    }
}

const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_TIMEOUT: u16 = 4;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// The most that one element takes in a message, so that a list can be cut before its 64 KB.
pub(super) const ELEMENT_ROOM: usize = 160;

/// Writes the element; a deletion has only the key.
pub(super) fn write(list: &mut Attributes<'_>, element: &Element, deletion: bool) {
    list.nest(LIST_ELEMENT, |attributes| {
        attributes.nest(ELEMENT_KEY, |key| key.bytes(DATA_VALUE, element.key.as_bytes()));
        if deletion {
            return;
        }
        if let Some(timeout) = element.timeout {
            attributes.be64(ELEMENT_TIMEOUT, u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        match &element.value {
            Value::None => {}
            Value::Key(value) => attributes.nest(ELEMENT_DATA, |data| data.bytes(DATA_VALUE, value.as_bytes())),
            Value::Verdict(verdict) => {
                attributes.nest(ELEMENT_DATA, |data| data.nest(DATA_VERDICT, |inner| verdict.write(inner)));
            }
        }
    });
}
