//! What selectors of devices may name: `device.driver`, `device.attributes[domain].name`,
//! `device.capacity[domain].name`. Validation compiles them, the scheduler asks them.

use crate::library::Held;
use crate::library::semver::Version;
use crate::types::{Bound, Field, ObjectType};
use crate::value::{Key, Map};
use crate::{Environment, Fault, Opaque, Program, Scope, Type, Value};
use meta::Quantity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A longer expression is not looked at.
pub const MAX_LENGTH: usize = 10 * 1024;
/// What an expression may cost, by estimate and when it runs.
pub const MAX_COST: u64 = 1_000_000;

/// Upstream's limits of names and values, by which costs are estimated.
const DOMAIN: Bound = Bound(63);
const IDENTIFIER: Bound = Bound(32);
const VALUE: Bound = Bound(64);
const COUNT: Bound = Bound(32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute<'a> {
    Int(i64),
    Bool(bool),
    Text(&'a str),
    Version(&'a str),
}

/// A device as selectors see it. Names without a domain are the driver's.
#[derive(Debug, Clone, Default)]
pub struct Device<'a> {
    pub driver: &'a str,
    pub attributes: Vec<(&'a str, Attribute<'a>)>,
    pub capacity: Vec<(&'a str, &'a Quantity)>,
    pub allows_multiple: bool,
}

fn kind() -> Type {
    let domains = |inner: Type| {
        let inner = Type::Map(Arc::new(Type::String(IDENTIFIER)), Arc::new(inner), COUNT);
        Type::Map(Arc::new(Type::String(DOMAIN)), Arc::new(inner), COUNT)
    };
    let fields = [
        ("driver", Type::String(DOMAIN)),
        ("attributes", domains(Type::Dyn(VALUE))),
        ("capacity", domains(Type::Opaque(Opaque::Quantity))),
        ("allowMultipleAllocations", Type::Bool),
    ];
    let fields = fields.map(|(name, kind)| (name.to_owned(), Field { json: name.to_owned(), kind }));
    Type::Object(Arc::new(ObjectType { name: "kubernetes.DRADevice".to_owned(), fields: fields.into() }))
}

/// # Errors
/// It is no expression, or comes to something else than true or false, in upstream's words.
pub fn compile(source: &str) -> Result<Program, String> {
    let environment = Environment::new().with("device", kind());
    let program = crate::compile(source, &environment, &[]).map_err(|error| error.to_string())?;
    match program.kind() {
        Type::Bool => Ok(program),
        kind if kind.is_dyn() => Ok(program),
        other => Err(format!("must evaluate to bool or the unknown type, not {other}")),
    }
}

/// # Errors
/// The expression fails on this device, or a version is none.
pub fn matches(program: &Program, device: &Device<'_>) -> Result<bool, String> {
    let value = value(device)?;
    let scope = Scope::new().value("device", value);
    match program.evaluate(&scope, MAX_COST).result {
        Ok(Value::Bool(matches)) => Ok(matches),
        Ok(other) => Err(format!("CEL result of type {} could not be converted to bool", other.type_name())),
        Err(fault) => Err(told(&fault)),
    }
}

fn told(fault: &Fault) -> String {
    let text = fault.to_string();
    match text.starts_with("no such key:") {
        true => {
            format!("{text}. Consider using CEL optional chaining (?), has() macro, or orValue() for optional fields")
        }
        false => text,
    }
}

type Entries<'a> = BTreeMap<Key, (Value<'a>, Value<'a>)>;

fn insert<'a>(entries: &mut Entries<'a>, name: &'a str, value: Value<'a>) {
    entries.insert(Key::String(Arc::from(name)), (Value::text(name), value));
}

fn own<'a>(entries: Entries<'a>) -> Value<'a> {
    Value::Map(Map::Own(Arc::new(entries)))
}

