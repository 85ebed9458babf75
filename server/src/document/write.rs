use std::io::{self, Write};

use convene_lifecycle::UnixMillis;
use serde::Serialize;

use super::{
    FORMAT, FORMAT_VERSION, cluster::ClusterDocument, line_formatter::LineFormatter, rfc3339_millis::Rfc3339Millis,
    used_token::UsedTokenDocument,
};
use crate::store::{ClusterDump, UsedToken};

/// Writes a document piece by piece, because a registry can be larger than the memory.
pub struct Writer<W> {
    to: W,
    has_clusters: bool,
}

impl<W: Write> Writer<W> {
    /// Writes everything before the clusters.
    pub fn begin(mut to: W, registry_id: &str, used_tokens: &[UsedToken], now: UnixMillis) -> io::Result<Self> {
        writeln!(to, "{{")?;
        field(&mut to, "format", FORMAT)?;
        field(&mut to, "format_version", &FORMAT_VERSION)?;
        field(&mut to, "convene_version", env!("CARGO_PKG_VERSION"))?;
        field(&mut to, "exported_at", &Rfc3339Millis::from(now))?;
        field(&mut to, "registry_id", registry_id)?;
        write!(to, "  \"used_tokens\": [")?;
        for (n, used) in used_tokens.iter().enumerate() {
            write!(to, "{}\n    ", if n == 0 { "" } else { "," })?;
            used_token(&mut to, used)?;
        }
        write!(to, "{}],\n  \"clusters\": [", if used_tokens.is_empty() { "" } else { "\n  " })?;
        Ok(Self { to, has_clusters: false })
    }

    /// Writes the next cluster.
    pub fn cluster(&mut self, dump: &ClusterDump) -> io::Result<()> {
        write!(self.to, "{}\n    ", if self.has_clusters { "," } else { "" })?;
        self.has_clusters = true;
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.to, LineFormatter::default());
        Ok(ClusterDocument::from(dump).serialize(&mut serializer)?)
    }

    /// Writes the end. Without it the document is incomplete.
    pub fn end(mut self) -> io::Result<W> {
        writeln!(self.to, "{}]\n}}", if self.has_clusters { "\n  " } else { "" })?;
        Ok(self.to)
    }
}

fn field<T: Serialize + ?Sized>(to: &mut impl Write, name: &str, value: &T) -> io::Result<()> {
    writeln!(to, "  \"{name}\": {},", serde_json::to_string(value)?)
}

fn used_token(to: &mut impl Write, used: &UsedToken) -> io::Result<()> {
    let UsedTokenDocument { token, at } = used.into();
    write!(to, "{{\"token\": {}, \"at\": {}}}", serde_json::to_string(&token)?, serde_json::to_string(&at)?)
}
