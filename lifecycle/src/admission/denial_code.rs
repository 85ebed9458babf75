use crate::described_names::described_names;

// scripts/generate writes them to docs/reference/lifecycle.md.
described_names! {
    /// Why a check-in may not speak for its node, for programs. The names are part of the API and stay.
    pub enum DenialCode {
        CredentialRequired "credential-required" "The check-in has no credential, and the cluster or the name needs one.";
        JoinTokenRequired "join-token-required"
            "The node has no credential of this cluster, and sent no join token. Or stock etcd nodes have registered its member, and no join token has claimed the name yet.";
        JoinTokenUnknown "join-token-unknown" "This cluster has no such join token.";
        JoinTokenExpired "join-token-expired" "The join token has expired.";
        JoinTokenRevoked "join-token-revoked" "An administrator has revoked the join token.";
        JoinTokenUsed "join-token-used"
            "The join token is used up, or this node has already used it with another credential.";
        JoinTokenOfOtherNode "join-token-of-other-node" "The join token is for another node only.";
        JoinTokenOfOtherAddress "join-token-of-other-address" "The join token is for other addresses only.";
        NodeBound "node-bound" "The name has another credential.";
        CredentialRevoked "credential-revoked" "An administrator has revoked the node's credential.";
        CredentialOfOtherNode "credential-of-other-node" "The credential is that of another node.";
        DataOfOtherNode "data-of-other-node"
            "The node has the data of a member with another name, and has not proven that this name is its own.";
        CertificateRequired "certificate-required" "The policy is `join: certificate`, and the check-in came without a client certificate.";
        CertificateOfOtherNode "certificate-of-other-node" "The policy is `join: certificate`, and the client certificate is for another name.";
        TooManyNodes "too-many-nodes" "The cluster has the maximum number of nodes with a credential.";
    }
}
