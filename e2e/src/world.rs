//! What every scenario works with: the stack, secrets, the stand-ins for Callbell and other systems, the
//! command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use cli::dev::APIS_PATH;
use cli::dev::secrets::Files as Secrets;
use cli::net::{Cut, Loopback};
use cli::project;
use cli::standin::apis::{self, Apis, Told};
use cli::standin::journal::Message;
use cli::standin::{AccountData, StandIn};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;

use crate::elsewhere;
use crate::failure::{During as _, Failure, Outcome, ensure};
use crate::stack::{self, Addresses, Cloud, STACK, Stack};
use crate::talk;
use crate::tools::Tools;
use crate::wait::until;

/// Below which path the stand-in for Callbell answers.
const CALLBELL_PATH: &str = "/v1";
/// The example that is pushed.
const EXAMPLE: &str = "examples/shop.toml";
/// The line of the example that would keep messages back at night.
const SEND_HOURS: &str = "send_hours = \"daytime\"\n";
/// What is pushed beside it and [`talk::AUTOMATIONS`]: a reminder half an hour before an appointment. Its
/// template has the appointment's id where the others have the order's number.
const REMINDER: &str = r#"
[message.visit]
template = "10000000000000000000000000000004"
values = ["{{ customer.name | default('paziente') }}", "{{ appointment.id }}", "{{ appointment.start | time }}"]

[automation.visit]
on      = "appointment.booked"
message = "visit"
at      = "appointment.start - 30m"
"#;
/// What the shop signs with at first.
pub(crate) const OLD_SECRET: &str = "first-shop-secret";
/// What it signs with later.
pub(crate) const NEW_SECRET: &str = "second-shop-secret";
/// What Cal.com signs with.
const BOOKING_SECRET: &str = "e2e-booking-secret";
/// Callbell's token.
const TOKEN: &str = "e2e-callbell-token";
/// What the path of Callbell's webhook ends in, and what signs it.
const PATH_SECRET: &str = "e2eLastPartOfThePath";
const TALK_SECRET: &str = "whsec_e2e-talk-secret";
/// A path that somebody mistyped.
pub(crate) const WRONG_PATH: &str = "/callbell/e2eMistypedPart";
/// What the ERP, the form, HubSpot and Salesforce prove themselves by.
pub(crate) const ERP_SECRET: &str = "e2eErpBearer";
const FORM_SECRET: &str = "e2e-form-secret";
const HUBSPOT_SECRET: &str = "e2e-hubspot-client-secret";
const SALESFORCE_SECRET: &str = "e2eSalesforceKey";
/// HubSpot's token.
const HUBSPOT: &str = "pat-eu1-e2e";
/// Slack's incoming webhook, whose address is a secret.
const SLACK: &str = "https://hooks.slack.com/services/T0E2E/B0E2E/e2eSlackHook";
/// What no log may hold: a mistyped secret is nearly one.
pub(crate) const SECRETS: &[&str] = &[
    OLD_SECRET,
    NEW_SECRET,
    BOOKING_SECRET,
    TOKEN,
    PATH_SECRET,
    TALK_SECRET,
    "e2eMistypedPart",
    HUBSPOT,
    "e2eSlackHook",
    ERP_SECRET,
    FORM_SECRET,
    HUBSPOT_SECRET,
    SALESFORCE_SECRET,
];
/// How long a command may take, in seconds.
const COMMAND_S: u64 = 60;

/// How long a message may take that nothing holds up, in seconds.
const DELIVERED_S: u64 = 20;

/// Everything.
pub(crate) struct World {
    pub(crate) tools: Tools,
    pub(crate) http: reqwest::Client,
    pub(crate) cloud: Cloud,
    pub(crate) stack: Stack,
    /// Callbell.
    pub(crate) stand_in: StandIn,
    /// The APIs of other systems.
    apis: Apis,
    /// Those of them that tell the team.
    pub(crate) told: Told,
    /// Where all of these answer.
    pub(crate) systems: Addresses,
    /// The secrets that are in use at first.
    pub(crate) secrets: PathBuf,
    /// The automations that are in use at first.
    pub(crate) automations: PathBuf,
}

