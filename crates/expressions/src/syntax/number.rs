//! Number literals: decimal and hexadecimal integers, unsigned with `u`, doubles.

use super::lexer::Token;

/// The number that a text starts with, and how long it is. Integers come without a sign: the parser
/// knows whether a minus stands before.
pub fn read(text: &str) -> Result<(Token, usize), String> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let digits = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        return integer(text, 2 + digits, &hex[..digits], 16);
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let mut length = whole;
    let fraction = text[length..].strip_prefix('.').map_or(0, digits);
    if fraction > 0 {
        length += 1 + fraction;
    }
    if let Some(exponent) = text[length..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let power = digits(&exponent[sign..]);
        if power > 0 {
            length += 1 + sign + power;
        }
    }
    if length == whole {
        return integer(text, whole, &text[..whole], 10);
    }
    match text[..length].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Double(number), length)),
        _ => Err("invalid double literal".to_owned()),
    }
}

fn integer(text: &str, length: usize, digits: &str, radix: u32) -> Result<(Token, usize), String> {
    let unsigned = text[length..].starts_with(['u', 'U']);
    let number = u64::from_str_radix(digits, radix);
    match (number, unsigned) {
        (Ok(number), true) => Ok((Token::Uint(number), length + 1)),
        (Ok(number), false) if number <= i64::MIN.unsigned_abs() => Ok((Token::Int(number), length)),
        (_, true) => Err("invalid uint literal".to_owned()),
        (_, false) => Err("invalid int literal".to_owned()),
    }
}
