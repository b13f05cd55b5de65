//! template.yaml, the runbook and the code against each other: what no deploy to a local stack can show,
//! because it takes every setting and applies few.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use serde_yaml_ng::Value;
use shared::payload::Payload;
use shared::secrets::SecretsProvider;
use shared::telemetry;

/// What the doors may ask of the table; the workers may read its index too.
const DOOR_MAY: [&str; 3] = [
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:GetItem",
];
/// The pages of the runbook that no alarm leads to.
const OTHER_PAGES: [&str; 2] = ["README", "restore"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn template() -> Value {
    serde_yaml_ng::from_str(&read("template.yaml")).unwrap()
}

/// The resources of a type, by name.
fn resources(template: &Value, kind: &str) -> BTreeMap<String, Value> {
    let all = template["Resources"].as_mapping().unwrap();
    all.iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str().unwrap().to_owned(), resource.clone()))
        .collect()
}

fn functions(template: &Value) -> BTreeMap<String, Value> {
    resources(template, "AWS::Serverless::Function")
}

/// `orders`, of `CodeUri: functions/orders`.
fn folder(function: &Value) -> String {
    let uri = function["Properties"]["CodeUri"].as_str().unwrap();
    uri.strip_prefix("functions/").unwrap().to_owned()
}

fn is_door(function: &Value) -> bool {
    !["deliver", "reply", "renew"].contains(&folder(function).as_str())
}

/// Every text below a value, `!Sub` and `!If` seen through.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Sequence(list) => list.iter().flat_map(texts).collect(),
        Value::Mapping(map) => map.values().flat_map(texts).collect(),
        Value::Tagged(tagged) => texts(&tagged.value),
        _ => Vec::new(),
    }
}

/// `X` of `!Ref X` or `!GetAtt X.Arn`.
fn target(value: &Value) -> String {
    let text = texts(value).remove(0);
    text.split('.').next().unwrap_or_default().to_owned()
}

/// The statements of the policy of a function's role.
fn statements(template: &Value, function: &Value) -> Vec<Value> {
    let role = &template["Resources"][target(&function["Properties"]["Role"]).as_str()];
    let policies = role["Properties"]["Policies"].as_sequence().unwrap();
    policies
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_sequence().unwrap())
        .cloned()
        .collect()
}

#[test]
fn every_function_is_built_logged_and_permitted_by_what_stands_here() {
    let template = template();
    for (name, function) in functions(&template) {
        let build = &function["Metadata"]["BuildMethod"];
        assert_eq!(build, "rust-cargolambda", "{name}");
        let properties = &function["Properties"];
        let group = target(&properties["LoggingConfig"]["LogGroup"]);
        let group = &template["Resources"][group.as_str()];
        assert_eq!(group["Type"], "AWS::Logs::LogGroup", "{name}");
        let called = &group["Properties"]["LogGroupName"];
        let expected = format!("/aws/lambda/${{AWS::StackName}}-{}", folder(&function));
        assert_eq!(texts(called), [expected], "{name}");
        let role = target(&properties["Role"]);
        assert_eq!(
            template["Resources"][role.as_str()]["Type"],
            "AWS::IAM::Role",
            "{name}: SAM's own role has wildcards"
        );
        assert!(properties["Policies"].is_null(), "{name}: in its role");
    }
    for (name, group) in resources(&template, "AWS::Logs::LogGroup") {
        let days = &group["Properties"]["RetentionInDays"];
        assert!(!days.is_null(), "{name} keeps its lines for ever");
    }
}

#[test]
fn roles_grant_no_more_than_is_used() {
    let template = template();
    for (name, role) in resources(&template, "AWS::IAM::Role") {
        let managed = &role["Properties"]["ManagedPolicyArns"];
        assert!(managed.is_null(), "{name}: what AWS manages has wildcards");
    }
    for (name, function) in functions(&template) {
        for statement in statements(&template, &function) {
            let actions = texts(&statement["Action"]);
            let of_table: BTreeSet<&str> = actions
                .iter()
                .map(String::as_str)
                .filter(|action| action.starts_with("dynamodb:"))
                .collect();
            if is_door(&function) {
                let more: Vec<_> = of_table.difference(&DOOR_MAY.into()).copied().collect();
                assert!(more.is_empty(), "{name} is a door: {more:?}");
            }
            if folder(&function) != "deliver" {
                for erasing in ["dynamodb:Scan", "dynamodb:DeleteItem"] {
                    assert!(!of_table.contains(erasing), "{name}: erasure is deliver's");
                }
            }
            for text in actions.into_iter().chain(texts(&statement["Resource"])) {
                // AWS ends a secret's ARN with six characters of its own.
                let plain = text.strip_suffix("-??????").unwrap_or(&text);
                let secret = plain.len() == text.len() || plain.contains(":secret:");
                assert!(secret && !plain.contains(['*', '?']), "{name}: {text}");
            }
        }
    }
}

