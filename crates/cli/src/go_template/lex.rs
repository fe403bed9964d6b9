//! A template's text as tokens: plain text, and the words inside of `{{ }}`.

/// Why a text is no template, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntaxError {
    pub line: usize,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Text(String),
    Open,
    Close,
    /// A function or a keyword.
    Word(String),
    /// `.name` at the beginning of an operand; `.` alone has no name.
    Field(String),
    /// `$name`, or `$`.
    Variable(String),
    Literal(Literal),
    /// A blank between words matters: `.a .b` are two operands and `.a.b` is one.
    Space,
    Pipe,
    Left,
    Right,
    Declare,
    Assign,
    Comma,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Text(String),
    Int(i64),
    Float(f64),
}

/// A token and the byte it begins at.
pub type Placed = (usize, Token);

pub fn lex(text: &str) -> Result<Vec<Placed>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut trims = false;
    while at < text.len() {
        let rest = &text[at..];
        let begin = rest.find("{{");
        let mut plain = &rest[..begin.unwrap_or(rest.len())];
        if trims {
            plain = plain.trim_start_matches(BLANKS);
        }
        let Some(begin) = begin else {
            push_text(&mut tokens, at, plain);
            break;
        };
        let mut inside = at + begin + 2;
        let marker = text[inside..].strip_prefix('-').is_some_and(|rest| rest.starts_with(BLANKS));
        if marker {
            plain = plain.trim_end_matches(BLANKS);
            inside += 2;
        }
        push_text(&mut tokens, at, plain);
        (at, trims) = if text[inside..].starts_with("/*") {
            comment(text, inside)?
        } else {
            tokens.push((at + begin, Token::Open));
            action(text, inside, &mut tokens)?
        };
    }
    Ok(tokens)
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

fn push_text(tokens: &mut Vec<Placed>, at: usize, text: &str) {
    if !text.is_empty() {
        tokens.push((at, Token::Text(text.to_owned())));
    }
}

fn fail<T>(text: &str, at: usize, why: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError { line: 1 + text[..at.min(text.len())].matches('\n').count(), text: why.into() })
}

/// Line and column of a byte, as Go tells them.
pub fn place(text: &str, at: usize) -> String {
    let before = &text[..at.min(text.len())];
    let column = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
    format!("{}:{column}", 1 + before.matches('\n').count())
}

/// Behind a comment's end, and whether the text there loses its blanks.
fn comment(text: &str, at: usize) -> Result<(usize, bool), SyntaxError> {
    let Some(end) = text[at..].find("*/") else { return fail(text, at, "unclosed comment") };
    let after = at + end + 2;
    match closing(&text[after..]) {
        Some((length, trims)) => Ok((after + length, trims)),
        None => fail(text, at, "comment ends before closing delimiter"),
    }
}

/// The length of the closing braces that a text begins with, with their marker, and whether they have one.
fn closing(rest: &str) -> Option<(usize, bool)> {
    if rest.starts_with("}}") {
        return Some((2, false));
    }
    // A marker needs its blank.
    rest.strip_prefix(BLANKS)?.starts_with("-}}").then_some((4, true))
}

/// Reads up to the closing braces; where that is, and whether the text behind loses its blanks.
fn action(text: &str, mut at: usize, tokens: &mut Vec<Placed>) -> Result<(usize, bool), SyntaxError> {
    loop {
        let rest = &text[at..];
        if let Some((length, trims)) = closing(rest) {
            tokens.push((at, Token::Close));
            return Ok((at + length, trims));
        }
        let Some(first) = rest.chars().next() else { return fail(text, at, "unclosed action") };
        let single = match first {
            '|' => Some(Token::Pipe),
            '(' => Some(Token::Left),
            ')' => Some(Token::Right),
            ',' => Some(Token::Comma),
            '=' => Some(Token::Assign),
            _ => None,
        };
        if let Some(token) = single {
            tokens.push((at, token));
            at += 1;
        } else if BLANKS.contains(&first) {
            let length = rest.len() - rest.trim_start_matches(BLANKS).len();
            // The last of several belongs to the marker; alone it would have been taken for one above.
            let length = if rest[length..].starts_with("-}}") { length - 1 } else { length };
            tokens.push((at, Token::Space));
            at += length;
        } else if rest.starts_with(":=") {
            tokens.push((at, Token::Declare));
            at += 2;
        } else {
            let (token, length) = operand(text, at)?;
            tokens.push((at, token));
            at += length;
        }
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn operand(text: &str, at: usize) -> Result<(Token, usize), SyntaxError> {
    let rest = &text[at..];
    let first = rest.chars().next().unwrap_or_default();
    match first {
        '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let length = word_length(&rest[1..]);
            Ok((Token::Field(rest[1..=length].to_owned()), length + 1))
        }
        '$' => {
            let length = word_length(&rest[1..]);
            Ok((Token::Variable(rest[..=length].to_owned()), length + 1))
        }
        '`' => match rest[1..].find('`') {
            Some(end) => Ok((Token::Literal(Literal::Text(rest[1..=end].to_owned())), end + 2)),
            None => fail(text, at, "unterminated raw quoted string"),
        },
        '"' => quoted(text, at),
        '\'' => character(text, at),
        _ if first.is_ascii_digit() || matches!(first, '.' | '-' | '+') => number(text, at),
        _ if first.is_alphabetic() || first == '_' => {
            let length = word_length(rest);
            Ok((Token::Word(rest[..length].to_owned()), length))
        }
        _ => fail(text, at, format!("unexpected {first:?} in operand")),
    }
}

fn number(text: &str, at: usize) -> Result<(Token, usize), SyntaxError> {
    let rest = &text[at..];
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'));
    let length = rest.find(ends).unwrap_or(rest.len());
    let word = &rest[..length];
    let hexadecimal = word.strip_prefix("0x").or(word.strip_prefix("0X"));
    let int = hexadecimal.map_or_else(|| word.parse().ok(), |digits| i64::from_str_radix(digits, 16).ok());
    if let Some(int) = int {
        return Ok((Token::Literal(Literal::Int(int)), length));
    }
    match word.parse() {
        Ok(float) => Ok((Token::Literal(Literal::Float(float)), length)),
        Err(_) => fail(text, at, format!("bad number syntax: {word:?}")),
    }
}

fn escaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '0' => '\0',
        other => other,
    }
}

fn quoted(text: &str, at: usize) -> Result<(Token, usize), SyntaxError> {
    let mut value = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Literal(Literal::Text(value)), index + 2)),
            '\n' => break,
            '\\' => match chars.next() {
                Some((from, 'u')) => {
                    let digits = text[at + 1..].get(from + 1..from + 5).unwrap_or_default();
                    let Some(c) = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) else {
                        return fail(text, at, "invalid syntax");
                    };
                    value.push(c);
                    chars.nth(3);
                }
                Some((_, c)) => value.push(escaped(c)),
                None => break,
            },
            other => value.push(other),
        }
    }
    fail(text, at, "unterminated quoted string")
}

/// A character is its number.
fn character(text: &str, at: usize) -> Result<(Token, usize), SyntaxError> {
    let Some(end) = text[at + 1..].find('\'') else { return fail(text, at, "unterminated character constant") };
    let inside = &text[at + 1..at + 1 + end];
    let mut chars = inside.chars();
    let c = match (chars.next(), chars.next()) {
        (Some('\\'), Some(c)) => escaped(c),
        (Some(c), None) => c,
        _ => return fail(text, at, format!("malformed character constant: '{inside}'")),
    };
    Ok((Token::Literal(Literal::Int(i64::from(u32::from(c)))), end + 2))
}
