use std::{fmt, str::FromStr, sync::Arc};

use convene_lifecycle::Token;
use thiserror::Error;

/// A folder of etcd's v2 keys API that has clusters in it: `/v2/keys/FOLDER/TOKEN`. The same token in another folder is the
/// same cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(Arc<str>);

/// Why a text is not a [`Folder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "must be the path between /v2/keys/ and the token, such as deis/discovery: names of A-Z, a-z, 0-9, '.', '_' and '-' \
     with slashes between them, and without _config"
)]
pub struct FolderError;

impl Folder {
    /// The folder's key, which keys of clusters begin with: such as `/_etcd/registry`, and empty for the root.
    pub fn key(&self) -> &str {
        &self.0
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

impl FromStr for Folder {
    type Err = FolderError;

    fn from_str(text: &str) -> Result<Self, FolderError> {
        let path = text.trim_matches('/');
        let is_name = |name: &str| name.parse::<Token>().is_ok() && name != "_config";
        let is_url = path == "v2/keys" || path.starts_with("v2/keys/");
        if path.split('/').all(is_name) && !is_url { Ok(Self(format!("/{path}").into())) } else { Err(FolderError) }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the root" } else { &self.0[1..] })
    }
}

/// All folders that have clusters in them.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `_etcd/registry`, where discovery.etcd.io keeps its clusters: the folder of `/TOKEN`.
    pub registry: Folder,
    /// Every folder, the deepest first.
    deepest_first: Vec<Folder>,
}

impl Folders {
    /// The folders that etcd's documentation uses (`_etcd/registry` and `discovery`), the root, and others.
    pub fn with(others: &[Folder]) -> Self {
        let known = |key: &str| Folder(key.into());
        let registry = known("/_etcd/registry");
        let mut deepest_first = vec![registry.clone(), known("/discovery"), known("")];
        for other in others {
            if !deepest_first.contains(other) {
                deepest_first.push(other.clone());
            }
        }
        deepest_first.sort_by_key(|folder| std::cmp::Reverse(folder.segments().count()));
        Self { registry, deepest_first }
    }

    /// Every folder.
    pub fn iter(&self) -> impl Iterator<Item = &Folder> {
        self.deepest_first.iter()
    }

    /// The folder of a key, and what follows it.
    pub fn locate<'a>(&self, key: &'a [&'a str]) -> (&Folder, &'a [&'a str]) {
        let rest = |folder: &Folder| {
            let depth = folder.segments().count();
            let is_in = key.len() >= depth && folder.segments().zip(key).all(|(one, other)| one == *other);
            is_in.then(|| &key[depth..])
        };
        let found = self.iter().find_map(|folder| rest(folder).map(|rest| (folder, rest)));
        found.expect("every key is below the root")
    }
}

impl Default for Folders {
    fn default() -> Self {
        Self::with(&[])
    }
}

impl fmt::Display for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, folder) in self.iter().enumerate() {
            let separator = if at == 0 {
                ""
            } else if at + 1 == self.deepest_first.len() {
                " and "
            } else {
                ", "
            };
            write!(f, "{separator}{folder}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_path_of_plain_names() {
        for (text, key) in [("deis/discovery", "/deis/discovery"), ("/a/", "/a"), ("a.b_c-9", "/a.b_c-9")] {
            assert_eq!(text.parse::<Folder>().unwrap().key(), key);
        }
        for text in ["", "/", "a//b", "a b", "a/_config", "..", "v2/keys/a", "/v2/keys", "http://x/a"] {
            assert_eq!(text.parse::<Folder>(), Err(FolderError), "{text}");
        }
    }

    #[test]
    fn the_deepest_folder_has_a_key() {
        let folders = Folders::with(&["a".parse().unwrap(), "a/b".parse().unwrap(), "discovery".parse().unwrap()]);
        let located = |key: &[&str]| {
            let (folder, rest) = folders.locate(key);
            (folder.to_string(), rest.join("/"))
        };
        for (key, folder, rest) in [
            (&["a", "b", "c"][..], "a/b", "c"),
            (&["a", "c"], "a", "c"),
            (&["_etcd", "registry"], "_etcd/registry", ""),
            (&["_etcd", "registrypath"], "the root", "_etcd/registrypath"),
            (&[], "the root", ""),
        ] {
            assert_eq!(located(key), (folder.to_owned(), rest.to_owned()));
        }
        assert_eq!(Folders::default().to_string(), "_etcd/registry, discovery and the root");
    }
}