impl World {
    /// Starts everything and deploys.
    pub(crate) async fn start(tools: Tools) -> Outcome<World> {
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.during("an HTTP client")?;
        let automations = automations(&tools)?;
        let secrets = tools.scratch.join("secrets.toml");
        write_secrets(&secrets, &[OLD_SECRET])?;
        let stand_in = callbell(&automations, &secrets)?;
        let told = Told::default();
        let apis = [apis::books(), told.all()].concat();
        let apis = Apis::new(apis, stand_in.clone());
        let systems = serve(&stand_in, &apis).await?;
        let cloud = Cloud::start(&tools, &http).await?;
        let stack = stack::deploy(&tools, &cloud, architecture(), &systems).await?;
        Ok(World {
            tools,
            http,
            cloud,
            stack,
            stand_in,
            apis,
            told,
            systems,
            secrets,
            automations,
        })
    }

    /// Puts secrets into use, as a user does.
    pub(crate) async fn push_secrets(&self, file: &Path) -> Outcome {
        let words = [
            Path::new("secrets"),
            Path::new("push"),
            Path::new("--stack"),
            Path::new(STACK),
            Path::new("--yes"),
            Path::new("--file"),
            file,
        ];
        self.callbell(&words).await.map(drop)
    }

    /// Puts automations into use, as a user does.
    pub(crate) async fn push(&self, file: &Path) -> Outcome {
        let words = [
            Path::new("push"),
            file,
            Path::new("--yes"),
            Path::new("--stack"),
            Path::new(STACK),
        ];
        self.callbell(&words).await.map(drop)
    }

    /// The jobs of an order, as `callbell jobs --json` lists them.
    pub(crate) async fn jobs(&self, number: u32) -> Outcome<Vec<Value>> {
        self.jobs_of(&format!("/617100000{number}/")).await
    }

    /// The jobs whose event has this part in its key.
    pub(crate) async fn jobs_of(&self, part: &str) -> Outcome<Vec<Value>> {
        let words = ["jobs", "--json", "--stack", STACK].map(Path::new);
        let listed = self.callbell(&words).await?;
        let listed: Vec<Value> = serde_json::from_str(&listed).during("callbell jobs --json")?;
        let is_of = |job: &Value| job["event"].as_str().is_some_and(|key| key.contains(part));
        Ok(listed.into_iter().filter(is_of).collect())
    }

    /// A job as `callbell jobs show --json` shows it.
    pub(crate) async fn shown(&self, job: &Value) -> Outcome<Value> {
        let id = job["id"].as_str().during("a job without an id")?;
        let words = ["jobs", "show", id, "--json", "--stack", STACK].map(Path::new);
        let shown = self.callbell(&words).await?;
        serde_json::from_str(&shown).during("callbell jobs show --json")
    }

    /// The keys of an order's events, as `callbell events --all --json` lists them.
    pub(crate) async fn events(&self, number: u32) -> Outcome<Vec<String>> {
        self.events_of(&format!("/617100000{number}/")).await
    }

    /// The keys of events that have this part.
    pub(crate) async fn events_of(&self, part: &str) -> Outcome<Vec<String>> {
        let words = ["events", "--all", "--json", "--stack", STACK].map(Path::new);
        let listed = self.callbell(&words).await?;
        let listed: Vec<Value> = serde_json::from_str(&listed).during("callbell events --json")?;
        let keys = listed.iter().filter_map(|event| event["id"].as_str());
        Ok(keys
            .filter(|key| key.contains(part))
            .map(str::to_owned)
            .collect())
    }

