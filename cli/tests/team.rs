//! What tells a team and what keeps people in Callbell: `[contact.x]`, `[slack.x]`, `[sheet.x]` and
//! `[webhook.x]`, each against its stand-in.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cli::net::{Cut, Loopback};
use cli::standin::apis::{Apis as Providers, Connectable, Told};
use cli::standin::contacts::FieldType;
use cli::standin::rules::Channel;
use cli::standin::{AccountData, StandIn, faults};
use engine::actions::contact::{self, Applied, Change, Expect, Lists, Office, Person, Written};
use engine::actions::deed::{ActError, Desk, Done};
use engine::actions::tokens::Tokens;
use engine::actions::{sheet, slack, webhook};
use engine::apis::Apis;
use engine::automations::model::{Bot, ChannelKind, OpenOrClose};
use engine::callbell::{Callbell, Limits};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::secrets::Secret;
use tokio::task::JoinHandle;

const PHONE: &str = "+5511987654321";
const BSUID: &str = "BR.1029384756";
const TOKEN: &str = "callbell-token";
const JOB: &str = "0123456789abcdef0123456789abcdef";
/// Short, for a test that waits for one.
const LIMITS: Limits = Limits {
    connect: Duration::from_millis(150),
    request: Duration::from_millis(400),
};

/// A world of its own for each test: the stand-ins on a port, and a clock that stands still.
struct World {
    clock: Clock,
    stand_in: StandIn,
    told: Told,
    base: String,
    apis: Apis,
    tokens: Tokens,
    lists: Lists,
    expected: Expected,
    server: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Takes down what is about to be written.
#[derive(Default)]
struct Expected(Mutex<Vec<Written>>);

impl Expect for Expected {
    fn expect<'a>(
        &'a self,
        written: &'a Written,
    ) -> Pin<Box<dyn Future<Output = Result<(), ActError>> + Send + 'a>> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(written.clone());
        Box::pin(async { Ok(()) })
    }
}

fn channel(digit: &str) -> Channel {
    Channel {
        uuid: digit.repeat(32),
        title: digit.to_owned(),
        kind: "whatsapp".to_owned(),
    }
}

fn account() -> AccountData {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let fields = [
        ("Cidade", FieldType::Text),
        ("Idade", FieldType::Number),
        ("Nascimento", FieldType::Date),
        ("Correio", FieldType::Email),
        ("Plano", FieldType::Dropdown(texts(&["Ouro", "Prata"]))),
        ("Interesses", FieldType::Checkbox(texts(&["a", "b", "c"]))),
    ];
    AccountData {
        tokens: texts(&[TOKEN]),
        channels: vec![channel("a"), channel("b")],
        teams: texts(&["Vendas", "Suporte"]),
        funnels: texts(&["Novo", "Ganho"]),
        tags: texts(&["Lead", "vip", "antigo"]),
        fields: fields
            .into_iter()
            .map(|(name, kind)| (name.to_owned(), kind))
            .collect(),
        users: texts(&["ana@example.com", "bia@example.com"]),
        ..AccountData::default()
    }
}

impl World {
    async fn start() -> World {
        let clock = Clock::manual("2026-11-24T15:00:00Z".parse().unwrap());
        let stand_in = StandIn::new(clock.clone(), engine::phone::identity, None).unwrap();
        stand_in.set_account(account());
        let told = Told::default();
        let all = [told.all(), Connectable::default().all()].concat();
        let providers = Providers::new(all, stand_in.clone());
        let listener = Loopback::bind(0).await.unwrap();
        let base = format!("http://127.0.0.1:{}", listener.port().unwrap());
        let app = axum::Router::new()
            .nest("/v1", stand_in.router())
            .nest("/_apis", providers.router())
            .into_make_service_with_connect_info::<Cut>();
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.unwrap();
        });
        World {
            apis: Apis::new(Some(&format!("{base}/_apis"))).unwrap(),
            clock,
            stand_in,
            told,
            base,
            tokens: Tokens::default(),
            lists: Lists::default(),
            expected: Expected::default(),
            server,
        }
    }

    fn faults(&self, system: &str, list: &[Value]) {
        let list = list.iter().map(|fault| faults::read(fault).unwrap());
        self.stand_in.set_faults_of(system, list.collect());
    }

    fn desk<'a>(&'a self, secrets: &'a [Secret]) -> Desk<'a> {
        Desk {
            apis: &self.apis,
            secrets,
            tokens: &self.tokens,
            job: JOB,
            now: self.clock.now(),
        }
    }

    fn callbell(&self, token: &str, limits: Limits) -> Callbell {
        Callbell::with_limits(&format!("{}/v1", self.base), &Secret::new(token), limits).unwrap()
    }

    async fn apply(&self, person: Person<'_>, change: &Change) -> Result<Applied, ActError> {
        let callbell = self.callbell(TOKEN, Limits::default());
        contact::apply(&callbell, person, change, self.office()).await
    }

    fn office(&self) -> Office<'_> {
        Office {
            lists: &self.lists,
            expect: &self.expected,
            now: self.clock.now(),
        }
    }

    /// What was done, and to whom.
    async fn done(&self, person: Person<'_>, change: &Change, what: &str) -> String {
        match self.apply(person, change).await.map(|applied| applied.done) {
            Ok(Done::Done {
                id: Some(id),
                what: found,
            }) if found == what => id,
            other => panic!("{other:?}, not {what}"),
        }
    }

    async fn person(&self, uuid: &str) -> Value {
        let callbell = self.callbell(TOKEN, Limits::default());
        let contact = callbell.contact(uuid, true).await.unwrap().unwrap();
        Value::Object(contact.json)
    }

    /// Changes that Callbell was asked for since the last time: method and path without the number.
    fn asked(&self, since: &mut usize) -> Vec<String> {
        let requests = self.stand_in.requests();
        let new = requests.iter().skip(*since);
        let changes = new.filter(|request| request["method"] != "GET");
        let told = changes.map(|request| {
            let path = request["path"].as_str().unwrap();
            let part = |part: &str| match part.len() {
                32 => "*".to_owned(),
                _ => part.to_owned(),
            };
            let path: Vec<String> = path.split('/').map(part).collect();
            format!(
                "{} {} {}",
                request["method"].as_str().unwrap(),
                path.join("/"),
                request["status"]
            )
        });
        let told = told.collect();
        *since = requests.len();
        told
    }

    fn events(&self) -> Vec<Value> {
        let told = self.stand_in.told();
        told.iter().map(|event| event["event"].clone()).collect()
    }
}

