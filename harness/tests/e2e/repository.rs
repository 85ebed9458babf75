//! The repository agrees with its documentation: files exist, links lead somewhere, and what is deliberately absent is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use convene_harness::{Page, Section};

#[test]
fn every_file_that_the_documentation_names_exists() {
    let root = root();
    let mut files = Vec::new();
    list(&root, &|_| true, &mut files);
    let files: Vec<String> = files.iter().map(|file| file.strip_prefix(&root).unwrap().display().to_string()).collect();
    // A file may be named by the end of its path, and a folder by a slash at its end.
    let exists = |named: &str| match named.strip_suffix('/') {
        Some(folder) => root.join(folder).is_dir(),
        None => root.join(named).exists() || files.iter().any(|file| file.ends_with(&format!("/{named}"))),
    };
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let named = code_spans(&text).filter(|span| is_file_name(span) && !exists(span));
        missing.extend(named.map(|named| format!("{} names {named}", document.display())));
    }
    assert!(missing.is_empty(), "these files don't exist:\n{}", missing.join("\n"));
}

/// As in `PATH`: `Type::function`, `CONSTANT`.
#[test]
fn every_item_that_the_map_names_is_in_its_file() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut named = 0;
    for line in prose(&map) {
        let parts: Vec<_> = line.split('`').collect();
        let mut file = None;
        // Spans are at the odd places, and what separates them at the even ones.
        for place in (1..parts.len()).step_by(2) {
            let (separator, span) = (parts[place - 1], parts[place]);
            match (separator, &file) {
                (": ", _) => {
                    file = parts.get(place.wrapping_sub(2)).map(|path| fs::read_to_string(root().join(path)).unwrap())
                }
                (", ", Some(_)) => {}
                _ => file = None,
            }
            if let Some(text) = &file {
                let item = span.rsplit("::").next().unwrap();
                assert!(text.contains(item), "{span} is not where docs/architecture.md has it");
                named += 1;
            }
        }
    }
    assert!(named > 5, "the map names items");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(target.exists(), "{} links to {link}, which does not exist", document.display());
            if let Some(heading) = heading {
                let target = fs::read_to_string(target).unwrap();
                let found = headings(&target).any(|other| anchor(other) == heading);
                assert!(found, "{} links to {link}, but there is no such heading", document.display());
            }
        }
    }
}

/// The pages with lines of shell that a test types, and the test. It names the sections that it leaves out.
const TYPED: [(&str, &str); 21] = [
    ("README.md", "server/tests/e2e/tours.rs"),
    ("docs/quick-start.md", "server/tests/e2e/tours.rs"),
    ("docs/adopt.md", "server/tests/e2e/runbooks/adopt.rs"),
    ("docs/discovery-only.md", "server/tests/e2e/runbooks/stock_discovery.rs"),
    ("docs/discovery.etcd.io-is-gone.md", "server/tests/e2e/gone_page.rs"),
    ("docs/monitoring.md", "server/tests/e2e/runbooks/monitoring.rs"),
    ("docs/nodes.md", "server/tests/e2e/runbooks/nodes.rs"),
    ("docs/reference/exit-codes.md", "server/tests/e2e/runbooks/monitoring.rs"),
    ("docs/reference/node-port.md", "server/tests/e2e/runbooks/monitoring.rs"),
    ("docs/reference/api.md", "server/tests/e2e/api_page.rs"),
    ("docs/reference/v3.md", "server/tests/e2e/v3_gateway.rs"),
    ("docs/runbooks/README.md", "server/tests/e2e/runbooks/maintenance.rs"),
    ("docs/runbooks/back-up-and-move-the-registry.md", "server/tests/e2e/runbooks/back_up.rs"),
    ("docs/runbooks/change-addresses.md", "server/tests/e2e/runbooks/change_addresses.rs"),
    ("docs/runbooks/lost-quorum-and-restore.md", "server/tests/e2e/runbooks/lost_quorum.rs"),
    ("docs/runbooks/maintenance.md", "server/tests/e2e/runbooks/maintenance.rs"),
    ("docs/runbooks/replace-machines.md", "server/tests/e2e/runbooks/replace_machines.rs"),
    ("docs/runbooks/resize.md", "server/tests/e2e/runbooks/resize.rs"),
    ("docs/runbooks/uninstall.md", "server/tests/e2e/runbooks/uninstall.rs"),
    ("docs/runbooks/upgrade-convene.md", "server/tests/e2e/runbooks/upgrades.rs"),
    ("docs/runbooks/upgrade-etcd.md", "server/tests/e2e/runbooks/upgrades.rs"),
];

