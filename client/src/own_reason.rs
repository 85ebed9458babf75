// scripts/generate writes them to docs/reference/agent-states.md.
convene_lifecycle::described_names! {
    /// Why a node waits, if the reason is not one of the registry's. The names are part of the interface and stay.
    pub enum OwnReason {
        Starting "starting" "The agent has just started.";
        Unreachable "unreachable" "The registry does not answer, or the answer is not from a Convene server.";
        UnknownCluster "unknown_cluster" "The registry does not know the cluster.";
        NotAdmitted "not_admitted" "The registry does not admit the node. The message ends with the code.";
        Credential "credential" "The node can't use the file with its own credential.";
        Stale "stale" "The answer of the registry is too old to start etcd on.";
        NodeRefused "node_refused" "The node's own check contradicts the instruction, so the node does not execute it.";
        NotMade "not_made" "etcd rejected a membership change, or the change did not begin in time.";
        LeftOvers "left_overs" "The data directory has a database of an earlier member, but no WAL.";
        NotStarted "not_started" "No etcd uses the data directory.";
        NotAnswering "not_answering" "etcd's process runs, but etcd does not answer.";
        EtcdAnswers "etcd_answers" "etcd has just answered. The agent checks in at once.";
        EtcdExited "etcd_exited" "etcd has ended.";
        Failed "failed" "An operation on this machine failed, for example on a file or the data directory.";
        Usage "usage" "The etcd program does not accept its flags.";
        Refused "refused" "The registry, or another process on this machine, refuses.";
        Signal "signal" "The agent was asked to stop.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use convene_harness::{Section, code_spans};
    use convene_lifecycle::Reason;

    use super::*;

    #[test]
    fn no_reason_is_also_one_of_the_registry() {
        for reason in OwnReason::ALL {
            assert!(Reason::ALL.iter().all(|other| other.as_str() != reason.as_str()), "{reason:?}");
        }
    }

    #[test]
    fn troubleshooting_has_an_entry_for_each_reason_and_no_other() {
        let of_registry = Reason::ALL.iter().map(|reason| reason.as_str());
        let own = OwnReason::ALL.iter().map(|reason| reason.as_str());
        let known: BTreeSet<_> = of_registry.chain(own).map(str::to_owned).collect();
        let entries = Section::read("docs/troubleshooting.md", "Reasons, A to Z");
        let entries: BTreeSet<_> = entries.headings().flat_map(code_spans).map(str::to_owned).collect();
        assert_eq!(entries, known);
    }
}
