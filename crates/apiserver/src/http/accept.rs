//! Content negotiation: which of JSON, YAML and protobuf, and whether as a Table or as metadata
//! only.

use meta::{Reason, Status};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The object itself.
    Plain,
    /// `as=Table`; the version of meta.k8s.io asked for.
    Table(&'static str),
    /// `as=PartialObjectMetadata` or its list.
    Metadata { list: bool, version: &'static str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    pub format: Format,
    pub shape: Shape,
    /// `pretty=true`, or a browser-like client.
    pub pretty: bool,
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => JSON,
            Format::Yaml => YAML,
            Format::Protobuf => PROTOBUF,
        }
    }
}

impl Accept {
    pub const PLAIN_JSON: Accept = Accept { format: Format::Json, shape: Shape::Plain, pretty: false };

    /// Picks the first clause that can be served, as upstream does.
    ///
    /// # Errors
    /// NotAcceptable where none can.
    pub fn negotiate(header: &str) -> Result<Accept, Status> {
        Self::negotiate_for(header, &|_| true)
    }

    /// The same for a kind that not everything can be served of.
    ///
    /// # Errors
    /// NotAcceptable where no clause can be served.
    pub fn negotiate_for(header: &str, can: &dyn Fn(&Accept) -> bool) -> Result<Accept, Status> {
        if header.trim().is_empty() {
            return Ok(Self::PLAIN_JSON);
        }
        let mut clauses: Vec<(f32, Accept)> = Vec::new();
        for clause in header.split(',') {
            if let Some((weight, accept)) = read_clause(clause).filter(|(_, accept)| can(accept)) {
                clauses.push((weight, accept));
            }
        }
        // A stable sort keeps the client's order among equal weights.
        clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
        clauses.first().map(|(_, accept)| *accept).ok_or_else(|| {
            Status::failure(
                Reason::NotAcceptable,
                format!("only the following media types are accepted: {JSON}, {YAML}, {PROTOBUF}"),
            )
        })
    }
}

fn read_clause(clause: &str) -> Option<(f32, Accept)> {
    let mut parts = clause.split(';').map(str::trim);
    let format = match parts.next()? {
        JSON | "*/*" | "application/*" => Format::Json,
        YAML => Format::Yaml,
        PROTOBUF => Format::Protobuf,
        _ => return None,
    };
    let (mut weight, mut kind, mut group, mut version) = (1.0, "", "", "");
    for parameter in parts {
        let (key, value) = parameter.split_once('=')?;
        match key {
            "q" => weight = value.parse().ok()?,
            "as" => kind = value,
            "g" => group = value,
            "v" => version = value,
            "stream" | "charset" | "pretty" => {}
            _ => return None,
        }
    }
    let version = match (group, version) {
        ("meta.k8s.io", "v1") => "v1",
        ("meta.k8s.io", "v1beta1") => "v1beta1",
        _ if kind.is_empty() => "v1",
        _ => return None,
    };
    let shape = match kind {
        "" => Shape::Plain,
        "Table" if format == Format::Protobuf => return None,
        "Table" => Shape::Table(version),
        "PartialObjectMetadata" => Shape::Metadata { list: false, version },
        "PartialObjectMetadataList" => Shape::Metadata { list: true, version },
        _ => return None,
    };
    Some((weight, Accept { format, shape, pretty: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_ask_for() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let client_go = "application/vnd.kubernetes.protobuf,application/json";
        let metadata =
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        for (header, format, shape) in [
            ("", Format::Json, Shape::Plain),
            ("*/*", Format::Json, Shape::Plain),
            (kubectl, Format::Json, Shape::Table("v1")),
            (client_go, Format::Protobuf, Shape::Plain),
            (metadata, Format::Protobuf, Shape::Metadata { list: true, version: "v1" }),
            ("application/yaml", Format::Yaml, Shape::Plain),
            ("text/html, application/json;q=0.5, application/yaml;q=0.9", Format::Yaml, Shape::Plain),
        ] {
            let accept = Accept::negotiate(header).unwrap();
            assert_eq!((accept.format, accept.shape), (format, shape), "{header}");
        }
        assert_eq!(Accept::negotiate("image/png").unwrap_err().code, 406);
        let no_table = |accept: &Accept| !matches!(accept.shape, Shape::Table(_));
        assert_eq!(Accept::negotiate_for(kubectl, &no_table).unwrap(), Accept::PLAIN_JSON);
        let only_table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(Accept::negotiate_for(only_table, &no_table).unwrap_err().code, 406);
    }
}