    /// Runs the command `callbell`; what it printed.
    pub(crate) async fn callbell(&self, words: &[&Path]) -> Outcome<String> {
        let mut command = Command::new(self.tools.callbell());
        self.tools.environment(&mut command, &self.cloud.endpoint);
        command
            .env("CALLBELL_API_URL", &self.systems.callbell)
            .args(words)
            .stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let running = command.kill_on_drop(true).output();
        let shown: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let shown = format!("callbell {}", shown.join(" "));
        let output = tokio::time::timeout(Duration::from_secs(COMMAND_S), running)
            .await
            .during(&shown)?
            .during(&shown)?;
        ensure(output.status.success(), || {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("{shown}: {}", errors.trim())
        })?;
        String::from_utf8(output.stdout).during(&shown)
    }

    /// What Callbell accepted for an order: messages whose second value is its number.
    pub(crate) fn messages(&self, number: u32) -> Vec<Message> {
        self.messages_of(&format!("#{number}"))
    }

    /// What Callbell accepted with this second value.
    pub(crate) fn messages_of(&self, value: &str) -> Vec<Message> {
        let is_of = |message: &Message| message.body["template_values"][1] == value;
        self.stand_in.messages().into_iter().filter(is_of).collect()
    }

    /// What Callbell accepted for this number.
    pub(crate) fn messages_to(&self, phone: &str) -> Vec<Message> {
        let is_to = |message: &Message| message.body["to"] == phone;
        self.stand_in.messages().into_iter().filter(is_to).collect()
    }

    /// Somebody makes a contact at HubSpot, there itself.
    pub(crate) async fn make_at_hubspot(&self, properties: &Value) -> Outcome<Value> {
        let contacts = "api.hubapi.com/crm/v3/objects/contacts";
        let made = self
            .http
            .post(format!("{}/{contacts}", self.systems.providers))
            .bearer_auth(HUBSPOT)
            .json(&json!({ "properties": properties }))
            .send();
        let made = made.await.during("the stand-in for HubSpot")?;
        made.json().await.during("the stand-in for HubSpot")
    }

    /// The one message to this number, once it is there.
    pub(crate) async fn message_to(&self, phone: &str, limit: Duration) -> Outcome<Message> {
        until("the message", limit, async || {
            let mut messages = self.messages_to(phone);
            match messages.len() {
                0 => Ok(Err("there is none".to_owned())),
                1 => messages.pop().map(Ok).during("a message"),
                many => Err(Failure::new(format!("sent {many} times"))),
            }
        })
        .await
    }

    /// Everybody in HubSpot.
    pub(crate) fn in_hubspot(&self) -> Vec<Value> {
        self.apis.records().remove("hubspot").unwrap_or_default()
    }

    /// The one message of an order, once it is there.
    pub(crate) async fn message(&self, number: u32, limit: Duration) -> Outcome<Message> {
        let what = format!("the message about order #{number}");
        until(&what, limit, async || {
            let mut messages = self.messages(number);
            match messages.len() {
                0 => Ok(Err(format!(
                    "Callbell has accepted {} others",
                    self.stand_in.messages().len()
                ))),
                1 => messages.pop().map(Ok).during("a message"),
                many => Err(Failure::new(format!("{what}: sent {many} times"))),
            }
        })
        .await
    }

    /// The one message of an order is there, and its job knows it.
    pub(crate) async fn is_delivered_once(&self, number: u32) -> Outcome {
        let limit = Duration::from_secs(DELIVERED_S);
        let message = self.message(number, limit).await?;
        let job = self.job(number, "sent", limit).await?;
        ensure(job["message_uuid"] == message.uuid.as_str(), || {
            format!("the job names the message {}", job["message_uuid"])
        })
    }

