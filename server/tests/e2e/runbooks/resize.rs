use super::*;

const PAGE: &str = "docs/runbooks/resize.md";

mod large {
    use super::*;

    #[test]
    fn a_cluster_grows_from_three_to_five_and_shrinks_again() {
        let Some(mut installation) = Installation::with_cluster("3.6") else { return };
        let mut page = Page::steps(PAGE);
        let printed = installation.administrator_types(&page.take("From 3 to 5"));
        assert!(printed.contains("now has size 5, was 3"), "{printed}");
        installation.administrator_types(&page.take("From 3 to 5"));
        for number in [3, 4] {
            installation.boot_prepared_node(number);
        }
        installation.server.types(&page.take("From 3 to 5"));
        let (start, wait) = (page.take("From 3 to 5"), page.take("From 3 to 5"));
        for name in ["infra3", "infra4"] {
            installation.node(name).types(&start);
        }
        for name in ["infra3", "infra4"] {
            let printed = installation.node(name).types(&wait);
            assert!(
                printed.contains("add_member (below_size)") && printed.contains("promote (caught_up)"),
                "{printed}"
            );
        }
        installation.wait_for_crosscheck();

        let printed = installation.administrator_types(&page.take("From 5 to 3"));
        assert!(printed.contains("now has size 3, was 5"), "{printed}");
        let show = page.take("From 5 to 3");
        installation.administrator_types("until convene cluster show prod | grep 'has 3 voters'; do sleep 0.5; done");
        installation.administrator_types(&show);
        let stop = page.take("From 5 to 3");
        for name in ["infra3", "infra4"] {
            installation.node(name).types("until curl -fsS http://127.0.0.1:2382/spare; do sleep 0.2; done");
            installation.node(name).types(&stop);
        }
        let printed = installation.administrator_types(&page.take("From 5 to 3"));
        assert!(printed.contains("is revoked"), "{printed}");

        let printed = installation.administrator_types(&page.take("Choose the members that go"));
        assert!(printed.contains("is evicted"), "{printed}");
        // join.rs types this section.
        page.leave_out("Nodes with `convene join`");
        page.finish();
    }
}
