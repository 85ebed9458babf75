use std::time::Duration;

use crate::{MemberName, NodeRefusal, Report, UnixMillis, is_invisible};

/// The last instruction that a node refused, for administrators. Nothing is decided from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordedRefusal {
    /// The node.
    pub node: MemberName,
    /// What it refused, and why.
    pub refusal: NodeRefusal,
    /// When it reported the refusal.
    pub at: UnixMillis,
}

impl RecordedRefusal {
    /// The most refusals on record. The oldest one makes room.
    pub const MOST: usize = 16;

    /// A refusal that is repeated after this time is recorded again.
    const REPEATED_AFTER: Duration = Duration::from_secs(3_600);

    /// The most characters of each text. A node may send any text.
    const MAX_CHARACTERS: usize = 400;

    /// The refusal to record for a report, unless it is on record already.
    pub(crate) fn of_report(report: &Report, recorded: &[Self], now: UnixMillis) -> Option<Self> {
        let NodeRefusal { task, found } = report.refusal.as_ref()?;
        let shortened = |text: &str| text.chars().take(Self::MAX_CHARACTERS).filter(|c| !is_invisible(*c)).collect();
        let refusal = NodeRefusal { task: shortened(task), found: shortened(found) };
        let is_recorded = |known: &&Self| known.node == report.name && known.refusal == refusal;
        let known = recorded.iter().find(is_recorded);
        let is_recent = known.is_some_and(|known| known.at <= now && known.at.age(now) < Self::REPEATED_AFTER);
        (!is_recent).then(|| Self { node: report.name.clone(), refusal, at: now })
    }
}
