//! The table of functions: a library is a list of these, one row for each name.

use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::library;
use crate::signature::Signature;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The receiver, if any, stands first among the values.
pub type Run = for<'a> fn(&mut Meter, &[Value<'a>]) -> Result<Value<'a>, Fault>;

#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    pub signatures: &'static [&'static str],
    pub price: Price,
    pub run: Run,
}

impl Function {
    pub const fn new(name: &'static str, signatures: &'static [&'static str], price: Price, run: Run) -> Self {
        Function { name, signatures, price, run }
    }
}

type Table = BTreeMap<&'static str, (&'static Function, Vec<Signature>)>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let rows = library::ALL.iter().flat_map(|functions| functions.iter());
        rows.map(|function| {
            let signatures = function.signatures.iter().filter_map(|text| Signature::parse(text)).collect();
            (function.name, (function, signatures))
        })
        .collect()
    })
}

pub fn find(name: &str) -> Option<&'static Function> {
    table().get(name).map(|(function, _)| *function)
}

pub fn signatures(function: &Function) -> &'static [Signature] {
    table().get(function.name).map_or(&[], |(_, signatures)| signatures)
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_name_stands_once_and_each_signature_reads() {
        let mut names = std::collections::BTreeSet::new();
        for function in crate::library::ALL.iter().flat_map(|functions| functions.iter()) {
            assert!(names.insert(function.name), "{} stands twice", function.name);
            assert_eq!(super::signatures(function).len(), function.signatures.len(), "{}", function.name);
        }
    }
}
