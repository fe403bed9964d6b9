//! The static token file: upstream's CSV of `token,user,uid,"group1,group2"`.

use super::digest;
use base::collections::HashMap;
use meta::User;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("open {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("token file '{path}' must have at least 3 columns (token, user name, user uid), found {found}")]
    Columns { path: PathBuf, found: usize },
    #[error("parse error on line {line}, column {column}: {why}")]
    Csv { line: usize, column: usize, why: &'static str },
}

/// Tokens and their users. Only hashes of the tokens are kept.
pub struct TokenFile {
    users: HashMap<[u8; 32], User>,
    /// Records that were left out or replaced, for the log.
    pub warnings: Vec<String>,
}

impl TokenFile {
    /// # Errors
    /// The file cannot be read or a record is wrong.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut file = TokenFile { users: HashMap::default(), warnings: Vec::new() };
        for (index, record) in records(text)?.into_iter().enumerate() {
            let warn = |what| {
                format!("{what} token has been found in token file '{}', record number '{}'", path.display(), index + 1)
            };
            let [token, name, uid, ..] = record.as_slice() else {
                return Err(Error::Columns { path: path.to_owned(), found: record.len() });
            };
            if token.is_empty() {
                file.warnings.push(warn("empty"));
                continue;
            }
            let groups = record.get(3).filter(|groups| !groups.is_empty());
            let groups = groups.map_or(Vec::new(), |groups| groups.split(',').map(str::to_owned).collect());
            let user = User { name: name.clone(), uid: uid.clone(), groups, ..User::default() };
            if file.users.insert(digest(token), user).is_some() {
                file.warnings.push(warn("duplicate"));
            }
        }
        Ok(file)
    }

    pub fn user(&self, token: &str) -> Option<&User> {
        self.users.get(&digest(token))
    }
}

/// CSV as Go's `encoding/csv` reads it: quotes only around whole fields, doubled inside them, line
/// ends allowed inside; blank lines are no records.
fn records(text: &str) -> Result<Vec<Vec<String>>, Error> {
    let mut records = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate();
    while let Some((number, line)) = lines.next() {
        let mut rest = line.trim_end_matches(['\n', '\r']);
        if rest.is_empty() {
            continue;
        }
        let (mut start, mut at) = (rest, number + 1);
        let mut record = Vec::new();
        loop {
            let wrong = |rest: &str, why| Error::Csv { line: at, column: start.len() - rest.len() + 1, why };
            let Some(mut quoted) = rest.strip_prefix('"') else {
                let (field, after) = rest.split_once(',').map_or((rest, None), |(field, after)| (field, Some(after)));
                if let Some(quote) = field.find('"') {
                    return Err(wrong(&rest[quote..], "bare \" in non-quoted field"));
                }
                record.push(field.to_owned());
                match after {
                    Some(after) => rest = after,
                    None => break,
                }
                continue;
            };
            let mut field = String::new();
            loop {
                if let Some((inside, after)) = quoted.split_once('"') {
                    field.push_str(inside);
                    match after.strip_prefix('"') {
                        Some(after) => {
                            field.push('"');
                            quoted = after;
                        }
                        None => {
                            rest = after;
                            break;
                        }
                    }
                } else {
                    field.push_str(quoted);
                    field.push('\n');
                    let Some((number, line)) = lines.next() else {
                        return Err(Error::Csv {
                            line: at,
                            column: start.len() + 1,
                            why: "extraneous or missing \" in quoted-field",
                        });
                    };
                    quoted = line.trim_end_matches(['\n', '\r']);
                    (start, at) = (quoted, number + 1);
                }
            }
            record.push(field);
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None if rest.is_empty() => break,
                None => {
                    let column = start.len() - rest.len();
                    return Err(Error::Csv { line: at, column, why: "extraneous or missing \" in quoted-field" });
                }
            }
        }
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenFile, String> {
        TokenFile::parse(Path::new("t.csv"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn tokens_name_their_users() {
        let text = "s3cret,jane,7,\"devs,ops\"\r\n\nq\"\",x,y\n";
        assert_eq!(parse(text).err().as_deref(), Some("parse error on line 3, column 2: bare \" in non-quoted field"));
        let file = parse(
            "s3cret,jane,7,\"devs,ops\"\r\n\n\"with \"\"quotes\"\"\",bob,8,admins,ignored\n,nobody,9\ns3cret,jim,10",
        )
        .unwrap();
        let bob = file.user("with \"quotes\"").unwrap();
        assert_eq!((bob.name.as_str(), bob.groups.as_slice()), ("bob", &["admins".to_owned()][..]));
        assert_eq!(file.user("s3cret").unwrap().name, "jim");
        assert!(file.user("s3cre").is_none() && file.user("").is_none());
        assert_eq!(
            file.warnings,
            [
                "empty token has been found in token file 't.csv', record number '3'",
                "duplicate token has been found in token file 't.csv', record number '4'"
            ]
        );
        assert_eq!(parse("a,jane,7,\"devs,ops\"").unwrap().user("a").unwrap().groups, ["devs", "ops"]);
    }

    #[test]
    fn broken_files_are_refused_in_upstreams_words() {
        for (text, error) in [
            ("a,b\n", "token file 't.csv' must have at least 3 columns (token, user name, user uid), found 2"),
            ("a,b,c,\"d", "parse error on line 1, column 9: extraneous or missing \" in quoted-field"),
            ("a,b,\"c\"d", "parse error on line 1, column 7: extraneous or missing \" in quoted-field"),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(error), "{text}");
        }
        let missing = TokenFile::load(Path::new("/nowhere/t.csv")).err().unwrap().to_string();
        assert!(missing.starts_with("open /nowhere/t.csv: "), "{missing}");
    }
}
