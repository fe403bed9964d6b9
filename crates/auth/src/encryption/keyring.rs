//! The file with the keys of the seal that Secrets have by default, one `name:base64` line each. The
//! first key seals, all open; more than one means that a rotation is under way.
//!
//! Each step of a rotation is one replacement of the whole file, so that a crash leaves it before or
//! after: [`Keyring::begin`] puts a new key in front, then everything is written again, then
//! [`Keyring::finish`] drops the old ones.

use super::sealer::{Error, Sealer};
use crate::{pki, secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Keyring(PathBuf);

/// A key's name, and its line in the file.
type Line = (String, String);

impl Keyring {
    pub fn at(path: &Path) -> Self {
        Keyring(path.to_owned())
    }

    /// What seals and opens with these keys. Makes the first key where there is no file.
    ///
    /// # Errors
    /// The file cannot be read, written or understood.
    pub fn sealer(&self) -> Result<Sealer, Error> {
        if pki::read(&self.0)?.is_none() {
            pki::write_private(&self.0, new_line("key1")?.as_bytes())?;
        }
        let mut sealer = Sealer::empty();
        for (name, line) in self.lines()? {
            let key = line.split_once(':').map_or("", |(_, key)| key).trim();
            let key = STANDARD.decode(key).map_err(|error| Error::KeyFile(error.to_string()))?;
            sealer.accept(&name, &key)?;
        }
        Ok(sealer)
    }

    /// Puts a new key in front of the others. False: a rotation is under way already.
    ///
    /// # Errors
    /// The file cannot be read, written or understood, or there is none.
    pub fn begin(&self) -> Result<bool, Error> {
        let lines = self.lines()?;
        let [(_, current)] = lines.as_slice() else { return Ok(false) };
        let number = |name: &str| name.strip_prefix("key").and_then(|number| number.parse::<u64>().ok());
        let newest = lines.iter().filter_map(|(name, _)| number(name)).max().unwrap_or(0);
        let text = format!("{}{current}\n", new_line(&format!("key{}", newest + 1))?);
        pki::write_private(&self.0, text.as_bytes())?;
        Ok(true)
    }

    /// # Errors
    /// The file cannot be read or understood.
    pub fn is_rotating(&self) -> Result<bool, Error> {
        Ok(self.lines()?.len() > 1)
    }

    /// Drops all keys but the one that seals: nothing may be left that they sealed.
    ///
    /// # Errors
    /// The file cannot be read, written or understood.
    pub fn finish(&self) -> Result<(), Error> {
        let lines = self.lines()?;
        let Some((_, current)) = lines.first() else { return Ok(()) };
        Ok(pki::write_private(&self.0, format!("{current}\n").as_bytes())?)
    }

    fn lines(&self) -> Result<Vec<Line>, Error> {
        let text = pki::read(&self.0)?.unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let name = line.split_once(':').ok_or_else(|| Error::KeyFile("a line has no colon".to_owned()))?.0;
            Ok((name.trim().to_owned(), line.to_owned()))
        });
        let lines: Vec<Line> = lines.collect::<Result<_, Error>>()?;
        if lines.is_empty() { Err(Error::KeyFile("no key in it".to_owned())) } else { Ok(lines) }
    }
}

fn new_line(name: &str) -> Result<String, Error> {
    Ok(format!("{name}:{}\n", STANDARD.encode(secret::random::<32>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "/registry/secrets/default/a";

    #[test]
    fn a_new_key_comes_first_and_the_old_one_goes_last() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("encryption.keys");
        let keys = Keyring::at(&path);
        assert!(keys.begin().is_err(), "there is nothing to rotate");
        let old = keys.sealer().unwrap().seal(PLACE, b"x").unwrap();
        assert!(!keys.is_rotating().unwrap());
        assert!(keys.begin().unwrap());
        assert!(keys.is_rotating().unwrap() && !keys.begin().unwrap());
        let both = keys.sealer().unwrap();
        let new = both.seal(PLACE, b"x").unwrap();
        assert!(old.starts_with(b"k8s:enc:aesgcm:v1:key1:") && new.starts_with(b"k8s:enc:aesgcm:v1:key2:"));
        assert_eq!(both.open(PLACE, &old).unwrap().as_deref(), Some(&b"x"[..]));
        keys.finish().unwrap();
        let after = keys.sealer().unwrap();
        assert_eq!(after.open(PLACE, &new).unwrap().as_deref(), Some(&b"x"[..]));
        assert!(matches!(after.open(PLACE, &old), Err(Error::UnknownKey(name)) if name == "key1"));
        assert!(!keys.is_rotating().unwrap() && keys.begin().unwrap());
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("key3:"));
        for rubbish in ["rubbish", "", "key1:tooshort"] {
            std::fs::write(&path, rubbish).unwrap();
            assert!(keys.sealer().is_err(), "{rubbish:?}");
        }
    }
}