fn maria() -> Person<'static> {
    Person {
        id: None,
        phone: Some(PHONE),
        bsuid: None,
        name: Some("Maria da Silva"),
        channel: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        kind: ChannelKind::Whatsapp,
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn fields(list: &[(&str, Value)]) -> BTreeMap<String, Value> {
    let own = list.iter();
    own.map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// A change of everything.
fn whole() -> Change {
    Change {
        name: some("Maria Rossi"),
        email: some("maria@example.com"),
        note: some("prefers mornings"),
        tags: texts(&["Lead"]),
        fields: fields(&[
            ("Cidade", json!("São Paulo")),
            ("Idade", json!(42)),
            ("Nascimento", json!("1984-05-03")),
            ("Plano", json!("Ouro")),
            ("Interesses", json!(["a", "c"])),
        ]),
        assign: some("ana@example.com"),
        team: some("Vendas"),
        funnel: some("Novo"),
        bot: Some(Bot::End),
        conversation: Some(OpenOrClose::Close),
        ..Change::default()
    }
}

#[tokio::test]
async fn a_person_is_made_once_and_then_only_what_differs_is_written() {
    let world = World::start().await;
    let mut since = 0;
    let uuid = world.done(maria(), &whole(), "created").await;
    assert_eq!(
        world.asked(&mut since),
        [
            "POST /contacts 201",
            "PATCH /contacts/* 200",
            "PUT /contacts/*/conversation/update_funnel 200",
            "POST /contacts/*/conversation/close 200",
        ]
    );
    let person = world.person(&uuid).await;
    assert_eq!(person["name"], "Maria Rossi");
    assert_eq!(person["note"], "prefers mornings");
    assert_eq!(person["tags"], json!(["Lead"]));
    assert_eq!(person["assignedUser"], "ana@example.com");
    assert_eq!(person["team"]["name"], "Vendas");
    assert!(person["funnelId"].is_string() && person["closedAt"].is_string());
    let expected = json!({
        "Cidade": "São Paulo", "Idade": "42", "Nascimento": "1984-05-03", "Plano": "Ouro",
        "Interesses": "[\"a\",\"c\"]", "Correio": "maria@example.com",
    });
    assert_eq!(person["customFields"], expected);

    assert_eq!(world.done(maria(), &whole(), "unchanged").await, uuid);
    assert_eq!(world.asked(&mut since), Vec::<String>::new());

    let other = Change {
        tags: texts(&["VIP", "lead"]),
        remove_tags: texts(&["antigo"]),
        fields: fields(&[("Cidade", json!("Campinas")), ("Plano", json!("Ouro"))]),
        conversation: Some(OpenOrClose::Open),
        bot: Some(Bot::Start),
        ..Change::default()
    };
    assert_eq!(world.done(maria(), &other, "updated").await, uuid);
    assert_eq!(
        world.asked(&mut since),
        [
            "PATCH /contacts/* 200",
            "POST /contacts/*/conversation/open 200"
        ]
    );
    let person = world.person(&uuid).await;
    assert_eq!(person["tags"], json!(["Lead", "VIP"]));
    assert_eq!(person["customFields"]["Cidade"], "Campinas");
    assert_eq!(person["customFields"]["Idade"], "42", "the others stay");
    assert_eq!(person["closedAt"], Value::Null);
    assert_eq!(world.events().first(), Some(&json!("contact_created")));
}

#[tokio::test]
async fn tags_are_merged_and_taken_away() {
    let world = World::start().await;
    let with = |add: &[&str], remove: &[&str]| Change {
        tags: texts(add),
        remove_tags: texts(remove),
        ..Change::default()
    };
    let uuid = world
        .done(maria(), &with(&["Lead", "antigo"], &[]), "created")
        .await;
    let rows = [
        (
            with(&["vip"], &[]),
            "updated",
            json!(["Lead", "antigo", "vip"]),
        ),
        (
            with(&["lead"], &["other"]),
            "unchanged",
            json!(["Lead", "antigo", "vip"]),
        ),
        (with(&[], &["ANTIGO"]), "updated", json!(["Lead", "vip"])),
        (with(&["vip"], &["vip", "Lead"]), "updated", json!([])),
    ];
    for (change, what, expected) in rows {
        world.done(maria(), &change, what).await;
        assert_eq!(world.person(&uuid).await["tags"], expected);
    }
}

#[tokio::test]
async fn our_own_writes_are_told_before_they_leave_and_taken_back_where_callbell_refuses() {
    let world = World::start().await;
    let uuid = world
        .done(
            maria(),
            &Change {
                tags: texts(&["Lead"]),
                ..Change::default()
            },
            "created",
        )
        .await;
    let taken = || std::mem::take(&mut *world.expected.0.lock().unwrap());
    assert_eq!(taken(), [], "who is made is news");
    let change = Change {
        tags: texts(&["vip"]),
        team: some("Suporte"),
        ..Change::default()
    };
    let applied = world.apply(maria(), &change).await.unwrap();
    let told = taken();
    assert_eq!(applied.written, told);
    assert_eq!(told[0].contact, uuid);
    assert_eq!(
        Value::Object(told[0].values.clone()),
        json!({"tags": ["Lead", "vip"], "team": "Suporte"})
    );
    let unknown = Change {
        tags: texts(&["other"]),
        ..Change::default()
    };
    let refused = world.apply(maria(), &unknown).await.unwrap_err();
    assert_eq!(
        refused,
        ActError::Rejected("Callbell 422: tags other does not exist".to_owned())
    );
    let values: Vec<Value> = taken().iter().map(|told| json!(told.values)).collect();
    assert_eq!(
        values,
        [
            json!({"tags": ["Lead", "vip", "other"]}),
            json!({"tags": ["Lead", "vip"]})
        ]
    );
}

#[tokio::test]
async fn a_person_is_found_on_the_right_channel_or_by_what_is_known_best() {
    let world = World::start().await;
    let nothing = Change::default();
    let here = world.done(maria(), &nothing, "created").await;
    let there = Person {
        channel: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        ..maria()
    };
    let other = world.done(there, &nothing, "created").await;
    assert_ne!(here, other);
    let hidden = world
        .stand_in
        .person_writes(BSUID, maria().channel, "whatsapp", None)
        .unwrap();
    let hidden = hidden["uuid"].as_str().unwrap();
    let by_bsuid = Person {
        phone: None,
        bsuid: Some(BSUID),
        ..maria()
    };
    assert_eq!(world.done(by_bsuid, &nothing, "unchanged").await, hidden);
    let by_id = Person {
        id: Some(&other),
        ..maria()
    };
    assert_eq!(world.done(by_id, &nothing, "unchanged").await, other);
    let gone = Person {
        id: Some("00000000000000000000000000000000"),
        ..maria()
    };
    assert_eq!(world.done(gone, &nothing, "unchanged").await, here);
}

#[tokio::test]
async fn what_is_not_to_be_done_is_skipped() {
    let world = World::start().await;
    let only = |create, update| Change {
        name: some("Other"),
        create,
        update,
        ..Change::default()
    };
    let nobody = Person {
        phone: None,
        ..maria()
    };
    let stranger = Person {
        bsuid: Some(BSUID),
        ..nobody
    };
    let rows = [
        (maria(), only(false, true), "the person is not in Callbell"),
        (nobody, only(true, true), "no phone number"),
        (
            stranger,
            only(true, true),
            "the person is not in Callbell, and nobody is made without a phone number",
        ),
    ];
    for (person, change, why) in rows {
        let applied = world.apply(person, &change).await.unwrap();
        assert_eq!(applied.done, Done::Skipped(why.to_owned()));
    }
    world.done(maria(), &only(true, false), "created").await;
    let applied = world.apply(maria(), &only(true, false)).await.unwrap();
    let why = "the person is in Callbell already";
    assert_eq!(applied.done, Done::Skipped(why.to_owned()));
    assert_eq!(world.events(), ["contact_created"]);
}

#[tokio::test]
async fn what_does_not_exist_or_fit_is_refused_naming_it() {
    let world = World::start().await;
    world.done(maria(), &Change::default(), "created").await;
    let field = |name: &str, value: Value| Change {
        fields: fields(&[(name, value)]),
        ..Change::default()
    };
    let rows = [
        (
            Change {
                team: some("Nobody"),
                ..Change::default()
            },
            "Callbell has no team called Nobody",
        ),
        (
            Change {
                funnel: some("Nowhere"),
                ..Change::default()
            },
            "Callbell has no funnel called Nowhere",
        ),
        (
            Change {
                note: Some("x".repeat(1_001)),
                ..Change::default()
            },
            "the note has more than 1000 characters",
        ),
        (
            field("Altura", json!("2")),
            "Callbell 422: custom_fields Altura does not exist",
        ),
        (
            field("Plano", json!("Bronze")),
            "Callbell 422: custom_fields Plano must be one of the available options",
        ),
        (
            field("Nascimento", json!("3/5/84")),
            "Callbell 422: custom_fields Nascimento must be a date like …",
        ),
        (
            Change {
                assign: some("nobody@example.com"),
                ..Change::default()
            },
            "Callbell 422: assigned_user user not found",
        ),
    ];
    for (change, why) in rows {
        let refused = world.apply(maria(), &change).await.unwrap_err();
        assert_eq!(refused, ActError::Rejected(why.to_owned()));
    }
}

#[tokio::test]
async fn two_who_make_one_person_make_one() {
    let world = World::start().await;
    let change = |tag: &str| Change {
        tags: texts(&[tag]),
        ..Change::default()
    };
    let (lead, vip) = (change("Lead"), change("vip"));
    let both = tokio::join!(world.apply(maria(), &lead), world.apply(maria(), &vip));
    let id = |applied: Result<Applied, ActError>| match applied.unwrap().done {
        Done::Done { id, .. } => id.unwrap(),
        Done::Skipped(why) => panic!("{why}"),
    };
    assert_eq!(id(both.0), id(both.1));
    let made = world.events();
    let made = made.iter().filter(|event| *event == "contact_created");
    assert_eq!(made.count(), 1);
}

#[tokio::test]
async fn a_person_who_comes_into_being_meanwhile_is_changed() {
    let world = World::start().await;
    let uuid = world.done(maria(), &Change::default(), "created").await;
    // The first look finds nobody, and making the person is refused: somebody else was faster.
    world.faults(
        "callbell",
        &[json!({"kind": "status", "status": 404, "on": "any"})],
    );
    let change = Change {
        tags: texts(&["Lead"]),
        ..Change::default()
    };
    let mut since = world.stand_in.requests().len();
    assert_eq!(world.done(maria(), &change, "updated").await, uuid);
    assert_eq!(
        world.asked(&mut since),
        ["POST /contacts 422", "PATCH /contacts/* 200"]
    );
}

#[tokio::test]
async fn a_refusal_without_anybody_there_stays_one() {
    let world = World::start().await;
    let change = Change {
        tags: texts(&["other"]),
        ..Change::default()
    };
    let refused = world.apply(maria(), &change).await.unwrap_err();
    let why = "Callbell 422: tags other does not exist";
    assert_eq!(refused, ActError::Rejected(why.to_owned()));
    assert!(world.events().is_empty());
}

#[tokio::test]
async fn callbell_s_failures_say_what_to_do_next() {
    let world = World::start().await;
    let change = Change {
        tags: texts(&["Lead"]),
        ..Change::default()
    };
    let status = |status: u16| json!({"kind": "status", "status": status, "on": "any"});
    type Is = fn(&ActError) -> bool;
    let rows: [(Value, Is); 5] = [
        (status(401), |error| matches!(error, ActError::Refused(_))),
        (status(403), |error| matches!(error, ActError::Refused(_))),
        (status(402), |error| matches!(error, ActError::Refused(_))),
        (status(429), |error| {
            matches!(error, ActError::Limited { .. })
        }),
        (status(503), |error| {
            matches!(error, ActError::Unavailable(_))
        }),
    ];
    for (fault, is) in rows {
        world.faults("callbell", std::slice::from_ref(&fault));
        let error = world.apply(maria(), &change).await.unwrap_err();
        assert!(is(&error), "{fault}: {error:?}");
    }
    let stranger = world.callbell("other", Limits::default());
    let refused = contact::apply(&stranger, maria(), &change, world.office()).await;
    assert!(matches!(refused, Err(ActError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_person_who_was_made_without_an_answer_is_made_once() {
    let world = World::start().await;
    let change = Change {
        tags: texts(&["Lead"]),
        ..Change::default()
    };
    let lost = [
        json!({"kind": "drop_after_accept", "on": "any"}),
        json!({"kind": "accept_then_status", "status": 502, "on": "any"}),
    ];
    for (lost, digit) in lost.into_iter().zip(["a", "b"]) {
        let channel = digit.repeat(32);
        let person = Person {
            channel: &channel,
            ..maria()
        };
        // The question passes, the making after it is lost.
        let passes = json!({"kind": "delay", "ms": 0, "on": "any"});
        world.faults("callbell", &[passes, lost]);
        let unknown = world.apply(person, &change).await;
        assert!(
            matches!(unknown, Err(ActError::Unavailable(_))),
            "{unknown:?}"
        );
        let uuid = world.done(person, &change, "unchanged").await;
        assert_eq!(world.person(&uuid).await["tags"], json!(["Lead"]));
    }
    assert_eq!(world.events(), ["contact_created", "contact_created"]);
}

fn secrets(list: &[&str]) -> Vec<Secret> {
    list.iter().map(|text| Secret::new(*text)).collect()
}

const HOOK: &str = "https://hooks.slack.com/services/T0/B0/good";
const DEAD_HOOK: &str = "https://hooks.slack.com/services/T0/B0/revoked";

impl World {
    async fn slack(
        &self,
        list: &[&str],
        channel: Option<&str>,
        text: &str,
    ) -> Result<Done, ActError> {
        let secrets = secrets(list);
        slack::post(self.desk(&secrets), slack::Line { text, channel }).await
    }
}

#[tokio::test]
async fn a_line_reaches_slack_by_webhook_or_by_bot() {
    let world = World::start().await;
    let text = format!("<!here> {}", slack::escape("<!channel> & co"));
    let posted = |id: Option<String>| {
        let what = "posted";
        Ok(Done::Done { id, what })
    };
    assert_eq!(world.slack(&[HOOK], None, &text).await, posted(None));
    let by_bot = world.slack(&["xoxb-good"], Some("#leads"), &text).await;
    let ts = format!("{}.000002", world.clock.now().as_second());
    assert_eq!(by_bot, posted(Some(ts)));
    let expected = "<!here> &lt;!channel&gt; &amp; co";
    assert_eq!(
        world.told.slack.lines(),
        [
            json!({"channel": null, "text": expected}),
            json!({"channel": "#leads", "text": expected})
        ]
    );
    let requests = world.stand_in.requests();
    let body = &requests[1]["body"];
    assert_eq!(
        body["client_msg_id"],
        "01234567-89ab-cdef-0123-456789abcdef"
    );
    // The old value of a secret that is being replaced.
    assert_eq!(
        world.slack(&[DEAD_HOOK, HOOK], None, "x").await,
        posted(None)
    );
    let blank = world.slack(&[HOOK], None, " \n").await;
    assert_eq!(blank, Ok(Done::Skipped("the text is blank".to_owned())));
}

#[tokio::test]
async fn slack_s_refusals_say_what_to_do_next() {
    let world = World::start().await;
    let rejected = |why: &str| ActError::Rejected(why.to_owned());
    let refused = |why: &str| ActError::Refused(why.to_owned());
    let rows = [
        (
            HOOK.replace("good", "archived"),
            None,
            rejected("Slack: channel_is_archived"),
        ),
        (DEAD_HOOK.to_owned(), None, refused("Slack: no_service")),
        (
            "xoxb-good".to_owned(),
            Some("#nada"),
            rejected("Slack: channel_not_found"),
        ),
        (
            "xoxb-good".to_owned(),
            Some("#diretoria"),
            rejected("Slack: not_in_channel"),
        ),
        (
            "xoxb-good".to_owned(),
            Some("#antigo"),
            rejected("Slack: is_archived"),
        ),
        (
            "xoxb-revoked".to_owned(),
            Some("#geral"),
            refused("Slack: token_revoked"),
        ),
        (
            "xoxp-user".to_owned(),
            Some("#geral"),
            refused("Slack: invalid_auth"),
        ),
        (
            "xoxb-good".to_owned(),
            None,
            refused(
                "the secret is no address of an incoming webhook; a bot's token needs a channel",
            ),
        ),
        (
            HOOK.to_owned(),
            Some("#geral"),
            refused("the secret is no bot's token: it begins with xoxb-"),
        ),
    ];
    for (secret, channel, expected) in rows {
        let found = world.slack(&[&secret], channel, "x").await;
        assert_eq!(found, Err(expected), "{channel:?}");
    }
    assert_eq!(world.told.slack.lines(), Vec::<Value>::new());
    let limited = json!({"kind": "limited", "retry_after": 7});
    let status = |status: u16| json!({"kind": "status", "status": status});
    let rows = [
        (
            limited,
            ActError::Limited {
                why: "Slack: ratelimited".to_owned(),
                retry_after: Some(Duration::from_secs(7)),
            },
        ),
        (status(401), refused("Slack: invalid_auth")),
        (status(403), refused("Slack: action_prohibited")),
        (status(404), rejected("Slack: channel_not_found")),
        (
            status(409),
            ActError::Unavailable("Slack: internal_error".to_owned()),
        ),
        (
            status(503),
            ActError::Unavailable("Slack: internal_error".to_owned()),
        ),
    ];
    for (fault, expected) in rows {
        world.faults("slack", std::slice::from_ref(&fault));
        let found = world.slack(&["xoxb-good"], Some("#geral"), "x").await;
        assert_eq!(found, Err(expected), "{fault}");
    }
    // Nobody can tell whether the line is there: it is written again.
    world.faults("slack", &[json!({"kind": "drop_after_accept"})]);
    let lost = world.slack(&[HOOK], None, "x").await;
    assert!(matches!(lost, Err(ActError::Unavailable(_))), "{lost:?}");
    assert!(world.slack(&[HOOK], None, "x").await.is_ok());
    assert_eq!(world.told.slack.lines().len(), 2);
}

const REFRESH: &str = r#"{"client_id":"c","client_secret":"s","refresh_token":"r"}"#;
const REVOKED: &str = r#"{"client_id":"c","client_secret":"s","refresh_token":"revoked"}"#;

/// A row with owned parts.
struct Cells {
    spreadsheet: &'static str,
    columns: BTreeMap<String, String>,
    key: Option<&'static str>,
    append: bool,
}

fn row(columns: &[(&str, &str)], key: Option<&'static str>) -> Cells {
    Cells {
        spreadsheet: "sheet",
        columns: columns
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        key,
        append: false,
    }
}

impl World {
    async fn sheet(&self, list: &[&str], row: &Cells) -> Result<Done, ActError> {
        let secrets = secrets(list);
        let row = sheet::Row {
            spreadsheet: row.spreadsheet,
            tab: "Contatos d'hoje",
            columns: &row.columns,
            key: row.key,
            append: row.append,
        };
        sheet::write(self.desk(&secrets), row).await
    }

    async fn wrote(&self, row: &Cells, expected: &'static str) {
        let done = Done::Done {
            id: None,
            what: expected,
        };
        assert_eq!(self.sheet(&[REFRESH], row).await, Ok(done));
    }

    fn put(&self, cells: Value) {
        let cells = serde_json::from_value(cells).unwrap();
        self.told.sheets.put("sheet", "Contatos d'hoje", cells);
    }

    fn cells(&self) -> Value {
        json!(self.told.sheets.cells()["sheet"]["Contatos d'hoje"])
    }
}

#[tokio::test]
async fn a_row_is_found_by_its_key_and_updated_or_appended() {
    let world = World::start().await;
    world.put(json!([
        ["Id", "Nome", "Obs", "Telefone"],
        [7, "Rui", "by hand", "x"]
    ]));
    let person = |id, name| {
        row(
            &[("Id", id), ("Nome", name), ("Telefone", "+551198")],
            Some("Id"),
        )
    };
    world
        .wrote(&person("u1", "=IMPORTXML(\"x\")"), "appended")
        .await;
    world.wrote(&person("u1", "Maria"), "updated").await;
    world.wrote(&person("7", "Rui Lima"), "updated").await;
    assert_eq!(
        world.cells(),
        json!([
            ["Id", "Nome", "Obs", "Telefone"],
            ["7", "Rui Lima", "by hand", "+551198"],
            ["u1", "Maria", "", "+551198"],
        ])
    );
    // Somebody moves a column.
    world.put(json!([
        ["Telefone", "Nome", "Id"],
        ["+551198", "Maria", "u1"]
    ]));
    world.wrote(&person("u1", "Ana"), "updated").await;
    world.wrote(&person("u2", "Bia"), "appended").await;
    assert_eq!(
        world.cells(),
        json!([
            ["Telefone", "Nome", "Id"],
            ["+551198", "Ana", "u1"],
            ["+551198", "Bia", "u2"]
        ])
    );
}

#[tokio::test]
async fn a_row_without_a_key_is_appended() {
    let world = World::start().await;
    world.put(json!([["Id", "Nome"]]));
    world
        .wrote(&row(&[("Nome", "Maria"), ("Id", "1")], None), "appended")
        .await;
    let mut again = row(&[("Nome", "Maria"), ("Id", "1")], Some("Id"));
    again.append = true;
    world.wrote(&again, "appended").await;
    assert_eq!(
        world.cells(),
        json!([["Id", "Nome"], ["1", "Maria"], ["1", "Maria"]])
    );
}

#[tokio::test]
async fn a_row_goes_under_its_headers_wherever_the_table_begins() {
    let world = World::start().await;
    // A cell beside the headers, which Google takes for the table's first column.
    world.put(json!([["", "Id", "Nome"], ["total", "u0", "Rui"]]));
    let person = row(&[("Id", "u1"), ("Nome", "Maria")], Some("Id"));
    world.wrote(&person, "appended").await;
    assert_eq!(
        world.cells(),
        json!([
            ["", "Id", "Nome"],
            ["total", "u0", "Rui"],
            ["", "u1", "Maria"]
        ])
    );
    world.wrote(&person, "updated").await;
}

#[tokio::test]
async fn two_rows_of_one_key_become_one() {
    let world = World::start().await;
    world.put(json!([["Id", "Nome"]]));
    // Somebody else appends the same row at the same time.
    world.faults("google-sheets", &[json!({"kind": "race"})]);
    world
        .wrote(
            &row(&[("Id", "u1"), ("Nome", "Maria")], Some("Id")),
            "updated",
        )
        .await;
    assert_eq!(world.cells(), json!([["Id", "Nome"], ["u1", "Maria"]]));
}

#[tokio::test]
async fn a_row_that_cannot_be_written_says_why() {
    let world = World::start().await;
    world.put(json!([["Id", "Nome"]]));
    let good = || row(&[("Id", "u1")], Some("Id"));
    let rejected = |why: &str| Err(ActError::Rejected(why.to_owned()));
    let missing = row(&[("Id", "u1"), ("Cidade", "Roma")], Some("Id"));
    assert_eq!(
        world.sheet(&[REFRESH], &missing).await,
        rejected("row 1 of the tab Contatos d'hoje has no column Cidade")
    );
    let blank = row(&[("Id", " "), ("Nome", "x")], Some("Id"));
    assert_eq!(
        world.sheet(&[REFRESH], &blank).await,
        Ok(Done::Skipped("the key Id is blank".to_owned()))
    );
    let mut elsewhere = good();
    elsewhere.spreadsheet = "other";
    assert_eq!(
        world.sheet(&[REFRESH], &elsewhere).await,
        rejected("Google Sheets 404: NOT_FOUND: there is no such spreadsheet")
    );
    elsewhere.spreadsheet = "private";
    let refused = world.sheet(&[REFRESH], &elsewhere).await;
    assert!(matches!(refused, Err(ActError::Refused(_))), "{refused:?}");
    let refused = world.sheet(&[REVOKED], &good()).await;
    assert_eq!(
        refused,
        Err(ActError::Refused(
            "Google refuses the credentials: invalid_grant".to_owned()
        ))
    );
    let refused = world.sheet(&["xoxb"], &good()).await;
    assert!(matches!(refused, Err(ActError::Refused(_))), "{refused:?}");
    assert!(world.sheet(&[REVOKED, REFRESH], &good()).await.is_ok());
    assert_eq!(world.cells(), json!([["Id", "Nome"], ["u1"]]));
}

#[tokio::test]
async fn google_s_failures_say_what_to_do_next() {
    let world = World::start().await;
    world.put(json!([["Id", "Nome"]]));
    let person = row(&[("Id", "u1"), ("Nome", "Maria")], Some("Id"));
    // A token that is taken back before its time is made anew.
    world.wrote(&person, "appended").await;
    world.faults(
        "google-sheets",
        &[json!({"kind": "status", "status": 401, "on": "any"})],
    );
    world.wrote(&person, "updated").await;
    type Is = fn(&ActError) -> bool;
    let status = |status: u16, times: u32| json!({"kind": "status", "status": status, "on": "any", "times": times});
    let rows: [(Value, Is); 6] = [
        (status(401, 2), |error| {
            matches!(error, ActError::Refused(_))
        }),
        (status(403, 2), |error| {
            matches!(error, ActError::Refused(_))
        }),
        (status(409, 1), |error| {
            matches!(error, ActError::Rejected(_))
        }),
        (
            status(429, 1),
            |error| matches!(error, ActError::Limited { retry_after: Some(wait), .. } if wait.as_secs() == 60),
        ),
        (status(500, 1), |error| {
            matches!(error, ActError::Unavailable(_))
        }),
        (status(503, 1), |error| {
            matches!(error, ActError::Unavailable(_))
        }),
    ];
    for (fault, is) in rows {
        world.clock.advance(SignedDuration::from_mins(1));
        world.faults("google-sheets", std::slice::from_ref(&fault));
        let error = world.sheet(&[REFRESH], &person).await.unwrap_err();
        assert!(is(&error), "{fault}: {error:?}");
    }
    // An append whose answer is lost is found by its key.
    world.clock.advance(SignedDuration::from_mins(1));
    world.faults("google-sheets", &[json!({"kind": "drop_after_accept"})]);
    let other = row(&[("Id", "u2"), ("Nome", "Ana")], Some("Id"));
    let lost = world.sheet(&[REFRESH], &other).await;
    assert!(matches!(lost, Err(ActError::Unavailable(_))), "{lost:?}");
    world.wrote(&other, "updated").await;
    assert_eq!(
        world.cells(),
        json!([["Id", "Nome"], ["u1", "Maria"], ["u2", "Ana"]])
    );
}

#[tokio::test]
async fn sixty_rows_a_minute_and_no_more() {
    let world = World::start().await;
    world.put(json!([["Id"]]));
    let one = row(&[("Id", "x")], None);
    for _ in 0..60 {
        world.wrote(&one, "appended").await;
    }
    world.clock.advance(SignedDuration::from_secs(20));
    let Err(ActError::Limited { retry_after, .. }) = world.sheet(&[REFRESH], &one).await else {
        panic!("over our own pace");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(40)));
    // Another process, that knows nothing of this one.
    let tokens = Tokens::default();
    let secrets = secrets(&[REFRESH]);
    let desk = Desk {
        tokens: &tokens,
        ..world.desk(&secrets)
    };
    let asked = sheet::Row {
        spreadsheet: "sheet",
        tab: "Contatos d'hoje",
        columns: &one.columns,
        key: None,
        append: false,
    };
    let limited = sheet::write(desk, asked).await;
    let why = "Google Sheets 429: RESOURCE_EXHAUSTED".to_owned();
    let retry_after = Some(Duration::from_secs(60));
    assert_eq!(limited, Err(ActError::Limited { why, retry_after }));
    world.clock.advance(SignedDuration::from_secs(40));
    world.wrote(&one, "appended").await;
}

impl World {
    async fn webhook(
        &self,
        url: &str,
        headers: &[(String, String)],
        apis: &Apis,
    ) -> Result<Done, ActError> {
        let secrets = secrets(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "old"]);
        let request = webhook::Request {
            url,
            method: "POST",
            body: &json!({"job": "x", "motivo": "ção"}),
            headers,
        };
        let desk = Desk {
            apis,
            ..self.desk(&secrets)
        };
        webhook::post(desk, request).await
    }
}

#[tokio::test]
async fn a_request_is_signed_and_named_after_its_job() {
    let world = World::start().await;
    let url = "https://erp.example.com.br/hooks/whatsapp?loja=1";
    let own = [("x-loja".to_owned(), "1".to_owned())];
    let what = "accepted";
    let accepted = Ok(Done::Done { id: None, what });
    assert_eq!(world.webhook(url, &own, &world.apis).await, accepted);
    let taken = world.told.receiver.taken();
    let [request] = taken.as_slice() else {
        panic!("{} requests", taken.len());
    };
    assert_eq!(request.host, "erp.example.com.br");
    assert_eq!(request.path, ["hooks", "whatsapp"]);
    assert_eq!(request.query("loja"), Some("1"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-loja"), Some("1"));
    assert_eq!(request.header("webhook-id"), Some(JOB));
    let timestamp = world.clock.now().as_second().to_string();
    assert_eq!(
        request.header("webhook-timestamp"),
        Some(timestamp.as_str())
    );
    let body = request.body.to_string();
    let keys = secrets(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "old"]);
    let expected = webhook::signature(&keys, JOB, &timestamp, body.as_bytes());
    assert_eq!(request.header("webhook-signature"), expected.as_deref());
}

#[tokio::test]
async fn a_receiver_s_answers_say_what_to_do_next() {
    let world = World::start().await;
    let rejected = |why: &str| ActError::Rejected(why.to_owned());
    let rows = [
        (
            "https://erp.example.com/status/410",
            rejected("the receiver answered 410"),
        ),
        (
            "https://erp.example.com/status/404",
            rejected("the receiver answered 404"),
        ),
        (
            "https://erp.example.com/status/401",
            rejected("the receiver answered 401"),
        ),
        (
            "https://erp.example.com/status/403",
            rejected("the receiver answered 403"),
        ),
        (
            "https://erp.example.com/status/409",
            rejected("the receiver answered 409"),
        ),
        (
            "https://erp.example.com/status/429",
            ActError::Limited {
                why: "the receiver answered 429".to_owned(),
                retry_after: None,
            },
        ),
        (
            "https://erp.example.com/status/503",
            ActError::Unavailable("the receiver answered 503".to_owned()),
        ),
        (
            "https://erp.example.com/moved",
            rejected("the receiver answered 302: a redirect is not followed"),
        ),
        ("http://erp.example.com/", rejected("url is not https")),
        ("erp.example.com", rejected("url is no address")),
        (
            "https://user:word@erp.example.com/",
            rejected("the request cannot be made"),
        ),
    ];
    for (url, expected) in rows {
        let found = world.webhook(url, &[], &world.apis).await;
        assert_eq!(found, Err(expected), "{url}");
    }
    let url = "https://erp.example.com/";
    for name in ["Webhook-Id", "host", "Content-Length"] {
        let header = [(name.to_owned(), "1".to_owned())];
        let found = world.webhook(url, &header, &world.apis).await;
        assert_eq!(found, Err(rejected(&format!("the header {name} is ours"))));
    }
    assert!(world.told.receiver.taken().is_empty());
}

#[tokio::test]
async fn a_repeat_after_a_lost_answer_has_the_same_id() {
    let world = World::start().await;
    let url = "https://erp.example.com/hook";
    world.faults("receiver", &[json!({"kind": "drop_after_accept"})]);
    let lost = world.webhook(url, &[], &world.apis).await;
    assert!(matches!(lost, Err(ActError::Unavailable(_))), "{lost:?}");
    world.clock.advance(SignedDuration::from_mins(5));
    assert!(world.webhook(url, &[], &world.apis).await.is_ok());
    let taken = world.told.receiver.taken();
    let ids: Vec<_> = taken.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!(ids, [Some(JOB), Some(JOB)]);
    let signature = |index: usize| taken[index].header("webhook-signature");
    assert_ne!(signature(0), signature(1), "signed anew");
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_not_waited_for() {
    let world = World::start().await;
    let client = engine::http::client(LIMITS).unwrap();
    let apis = Apis::over(client, Some(&format!("{}/_apis", world.base))).unwrap();
    world.faults("receiver", &[json!({"kind": "delay", "ms": 5_000})]);
    let found = world.webhook("https://erp.example.com/", &[], &apis).await;
    let why = "no whole answer in time".to_owned();
    assert_eq!(found, Err(ActError::Unavailable(why)));
}

#[tokio::test]
async fn nothing_goes_to_an_address_that_is_not_public() {
    let world = World::start().await;
    let apis = Apis::new(None).unwrap();
    for url in [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
    ] {
        let found = world.webhook(url, &[], &apis).await;
        let why = "the address is not a public one".to_owned();
        assert_eq!(found, Err(ActError::Rejected(why)), "{url}");
    }
}