/// The pages with lines of shell that no test types as a whole.
const NOT_TYPED: [&str; 2] = ["docs/install.md", "docs/troubleshooting.md"];

#[test]
fn every_page_with_lines_of_shell_is_typed_by_a_test() {
    for (page, test) in TYPED {
        assert!(Page::read(page).has_shell(), "{page} has no shell");
        let name = page.strip_prefix("docs/").unwrap_or(page);
        assert!(fs::read_to_string(root().join(test)).unwrap().contains(name), "{test} does not read {page}");
    }
    for file in documents() {
        let page = file.strip_prefix(root()).unwrap().to_str().unwrap();
        let is_known = TYPED.iter().any(|(typed, _)| *typed == page) || NOT_TYPED.contains(&page);
        assert!(is_known || !Page::read(page).has_shell(), "{page} has lines of shell that no test types");
    }
}

/// The reference of the command lines is made from what the programs know.
#[test]
fn every_variable_that_the_documentation_names_exists() {
    // An example, and two of the configuration of HAProxy.
    const OTHERS: [&str; 3] = ["CONVENE_LIKE_THIS", "CONVENE_SERVER_1", "CONVENE_SERVER_2"];
    let reference = fs::read_to_string(root().join("docs/reference/cli.md")).unwrap();
    let known: BTreeSet<&str> = words(&reference, "CONVENE_").collect();
    let mut files = vec![root().join("README.md")];
    list(&root().join("docs"), &|file| file.extension().is_some_and(|extension| extension == "md"), &mut files);
    list(&root().join("deploy"), &|_| true, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let named = words(&text, "CONVENE_").filter(|word| !word.ends_with('_') && !word.starts_with("CONVENE_TEST_"));
        let unknown: Vec<_> = named.filter(|name| !known.contains(name) && !OTHERS.contains(name)).collect();
        assert!(unknown.is_empty(), "{} names {unknown:?}", file.display());
    }
}

#[test]
fn every_alert_has_a_remedy_and_watches_a_metric_of_the_reference() {
    const PAGE: &str = "docs/monitoring.md";
    let rules = Page::read(PAGE).blocks("Alert rules", "yaml").concat();
    let alerts: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert_eq!(Section::read(PAGE, "Alert rules").names("alert"), alerts);
    let metrics = Section::read("docs/reference/metrics.md", "Metrics").names("metric");
    let watched: BTreeSet<String> = words(&rules, "convene_").map(str::to_owned).collect();
    let unknown: Vec<_> = watched.difference(&metrics).collect();
    assert!(!watched.is_empty() && unknown.is_empty(), "{PAGE} watches {unknown:?}");
}

/// A filter of nextest that matches no test runs nothing, without a word.
#[test]
fn every_test_that_a_profile_selects_by_name_exists() {
    let root = root();
    let mut sources = Vec::new();
    list(&root, &|file| file.extension().is_some_and(|ending| ending == "rs"), &mut sources);
    let sources: Vec<String> = sources.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let profiles = fs::read_to_string(root.join(".config/nextest.toml")).unwrap();
    let names: Vec<_> = profiles.split("test(=").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!names.is_empty());
    for name in names {
        let declaration = format!("fn {}(", name.rsplit("::").next().unwrap());
        let exists = sources.iter().any(|source| source.contains(&declaration));
        assert!(exists, ".config/nextest.toml selects {name}, which does not exist");
    }
}

#[test]
fn help_about_the_tests_installs_and_compiles_nothing() {
    for arguments in [&["--help"][..], &["-h"], &["--quick", "--help"]] {
        // Nothing can be installed there.
        let script =
            Command::new(root().join("scripts/test")).args(arguments).env("CONVENE_TEST_PEERS", "/dev/null").output();
        let script = script.unwrap();
        let help = String::from_utf8(script.stdout).unwrap();
        assert!(script.status.success() && script.stderr.is_empty(), "{help}");
        assert!(["--quick", "--all", "CONVENE_TEST_ETCD"].iter().all(|part| help.contains(part)), "{help}");
        assert!(!help.contains("pipefail"), "{help}");
    }
}