/// The operations on the table that a function's role permits, `putitem`, those on its stream left out.
fn permitted(function: &str) -> BTreeSet<String> {
    let of_stream = [
        "describestream",
        "getrecords",
        "getsharditerator",
        "liststreams",
    ];
    let template = template();
    let function = &template["Resources"][function];
    statements(&template, function)
        .iter()
        .flat_map(|statement| texts(&statement["Action"]))
        .filter_map(|action| action.strip_prefix("dynamodb:").map(str::to_lowercase))
        .filter(|action| !of_stream.contains(&action.as_str()))
        .collect()
}

/// Every sample of a door's folder, in order, and when it comes.
fn samples(folder: &str) -> Vec<(jiff::Timestamp, lambda_http::Request)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join("events").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    paths.sort();
    let sample = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let at = json["requestContext"]["timeEpoch"].as_i64().unwrap();
        let payload: Payload = serde_json::from_str(&text).unwrap();
        let at = jiff::Timestamp::from_millisecond(at).unwrap();
        (at, payload.into_request())
    };
    paths.into_iter().map(sample).collect()
}

/// A local stack lets every role do everything: a permission that is missing would first be missed on AWS.
#[tokio::test]
async fn a_door_asks_for_what_its_role_permits_and_for_all_of_it() {
    let proxy = testkit::Proxy::start(testkit::Engine::shared().endpoint()).await;
    let secrets = || SecretsProvider::Fixed(shared::sources::demo::secrets());
    let clock = shared::clock::Clock::manual(testkit::start());
    let store = testkit::store_at(proxy.endpoint(), clock.clone()).await;
    let asked = || proxy.take_operations().into_iter().collect::<BTreeSet<_>>();

    asked();
    let app = orders::App::start(store.clone(), secrets()).await;
    for (at, request) in samples("orders") {
        clock.advance(at.duration_since(clock.now()));
        assert_eq!(app.handle(request).await.status(), 200);
    }
    assert_eq!(asked(), permitted("Orders"));

    let app = appointments::App::start(store.clone(), secrets()).await;
    for (at, request) in samples("appointments") {
        clock.advance(at.duration_since(clock.now()));
        assert_eq!(app.handle(request).await.status(), 200);
    }
    assert_eq!(asked(), permitted("Appointments"));

    let app = callbell_door::App::start(store, secrets()).await;
    for (at, request) in samples("callbell") {
        clock.advance(at.duration_since(clock.now()));
        assert_eq!(app.handle(request).await.status(), 200);
    }
    assert_eq!(asked(), permitted("Callbell"));
}

