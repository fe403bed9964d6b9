//! Where cluster addresses come from: the range the server was started with, and those that
//! ServiceCIDR objects add. IPv4 only.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The object that stands for the server's own range.
pub const DEFAULT: &str = "kubernetes";

/// The addresses of a range that may be given out: not its first and not its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: u32,
    pub last: u32,
}

impl Span {
    /// None: not an IPv4 range, or none that has an address to give.
    pub fn parse(cidr: &str) -> Option<Self> {
        let (base, bits) = cidr.split_once('/')?;
        let base: u32 = base.parse::<Ipv4Addr>().ok()?.into();
        let bits: u32 = bits.parse().ok().filter(|bits| (1..=30).contains(bits))?;
        let size = 1u32 << (32 - bits);
        let first = base & !(size - 1);
        Some(Span { first: first + 1, last: first + (size - 2) })
    }

    pub fn has(&self, address: u32) -> bool {
        (self.first..=self.last).contains(&address)
    }
}

/// One ServiceCIDR.
#[derive(Debug)]
struct Range {
    spans: Vec<Span>,
    /// Addresses may be taken from it.
    open: bool,
}

#[derive(Debug)]
pub struct Ranges {
    own: Span,
    added: BTreeMap<String, Range>,
}

impl Ranges {
    pub fn new(own: Span) -> Self {
        Ranges { own, added: BTreeMap::new() }
    }

    /// `range` is what the ServiceCIDR is now; None: it is gone.
    pub fn observe(&mut self, name: &str, range: Option<&Value>) {
        let Some(range) = range else {
            self.added.remove(name);
            return;
        };
        let texts = range["spec"]["cidrs"].as_array().into_iter().flatten();
        let spans = texts.filter_map(|text| Span::parse(text.as_str()?)).collect();
        let conditions = range["status"]["conditions"].as_array().into_iter().flatten();
        // Without the condition it is ready, as upstream has it for clusters without controllers.
        let refused = conditions.clone().any(|one| one["type"] == "Ready" && one["status"] != "True");
        let open = !refused && range["metadata"]["deletionTimestamp"].is_null();
        self.added.insert(name.to_owned(), Range { spans, open });
    }

    /// Whether the server's own range has its object.
    pub fn has_default(&self) -> bool {
        self.added.contains_key(DEFAULT)
    }

    /// Those that addresses may be taken from, the server's own first.
    pub fn open(&self) -> impl Iterator<Item = Span> {
        let own = self.added.get(DEFAULT).is_none_or(|range| range.open).then_some(self.own);
        own.into_iter().chain(self.added.values().filter(|range| range.open).flat_map(|range| range.spans.clone()))
    }

    /// Whether an address lies in any of them, open or not.
    pub fn have(&self, address: u32) -> bool {
        self.own.has(address) || self.added.values().flat_map(|range| &range.spans).any(|span| span.has(address))
    }
}
