//! Values as Go prints them: `%v` and the other verbs of `printf`.

use super::item::Item;

/// `%v`. `outer`: printed by the template itself, where nothing is `<no value>`.
pub fn value(item: &Item, outer: bool) -> String {
    match item {
        Item::Absent | Item::Nil if outer => "<no value>".to_owned(),
        Item::Absent | Item::Nil => "<nil>".to_owned(),
        Item::Bool(on) => on.to_string(),
        Item::Int(number) => number.to_string(),
        Item::Float(number) => float(*number),
        Item::Text(text) => text.clone(),
        Item::List(list) => {
            let parts: Vec<String> = list.iter().map(|item| value(item, false)).collect();
            format!("[{}]", parts.join(" "))
        }
        Item::Map(map) => {
            let parts: Vec<String> = map.iter().map(|(key, item)| format!("{key}:{}", value(item, false))).collect();
            format!("map[{}]", parts.join(" "))
        }
    }
}

/// Go's shortest form (`%g`): with an exponent below 1e-4 and from 1e6.
pub fn float(number: f64) -> String {
    if number == 0.0 {
        return if number.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    format!("{digits}{}", exponent_text(exponent))
}

fn exponent_text(exponent: i32) -> String {
    format!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    zero: bool,
    blank: bool,
    sharp: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

pub fn printf(format: &str, arguments: &[Item]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| "-+0 #".contains(*c)) {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '0' => verb.zero = true,
                ' ' => verb.blank = true,
                _ => verb.sharp = true,
            }
        }
        verb.width = digits(&mut chars);
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(&mut chars).unwrap_or(0));
        }
        let Some(letter) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if letter == '%' {
            out.push('%');
            continue;
        }
        let Some(argument) = arguments.get(next) else {
            out.push_str(&format!("%!{letter}(MISSING)"));
            continue;
        };
        next += 1;
        out.push_str(&verb.padded(&verb.text(letter, argument), argument));
    }
    if next < arguments.len() {
        let extra = arguments[next..].iter().map(|item| format!("{}={}", item.type_name(), value(item, false)));
        out.push_str(&format!("%!(EXTRA {})", extra.collect::<Vec<_>>().join(", ")));
    }
    out
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    digits.parse::<usize>().ok().map(|width| width.min(MAX_WIDTH))
}

/// Wider or more precise than this nobody reads.
const MAX_WIDTH: usize = 10_000;

impl Verb {
    fn text(&self, letter: char, item: &Item) -> String {
        match (letter, item) {
            ('v', _) => value(item, false),
            ('T', _) => item.type_name().to_owned(),
            ('t', Item::Bool(on)) => on.to_string(),
            ('d', Item::Int(number)) => self.signed(number.to_string(), *number >= 0),
            ('x', Item::Int(number)) => self.hexadecimal(*number),
            ('X', Item::Int(number)) => self.hexadecimal(*number).to_uppercase(),
            ('o', Item::Int(number)) => format!("{number:o}"),
            ('b', Item::Int(number)) => format!("{number:b}"),
            ('c', Item::Int(number)) => {
                u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').into()
            }
            ('q', Item::Int(number)) => {
                format!("{:?}", u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}'))
            }
            ('f' | 'F', Item::Float(number)) => {
                self.signed(format!("{number:.*}", self.precision.unwrap_or(6)), *number >= 0.0)
            }
            ('e', Item::Float(number)) => {
                let text = format!("{number:.*e}", self.precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                format!("{digits}{}", exponent_text(exponent.parse().unwrap_or_default()))
            }
            ('g', Item::Float(number)) => self.signed(float(*number), *number >= 0.0),
            ('s', Item::Text(text)) => self.cut(text),
            ('q', Item::Text(text)) => quoted(&self.cut(text)),
            ('x', Item::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('X', Item::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            (_, Item::List(list)) => {
                let parts: Vec<String> = list.iter().map(|item| self.text(letter, item)).collect();
                format!("[{}]", parts.join(" "))
            }
            (_, Item::Map(map)) => {
                let part = |(key, item): (&String, &Item)| {
                    format!("{}:{}", self.text(letter, &Item::Text(key.clone())), self.text(letter, item))
                };
                format!("map[{}]", map.iter().map(part).collect::<Vec<_>>().join(" "))
            }
            (_, Item::Nil | Item::Absent) => format!("%!{letter}(<nil>)"),
            (_, other) => format!("%!{letter}({}={})", other.type_name(), value(other, false)),
        }
    }

    fn signed(&self, text: String, positive: bool) -> String {
        match (positive, self.plus, self.blank) {
            (true, true, _) => format!("+{text}"),
            (true, _, true) => format!(" {text}"),
            _ => text,
        }
    }

    fn hexadecimal(&self, number: i64) -> String {
        let sign = if number < 0 { "-" } else { "" };
        format!("{sign}{}{:x}", if self.sharp { "0x" } else { "" }, number.unsigned_abs())
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    fn padded(&self, text: &str, item: &Item) -> String {
        let missing = self.width.unwrap_or_default().saturating_sub(text.chars().count());
        let is_number = matches!(item, Item::Int(_) | Item::Float(_));
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        if self.zero && is_number {
            let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        format!("{}{text}", " ".repeat(missing))
    }
}

/// In double quotes, as Go writes them.
pub fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