/// By domain; where a domain has nothing, there is an empty map.
fn by_domain<'a>(driver: &'a str, values: Vec<(&'a str, Value<'a>)>) -> Value<'a> {
    let mut domains: BTreeMap<&'a str, Entries<'a>> = BTreeMap::new();
    for (name, value) in values {
        let (domain, name) = name.split_once('/').unwrap_or((driver, name));
        insert(domains.entry(domain).or_default(), name, value);
    }
    let mut outer = Entries::new();
    domains.into_iter().for_each(|(domain, entries)| insert(&mut outer, domain, own(entries)));
    Value::Map(Map::Open(Arc::new(outer)))
}

fn value<'a>(device: &Device<'a>) -> Result<Value<'a>, String> {
    let mut attributes = Vec::with_capacity(device.attributes.len());
    for (name, attribute) in &device.attributes {
        let value = match attribute {
            Attribute::Int(number) => Value::Int(*number),
            Attribute::Bool(value) => Value::Bool(*value),
            Attribute::Text(text) => Value::text(text),
            Attribute::Version(text) => {
                let version = Version::parse(text, false);
                let version = version.map_err(|why| format!("attribute {name}: parse semantic version: {why}"))?;
                Value::held(Held::Semver(version))
            }
        };
        attributes.push((*name, value));
    }
    let capacity = device.capacity.iter();
    let capacity = capacity.map(|(name, amount)| (*name, Value::held(Held::Quantity(**amount))));
    let mut fields = Entries::new();
    insert(&mut fields, "driver", Value::text(device.driver));
    insert(&mut fields, "attributes", by_domain(device.driver, attributes));
    insert(&mut fields, "capacity", by_domain(device.driver, capacity.collect()));
    insert(&mut fields, "allowMultipleAllocations", Value::Bool(device.allows_multiple));
    Ok(own(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(source: &str) -> Result<bool, String> {
        let memory = Quantity::parse("8Gi").unwrap();
        let device = Device {
            driver: "gpu.example.com",
            attributes: vec![
                ("model", Attribute::Text("a100")),
                ("gpu.example.com/cores", Attribute::Int(8)),
                ("other.example.com/fast", Attribute::Bool(true)),
                ("version", Attribute::Version("1.2.3")),
            ],
            capacity: vec![("memory", &memory)],
            allows_multiple: false,
        };
        matches(&compile(source)?, &device)
    }

    #[test]
    fn selectors_see_devices() {
        for (source, wanted) in [
            ("device.driver == 'gpu.example.com'", Ok(true)),
            ("device.attributes['gpu.example.com'].model == 'a100'", Ok(true)),
            ("device.attributes['gpu.example.com'].cores > 4", Ok(true)),
            ("device.attributes['other.example.com'].fast", Ok(true)),
            ("device.attributes['gpu.example.com'].version.isGreaterThan(semver('1.2.0'))", Ok(true)),
            ("device.capacity['gpu.example.com'].memory.compareTo(quantity('9Gi')) < 0", Ok(true)),
            ("has(device.attributes['none.example.com'].model)", Ok(false)),
            ("'none.example.com' in device.attributes", Ok(false)),
            ("'other.example.com' in device.attributes", Ok(true)),
            ("device.attributes['none.example.com'].?model.orValue('x') == 'x'", Ok(true)),
            ("device.allowMultipleAllocations", Ok(false)),
            (
                "device.attributes['none.example.com'].model == 'a'",
                Err("no such key: model. Consider using CEL optional chaining (?), has() macro, or orValue() for \
                     optional fields"),
            ),
            (
                "device.attributes['gpu.example.com'].model",
                Err("CEL result of type string could not be converted to bool"),
            ),
            ("device.driver", Err("must evaluate to bool or the unknown type, not string")),
        ] {
            assert_eq!(ask(source), wanted.map_err(str::to_owned), "{source}");
        }
        assert!(
            ask("device.drivers == ''").is_err_and(|why| why.starts_with("compilation failed: ERROR: <input>:1:7"))
        );
    }

    #[test]
    fn costs_are_known_beforehand() {
        let cost = |source: &str| compile(source).unwrap().cost().max;
        assert!(cost("device.attributes['a'].b == 'c'") < MAX_COST);
        let all = "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, \
                   a.matches(b + c + d)))))";
        assert!(cost(all) > MAX_COST);
    }
}