    /// A file of this run.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.tools.scratch.join(name)
    }

    /// The one job of an order, once it has this status.
    pub(crate) async fn job(&self, number: u32, status: &str, limit: Duration) -> Outcome<Value> {
        let what = format!("the job of order #{number} {status}");
        until(&what, limit, async || {
            let mut jobs = self.jobs(number).await?;
            ensure(jobs.len() <= 1, || format!("{what}: {} jobs", jobs.len()))?;
            match jobs.pop() {
                Some(job) if job["status"] == status => Ok(Ok(job)),
                Some(job) => Ok(Err(format!("it is {}: {}", job["status"], job["reason"]))),
                None => Ok(Err("there is none".to_owned())),
            }
        })
        .await
    }
}

/// The example without its sending hours, since this runs at any hour, and with [`REMINDER`] and
/// [`talk::AUTOMATIONS`], in a file of its own.
fn automations(tools: &Tools) -> Outcome<PathBuf> {
    let example = tools.root.join(EXAMPLE);
    let text = std::fs::read_to_string(&example).during(EXAMPLE)?;
    ensure(text.contains(SEND_HOURS), || {
        format!("{EXAMPLE} has no sending hours")
    })?;
    let path = tools.scratch.join(project::AUTOMATIONS);
    let text = text.replace(SEND_HOURS, "") + REMINDER + talk::AUTOMATIONS + elsewhere::AUTOMATIONS;
    std::fs::write(&path, text).during(path.display())?;
    let templates = tools.scratch.join(project::TEMPLATES);
    let copied = std::fs::copy(example.with_file_name(project::TEMPLATES), &templates);
    copied.during(templates.display())?;
    Ok(path)
}

/// A secrets file with these values for the shop.
pub(crate) fn write_secrets(path: &Path, shopify: &[&str]) -> Outcome {
    let text = format!(
        "[webhooks]\nshopify = {shopify:?}\ncal-com = \"{BOOKING_SECRET}\"\n\
         callbell = [\"{PATH_SECRET}\", \"{TALK_SECRET}\"]\n\
         erp = \"{ERP_SECRET}\"\ntypeform = \"{FORM_SECRET}\"\n\
         hubspot = \"{HUBSPOT_SECRET}\"\nsalesforce = \"{SALESFORCE_SECRET}\"\n\
         [apis]\ncallbell = \"{TOKEN}\"\nhubspot = \"{HUBSPOT}\"\nslack = \"{SLACK}\"\n"
    );
    std::fs::write(path, text).during(path.display())
}

/// The stand-in for Callbell. Its account has what the automations name.
fn callbell(automations: &Path, secrets: &Path) -> Outcome<StandIn> {
    let clock = Clock::system();
    let stand_in = StandIn::new(clock, engine::phone::identity, None);
    let stand_in = stand_in.during("the stand-in for Callbell")?;
    let files = project::Files::read(automations).during(EXAMPLE)?;
    let report = files.check(Timestamp::now());
    let automations = report
        .automations
        .during(format_args!("{EXAMPLE} is wrong"))?;
    let (channels, templates, teams) = project::account(&automations, &files.templates());
    let secrets = Secrets::read(secrets).during("the secrets")?;
    let tokens = secrets.apis.get(cli::dev::secrets::CALLBELL);
    stand_in.set_account(AccountData {
        tokens: tokens
            .iter()
            .map(|token| token.expose().to_owned())
            .collect(),
        channels,
        templates,
        teams,
        ..AccountData::default()
    });
    Ok(stand_in)
}

/// Lets the stand-ins answer, on this machine alone; where.
async fn serve(stand_in: &StandIn, apis: &Apis) -> Outcome<Addresses> {
    let listener = Loopback::bind(0).await.during("a free port")?;
    let port = listener.port().during("the port")?;
    let app = Router::new()
        .nest(CALLBELL_PATH, stand_in.router())
        .nest(APIS_PATH, apis.router());
    let app = app.into_make_service_with_connect_info::<Cut>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    Ok(Addresses {
        callbell: at(CALLBELL_PATH),
        providers: at(APIS_PATH),
    })
}

/// What the template calls this machine's processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x86_64",
    }
}
