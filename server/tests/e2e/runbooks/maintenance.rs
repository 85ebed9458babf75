use super::*;

mod large {
    use super::*;

    #[test]
    fn a_member_is_down_for_maintenance() {
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        let [infra0, infra1, _] = &installation.nodes[..] else { unreachable!("there are three") };
        let mut overview = Page::steps("docs/runbooks/README.md");
        installation.server.types(&overview.take("The administrator's shell"));
        let printed = installation.administrator_types(&overview.take("The administrator's shell"));
        assert!(printed.contains("tok-") && printed.contains("#sha256:"), "{printed}");
        let printed = infra0.types(&overview.take("The root shell of a node"));
        assert!(printed.contains("voter: nothing to do (healthy)"), "{printed}");
        let printed = node_types(infra0, &overview.take("Look before and after"));
        assert!(printed.contains("Quorum:       yes"), "{printed}");
        installation.wait_for_crosscheck();
        installation.administrator_types(&overview.take("Look before and after"));
        let events = overview.take("Look before and after").replace("timeout 60", "timeout 2");
        let followed = installation.server.try_to_type(&format!(". /var/lib/convene/admin.env\n{events}"));
        assert!(followed.as_ref().is_err_and(|printed| printed.contains("bootstrapped")), "{followed:?}");
        overview.finish();

        let mut page = Page::steps("docs/runbooks/maintenance.md");
        let printed = infra1.types(&page.take("Restart one node"));
        assert!(printed.contains("downtime: announced to the registry: this node does not count as dead"), "{printed}");
        infra1.types(&page.take("Restart one node"));
        let printed = infra1.types(&page.take("Restart one node"));
        assert!(printed.ends_with("ok\n"), "{printed}");

        let printed = installation.administrator_types(&page.take("Keep a node down for longer"));
        assert!(printed.contains("may be down until"), "{printed}");
        let printed = installation.administrator_types(&page.take("Keep a node down for longer"));
        assert!(printed.contains("has no downtime any more"), "{printed}");

        installation.wait_for_crosscheck();
        installation.administrator_types(&page.take("Restart all nodes"));

        let printed = installation.administrator_types(&page.take("Pause all membership changes"));
        assert!(printed.contains("is paused"), "{printed}");
        let printed = installation.administrator_types(&page.take("Pause all membership changes"));
        assert!(printed.contains("no longer paused"), "{printed}");

        let printed = infra1.types(&page.take("Reload without a restart"));
        assert!(printed.contains("reload: certificates, keys and tokens were read again"), "{printed}");
        installation.server.types(&page.take("Maintain the server"));
        page.finish();
    }
}
