use std::{env, ffi::OsString};

/// Variables, as a program gets them.
#[derive(Clone, Debug, Default)]
pub struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self(env::vars_os().collect())
    }

    /// The value of a variable; it may be empty.
    pub fn get(&self, name: &str) -> Option<OsString> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    }

    /// The names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &OsString> {
        self.0.iter().map(|(name, _)| name)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.map(|(name, value)| (name.into(), value.into())).to_vec())
    }
}