#[tokio::test]
async fn renew_asks_for_what_its_role_permits_and_for_all_of_it() {
    use cli::standin::apis::google_calendar::GoogleCalendar;
    use cli::standin::{StandIn, apis::Apis};
    use shared::store::Channel;

    let proxy = testkit::Proxy::start(testkit::Engine::shared().endpoint()).await;
    let clock = shared::clock::Clock::manual(testkit::start());
    let store = testkit::store_at(proxy.endpoint(), clock.clone()).await;
    let stand_in = StandIn::new(clock.clone(), engine::phone::identity, None).unwrap();
    let google = std::sync::Arc::new(GoogleCalendar::default());
    let apis = Apis::new(vec![google.clone()], stand_in);
    let listener = cli::net::Loopback::bind(0).await.unwrap();
    let address = format!("http://127.0.0.1:{}", listener.port().unwrap());
    let router = apis.router();
    let app = router.into_make_service_with_connect_info::<cli::net::Cut>();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let secret = r#"{"client_id": "c", "client_secret": "s", "refresh_token": "r"}"#;
    let secrets = |value: &str| {
        let mut secrets = shared::secrets::Secrets::default();
        secrets.insert("google-calendar", shared::secrets::Secret::new(value));
        SecretsProvider::Fixed(secrets)
    };
    let app = renew::App::new(
        store.clone(),
        secrets(secret),
        secrets("token"),
        renew::Urls {
            providers: Some(address),
            callbell: None,
        },
    );
    let app = app.unwrap();
    let deadline = clock.now() + jiff::SignedDuration::from_mins(1);
    assert_eq!(app.run(deadline).await.unwrap().calendars, 0);

    let name = "google-calendar";
    let door = "https://example.com/appointments/google-calendar";
    store
        .connect_calendar(name, "studio@example.com", door)
        .await
        .unwrap();
    let ends = Channel {
        id: "about to end".to_owned(),
        resource: "r".to_owned(),
        expires_at: clock.now() + jiff::SignedDuration::from_hours(47),
    };
    store.change_channel(name, None, &ends).await.unwrap();
    proxy.take_operations();
    for renewed in [1, 0] {
        let report = app.run(deadline).await.unwrap();
        assert_eq!(
            (report.calendars, report.renewed, report.failing),
            (1, renewed, 0)
        );
    }
    let asked: BTreeSet<_> = proxy.take_operations().into_iter().collect();
    assert_eq!(asked, permitted("Renew"));
    // The one before was stopped, and forgotten; the new one lives.
    let cursor = store.cursor(name).await.unwrap().unwrap();
    assert_eq!(cursor.old_channel, None);
    let live = google.channels(clock.now());
    assert_eq!(
        live,
        cursor
            .channel
            .map(|channel| channel.id)
            .into_iter()
            .collect::<Vec<_>>()
    );
    // An hour and a day are asked about once.
    let events = store
        .list_events(&shared::store::EventFilter::default(), None)
        .await
        .unwrap()
        .0;
    assert_eq!(events.len(), 2);
}

/// A message that a rule answers, and Callbell that is not there: everything but the sending.
#[tokio::test]
async fn reply_asks_for_what_its_role_permits_and_for_all_of_it() {
    let proxy = testkit::Proxy::start(testkit::Engine::shared().endpoint()).await;
    let clock = shared::clock::Clock::manual(testkit::start());
    let store = testkit::store_at(proxy.endpoint(), clock.clone()).await;
    let file = r#"
[channel.br]
uuid = "35f6f8ccb5504278a2ea099f3a4e0733"
[message.menu]
text = "Menu"
[reply.balcao]
otherwise = "menu"
[automation.balcao]
on    = "message.received"
reply = "balcao"
"#;
    let connections = shared::connections::Connections::default();
    store.push_config(file, "[]", &connections).await.unwrap();
    let at = clock.now().to_string();
    let event = serde_json::json!({
        "event": {"name": "message.received", "source": "callbell", "kind": "callbell", "id": "m", "at": at},
        "customer": {"phones": [{"path": "contact.phoneNumber", "number": "+5511987654321"}], "tags": []},
        "subject": {"kind": "message", "id": "m", "as_of": at, "created_at": at, "state": "open", "fresh": "dated"},
        "message": {"text": "oi", "kind": "text", "status": "received", "at": at},
        "contact": {"id": "c", "name": "Maria", "channel": "br", "channel_kind": "whatsapp"},
    });
    store
        .put_event(serde_json::from_value(event).unwrap())
        .await
        .unwrap();
    let secrets = || {
        let mut secrets = shared::secrets::Secrets::default();
        secrets.insert("callbell", shared::secrets::Secret::new("token"));
        SecretsProvider::Fixed(secrets)
    };
    let settings = || deliver::Settings {
        callbell_url: Some("http://127.0.0.1:1/v1".to_owned()),
        ..deliver::Settings::default()
    };
    let deadline = || clock.now() + jiff::SignedDuration::from_secs(90);
    let records = async |lane: &str| -> Vec<serde_json::Value> {
        let rows = testkit::lane_of(testkit::Engine::shared(), &store, lane).await;
        let record = |row: &shared::store::RowKey| serde_json::json!({"dynamodb": {"Keys": {"pk": {"S": row.pk()}}}});
        rows.iter().map(record).collect()
    };
    let app = deliver::App::start(store.clone(), secrets(), settings())
        .await
        .unwrap();
    let new = records(shared::store::LANE_SEND).await;
    app.on_stream(&new, deadline()).await;

    let chat = records(shared::store::LANE_CHAT).await;
    assert_eq!(chat.len(), 1);
    proxy.take_operations();
    let app = reply::App::start(store.clone(), secrets(), settings())
        .await
        .unwrap();
    let report = app.on_stream(&chat, deadline()).await;
    assert_eq!(
        report.jobs,
        [(shared::store::Status::Due, 1)].into(),
        "tried"
    );
    let asked: BTreeSet<_> = proxy.take_operations().into_iter().collect();
    assert_eq!(asked, permitted("Reply"));
}

