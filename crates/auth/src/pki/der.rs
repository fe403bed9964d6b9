//! Writing DER: the handful of ASN.1 types that certificates and requests are made of.

use base::Timestamp;
use jiff::tz::TimeZone;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A value with its tag and length.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | used.len() as u8);
            out.extend_from_slice(used);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, parts)
}

/// `[number]`, holding other values.
pub(super) fn context(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(0xa0 | number, parts)
}

/// `[number]`, in place of a string's own tag.
pub(super) fn context_string(number: u8, bytes: &[u8]) -> Vec<u8> {
    tlv(0x80 | number, &[bytes])
}

/// A number that is not negative, from its big-endian bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let sign: &[u8] = if used.first().is_none_or(|first| first & 0x80 != 0) { &[0] } else { &[] };
    tlv(INTEGER, &[sign, used])
}

pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], bytes])
}

/// A bit string of flags, bit 0 being the highest of the first byte, as KeyUsage counts; trailing
/// zeros are dropped, as DER wants.
pub(super) fn flags(bits: u16) -> Vec<u8> {
    let bytes = bits.reverse_bits().to_be_bytes();
    let used = &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
    let unused = used.last().map_or(0, |last| last.trailing_zeros() as u8);
    tlv(BIT_STRING, &[&[unused], used])
}

pub(super) fn oid(numbers: &[u64]) -> Vec<u8> {
    let mut body = Vec::new();
    let first = numbers[0] * 40 + numbers[1];
    for number in std::iter::once(&first).chain(&numbers[2..]) {
        let groups = (64 - number.leading_zeros()).max(1).div_ceil(7);
        body.extend((0..groups).rev().map(|group| {
            let more = if group > 0 { 0x80 } else { 0 };
            more | (number >> (7 * group) & 0x7f) as u8
        }));
    }
    tlv(OBJECT_IDENTIFIER, &[&body])
}

/// Printable where it may be, as Go writes names; UTF-8 otherwise.
pub(super) fn text(value: &str) -> Vec<u8> {
    let printable = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte));
    tlv(if printable { PRINTABLE_STRING } else { UTF8_STRING }, &[value.as_bytes()])
}

/// Two-digit years up to 2049, four digits from then on, as RFC 5280 wants.
pub(super) fn time(moment: Timestamp) -> Vec<u8> {
    let utc = moment.to_zoned(TimeZone::UTC);
    if (1950..2050).contains(&utc.year()) {
        tlv(UTC_TIME, &[utc.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        tlv(GENERALIZED_TIME, &[utc.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_standard_says() {
        for (written, bytes) in [
            (integer(&[0, 0, 5]), vec![2, 1, 5]),
            (integer(&[0x80]), vec![2, 2, 0, 0x80]),
            (integer(&[0]), vec![2, 1, 0]),
            (oid(&[2, 5, 4, 3]), vec![6, 3, 0x55, 4, 3]),
            (oid(&[1, 2, 840, 113549]), vec![6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]),
            (flags(0b1), vec![3, 2, 7, 0x80]),
            (flags(0b1_0000_0101), vec![3, 3, 7, 0xa0, 0x80]),
            (text("system:masters"), [&[0x13, 14], "system:masters".as_bytes()].concat()),
            (text("a*b"), vec![0x0c, 3, b'a', b'*', b'b']),
        ] {
            assert_eq!(written, bytes);
        }
        let long = tlv(OCTET_STRING, &[&[7; 300]]);
        assert_eq!(&long[..4], &[4, 0x82, 1, 44]);
    }
}
