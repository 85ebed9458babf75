use super::*;

fn message(blocked: Blocked) -> String {
    blocked.explain().message
}

#[test]
fn a_risk_for_the_quorum_is_explained_with_its_numbers() {
    let member = || "infra1 (1a)".to_owned();
    assert_eq!(
        message(Blocked::RemovalRisksQuorum { member: member(), remaining: 2, up: 1, needed: 2, unheard: Vec::new() }),
        "removing infra1 (1a) would leave 2 voters, of which 1 answers; a quorum is 2"
    );
    assert_eq!(
        message(Blocked::PromotionRisksQuorum {
            learner: member(),
            voters: 4,
            up: 2,
            needed: 3,
            unheard: vec![member()]
        }),
        "promoting infra1 (1a) would result in 4 voters, of which 2 answer; a quorum is 3; the leader receives nothing \
         from infra1 (1a)"
    );
}

#[test]
fn a_spare_reads_why_it_has_no_place() {
    let size = |size| ClusterSize::new(size).unwrap();
    let full = |own_size: Option<u32>, voters, once| {
        let explanation = Blocked::Full { size: size(3), own_size: own_size.map(size), voters, once }.explain();
        assert_eq!(matches!(explanation.outcome, Outcome::Refuse { .. }), once);
        explanation.message
    };
    assert_eq!(full(None, 3, false), "standing by as a spare: the cluster has all 3 voters");
    assert_eq!(full(Some(3), 2, false), "standing by as a spare: all 3 places of the cluster are taken");
    assert_eq!(full(Some(3), 3, true), "the cluster has all 3 voters");
    let own_size = "this node joins only while the cluster has fewer than 1 voter (--cluster-size); the size of the \
                    cluster is 3";
    assert_eq!(full(Some(1), 3, true), own_size);
    let larger = "the cluster has all 3 voters. --cluster-size 5 of this node does not raise the size of a formed \
                  cluster; an administrator can: `convene cluster resize 5`";
    assert_eq!(full(Some(5), 3, true), larger);
}
