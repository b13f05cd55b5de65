//! The invariants of ARCHITECTURE.md that no type can hold: folders, template, documents and code
//! against each other.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stop the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files_under(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    found
}

/// The code of a file without its comments and its unit tests.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What people read.
fn documents() -> Vec<String> {
    let mut found: Vec<String> = files_under("docs", "md")
        .iter()
        .map(|path| relative(path))
        .collect();
    let others = [
        "README.md",
        "ARCHITECTURE.md",
        "events/orders/README.md",
        "events/appointments/README.md",
        "events/leads/README.md",
        "events/callbell/README.md",
        "events/forms/README.md",
        "events/emails/README.md",
        "events/custom/README.md",
    ];
    found.extend(others.map(str::to_owned));
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn functions() -> BTreeSet<String> {
    fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Functions that carry out jobs; all others are doors.
const WORKERS: &[&str] = &["deliver", "reply", "renew"];

/// Asserts that `words` stand only in the files for which `allowed` holds.
fn only_in(folders: &[&str], words: &[&str], allowed: &[&str]) {
    let mut wrong = Vec::new();
    for folder in folders {
        for path in files_under(folder, "rs") {
            let name = relative(&path);
            if allowed.iter().any(|prefix| name.starts_with(prefix))
                || name.contains("/tests/")
                || name.ends_with("/tests.rs")
            {
                continue;
            }
            let code = code_of(&path);
            for word in words {
                if code.contains(word) {
                    wrong.push(format!("{name} has `{word}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "only {allowed:?} may: {wrong:#?}");
}

#[test]
fn doors_link_what_shared_needs_and_nothing_of_the_workers() {
    let forbidden = [
        "engine ",
        "reqwest ",
        "minijinja ",
        "toml ",
        "rlibphonenumber ",
        "icu_datetime ",
    ];
    for function in functions() {
        if WORKERS.contains(&function.as_str()) {
            continue;
        }
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--package",
                &function,
            ])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(
            tree.contains("shared "),
            "{function} does not depend on shared"
        );
        for crate_name in forbidden {
            let found = tree.lines().find(|line| line.starts_with(crate_name));
            assert_eq!(found, None, "{function} is a door");
        }
    }
}

#[test]
fn one_tls_stack_and_one_crypto_provider() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--workspace",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.strip_suffix(" (*)").or(Some(line)))
        .collect();
    for banned in ["ring v", "openssl-sys v", "native-tls v"] {
        assert!(
            !crates.iter().any(|name| name.starts_with(banned)),
            "{banned}"
        );
    }
    for single in ["rustls v", "aws-lc-sys v"] {
        assert_eq!(
            crates
                .iter()
                .filter(|name| name.starts_with(single))
                .count(),
            1,
            "{single}"
        );
    }
}

#[test]
fn only_the_command_line_reads_the_machine_s_aws_configuration() {
    let members = ["shared", "engine"].map(str::to_owned);
    for member in members.into_iter().chain(functions()) {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--edges", "normal,build"])
            .args(["--prefix", "none", "--package", &member])
            .current_dir(root())
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(tree.contains("aws-sdk-dynamodb v"), "{member}");
        for crate_name in ["aws-config v", "aws-sdk-sts v", "aws-sdk-sso v"] {
            let found = tree.lines().find(|line| line.starts_with(crate_name));
            assert_eq!(found, None, "{member}");
        }
    }
}

#[test]
fn only_the_store_speaks_dynamodb() {
    only_in(
        &["shared/src", "engine/src", "functions"],
        &["aws_sdk_dynamodb"],
        &["shared/src/store/"],
    );
}

#[test]
fn only_one_place_reads_the_environment() {
    only_in(
        &["shared/src", "engine/src", "functions"],
        &["std::env", "env::var"],
        &["shared/src/env.rs"],
    );
}

#[test]
fn only_one_place_reads_the_clock() {
    only_in(
        &["shared/src", "engine/src", "functions"],
        &[
            "Timestamp::now",
            "SystemTime::now",
            "Zoned::now",
            "Instant::now",
        ],
        &["shared/src/clock.rs"],
    );
}

#[test]
fn sources_do_no_io_and_events_depend_on_nothing() {
    only_in(
        &["shared/src/sources"],
        &[
            "async fn",
            "Clock",
            "crate::store",
            "crate::door",
            "std::fs",
            "tokio::",
        ],
        &[],
    );
    let event = code_of(&root().join("shared/src/event.rs"));
    assert!(
        !event.contains("crate::"),
        "event.rs depends on nothing of this crate"
    );
}

#[test]
fn nothing_is_silenced() {
    only_in(
        &["shared", "engine", "functions", "cli/src"],
        &[
            "#[allow(",
            "#![allow(",
            "todo!(",
            "unimplemented!(",
            "dbg!(",
        ],
        &[],
    );
}

#[test]
fn only_a_verified_request_is_read() {
    // `Raw::accept` is the one way to a `Verified`; sources call it after the signature matched.
    only_in(
        &["shared/src", "engine/src", "functions"],
        &[".accept()"],
        &["shared/src/sources/"],
    );
}

#[test]
fn main_is_wiring() {
    for function in functions() {
        let lines = read(&format!("functions/{function}/src/main.rs"))
            .lines()
            .count();
        assert!(
            (10..=35).contains(&lines),
            "functions/{function}/src/main.rs has {lines} lines"
        );
    }
}

#[test]
fn every_function_is_in_the_template_and_every_function_of_the_template_is_there() {
    let template: serde_yaml_ng::Value = serde_yaml_ng::from_str(&read("template.yaml")).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let in_template: BTreeSet<String> = resources
        .values()
        .filter(|resource| resource["Type"] == "AWS::Serverless::Function")
        .map(|resource| resource["Properties"]["CodeUri"].as_str().unwrap())
        .map(|uri| uri.strip_prefix("functions/").unwrap().to_owned())
        .collect();
    assert_eq!(in_template, functions());
}

#[test]
fn the_template_has_the_table_that_the_store_expects() {
    use shared::store;
    let template: serde_yaml_ng::Value = serde_yaml_ng::from_str(&read("template.yaml")).unwrap();
    let table = &template["Resources"]["Table"]["Properties"];
    assert_eq!(table["KeySchema"][0]["AttributeName"], store::KEY);
    let index = &table["GlobalSecondaryIndexes"][0];
    assert_eq!(index["IndexName"], store::INDEX);
    assert_eq!(index["KeySchema"][0]["AttributeName"], store::INDEX_HASH);
    assert_eq!(index["KeySchema"][1]["AttributeName"], store::INDEX_RANGE);
    assert_eq!(index["Projection"]["ProjectionType"], "KEYS_ONLY");
    assert_eq!(table["StreamSpecification"]["StreamViewType"], "NEW_IMAGE");
    assert_eq!(
        table["TimeToLiveSpecification"]["AttributeName"],
        store::TTL
    );
    for (function, expected) in [("Deliver", store::LANE_SEND), ("Reply", store::LANE_CHAT)] {
        let stream = &template["Resources"][function]["Properties"]["Events"]["Stream"];
        let pattern = stream["Properties"]["FilterCriteria"]["Filters"][0]["Pattern"]
            .as_str()
            .unwrap();
        let pattern: serde_json::Value = serde_json::from_str(pattern).unwrap();
        let lane = &pattern["dynamodb"]["NewImage"][store::LANE]["S"];
        assert_eq!(*lane, serde_json::json!([expected]), "{function}");
    }
}

#[test]
fn every_door_has_sample_events_that_name_one_of_its_routes() {
    for function in functions() {
        if WORKERS.contains(&function.as_str()) {
            continue;
        }
        let files = files_under(&format!("events/{function}"), "json");
        assert!(!files.is_empty(), "events/{function} is empty");
        for path in files {
            let envelope: serde_json::Value =
                serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let request_path = envelope["rawPath"].as_str().unwrap_or_default();
            assert!(
                request_path.starts_with(&format!("/{function}/")),
                "{}",
                relative(&path)
            );
            assert_eq!(envelope["version"], "2.0", "{}", relative(&path));
        }
    }
}

#[test]
fn the_makefile_is_small_and_the_readme_tells_of_each_target() {
    let makefile = read("Makefile");
    let targets: Vec<&str> = makefile
        .lines()
        .filter(|line| line.contains("## ") && !line.starts_with(['\t', '#']))
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .filter(|target| *target != "help")
        .collect();
    assert!(targets.len() <= 10, "{targets:?}");
    let readme = read("README.md");
    for target in targets {
        assert!(
            readme.contains(&format!("make {target}")),
            "README.md says nothing of make {target}"
        );
    }
}

#[test]
fn documents_name_commands_that_exist() {
    use clap::CommandFactory;
    let command = cli::args::Cli::command();
    let known: BTreeSet<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    let mut wrong = Vec::new();
    for document in documents() {
        let text = read(&document);
        // Commands stand in code, behind a backtick or at the beginning of a line.
        for piece in text
            .split("callbell ")
            .skip(1)
            .zip(text.split("callbell "))
            .filter_map(|(after, before)| before.ends_with(['`', '\n']).then_some(after))
        {
            let word: String = piece
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            if !known.contains(word.as_str()) && word != "help" {
                wrong.push(format!("{document}: callbell {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn documents_name_files_that_exist() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = read(&document);
        let folder = root().join(&document).parent().unwrap().to_path_buf();
        for (index, piece) in text.split("](").enumerate() {
            let Some((target, _)) = piece.split_once(')') else {
                continue;
            };
            if index == 0 || target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            if !folder.join(path).exists() {
                wrong.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One row of README's table of systems: its cells.
struct SystemRow {
    name: String,
    starts: String,
    can: String,
    proof: String,
    connect: String,
}

fn systems() -> Vec<SystemRow> {
    let readme = read("README.md");
    let section = readme.split("\n## Systems\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_start_matches("| ").trim_end_matches(" |");
        inner
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    // Two lines of head.
    rows.map(|line| cells(&line.replace("| | ", "|  | ").replace("| | ", "|  | ")))
        .skip(2)
        .map(|cells| {
            let [name, starts, can, proof, connect] = <[String; 5]>::try_from(cells).unwrap();
            SystemRow {
                name,
                starts,
                can,
                proof,
                connect,
            }
        })
        .collect()
}

/// The words in backticks.
fn quoted(cell: &str) -> Vec<String> {
    let pieces = cell.split('`').skip(1).step_by(2);
    pieces.map(str::to_owned).collect()
}

/// `order.created`, `.paid`: what begins with a point goes on with the family before it.
fn event_names(cell: &str) -> BTreeSet<String> {
    let mut family = String::new();
    let mut names = BTreeSet::new();
    for word in quoted(cell) {
        match word.strip_prefix('.') {
            Some(rest) => names.insert(format!("{family}.{rest}")),
            None => {
                word.split('.').next().unwrap().clone_into(&mut family);
                names.insert(word)
            }
        };
    }
    names
}

#[test]
fn the_readme_s_table_of_systems_is_what_the_code_does() {
    use engine::automations::model::ActionKind;
    use shared::sources::ALL;
    let rows = systems();
    for source in ALL {
        let command = format!("callbell connect {}", source.kind());
        let is_its = |row: &&SystemRow| quoted(&row.connect).contains(&command);
        let found: Vec<&SystemRow> = rows.iter().filter(is_its).collect();
        let [row] = found.as_slice() else {
            panic!("{} rows say `{command}`", found.len());
        };
        let events = source.events().iter().filter(|name| !name.is_internal());
        let events: BTreeSet<String> = events.map(ToString::to_string).collect();
        assert_eq!(event_names(&row.starts), events, "{}", row.name);
        assert!(!source.proven_by().is_empty(), "{}", source.kind());
        assert_eq!(row.proof, source.proven_by(), "{}", row.name);
        assert!(cli::connect::Kind::parse(source.kind()).is_some());
    }
    for kind in ActionKind::ALL {
        let table = format!("[{}.x]", kind.as_str());
        let able = rows.iter().filter(|row| quoted(&row.can).contains(&table));
        assert_eq!(able.count(), 1, "{table}");
    }
    // Callbell's own guide names these.
    let guide = [
        "Shopify",
        "Calendly",
        "Gmail",
        "HubSpot",
        "Mailchimp",
        "Salesforce",
        "Zendesk",
        "Intercom",
        "Pipedrive",
        "Typeform",
        "Google Forms",
        "Slack",
        "Google Sheets",
        "Zapier",
    ];
    for system in guide {
        assert!(rows.iter().any(|row| row.name.contains(system)), "{system}");
    }
}

#[test]
fn the_cost_is_what_the_script_prints() {
    let output = Command::new("python3")
        .arg("scripts/cost.py")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed == read("docs/cost.md"),
        "python3 scripts/cost.py > docs/cost.md"
    );
}

/// Names of sources that are words of their own besides: the product's, and that of an action.
const WORDS: [&str; 2] = ["callbell", "webhook"];

/// Files that name sources outside those sources' own files, and why.
const NAMED_IN: [(&str, &str); 10] = [
    ("engine/src/automations/model.rs", "the actions' list"),
    ("engine/src/automations/spec.rs", "the actions' list"),
    (
        "engine/src/automations/spec/actions.rs",
        "the actions' list",
    ),
    (
        "engine/src/automations/fields.rs",
        "examples of the reference",
    ),
    (
        "engine/src/automations/samples.rs",
        "the language's sample events",
    ),
    (
        "engine/src/automations/testing.rs",
        "sample events of tests",
    ),
    (
        "engine/src/delivery/fetching.rs",
        "one line a provider that has to be asked",
    ),
    (
        "cli/src/dev/secrets.rs",
        "what the stand-ins take, one line each",
    ),
    (
        "cli/src/commands/init.rs",
        "what to do next with the system that was chosen",
    ),
    (
        "cli/src/commands/sign.rs",
        "--topic is a header of two shops",
    ),
];

/// A special case that waits to be mended: an account of Calendly may show its own webhooks alone.
const CALENDLY_ALONE: &str = "cli/src/commands/doctor/sources.rs";

/// Adding a source touches its own files and the lists. So its name stands nowhere else.
#[test]
fn a_source_is_named_in_its_own_files_and_the_lists() {
    let folders = ["shared/src", "engine/src", "cli/src", "functions"];
    let all = folders.iter().flat_map(|folder| files_under(folder, "rs"));
    let files: Vec<(String, String)> = all
        .map(|path| (relative(&path), code_of(&path)))
        .filter(|(path, _)| !path.contains("/tests/") && !path.ends_with("/tests.rs"))
        .collect();
    let mut wrong = Vec::new();
    for source in shared::sources::ALL {
        let kind = source.kind();
        let file = kind.replace('-', "_");
        let own = [
            format!("shared/src/sources/{file}"),
            format!("engine/src/fetch/{file}"),
            format!("engine/src/actions/{file}"),
            format!("cli/src/connect/{file}"),
            format!("cli/src/standin/apis/{file}"),
        ];
        assert!(
            root()
                .join(format!("shared/src/sources/{file}.rs"))
                .exists()
        );
        assert!(root().join(format!("cli/src/connect/{file}.rs")).exists());
        if WORDS.contains(&kind) {
            continue;
        }
        let is_own = |path: &str| {
            let below = |own: &String| {
                let rest = path.strip_prefix(own.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            own.iter().any(below)
                || NAMED_IN.iter().any(|(named, _)| *named == path)
                || (kind == "calendly" && path == CALENDLY_ALONE)
        };
        let literal = format!("\"{kind}\"");
        let names = files.iter().filter(|(_, code)| code.contains(&literal));
        let elsewhere = names.filter(|(path, _)| !is_own(path));
        wrong.extend(elsewhere.map(|(path, _)| format!("{path} names {kind}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the page shows of a file stands in it.
#[test]
fn the_page_about_sources_shows_the_code_as_it_is() {
    let page = read("docs/adding-a-source.md");
    let mut blocks = 0;
    for piece in page.split("\nIn `").skip(1) {
        let (path, rest) = piece.split_once('`').unwrap();
        let block = rest.split_once("```rust\n").unwrap().1;
        let code = read(path);
        let lines: BTreeSet<&str> = code.lines().map(str::trim).collect();
        for line in block.split("```").next().unwrap_or_default().lines() {
            let found = lines.contains(line.trim());
            assert!(found || line.is_empty(), "{path} has no line {line:?}");
        }
        blocks += 1;
    }
    assert!(blocks > 5, "{blocks}");
}
