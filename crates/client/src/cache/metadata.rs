//! An object's metadata, read without the rest of it: servers write it before spec and status, which
//! are most of an object and the projection's to look at. Caches read objects this way, and servers on
//! behalf of the caches of their process.

use meta::ObjectMeta;
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// # Errors
/// What stands before the metadata, or it, is no JSON or of the wrong types.
pub fn read(object: &[u8]) -> Result<ObjectMeta, serde_json::Error> {
    let mut found = None;
    let outcome = serde_json::Deserializer::from_slice(object).deserialize_map(UpToMetadata(&mut found));
    match found {
        // The reader complains that there is more in the object: so there is.
        Some(metadata) => Ok(metadata),
        None => outcome.map(|()| ObjectMeta::default()),
    }
}

struct UpToMetadata<'f>(&'f mut Option<ObjectMeta>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Metadata,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for UpToMetadata<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an API object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key()? {
            match name {
                Name::Metadata => {
                    *self.0 = Some(fields.next_value()?);
                    return Ok(());
                }
                Name::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_found_wherever_it_stands() {
        for (object, name) in [
            (r#"{"kind":"Pod","metadata":{"name":"a"},"spec":{}}"#, Some("a")),
            (r#"{"spec":{"metadata":{"name":"b"}},"metadata":{"name":"a"}}"#, Some("a")),
            (r#"{"kind":"Pod"}"#, Some("")),
            (r#"{"metadata":{"name":7}}"#, None),
            (r#"{"kind":"Po"#, None),
            (r"[]", None),
        ] {
            let read = read(object.as_bytes()).ok().map(|metadata| metadata.name);
            assert_eq!(read.as_deref(), name, "{object}");
        }
    }
}
