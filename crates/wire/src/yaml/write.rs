//! JSON values to YAML, character for character as kubectl prints them (Go's yaml.v2): sorted keys,
//! lists not indented, strings quoted only where they must be, long ones folded at blanks.

use super::resolve::{Meaning, is_base_60, resolve};
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Strings go on in the next line at the first blank after this column.
const WIDTH: usize = 80;
const INDENT: usize = 2;
/// Readers look for a key's colon no further than that; longer keys get a mark of their own.
const SIMPLE_KEY: usize = 128;

pub fn to_string(value: &Value) -> String {
    let mut writer = Writer { out: String::new(), column: 0 };
    match value {
        Value::Object(map) if !map.is_empty() => writer.map(map, 0),
        Value::Array(list) if !list.is_empty() => writer.list(list, 0),
        other => {
            writer.scalar(other, 0);
            writer.line();
        }
    }
    writer.out
}

struct Writer {
    out: String,
    /// Characters in the line so far.
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn char(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    /// Ends the line, unless it has just been.
    fn line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.column = 0;
    }

    fn indent(&mut self, indent: usize) {
        for _ in 0..indent {
            self.char(' ');
        }
    }

    /// Starts at the beginning of a line, or behind the `- ` of an item.
    fn map(&mut self, map: &Map<String, Value>, indent: usize) {
        let mut entries: Vec<(&String, &Value)> = map.iter().collect();
        entries.sort_by(|a, b| natural(a.0, b.0));
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 || self.column == 0 {
                self.line();
                self.indent(indent);
            }
            if is_simple_key(key) {
                self.text(key, indent, true);
                self.char(':');
                self.value(value, indent);
            } else {
                self.put("? ");
                self.text(key, indent, false);
                self.line();
                self.indent(indent);
                self.put(": ");
                self.item(value, indent);
            }
        }
        self.line();
    }

    /// Behind the colon of a key.
    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                self.line();
                self.map(inner, indent + INDENT);
            }
            Value::Array(list) if !list.is_empty() => {
                self.line();
                self.list(list, indent);
            }
            scalar => {
                self.char(' ');
                self.scalar(scalar, indent);
            }
        }
    }

    fn list(&mut self, list: &[Value], indent: usize) {
        for (index, item) in list.iter().enumerate() {
            if index > 0 || self.column == 0 {
                self.line();
                self.indent(indent);
            }
            self.put("- ");
            self.item(item, indent);
        }
        self.line();
    }

    /// Behind a mark and its blank, in the same line.
    fn item(&mut self, item: &Value, indent: usize) {
        match item {
            Value::Object(map) if !map.is_empty() => self.map(map, indent + INDENT),
            Value::Array(inner) if !inner.is_empty() => self.list(inner, indent + INDENT),
            scalar => self.scalar(scalar, indent),
        }
    }

    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::String(text) => self.text(text, indent, false),
            Value::Number(number) => self.put(&number_text(number)),
            Value::Object(_) => self.put("{}"),
            Value::Array(_) => self.put("[]"),
            other => self.put(&other.to_string()),
        }
    }

    fn text(&mut self, text: &str, indent: usize, is_key: bool) {
        let form = Form::of(text);
        let meant_as_text = resolve(text) == Meaning::Text && !is_base_60(text);
        if text.contains('\n') {
            if form.literal && !is_key {
                self.literal(text, indent + INDENT);
            } else {
                self.double_quoted(text, indent + INDENT, is_key);
            }
        } else if !meant_as_text || !form.single_quoted && !form.plain {
            self.double_quoted(text, indent + INDENT, is_key);
        } else if form.plain {
            self.plain(text, indent + INDENT, is_key);
        } else {
            self.single_quoted(text, indent + INDENT, is_key);
        }
    }

    fn fold(&mut self, indent: usize) {
        self.line();
        self.indent(indent);
    }

    fn plain(&mut self, text: &str, indent: usize, is_key: bool) {
        let mut after_blank = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' && !is_key && !after_blank && self.column > WIDTH && chars.peek() != Some(&' ') {
                self.fold(indent);
            } else {
                self.char(c);
            }
            after_blank = c == ' ';
        }
    }

    fn single_quoted(&mut self, text: &str, indent: usize, is_key: bool) {
        self.char('\'');
        let mut after_blank = false;
        let mut first = true;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let inside = !first && chars.peek().is_some();
            let may_fold = !is_key && !after_blank && inside && self.column > WIDTH;
            if c == ' ' && may_fold && chars.peek() != Some(&' ') {
                self.fold(indent);
            } else {
                if c == '\'' {
                    self.char('\'');
                }
                self.char(c);
            }
            after_blank = c == ' ';
            first = false;
        }
        self.char('\'');
    }

    fn double_quoted(&mut self, text: &str, indent: usize, is_key: bool) {
        self.char('"');
        let mut after_blank = false;
        let mut first = true;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let inside = !first && chars.peek().is_some();
            if c == ' ' && !is_key && !after_blank && inside && self.column > WIDTH {
                self.fold(indent);
                if chars.peek() == Some(&' ') {
                    self.char('\\');
                }
            } else {
                self.escaped(c);
            }
            after_blank = c == ' ';
            first = false;
        }
        self.char('"');
    }

    fn escaped(&mut self, c: char) {
        if is_printable(c) && !is_break(c) && c != '"' && c != '\\' {
            self.char(c);
            return;
        }
        self.char('\\');
        let short = match c {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let mut hex = String::new();
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ = match code {
                    0..=0xff => write!(hex, "x{code:02X}"),
                    0x100..=0xffff => write!(hex, "u{code:04X}"),
                    _ => write!(hex, "U{code:08X}"),
                };
                self.put(&hex);
                return;
            }
        };
        self.char(short);
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.char('|');
        if text.starts_with([' ', '\n']) {
            self.put(&INDENT.to_string());
        }
        match text.strip_suffix('\n') {
            None => self.char('-'),
            Some(rest) if rest.is_empty() || rest.ends_with('\n') => self.char('+'),
            Some(_) => {}
        }
        self.out.push('\n');
        self.column = 0;
        for line in text.split_inclusive('\n') {
            if line != "\n" {
                self.indent(indent);
            }
            self.out.push_str(line);
        }
        if !text.ends_with('\n') {
            self.out.push('\n');
        }
        self.column = 0;
    }
}