#[test]
fn the_worker_may_do_what_the_store_can_and_no_more() {
    let operations = [
        "get_item",
        "put_item",
        "update_item",
        "delete_item",
        "batch_get_item",
        "batch_write_item",
        "transact_get_items",
        "transact_write_items",
        "query",
        "scan",
    ];
    let code: String = sources(&root().join("shared/src/store"))
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let used = operations
        .iter()
        .filter(|operation| code.contains(&format!(".{operation}()")))
        .map(|operation| operation.replace('_', ""));
    assert_eq!(used.collect::<BTreeSet<_>>(), permitted("Deliver"));
}

#[test]
fn every_route_has_its_url_among_the_outputs() {
    let template = template();
    let urls = texts(&template["Outputs"]);
    let routes = cli::dev::routes::read(&read("template.yaml")).unwrap();
    assert!(!routes.is_empty());
    for route in routes {
        let ending = format!(".${{AWS::URLSuffix}}{}", route.path);
        assert!(urls.iter().any(|url| url.ends_with(&ending)), "{ending}");
    }
}

/// The variables of all functions together, and of each.
fn variables(template: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names = |value: &Value| -> BTreeSet<String> {
        let names = value["Environment"]["Variables"].as_mapping();
        names
            .into_iter()
            .flat_map(|map| map.keys())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let of_all = names(&template["Globals"]["Function"]);
    functions(template)
        .values()
        .map(|function| (folder(function), &of_all | &names(&function["Properties"])))
        .collect()
}

#[test]
fn the_template_sets_the_variables_that_the_code_reads_and_no_others() {
    let env = read("shared/src/env.rs");
    let code = env.split("#[cfg(test)]").next().unwrap();
    let read: BTreeSet<String> = code
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            text.contains('_') && text.chars().all(|c| c == '_' || c.is_ascii_uppercase())
        })
        // Lambda sets these itself, and a local stack those of its endpoints.
        .filter(|name| !name.starts_with("AWS_"))
        .map(str::to_owned)
        .collect();
    let template = template();
    let by_function = variables(&template);
    let set: BTreeSet<String> = by_function.values().flatten().cloned().collect();
    assert_eq!(set, read, "template.yaml against shared/src/env.rs");
    for function in functions(&template).values() {
        let name = folder(function);
        // A channel is made with a webhook secret, by the right of an API secret.
        let expected: &[&str] = match name.as_str() {
            "renew" => &["API_SECRETS", "WEBHOOK_SECRETS"],
            _ if is_door(function) => &["WEBHOOK_SECRETS"],
            _ => &["API_SECRETS"],
        };
        let secrets: Vec<&str> = by_function[&name]
            .iter()
            .map(String::as_str)
            .filter(|name| name.ends_with("_SECRETS"))
            .collect();
        assert_eq!(secrets, expected, "{name}");
    }
}

#[test]
fn no_variable_refers_to_the_api_which_refers_to_the_functions() {
    let template = template();
    let of_all = &template["Globals"]["Function"]["Environment"];
    let of_each = functions(&template);
    let of_each = of_each
        .values()
        .map(|function| &function["Properties"]["Environment"]);
    for text in of_each.chain([of_all]).flat_map(texts) {
        let refers = text == "Api" || text.starts_with("Api.") || text.contains("${Api");
        assert!(!refers, "{text}: a cycle; take URLs from the request");
    }
}

#[test]
fn the_table_survives_the_stack_and_its_mistakes() {
    let template = template();
    let table = &template["Resources"]["Table"];
    assert_eq!(table["DeletionPolicy"], "Retain");
    assert_eq!(table["UpdateReplacePolicy"], "Retain");
    let properties = &table["Properties"];
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(properties["DeletionProtectionEnabled"], true);
    let recovery = &properties["PointInTimeRecoverySpecification"];
    assert_eq!(recovery["PointInTimeRecoveryEnabled"], true);
    assert_eq!(recovery["RecoveryPeriodInDays"], 7);
    assert!(
        properties["TableName"].is_null(),
        "a replacement needs another"
    );
}