#[test]
fn every_decision_is_complete_and_in_the_index() {
    let folder = root().join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut records = Vec::new();
    list(&folder, &|file| !file.ends_with("README.md"), &mut records);
    records.sort();
    assert!(!records.is_empty());
    for (number, record) in (1..).zip(&records) {
        let name = record.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("{number:04}-")), "{name} is number {number}");
        let text = fs::read_to_string(record).unwrap();
        let (title, sections) = text.split_once("\n\n## ").unwrap();
        let sections: Vec<_> = sections.split("\n\n## ").map(|section| section.lines().next().unwrap()).collect();
        assert_eq!(sections, ["Context", "Decision", "Consequence"], "{name}");
        let title = title.strip_prefix(&format!("# {number:04} ")).unwrap();
        let entry = format!("- [{number:04}]({name}) {title}\n");
        assert!(index.contains(&entry), "docs/decisions/README.md lacks {entry}");
    }
}

#[test]
fn every_change_note_has_a_kind() {
    const KINDS: [&str; 6] = ["Added: ", "Changed: ", "Deprecated: ", "Removed: ", "Fixed: ", "Security: "];
    let mut notes = Vec::new();
    list(&root().join("changes/unreleased"), &|file| !file.ends_with("README.md"), &mut notes);
    for note in notes {
        let text = fs::read_to_string(&note).unwrap();
        assert!(KINDS.iter().any(|kind| text.starts_with(kind)), "{} has none of {KINDS:?}", note.display());
    }
}

#[test]
fn the_planner_depends_on_no_runtime_database_or_network_crate() {
    let manifest = fs::read_to_string(root().join("lifecycle/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let (dependencies, _) = dependencies.split_once("\n\n").unwrap();
    let names: Vec<_> = dependencies.lines().map(|line| line.split(['.', ' ']).next().unwrap()).collect();
    assert_eq!(names, ["humantime", "serde", "sha1", "thiserror", "url"]);
}

#[test]
fn only_the_store_talks_to_the_database() {
    let users = sources_with(&["sqlx::"]);
    let (inside, outside): (Vec<_>, _) = users.iter().partition(|file| file.starts_with("server/src/store"));
    assert!(!inside.is_empty());
    assert_eq!(outside, Vec::<&String>::new());
}

#[test]
fn the_client_deletes_no_data() {
    let deleting = sources_with(&["remove_file", "remove_dir"]);
    let of_the_client: Vec<_> = deleting.iter().filter(|file| file.starts_with("client/")).collect();
    // These delete a file with a secret that they have just written themselves, and that did not become valid.
    let of_secrets = ["client/src/credential/file.rs", "client/src/secret_file.rs"];
    assert_eq!(of_the_client, of_secrets);
}

/// Which source files have one of these texts, tests excepted.
fn sources_with(texts: &[&str]) -> Vec<String> {
    let root = root();
    let is_source = |file: &Path| {
        let in_tests =
            file.components().any(|part| ["tests", "tests.rs"].contains(&part.as_os_str().to_str().unwrap()));
        file.extension().is_some_and(|extension| extension == "rs") && !in_tests
    };
    let mut files = Vec::new();
    list(&root, &|file| is_source(file.strip_prefix(&root).unwrap()), &mut files);
    files.retain(|file| {
        let text = fs::read_to_string(file).unwrap();
        let shipped = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        texts.iter().any(|text| shipped.contains(text))
    });
    files.iter().map(|file| file.strip_prefix(&root).unwrap().display().to_string()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Markdown file of this repository.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    list(&root(), &|file| file.extension().is_some_and(|extension| extension == "md"), &mut documents);
    assert!(documents.iter().any(|file| file.ends_with("docs/architecture.md")));
    documents
}

/// Lists the files in a folder and below, but not those that are built or hidden; `.ci` is not.
fn list(folder: &Path, wanted: &dyn Fn(&Path) -> bool, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "target" || (name.starts_with('.') && name != ".ci") {
            continue;
        }
        if path.is_dir() {
            list(&path, wanted, into);
        } else if wanted(&path) {
            into.push(path);
        }
    }
}

/// What stands between backquotes, blocks of code excepted.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Where links lead, blocks of code excepted.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split_once(')'))).map(|(link, _)| link)
}

/// The words that begin so. A word has letters, digits and underscores.
fn words<'a>(text: &'a str, start: &'static str) -> impl Iterator<Item = &'a str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(move |word| word.starts_with(start))
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// Whether a text can only be the name of a file of this repository.
fn is_file_name(text: &str) -> bool {
    const OURS: [&str; 4] = [".rs", ".md", ".sql", ".proto"];
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    let first = match Path::new(text).components().next() {
        Some(Component::Normal(first)) => first,
        _ => return false,
    };
    let is_below_root = text.contains('/') && first != "target" && root().join(first).is_dir();
    is_plain
        && !text.starts_with('.')
        && !text.ends_with(".go")
        && (is_below_root || OURS.iter().any(|extension| text.ends_with(extension)))
}

/// The anchor that a forge gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