/// The styles that a string's characters allow.
struct Form {
    plain: bool,
    single_quoted: bool,
    literal: bool,
}

impl Form {
    fn of(text: &str) -> Form {
        let mut form = Form { plain: true, single_quoted: true, literal: true };
        if text.starts_with("---") || text.starts_with("...") {
            form.plain = false;
        }
        let mut before: Option<char> = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let ends = chars.peek().is_none_or(|next| is_blank(*next));
            // Go writes the rare line breaks raw, and indents after them; escaped they survive any reader.
            if !is_printable(c) || is_break(c) && c != '\n' {
                return Form { plain: false, single_quoted: false, literal: false };
            }
            let indicator = match (c, before) {
                (
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
                    None,
                ) => true,
                ('?' | '-', None) => ends,
                (':', _) => ends,
                ('#', Some(before)) => is_blank(before),
                _ => false,
            };
            if indicator || is_break(c) {
                form.plain = false;
            }
            if c == ' ' && (before.is_none() || chars.peek().is_none()) {
                form.plain = false;
            }
            if c == ' ' && chars.peek().is_none() {
                form.literal = false;
            }
            if c == ' ' && before.is_some_and(is_break) {
                form.plain = false;
                form.single_quoted = false;
            }
            if is_break(c) && before == Some(' ') {
                return Form { plain: false, single_quoted: false, literal: false };
            }
            before = Some(c);
        }
        form
    }
}

fn is_simple_key(key: &str) -> bool {
    key.len() <= SIMPLE_KEY && !key.contains(is_break)
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t' || is_break(c)
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What Go's emitter takes for printable: neither tabs nor anything beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn number_text(number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (None, None, Some(float)) => go_float(float),
        _ => number.to_string(),
    }
}

/// Go's shortest form: an exponent below 1e-4 and from 1e6 on, of two digits at least. Whole numbers have
/// none while they fit into 64 bits, as Go's encoder takes them for integers by then.
fn go_float(float: f64) -> String {
    let magnitude = float.abs();
    let is_whole =
        float.fract() == 0.0 && (-9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0).contains(&float);
    if magnitude != 0.0 && !is_whole && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{float:e}");
        let Some((mantissa, exponent)) = text.split_once('e') else { return text };
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    float.to_string()
}

/// Go's order of keys: numbers inside of them compare by value, letters come after other signs.
fn natural(a: &str, b: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = left.iter().zip(&right).position(|(x, y)| x != y) else {
        return left.len().cmp(&right.len());
    };
    let (x, y) = (left[at], right[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => x.cmp(&y),
        (x_letter, false) | (false, x_letter) if x_letter || y.is_alphabetic() => {
            // A letter after digits ends the number, and the shorter number is the smaller.
            let after_digits = at > 0 && left[at - 1].is_numeric();
            let x_first = if after_digits { x.is_alphabetic() } else { y.is_alphabetic() };
            if x_first { Ordering::Less } else { Ordering::Greater }
        }
        _ => digits_from(&left, &right, at).then(x.cmp(&y)),
    }
}

fn digits_from(left: &[char], right: &[char], at: usize) -> Ordering {
    let mut start = 0;
    if left[at] == '0' || right[at] == '0' {
        // A zero in the midst of a number counts; a leading one does not.
        let before = left[..at].iter().rev().take_while(|c| c.is_ascii_digit());
        start = u64::from(before.into_iter().any(|c| *c != '0'));
    }
    let value = |chars: &[char]| {
        let digits = chars[at..].iter().map_while(|c| c.to_digit(10));
        digits.fold((start, 0_usize), |(value, count), digit| {
            (value.wrapping_mul(10).wrapping_add(u64::from(digit)), count + 1)
        })
    };
    value(left).cmp(&value(right))
}