#[test]
fn nothing_is_repeated_that_the_next_minute_makes_up_for() {
    let template = template();
    let deliver = &template["Resources"]["Deliver"]["Properties"];
    let minute = &deliver["Events"]["Minute"]["Properties"];
    for setting in [&minute["RetryPolicy"], &deliver["EventInvokeConfig"]] {
        assert_eq!(setting["MaximumRetryAttempts"], 0);
        assert_eq!(setting["MaximumEventAgeInSeconds"], 60);
    }
    assert_eq!(minute["OmitName"], true, "two stacks share an account");
    let renew = &template["Resources"]["Renew"]["Properties"];
    let hour = &renew["Events"]["Hour"]["Properties"];
    for setting in [&hour["RetryPolicy"], &renew["EventInvokeConfig"]] {
        assert_eq!(setting["MaximumRetryAttempts"], 0);
    }
    assert_eq!(hour["OmitName"], true, "two stacks share an account");
    let reply = &template["Resources"]["Reply"]["Properties"];
    for (function, batch, at_once) in [(deliver, 25, 1), (reply, 10, 4)] {
        let stream = &function["Events"]["Stream"]["Properties"];
        assert_eq!(stream["StartingPosition"], "TRIM_HORIZON");
        assert_eq!(stream["BatchSize"], batch);
        assert_eq!(stream["ParallelizationFactor"], at_once);
        assert_eq!(stream["MaximumRetryAttempts"], 2);
        assert_eq!(stream["MaximumRecordAgeInSeconds"], 300);
    }
}

#[test]
fn the_access_log_has_no_path() {
    let template = template();
    let api = &template["Resources"]["Api"]["Properties"];
    let format = api["AccessLogSettings"]["Format"].as_str().unwrap();
    let format: serde_json::Value = serde_json::from_str(format).unwrap();
    let allowed = [
        "$context.requestId",
        "$context.routeKey",
        "$context.status",
        "$context.responseLatency",
        "$context.integrationErrorMessage",
    ];
    for value in format.as_object().unwrap().values() {
        assert!(allowed.contains(&value.as_str().unwrap()), "{value}");
    }
    let group = target(&api["AccessLogSettings"]["DestinationArn"]);
    let name = &template["Resources"][group.as_str()]["Properties"]["LogGroupName"];
    assert!(texts(name)[0].starts_with("/aws/vendedlogs/"));
}

#[test]
fn every_alarm_has_a_page_of_the_runbook_and_every_page_an_alarm() {
    let template = template();
    let mut pages = BTreeSet::new();
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        let called = texts(&properties["AlarmName"]).remove(0);
        assert!(called.starts_with("${AWS::StackName}-"), "{name}: {called}");
        let description = properties["AlarmDescription"].as_str().unwrap();
        let (_, page) = description
            .rsplit_once(" See docs/runbook/")
            .unwrap_or_else(|| panic!("{name}: its description ends in `See docs/runbook/….md`"));
        pages.insert(page.strip_suffix(".md").unwrap().to_owned());
        assert_eq!(texts(&properties["AlarmActions"]), ["Alarms"], "{name}");
        assert!(!properties["TreatMissingData"].is_null(), "{name}");
        assert!(properties["Metrics"].is_null(), "{name}: no metric math");
    }
    let there: BTreeSet<String> = runbook().into_keys().collect();
    let expected: BTreeSet<String> = pages
        .into_iter()
        .chain(OTHER_PAGES.map(str::to_owned))
        .collect();
    assert_eq!(
        there, expected,
        "docs/runbook against the alarms of template.yaml"
    );
    let contents = read("docs/runbook/README.md");
    for page in there.iter().filter(|page| *page != "README") {
        assert!(contents.contains(&format!("[{page}]({page}.md)")), "{page}");
    }
}

#[test]
fn alarms_go_by_metrics_that_are_printed() {
    let template = template();
    let mut of_ours = BTreeSet::new();
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        if properties["Namespace"] != telemetry::NAMESPACE {
            let namespace = properties["Namespace"].as_str().unwrap();
            assert!(namespace.starts_with("AWS/"), "{name}: {namespace}");
            continue;
        }
        of_ours.insert(properties["MetricName"].as_str().unwrap().to_owned());
        let dimensions = properties["Dimensions"].as_sequence().unwrap();
        assert_eq!(dimensions.len(), 1, "{name}");
        assert_eq!(dimensions[0]["Name"], telemetry::DIMENSION, "{name}");
        assert_eq!(texts(&dimensions[0]["Value"]), ["AWS::StackName"], "{name}");
    }
    let printed: BTreeSet<String> = telemetry::METRICS.map(str::to_owned).into();
    let unknown: Vec<_> = of_ours.difference(&printed).collect();
    assert!(unknown.is_empty(), "nobody prints {unknown:?}");
    // A metric without an alarm is paid for by its curve alone.
    let unwatched: Vec<_> = printed.difference(&of_ours).collect();
    assert_eq!(unwatched, ["JobsSent"]);
}

