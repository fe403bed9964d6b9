//! Text to tokens.

use super::Issue;
use super::number;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Int(u64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    Ident(String),
    /// `` `a-b` ``: a field that is no identifier.
    Quoted(String),
    Sign(&'static str),
    End,
}

impl Token {
    pub fn shown(&self) -> String {
        match self {
            Token::Int(number) => number.to_string(),
            Token::Uint(number) => format!("{number}u"),
            Token::Double(number) => number.to_string(),
            Token::String(text) => format!("\"{text}\""),
            Token::Bytes(_) => "b\"...\"".to_owned(),
            Token::Ident(name) | Token::Quoted(name) => name.clone(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::End => "<EOF>".to_owned(),
        }
    }
}

/// Longest first.
const SIGNS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "+", "-", "*", "/", "%", "!", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".",
    ":", "?", ";", "=", "@",
];

pub fn tokens(source: &str) -> Result<Vec<(Token, usize)>, Issue> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        at = skip_blank(source, at);
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else {
            found.push((Token::End, at));
            return Ok(found);
        };
        let (token, length) = if let Some(text) = quoted(rest) {
            text.map_err(|message| Issue::new(at, message))?
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number::read(rest).map_err(|message| Issue::new(at, message))?
        } else if first == '_' || first.is_ascii_alphabetic() {
            let length = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            (Token::Ident(rest[..length].to_owned()), length)
        } else if first == '`' {
            backquoted(rest).ok_or_else(|| Issue::new(at, "Syntax error: token recognition error at: '`'"))?
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(Issue::new(at, format!("Syntax error: token recognition error at: '{first}'")));
        };
        found.push((token, at));
        at += length;
    }
}

fn skip_blank(source: &str, mut at: usize) -> usize {
    loop {
        let rest = &source[at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("//") {
            return at;
        }
        at += trimmed.find('\n').unwrap_or(trimmed.len());
    }
}

fn backquoted(rest: &str) -> Option<(Token, usize)> {
    let inner = &rest[1..];
    let end = inner.find('`')?;
    let name = &inner[..end];
    let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/ ".contains(c));
    fits.then(|| (Token::Quoted(name.to_owned()), end + 2))
}

/// A string or bytes literal with its prefix, if one stands here.
fn quoted(rest: &str) -> Option<Result<(Token, usize), String>> {
    let prefix = rest.len() - rest.trim_start_matches(['r', 'R', 'b', 'B']).len();
    let body = &rest[prefix..];
    let marks = &rest[..prefix].to_ascii_lowercase();
    if !body.starts_with(['"', '\'']) || !["", "r", "b", "rb", "br"].contains(&marks.as_str()) {
        return None;
    }
    let (raw, bytes) = (marks.contains('r'), marks.contains('b'));
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(*quote))?;
    let unclosed = || format!("Syntax error: token recognition error at: '{}'", rest.lines().next().unwrap_or(""));
    let Some(end) = close(&body[quote.len()..], quote, raw) else { return Some(Err(unclosed())) };
    let inner = &body[quote.len()..quote.len() + end];
    let length = prefix + end + 2 * quote.len();
    let token = match bytes {
        true => unescape_bytes(inner, raw).map(|bytes| Token::Bytes(bytes.into())),
        false => unescape(inner, raw).map(|text| Token::String(text.into())),
    };
    Some(token.map(|token| (token, length)))
}

/// Where the closing quote stands.
fn close(body: &str, quote: &str, raw: bool) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && !raw {
            escaped = true;
        } else if body[at..].starts_with(quote) {
            return Some(at);
        } else if (c == '\n' || c == '\r') && quote.len() == 1 {
            return None;
        }
    }
    None
}

enum Unit {
    Char(char),
    Byte(u8),
}

fn unescape(inner: &str, raw: bool) -> Result<String, String> {
    let mut text = String::with_capacity(inner.len());
    each_unit(inner, raw, &mut |unit| match unit {
        Unit::Char(c) => text.push(c),
        Unit::Byte(byte) => text.push(char::from(byte)),
    })?;
    Ok(text)
}

fn unescape_bytes(inner: &str, raw: bool) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(inner.len());
    each_unit(inner, raw, &mut |unit| match unit {
        Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Unit::Byte(byte) => bytes.push(byte),
    })?;
    Ok(bytes)
}

fn each_unit(inner: &str, raw: bool, take: &mut dyn FnMut(Unit)) -> Result<(), String> {
    let invalid = || "Syntax error: invalid escape sequence".to_owned();
    let mut rest = inner;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first != '\\' || raw {
            take(Unit::Char(first));
            continue;
        }
        let mark = rest.chars().next().ok_or_else(invalid)?;
        rest = &rest[mark.len_utf8()..];
        let mut code = |digits: usize, radix: u32| -> Result<u32, String> {
            let digits = rest.get(..digits).ok_or_else(invalid)?;
            rest = &rest[digits.len()..];
            let all = digits.chars().all(|c| c.is_digit(radix));
            all.then(|| u32::from_str_radix(digits, radix).ok()).flatten().ok_or_else(invalid)
        };
        match mark {
            'a' => take(Unit::Char('\u{7}')),
            'b' => take(Unit::Char('\u{8}')),
            'f' => take(Unit::Char('\u{c}')),
            'n' => take(Unit::Char('\n')),
            'r' => take(Unit::Char('\r')),
            't' => take(Unit::Char('\t')),
            'v' => take(Unit::Char('\u{b}')),
            '\\' | '?' | '"' | '\'' | '`' => take(Unit::Char(mark)),
            'x' | 'X' => take(Unit::Byte(u8::try_from(code(2, 16)?).map_err(|_| invalid())?)),
            'u' => take(Unit::Char(char::from_u32(code(4, 16)?).ok_or_else(invalid)?)),
            'U' => take(Unit::Char(char::from_u32(code(8, 16)?).ok_or_else(invalid)?)),
            '0'..='3' => {
                let low = code(2, 8)?;
                let high = mark.to_digit(8).unwrap_or_default();
                take(Unit::Byte(u8::try_from(high * 64 + low).map_err(|_| invalid())?));
            }
            _ => return Err(invalid()),
        }
    }
    Ok(())
}
