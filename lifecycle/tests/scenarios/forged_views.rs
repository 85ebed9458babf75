//! A node with a credential speaks for itself. Its view changes nothing about the members of other nodes.

use convene_lifecycle::{JoinPolicy, ObservedMember};

use crate::*;

/// Three members whose nodes have credentials, in a cluster that admits nodes by join tokens.
fn guarded() -> World {
    let mut world = World::running("a b c").with_credentials();
    world.cluster.policy.join = JoinPolicy::Token;
    world
}

/// The same, but whoever knows the discovery token may check in under a new name.
fn open() -> World {
    World::running("a b c").with_credentials()
}

fn is_named(seen: &ObservedMember, name: &str) -> bool {
    seen.name.as_ref().is_some_and(|own| own.as_str() == name)
}

fn entry<'a>(view: &'a mut View, name: &str) -> &'a mut ObservedMember {
    view.members.iter_mut().find(|seen| is_named(seen, name)).expect("a member of that name")
}

fn ghost(view: &mut View, id: u64, name: &str, learner: bool) {
    let ghost = ObservedMember {
        id: MemberId(id),
        name: (!name.is_empty()).then(|| name.parse().unwrap()),
        peer_urls: vec![format!("http://ghost{id}:2380").parse().unwrap()],
        client_urls: Vec::new(),
        learner,
        ..view.members[0].clone()
    };
    view.members.push(ghost);
}

/// A learner at the peer URL of this node.
fn ghost_at(view: &mut View, id: u64, node: &str) {
    ghost(view, id, "", true);
    view.members.last_mut().unwrap().peer_urls = vec![format!("http://{node}:2380").parse().unwrap()];
}

fn everybody_answers(view: &mut View) {
    view.members.iter_mut().for_each(|seen| (seen.identified, seen.reachable) = (true, true));
}

#[test]
fn a_forged_view_changes_nothing_about_other_members() {
    type Forge = fn(&mut View);
    let forgeries: [(&str, Forge, &str); 9] = [
        ("drops one", |view| view.members.retain(|seen| !is_named(seen, "a")), "wait: member_mismatch"),
        ("drops all", |view| view.members.retain(|seen| is_named(seen, "c")), "wait: member_mismatch"),
        (
            "moves one",
            |view| entry(view, "a").peer_urls = vec!["http://evil:2380".parse().unwrap()],
            "wait: member_mismatch",
        ),
        ("demotes one", |view| entry(view, "a").learner = true, "wait: member_mismatch"),
        ("renames one", |view| entry(view, "a").name = Some("z".parse().unwrap()), "wait: healthy"),
        (
            "exchanges names",
            |view| {
                entry(view, "a").name = Some("tmp".parse().unwrap());
                entry(view, "b").name = Some("a".parse().unwrap());
                entry(view, "tmp").name = Some("b".parse().unwrap());
            },
            "wait: healthy",
        ),
        ("takes another's name", |view| entry(view, "c").name = Some("a".parse().unwrap()), "wait: healthy"),
        (
            "leads clients astray",
            |view| entry(view, "a").client_urls = vec!["http://evil:2379".parse().unwrap()],
            "wait: healthy",
        ),
        ("invents voters", |view| (1..=4).for_each(|id| ghost(view, id, "", false)), "wait: member_mismatch"),
    ];
    for ((what, forge, answer), begin) in
        forgeries.iter().flat_map(|one| [(one, guarded as fn() -> World), (one, open)])
    {
        let mut world = begin();
        for name in ["a", "b", "c"] {
            world.serves_clients_at(name, name).check_ins(name);
        }
        let before = world.cluster.clone();
        let forge = |view: &mut View| {
            forge(view);
            everybody_answers(view);
        };
        world.observe_wrongly("c", forge, answer);
        assert_eq!(world.cluster.record, before.record, "{what}");
        world.observe("a", "wait: healthy").returns("b").observe("b", "start a b c: own_data");
    }
}

#[test]
fn the_nodes_of_two_voters_that_show_the_same_list_are_believed() {
    let mut world = guarded();
    world.etcdctl_removes("c").observe("a", "wait: member_mismatch").with_message("lacks c (").members("a b c");
    world.ask("b", "observe: look_needed").observe("b", "wait: healthy + member_removed").members("a b");
    world.observe("a", "wait: healthy");
}

#[test]
fn a_voter_that_an_administrator_adds_is_believed_once_a_second_node_shows_it() {
    let mut world = guarded();
    world.etcdctl_adds_voter("d");
    world
        .observe("a", "wait: member_mismatch")
        .with_message("only this node shows")
        .with_message("convene cluster adopt");
    world
        .observe("a", "wait: member_mismatch")
        .observe("b", "wait: healthy + member_added")
        .observe("a", "wait: healthy");
}

#[test]
fn a_list_that_a_second_node_showed_long_ago_is_not_believed() {
    let mut world = guarded();
    world.etcdctl_adds_voter("d").observe("a", "wait: member_mismatch").pass(60);
    world.observe("b", "wait: member_mismatch").members("a b c");
}

