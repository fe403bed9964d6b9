//! The few protobuf messages of the key service and of values it sealed: fields of bytes, strings,
//! small numbers and maps, by number.

/// A message that is being written.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn bytes(mut self, field: u8, value: &[u8]) -> Self {
        if !value.is_empty() {
            self.0.push(field << 3 | 2);
            put_varint(&mut self.0, value.len() as u64);
            self.0.extend_from_slice(value);
        }
        self
    }

    pub(super) fn number(mut self, field: u8, value: u64) -> Self {
        if value != 0 {
            self.0.push(field << 3);
            put_varint(&mut self.0, value);
        }
        self
    }

    /// A map's entries, each a message of key and value.
    pub(super) fn map(self, field: u8, entries: &[(String, Vec<u8>)]) -> Self {
        entries.iter().fold(self, |message, (key, value)| {
            let entry = Message::default().bytes(1, key.as_bytes()).bytes(2, value);
            message.bytes(field, &entry.0)
        })
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A message that was read: its fields in order.
pub(super) struct Fields<'m>(Vec<(u64, Field<'m>)>);

enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

impl<'m> Fields<'m> {
    /// None: it is no message.
    pub(super) fn read(mut bytes: &'m [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)?),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    let (value, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    Field::Bytes(value)
                }
                _ => return None,
            };
            fields.push((tag >> 3, field));
        }
        Some(Fields(fields))
    }

    pub(super) fn bytes(&self, wanted: u64) -> &'m [u8] {
        let found = self.0.iter().rev().find_map(|(number, field)| match field {
            Field::Bytes(value) if *number == wanted => Some(*value),
            _ => None,
        });
        found.unwrap_or_default()
    }

    pub(super) fn text(&self, wanted: u64) -> String {
        String::from_utf8_lossy(self.bytes(wanted)).into_owned()
    }

    pub(super) fn number(&self, wanted: u64) -> u64 {
        let found = self.0.iter().rev().find_map(|(number, field)| match field {
            Field::Number(value) if *number == wanted => Some(*value),
            _ => None,
        });
        found.unwrap_or_default()
    }

    pub(super) fn map(&self, wanted: u64) -> Vec<(String, Vec<u8>)> {
        let entries = self.0.iter().filter_map(|(number, field)| match field {
            Field::Bytes(value) if *number == wanted => Fields::read(value),
            _ => None,
        });
        entries.map(|entry| (entry.text(1), entry.bytes(2).to_vec())).collect()
    }
}