/// The pages of the runbook, by name.
fn runbook() -> BTreeMap<String, String> {
    fs::read_dir(root().join("docs/runbook"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|file| {
            let text = read(&format!("docs/runbook/{file}"));
            (file.strip_suffix(".md").unwrap().to_owned(), text)
        })
        .collect()
}

/// The lines of a page's code, fenced with this language or with any, and what stands between backticks.
fn code_of(page: &str) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut queries) = (Vec::new(), Vec::new());
    let mut fence = None;
    for line in page.lines() {
        match (line.trim().strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (None, Some("logs")) => queries.push(line.trim().to_owned()),
            (None, Some(_)) => lines.push(line.trim().to_owned()),
            (None, None) => lines.extend(line.split('`').skip(1).step_by(2).map(str::to_owned)),
        }
    }
    (lines, queries)
}

#[test]
fn the_runbook_s_commands_can_be_typed() {
    let mut wrong = Vec::new();
    for (page, text) in runbook() {
        for line in code_of(&text).0 {
            let command = line.split([';', '|', '>', '#']).next().unwrap_or_default();
            if !command.starts_with("callbell ") {
                continue;
            }
            let typed = cli::args::Cli::command().try_get_matches_from(command.split_whitespace());
            if let Err(error) = typed {
                wrong.push(format!("{page}: {command}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_restore_leaves_no_parameter_to_its_default() {
    let page = read("docs/runbook/restore.md");
    let template = template();
    for name in template["Parameters"].as_mapping().unwrap().keys() {
        let name = name.as_str().unwrap();
        assert!(page.contains(&format!("ParameterKey={name},")), "{name}");
    }
}

/// Words of a query that name a field of our own lines: those with a dot.
fn fields(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || "._@".contains(c)))
        .filter(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[test]
fn the_runbook_s_queries_ask_for_what_is_logged() {
    let code: String = ["shared/src", "engine/src", "functions"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let access_log = template()["Resources"]["Api"]["Properties"]["AccessLogSettings"]["Format"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut wrong = Vec::new();
    for (page, text) in runbook() {
        for query in code_of(&text).1 {
            for field in fields(&query) {
                let logged = code.contains(&format!("{field} ="))
                    || access_log.contains(&format!("\"{field}\""));
                if !logged {
                    wrong.push(format!("{page}: nobody logs {field}"));
                }
            }
            let outcomes = query
                .split_once("outcome =")
                .or(query.split_once("outcome in"));
            let outcomes = outcomes.map_or("", |(_, behind)| behind.split(" or ").next().unwrap());
            for outcome in outcomes.split('"').skip(1).step_by(2) {
                if !code.contains(&format!("\"{outcome}\"")) {
                    wrong.push(format!("{page}: nothing has the outcome {outcome}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// Each dependency of a function with its features, as a function built from its own folder gets them.
fn features(function: &str) -> BTreeMap<String, BTreeSet<String>> {
    let arguments = [
        "tree",
        "--locked",
        "--offline",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
        "--target",
        "x86_64-unknown-linux-gnu",
        "--package",
        function,
    ];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line = line.strip_suffix(" (*)").unwrap_or(line);
        let (name, features) = line.split_once('|').unwrap();
        let features = features.split(',').filter(|feature| !feature.is_empty());
        found
            .entry(name.to_owned())
            .or_default()
            .extend(features.map(str::to_owned));
    }
    found
}

#[test]
fn functions_share_the_features_of_their_dependencies() {
    let all: Vec<(String, _)> = functions(&template())
        .values()
        .map(|function| (folder(function), features(&folder(function))))
        .collect();
    let mut wrong = Vec::new();
    for (one, of_one) in &all {
        for (other, of_other) in &all {
            for (name, features) in of_one {
                let Some(others) = of_other.get(name) else {
                    continue;
                };
                let more: Vec<_> = features.difference(others).collect();
                if !more.is_empty() {
                    wrong.push(format!("{name}: {one} asks for {more:?}, {other} does not"));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "sam build compiles these once more, and all that stands on them. Ask for the same features in \
         the workspace's Cargo.toml, and where a function does not depend on the crate by itself, add it \
         to the list at the end of shared/Cargo.toml: {wrong:#?}"
    );
}