#[test]
fn the_words_of_spares_do_not_count() {
    let mut world = guarded();
    let forge = |view: &mut View| ghost(view, 1, "", false);
    for name in ["c", "d", "e", "f"] {
        world.observe_wrongly(name, forge, "wait: member_mismatch").members("a b c");
    }
}

#[test]
fn the_word_of_a_node_whose_credential_was_revoked_does_not_count() {
    let mut world = guarded();
    let forge = |view: &mut View| ghost(view, 1, "", false);
    world.observe_wrongly("c", forge, "wait: member_mismatch").revoke_credential("c");
    world.observe_wrongly("b", forge, "wait: member_mismatch").members("a b c");
}

#[test]
fn a_dead_member_that_an_administrator_has_removed_is_missed_until_its_credential_is_revoked() {
    let mut world = guarded();
    world.are_dead_to("c", "a").etcdctl_removes("c");
    world.observe("a", "wait: member_mismatch").with_message("convene member revoke").members("a b c");
    world.revoke_credential("c").observe("a", "wait: healthy + member_removed").members("a b");
}

#[test]
fn a_member_that_an_administrator_has_removed_comes_back_without_data_by_its_own_word() {
    let mut world = guarded();
    world.dies("c").etcdctl_removes("c").returns_empty("c");
    world.observe("c", "add learner c #1 of a b: below_size + member_removed ticket_granted");
}

#[test]
fn a_node_that_reports_the_others_as_dead_does_not_become_the_only_voice() {
    let mut world = guarded();
    let forge = |view: &mut View| {
        view.members.retain(|seen| is_named(seen, "c"));
        ghost(view, 1, "", false);
    };
    world.leads("c").cut("c", "a").cut("c", "b").watch(120, "c");
    world.observe_wrongly("c", forge, "wait: member_mismatch").members("a b c");
}

#[test]
fn a_spares_learner_may_be_shown_by_one_node_and_taken_back_by_another_one() {
    let mut world = guarded();
    let forge = |view: &mut View| ghost_at(view, 1, "d");
    world.ask("d", "observe: look_needed");
    world.observe_wrongly("c", forge, "remove 1 #1 of ~1 a b c: full + member_added ticket_granted");
    world.observe("a", "wait: healthy + member_removed ticket_released").members("a b c");
}

#[test]
fn a_learner_of_no_node_is_made_up() {
    let mut world = guarded();
    world.observe_wrongly("c", |view| ghost(view, 1, "", true), "wait: member_mismatch").members("a b c");
}

#[test]
fn a_learner_does_not_become_a_voter_by_the_word_of_another_node() {
    for begin in [guarded as fn() -> World, open] {
        let mut world = begin();
        let made_up = Data::Of(Identity { member: MemberId(1), cluster: world.cluster.cluster_id.unwrap() });
        let show = |learner: bool| {
            move |view: &mut View| {
                ghost_at(view, 1, "d");
                view.members.last_mut().unwrap().learner = learner;
                everybody_answers(view);
            }
        };
        world.ask("d", "observe: look_needed").observe_wrongly(
            "d",
            show(true),
            "refuse: peer_url_taken + member_added",
        );
        world.observe_wrongly("c", show(false), "wait: member_mismatch").members("~1 a b c");
        world.returns_with("c", made_up).runs("c").observe_wrongly("c", show(false), "wait: member_mismatch");
        world.members("~1 a b c");
    }
}

#[test]
fn a_node_puts_at_most_one_voter_on_record_and_it_is_its_own() {
    let mut world = guarded();
    let forge = |view: &mut View| {
        for id in [1, 2] {
            ghost(view, id, "", false);
            view.members.last_mut().unwrap().peer_urls = vec!["http://d:2380".parse().unwrap()];
        }
    };
    world.observe_wrongly("d", forge, "wait: member_mismatch + member_added").members("1 a b c");
    world.observe("a", "wait: healthy + member_removed").members("a b c");
}

#[test]
fn new_names_in_an_open_cluster_neither_make_voters_up_nor_have_a_say() {
    let mut world = open();
    let forge = |view: &mut View| {
        for (id, name) in [(1, "d"), (2, "e"), (3, "f"), (4, "g")] {
            ghost(view, id, name, false);
            view.members.last_mut().unwrap().peer_urls = vec![format!("http://{name}:2380").parse().unwrap()];
        }
        everybody_answers(view);
    };
    for (id, name) in [(1, "d"), (2, "e"), (3, "f"), (4, "g")] {
        world.observe_wrongly(name, forge, "wait: member_mismatch").members("a b c");
        let made_up = Data::Of(Identity { member: MemberId(id), cluster: world.cluster.cluster_id.unwrap() });
        world.returns_with(name, made_up).runs(name).observe_wrongly(name, forge, "wait: member_mismatch");
    }
    world.members("a b c").observe("a", "wait: healthy");
}

