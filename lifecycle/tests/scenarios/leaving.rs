use crate::*;

#[test]
fn a_member_that_wants_to_leave_leaves() {
    World::running("a b c")
        .wants_to_leave("c")
        .ask("c", "observe: look_needed")
        .step("c", "leave c #1 of a b c: leaving + ticket_granted")
        .step("c", "archive_data: removed_member + member_removed ticket_released")
        .ask("c", "stand_by: left");
}

#[test]
fn a_stopped_member_that_wants_to_leave_removes_itself() {
    World::running("a b c")
        .returns("c")
        .wants_to_leave("c")
        .step("c", "remove c #1 of a b c: leaving + ticket_granted")
        .look("c", "archive_data: removed_member + member_removed ticket_released");
}

#[test]
fn a_member_that_crashed_while_it_left_goes_on() {
    World::running("a b c")
        .wants_to_leave("c")
        .look("c", "leave c #1 of a b c: leaving + ticket_granted")
        .returns("c")
        .ask("c", "observe: look_needed")
        .look("c", "remove c #1 of a b c: leaving");
}

#[test]
fn a_member_that_was_about_to_leave_starts_if_the_quorum_needs_it() {
    World::running("a b c")
        .evict("c")
        .look("c", "leave c #1 of a b c: evicted + ticket_granted")
        .returns("c")
        .dies("b")
        .look("c", "start a b c: own_data + ticket_released");
}

#[test]
fn the_last_member_can_not_leave() {
    World::running("a").wants_to_leave("a").look("a", "refuse: last_member");
}

#[test]
fn a_member_that_the_quorum_needs_can_not_leave() {
    World::running("a b c").dies("b").wants_to_leave("c").look("c", "wait: quorum_at_risk");
}

#[test]
fn one_of_two_can_leave_while_the_other_answers() {
    World::running("a b").wants_to_leave("b").look("b", "leave b #1 of a b: leaving + ticket_granted");
}

#[test]
fn a_spare_that_wants_to_leave_has_left() {
    World::running("a b c").wants_to_leave("d").ask("d", "stand_by: left");
}
