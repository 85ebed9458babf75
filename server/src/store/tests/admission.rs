//! Join tokens and credentials are stored with their cluster.

use convene_lifecycle::{
    Admission, Admittance, JoinPolicy, JoinToken, JoinTokenRequest, Liveness, NodeCredential, Presented, SecretHash,
    TurnedAway,
};

use super::*;

fn hash(n: u8) -> SecretHash {
    SecretHash::new([n; 32])
}

/// Join tokens and credentials with a value in every field, or in none.
pub(super) fn with_all_fields() -> Admission {
    let token = JoinToken {
        hash: hash(1),
        node: Some("a b".parse().unwrap()),
        cidr: Some("10.0.0.0/8".parse().unwrap()),
        created_at: NOW,
        expires_at: UnixMillis(NOW.0 + 1),
        uses: 7,
        used_by: ["a b", "c"].into_iter().map(|name| name.parse().unwrap()).collect(),
        revoked_at: Some(UnixMillis(NOW.0 + 2)),
        modified: Revision(3),
    };
    let any = JoinToken {
        hash: hash(2),
        node: None,
        cidr: None,
        revoked_at: None,
        used_by: BTreeSet::new(),
        ..token.clone()
    };
    let credential = NodeCredential {
        id: "node-1".to_owned(),
        hash: hash(3),
        next: Some(hash(4)),
        created_at: NOW,
        renewed_at: Some(UnixMillis(NOW.0 + 3)),
        revoked_at: Some(UnixMillis(NOW.0 + 4)),
        modified: Revision(2),
    };
    let fresh = NodeCredential {
        id: "node-2".to_owned(),
        hash: hash(5),
        next: None,
        renewed_at: None,
        revoked_at: None,
        ..credential.clone()
    };
    let refused = |from: Option<&str>| TurnedAway {
        node: "a \"b\"".parse().unwrap(),
        code: "join-token-used".to_owned(),
        from: from.map(|from| from.parse().unwrap()),
        at: NOW,
    };
    Admission {
        join_tokens: vec![token, any],
        credentials: [("a b".parse().unwrap(), credential), ("c".parse().unwrap(), fresh)].into(),
        turned_away: vec![refused(Some("2001:db8::1")), refused(None)],
        modified: Some(Revision(3)),
        dropped: None,
    }
}

/// A cluster as it is stored while nodes join, step by step.
struct Joining {
    store: Store,
    cluster: Cluster,
}

impl Joining {
    async fn new(store: Store) -> Self {
        let mut created = create("one");
        created.after.as_mut().unwrap().policy.join = JoinPolicy::Token;
        let cluster = created.after.clone().unwrap();
        commit(&store, &[write(None, vec![created])]).await.unwrap();
        Self { store, cluster }
    }

    async fn apply(&mut self, change: Transition) {
        let base = Stamp::of(&self.cluster, None);
        self.cluster = change.after.clone().unwrap();
        commit(&self.store, &[write(Some(base), vec![change])]).await.unwrap();
        let expected = Cluster {
            admission: Arc::new(Admission { dropped: None, ..Admission::clone(&self.cluster.admission) }),
            ..self.cluster.clone()
        };
        assert_eq!(load(&self.store, &self.cluster.token).await, Some(expected));
    }

    async fn create_join_token(&mut self, n: u8, at: UnixMillis) {
        let request = JoinTokenRequest { hash: hash(n), node: None, cidr: None, ttl: Duration::from_secs(60), uses: 9 };
        self.apply(self.cluster.create_join_token(&request, at).unwrap()).await;
    }
}

pub(super) async fn join_tokens_and_credentials_are_stored_as_they_change(store: Store) {
    let mut joining = Joining::new(store).await;
    joining.create_join_token(1, NOW).await;
    for (node, n) in [("a", 11), ("b", 12)] {
        let presented = Presented { credential: Some(hash(n)), join_token: Some(hash(1)), ..Presented::default() };
        let admitted = joining.cluster.admit(&node.parse().unwrap(), None, &presented, &Liveness::new(NOW), NOW);
        let Admittance::Bound(change) = admitted else { panic!("{admitted:?}") };
        joining.apply(change).await;
    }
    let revoked = joining.cluster.revoke_credential(&"a".parse().unwrap(), NOW).unwrap().unwrap();
    joining.apply(revoked).await;
    let later = NOW.after(JoinToken::KEPT * 2);
    joining.create_join_token(2, later).await;
    assert_eq!(joining.cluster.admission.join_tokens.len(), 1, "the one that ended long ago is dropped");
    assert_eq!(count(&joining.store, "join_token").await, 1);

    let mut writes = Vec::new();
    for n in 0..5 {
        let (mut cluster, mut write) = super::with_all_fields(&format!("cluster-{n}"));
        cluster.admission = Arc::new(if n % 2 == 0 { with_all_fields() } else { Admission::default() });
        write.after = Some(Arc::new(cluster));
        writes.push(write);
    }
    commit(&joining.store, &writes).await.unwrap();
    let tokens: Vec<Token> = writes.iter().map(|write| write.token.clone()).collect();
    let mut read = load_all(&joining.store, &tokens).await.clusters;
    read.sort_by(|one, other| one.cluster.token.cmp(&other.cluster.token));
    for (stored, write) in read.into_iter().zip(writes) {
        assert_eq!(Some(&stored.cluster), write.after.as_deref());
    }
}

pub(super) async fn join_tokens_and_credentials_are_deleted_with_their_cluster(store: Store) {
    let (cluster, first) = super::with_all_fields("one");
    commit(&store, &[first]).await.unwrap();
    assert_eq!((count(&store, "join_token").await, count(&store, "node_credential").await), (2, 2));
    commit(&store, &[write(Some(Stamp::of(&cluster, None)), vec![cluster.delete(NOW)])]).await.unwrap();
    assert_eq!((count(&store, "join_token").await, count(&store, "node_credential").await), (0, 0));
}

pub(super) async fn an_unreadable_credential_makes_its_cluster_alone_unreadable(store: Store) {
    commit(&store, &[super::with_all_fields("one").1, super::with_all_fields("two").1]).await.unwrap();
    execute(
        &store,
        "update node_credential set hash = 'none' where cluster = (select id from cluster where token = 'one')",
    )
    .await;
    let loaded = load_all(&store, &["one".parse().unwrap(), "two".parse().unwrap()]).await;
    assert_eq!((loaded.clusters.len(), loaded.corrupt.len(), loaded.used_up.len()), (1, 1, 0));
    assert!(loaded.corrupt[0].1.to_string().contains("node_credential.hash"), "{}", loaded.corrupt[0].1);
}

async fn count(store: &Store, table: &str) -> i64 {
    let statement = Statement::new(format!("select count(*) as rows from {table}"));
    let rows = store.read(async |reader| Ok(reader.fetch_all(statement).await?)).await.unwrap();
    rows[0].try_get("rows").unwrap()
}