#[test]
fn a_voter_that_a_new_node_of_an_open_cluster_has_made_up_is_taken_back_by_one_founder() {
    let mut world = open();
    let unstarted = |view: &mut View| {
        ghost(view, 1, "", false);
        let entry = view.members.last_mut().unwrap();
        (entry.peer_urls, entry.identified) = (vec!["http://d:2380".parse().unwrap()], false);
    };
    world.observe_wrongly("d", unstarted, "refuse: peer_url_taken + member_added").members("1 a b c");
    let made_up = Data::Of(Identity { member: MemberId(1), cluster: world.cluster.cluster_id.unwrap() });
    world.returns_with("d", made_up).runs("d").ask("d", "wait: healthy + member_updated");
    world.observe("a", "wait: healthy + member_removed").members("a b c");
}

#[test]
fn a_node_does_not_check_in_as_the_member_of_another_one() {
    let mut world = guarded();
    let data = world.data("a");
    let Data::Of(identity) = data else { unreachable!() };
    world.returns_with("c", data).turned_away("c").runs("c").turned_away("c");
    world.returns_with("c", Data::Of(Identity { cluster: ClusterId(0xbad), ..identity })).turned_away("c");
}

#[test]
fn a_node_goes_on_with_another_ones_member_once_that_credential_is_revoked() {
    let mut world = guarded();
    let data = world.data("a");
    world.dies("a").returns_with("z", data).turned_away("z").revoke_credential("a").pass(30);
    world.moves("z", "a").observe("z", "start z@a b c: own_data");
}

#[test]
fn a_dead_member_is_replaced_as_ever() {
    let mut world = guarded();
    world.are_dead_to("c", "a b d").heals(60, "a b d", |_| {}, "a b d");
}

#[test]
fn in_an_open_cluster_that_stock_etcds_formed_nobody_is_believed_who_was_admitted_by_the_discovery_token_alone() {
    let mut world = World::formed_by_v2("a b c").with_credentials();
    world.cluster.policy.join = JoinPolicy::Open;
    let forge = |view: &mut View| view.cluster = Some(ClusterId(0xbad));
    world.observe_wrongly("d", forge, "wait: foreign_cluster").with_message("join token");
    let data = world.data("a");
    world.returns_with("e", data).turned_away("e");
    let before = world.cluster.clone();
    world.observe("a", "wait: healthy + bootstrapped member_updated member_updated member_updated");
    assert_ne!(before.cluster_id, world.cluster.cluster_id);
    world.observe_wrongly("d", |view| ghost(view, 1, "", false), "wait: member_mismatch");
    world.observe("d", "stand_by: full");
}

/// The node of `c` has shown that `a` had applied 60,000 entries. The disk of `a` has 55,000, and the others have applied more.
fn possibly_rolled_back() -> World {
    let mut world = guarded();
    let forge = |view: &mut View| {
        everybody_answers(view);
        entry(view, "a").applied_index = Some(60_000);
    };
    world.leads("b").observe_wrongly("c", forge, "wait: healthy").pass(5);
    world.dies("a").returns("a").wal_ends_at("a", 55_000).applied("b", Some(70_000)).applied("c", Some(70_000));
    world
}

#[test]
fn an_index_that_one_other_node_alone_has_shown_sets_no_data_aside() {
    let mut world = possibly_rolled_back();
    world
        .observe("a", "refuse: data_rolled_back")
        .with_message("node c has reported")
        .with_remedy("convene member revoke");
    world.revoke_credential("c").observe("a", "start a b c: own_data");
}

#[test]
fn a_leader_to_which_a_member_has_confirmed_no_more_than_it_has_refutes_that_its_disk_is_old() {
    possibly_rolled_back().matched("a", 55_000).observe("a", "start a b c: own_data");
    possibly_rolled_back().matched("a", 0).observe("a", "refuse: data_rolled_back");
}

#[test]
fn a_leader_to_which_a_member_has_confirmed_more_than_it_has_shows_that_its_disk_is_old() {
    let mut world = possibly_rolled_back();
    world.matched("a", 60_000).looks_for_its_member("a");
    world.observe("a", "remove a #1 of a b c: data_rolled_back + ticket_granted");
}

#[test]
fn an_index_that_two_other_nodes_have_shown_is_certain() {
    let mut world = possibly_rolled_back();
    let same = |view: &mut View| {
        everybody_answers(view);
        entry(view, "a").applied_index = Some(60_000);
    };
    world.runs("a").observe_wrongly("b", same, "wait: healthy").returns("a").looks_for_its_member("a");
    world.observe("a", "remove a #1 of a b c: data_rolled_back + ticket_granted");
}

#[test]
fn an_absurd_index_does_not_hide_the_true_one() {
    let mut world = guarded();
    let show = |index: u64| {
        move |view: &mut View| {
            everybody_answers(view);
            entry(view, "a").applied_index = Some(index);
        }
    };
    world.leads("b").observe_wrongly("c", show(1 << 40), "wait: healthy").observe_wrongly(
        "b",
        show(60_000),
        "wait: healthy",
    );
    world.dies("a").returns("a").wal_ends_at("a", 55_000).applied("b", Some(70_000)).applied("c", Some(70_000));
    world.looks_for_its_member("a").observe("a", "remove a #1 of a b c: data_rolled_back + ticket_granted");
}
