//! Named formats: `format.dns1123Label().validate(name)` comes to what is wrong, if anything.

use super::Held;
use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;
use base64::Engine as _;
use meta::validation as rules;
use std::sync::Arc;

type Rule = fn(&str) -> Vec<String>;

#[derive(Clone, Copy)]
pub struct Format {
    pub name: &'static str,
    rule: Rule,
}

const ALL: &[Format] = &[
    Format { name: "dns1123Label", rule: |text| listed(rules::dns1123_label(text)) },
    Format { name: "dns1123Subdomain", rule: |text| listed(rules::dns1123_subdomain(text)) },
    Format { name: "dns1035Label", rule: |text| listed(rules::dns1035_label(text)) },
    Format { name: "qualifiedName", rule: |text| listed(rules::qualified_name(text)) },
    Format { name: "dns1123LabelPrefix", rule: |text| listed(rules::dns1123_label(&prefix(text))) },
    Format { name: "dns1123SubdomainPrefix", rule: |text| listed(rules::dns1123_subdomain(&prefix(text))) },
    Format { name: "dns1035LabelPrefix", rule: |text| listed(rules::dns1035_label(&prefix(text))) },
    Format { name: "labelValue", rule: |text| listed(rules::label_value(text)) },
    Format { name: "uri", rule: |text| unless(is_uri(text), "invalid URI for request") },
    Format { name: "uuid", rule: |text| unless(is_uuid(text), "does not match the UUID format") },
    Format { name: "byte", rule: |text| unless(is_base64(text), "invalid base64") },
    Format { name: "date", rule: |text| unless(is_date(text), "invalid date") },
    Format { name: "datetime", rule: |text| unless(super::time::instant(text).is_some(), "invalid datetime") },
];

/// A prefix of a name may end in a dash.
fn prefix(text: &str) -> String {
    text.strip_suffix('-').map_or_else(|| text.to_owned(), |rest| format!("{rest}a"))
}

fn listed<T: IntoIterator<Item = I>, I: ToString>(messages: T) -> Vec<String> {
    messages.into_iter().map(|message| message.to_string()).collect()
}

fn unless(right: bool, message: &str) -> Vec<String> {
    if right { Vec::new() } else { vec![message.to_owned()] }
}

fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    !text.contains([' ', '\t', '\n'])
        && (text.starts_with('/') || scheme.is_some_and(|scheme| scheme.starts_with(|c: char| c.is_ascii_alphabetic())))
}

fn is_uuid(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32 && plain.iter().all(char::is_ascii_hexdigit) && [32, 36].contains(&text.len())
}

fn is_base64(text: &str) -> bool {
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

macro_rules! named {
    ($($name:literal, $at:literal;)*) => {
        &[
            $(Function::new(concat!("format.", $name), &["() format"], Price::One, |_, _| Ok(Value::held(Held::Format(ALL[$at])))),)*
            Function::new("format.named", &["(string) optional(format)"], Price::One, by_name),
            Function::new("validate", &["format.(string) optional(list(string))"], Price::Second, validate),
        ]
    };
}

pub const FUNCTIONS: &[Function] = named! {
    "dns1123Label", 0; "dns1123Subdomain", 1; "dns1035Label", 2; "qualifiedName", 3;
    "dns1123LabelPrefix", 4; "dns1123SubdomainPrefix", 5; "dns1035LabelPrefix", 6; "labelValue", 7;
    "uri", 8; "uuid", 9; "byte", 10; "date", 11; "datetime", 12;
};

fn by_name<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    let name = values.first().and_then(Value::as_str).ok_or_else(Fault::no_overload)?;
    let found = ALL.iter().find(|format| format.name == name);
    Ok(Value::Optional(found.map(|format| Arc::new(Value::held(Held::Format(*format))))))
}

fn validate<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    let [Value::Opaque(held), Value::String(text)] = values else { return Err(Fault::no_overload()) };
    let Held::Format(format) = &**held else { return Err(Fault::no_overload()) };
    meter.work(4 * text.len() as u64)?;
    let problems: Vec<Value<'a>> = (format.rule)(text).into_iter().map(Value::string).collect();
    Ok(Value::Optional((!problems.is_empty()).then(|| Arc::new(Value::list(problems)))))
}
