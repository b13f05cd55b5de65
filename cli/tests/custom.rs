//! A system of the user's own, as it posts to the development server: what it proves itself by, what becomes of
//! its posts, and what it is answered.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod support;

use std::process::Stdio;
use std::sync::Arc;

use cli::dev::{Dev, Settings};
use serde_json::{Value, json};
use support::Http;

const FILE: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.br]
uuid = "35f6f8ccb5504278a2ea099f3a4e0734"

[source.erp]
kind  = "webhook"
auth  = "bearer"
key   = "data.numero ~ '/' ~ data.tipo"
phone = "data.cliente.celular"
name  = "data.cliente.nome"
at    = "data.emitida_em"

[source.nuvemshop]
kind  = "webhook"
auth  = "hmac"
hmac  = { header = "x-linkedstore-hmac-sha256", hash = "sha256", encoding = "hex" }
key   = "data.id ~ '/' ~ data.event"
phone = "data.phone"

[source.antigo]
kind  = "webhook"
auth  = "basic"
key   = "data.id"
phone = "data.fone"

[source.assinado]
kind  = "webhook"
key   = "data.id"
phone = "data.fone"

[message.nota]
template = "30000000000000000000000000000001"
values   = ["{{ customer.first_name | default('cliente') }}", "{{ data.numero | default('-') }}", "{{ data.valor | number | money('BRL') | default('-') }}"]

[message.pago]
template = "30000000000000000000000000000002"
values   = ["{{ data.id | default('-') }}"]

[automation.nota]
on      = "custom.received"
source  = "erp"
when    = "data.tipo == 'nota_emitida'"
message = "nota"

[automation.pago]
on      = "custom.received"
source  = ["nuvemshop", "antigo", "assinado"]
message = "pago"
"#;

const TEMPLATES: &str = r#"[
  {"uuid": "30000000000000000000000000000001", "title": "Nota", "text": "{{1}}, sua nota {{2}}: {{3}}", "category": "UTILITY", "status": "approved", "templateType": "text"},
  {"uuid": "30000000000000000000000000000002", "title": "Pago", "text": "Pedido {{1}} pago", "category": "UTILITY", "status": "approved", "templateType": "text"}
]"#;

/// A server with the file above.
struct World {
    dev: Dev,
    http: Http,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> World {
        World::with(None).await
    }

    /// With secrets of its own; without them with demo values.
    async fn with(secrets: Option<&str>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("automations.toml");
        std::fs::write(&path, FILE).unwrap();
        std::fs::write(folder.path().join("templates.json"), TEMPLATES).unwrap();
        let secrets = secrets.map(|text| {
            let path = folder.path().join("secrets.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let settings = Settings {
            automations: Some(path),
            secrets,
            ..Settings::default()
        };
        let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
        let http = Http::of(&dev);
        World { dev, http, folder }
    }

    /// Posts bytes with these headers; status and body of the answer.
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Value) {
        let mut request = self.http.client.post(format!("{}{path}", self.http.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn erp(&self, body: &Value) -> (u16, Value) {
        let bytes = body.to_string().into_bytes();
        let answer = self.post("/custom/erp", &[BEARER, JSON], bytes).await;
        self.http.idle().await;
        answer
    }

    async fn texts(&self) -> Vec<String> {
        let messages = self.http.list("/_dev/messages").await;
        let text = |message: &Value| message["text"].as_str().unwrap_or_default().to_owned();
        messages.iter().map(text).collect()
    }

    /// What the record of an event says.
    async fn record(&self, id: &str) -> Vec<String> {
        let events = self.http.list("/_dev/events?all=1").await;
        let event = events.iter().find(|event| event["id"] == id);
        let lines = event.unwrap_or_else(|| panic!("{id}: {events:?}"))["automations"].clone();
        let lines = lines.as_array().cloned().unwrap_or_default();
        let why = |line: &Value| line["why"].as_str().unwrap_or_default().to_owned();
        lines.iter().map(why).collect()
    }

    /// Runs the command in the folder of the file, for this server.
    async fn callbell(&self, args: &[&str]) -> String {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_callbell"))
            .args(args)
            .current_dir(self.folder.path())
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{args:?}: {said}");
        said
    }

    fn local(&self) -> String {
        format!("--local={}", self.dev.url().rsplit(':').next().unwrap())
    }
}

const BEARER: (&str, &str) = ("authorization", "Bearer demo-erp-secret");
const JSON: (&str, &str) = ("content-type", "application/json");

fn nota(numero: &str, more: &Value) -> Value {
    let mut body = json!({
        "tipo": "nota_emitida", "numero": numero, "valor": "129.90",
        "cliente": {"nome": "Maria da Silva", "celular": "11 98010-0001"},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn an_invoice_goes_to_the_phone_once_whatever_is_posted_of_it() {
    let world = World::start().await;
    let (status, answer) = world.erp(&nota("4711", &json!({}))).await;
    assert_eq!((status, &answer["status"]), (200, &json!("accepted")));
    let first = answer["event"].as_str().unwrap().to_owned();
    assert!(first.starts_with("erp/posted/"), "{first}");
    let said = "Maria, sua nota 4711: R$\u{a0}129,90";
    assert_eq!(world.texts().await, [said]);
    assert_eq!(
        world.record(&first).await,
        ["1 custom.received: erp/custom/4711/nota_emitida"]
    );
    let why = world.record("erp/custom/4711/nota_emitida").await;
    let other = "source is erp, not nuvemshop or antigo or assinado";
    assert_eq!(why, ["1 job", other]);
    // The same post, and another one with the same key.
    let (status, answer) = world.erp(&nota("4711", &json!({}))).await;
    assert_eq!((status, &answer["status"]), (200, &json!("duplicate")));
    let (_, answer) = world.erp(&nota("4711", &json!({"valor": "1.00"}))).await;
    assert_eq!(answer["status"], "accepted");
    let again = world.record(answer["event"].as_str().unwrap()).await;
    assert_eq!(again, ["1 known already: erp/custom/4711/nota_emitida"]);
    assert_eq!(world.texts().await, [said]);
    // What no automation wants says why.
    world
        .erp(&nota("4712", &json!({"tipo": "boleto_emitido"})))
        .await;
    let why = world.record("erp/custom/4712/boleto_emitido").await;
    assert!(why[0].starts_with("when is false"), "{why:?}");
}

#[tokio::test]
async fn what_has_no_key_says_so_and_is_listed() {
    let world = World::start().await;
    let mut body = nota("4711", &json!({}));
    body.as_object_mut().unwrap().remove("numero");
    let (status, answer) = world.erp(&body).await;
    assert_eq!(status, 200);
    let id = answer["event"].as_str().unwrap();
    assert_eq!(world.record(id).await, ["key: data.numero is absent"]);
    let listed = world.http.list("/_dev/events").await;
    assert!(listed.iter().any(|event| event["id"] == id), "{listed:?}");
    let said = world.callbell(&["events", &world.local()]).await;
    assert!(said.contains("key: data.numero is absent"), "{said}");
    assert!(world.texts().await.is_empty());
}

#[tokio::test]
async fn a_key_that_was_wrong_is_mended_and_what_came_is_replayed() {
    let world = World::start().await;
    let path = world.folder.path().join("automations.toml");
    let right = "data.numero ~ '/' ~ data.tipo";
    std::fs::write(&path, FILE.replace(right, "data.number")).unwrap();
    let local = world.local();
    world.callbell(&["push", "--yes", &local]).await;
    world.erp(&nota("4711", &json!({}))).await;
    assert!(world.texts().await.is_empty());
    std::fs::write(&path, FILE).unwrap();
    world.callbell(&["push", "--yes", &local]).await;
    let replay = [
        "replay",
        "--events",
        "--automation",
        "nota",
        "--since",
        "1h",
        "--yes",
        &local,
    ];
    let said = world.callbell(&replay).await;
    assert!(said.contains("1 job"), "{said}");
    world.http.idle().await;
    assert_eq!(
        world.texts().await,
        ["Maria, sua nota 4711: R$\u{a0}129,90"]
    );
    let said = world.callbell(&replay).await;
    assert!(said.contains("would send 0"), "{said}");
}

#[tokio::test]
async fn a_signed_body_is_believed_and_a_form_is_read() {
    let world = World::start().await;
    let body = json!({"store_id": 1, "event": "order/paid", "id": 871, "phone": "+5511980100002"});
    let bytes = body.to_string().into_bytes();
    let connection = shared::sources::demo::connections().get("nuvemshop");
    let secret = shared::sources::demo::secret("nuvemshop");
    let now = "2026-11-24T15:00:00Z".parse().unwrap();
    let unsigned = shared::sources::Unsigned::of(&connection, &secret, &bytes, now);
    let headers = shared::sources::Source::sign(&shared::sources::webhook::Webhook, &unsigned);
    let header = (headers[0].0.as_str(), headers[0].1.as_str());
    let (status, _) = world
        .post("/custom/nuvemshop", &[header, JSON], bytes.clone())
        .await;
    assert_eq!(status, 200);
    let mut other = bytes;
    other.push(b' ');
    let (status, answer) = world.post("/custom/nuvemshop", &[header], other).await;
    assert_eq!(status, 401, "{answer}");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let user = (
        "authorization",
        "Basic YW50aWdvOmRlbW8tYW50aWdvLXNlY3JldA==",
    );
    let body = b"id=900&fone=%2B5511980100003".to_vec();
    let (status, _) = world.post("/custom/antigo", &[user, form], body).await;
    assert_eq!(status, 200);
    world.http.idle().await;
    let mut texts = world.texts().await;
    texts.sort();
    assert_eq!(texts, ["Pedido 871 pago", "Pedido 900 pago"]);
}

/// Where to, with which headers, what, and what it is answered.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<u8>, u16);

#[tokio::test]
async fn what_is_wrong_with_a_post_is_answered() {
    let world = World::start().await;
    let bytes = nota("4711", &json!({})).to_string().into_bytes();
    let wrong = ("authorization", "Bearer demo-nuvemshop-secret");
    let unreadable = b"{\"numero\": ".to_vec();
    // 33 KiB that no compression makes smaller: letters in no order.
    let mut state = 1_u64;
    let letters = (0..60_000).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                [usize::try_from(state >> 58).unwrap()],
        )
    });
    let large = json!({"numero": "1", "tipo": "x", "texto": letters.collect::<String>()});
    let rows: [Row<'_>; 7] = [
        ("/custom/erp", &[wrong, JSON], bytes.clone(), 401),
        ("/custom/erp", &[JSON], bytes.clone(), 401),
        ("/custom/erp", &[BEARER, JSON], unreadable, 400),
        ("/custom/erp", &[BEARER, JSON], Vec::new(), 400),
        (
            "/custom/erp",
            &[BEARER, JSON],
            large.to_string().into_bytes(),
            413,
        ),
        ("/custom/another", &[BEARER, JSON], bytes.clone(), 404),
        ("/custom/shopify", &[BEARER, JSON], bytes.clone(), 404),
    ];
    for (path, headers, body, expected) in rows {
        let (status, answer) = world.post(path, headers, body).await;
        assert_eq!(status, expected, "{path}: {answer}");
        assert!(!answer.to_string().contains("Maria"), "{answer}");
    }
    let get = world
        .http
        .client
        .get(format!("{}/custom/erp", world.http.base));
    assert_eq!(get.send().await.unwrap().status().as_u16(), 405);
    world.http.idle().await;
    assert!(world.texts().await.is_empty());
    assert!(world.http.list("/_dev/events?all=1").await.is_empty());
}

#[tokio::test]
async fn a_body_is_tried_out_as_the_worker_reads_it() {
    let world = World::start().await;
    let write = |name: &str, body: Value| {
        std::fs::write(world.folder.path().join(name), body.to_string()).unwrap();
    };
    write("my.json", nota("4711", &json!({})));
    let said = world.callbell(&["try", "my.json", "--source", "erp"]).await;
    assert!(said.contains("custom.received"), "{said}");
    assert!(
        said.contains("Maria, sua nota 4711: R$\u{a0}129,90"),
        "{said}"
    );
    write("none.json", json!({"tipo": "nota_emitida"}));
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_callbell"))
        .args(["try", "none.json", "--source", "erp"])
        .current_dir(world.folder.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("key: data.numero is absent"), "{said}");
}

/// What `callbell connect` prints of a source, and the line for a terminal in it.
async fn connect(world: &World, name: &str, more: &[&str]) -> (String, String) {
    let local = world.local();
    let args = ["connect", "webhook", "--name", name, "--no-wait", &local];
    let said = world.callbell(&[&args[..], more].concat()).await;
    let line = said.lines().find(|line| line.contains("curl -X POST"));
    let line = line.unwrap_or_else(|| panic!("{said}")).trim().to_owned();
    (said, line)
}

/// Runs such a line as it is, with an older secret in its variable, where this machine has the tools.
async fn is_accepted(name: &str, line: &str, secret: Option<&str>) {
    let has = |tool: &str| {
        let found = std::process::Command::new(tool).arg("version").output();
        found.is_ok()
    };
    if !(has("curl") && has("openssl") && has("od")) {
        return;
    }
    let mut shell = tokio::process::Command::new("sh");
    shell
        .args(["-c", &line.replace("curl -X", "curl -s -X")])
        .env_remove("SECRET")
        .env("no_proxy", "127.0.0.1");
    if let Some(secret) = secret {
        shell.env("SECRET", secret);
    }
    let output = shell.output().await.unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let known = answer.contains("\"accepted\"") || answer.contains("\"duplicate\"");
    assert!(known, "{name}: {answer} {line}");
}

#[tokio::test]
async fn the_line_that_connect_prints_posts() {
    let world = World::start().await;
    for (name, header) in [
        ("erp", "Authorization: Bearer "),
        ("antigo", "-u 'antigo:'\"$SECRET\""),
        ("nuvemshop", "x-linkedstore-hmac-sha256"),
        ("assinado", "webhook-signature"),
    ] {
        let (said, line) = connect(&world, name, &[]).await;
        let url = format!("{}/custom/{name}", world.dev.url());
        assert!(line.contains(&url) && line.contains(header), "{line}");
        // Nobody is shown a secret that was there already.
        let secret = shared::sources::demo::secret(name);
        assert!(!said.contains(secret.expose()), "{said}");
        assert!(said.contains(&secret.fingerprint()), "{said}");
        is_accepted(name, &line, Some(secret.expose())).await;
    }
    world.http.idle().await;
    // Nobody is written to: the example has no number.
    assert!(world.texts().await.is_empty());
    let made = world.record("erp/custom/1/1").await;
    assert!(made[0].starts_with("when is false"), "{made:?}");
}

#[tokio::test]
async fn a_secret_is_printed_when_it_is_made_and_not_again() {
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let file = format!(
        "[webhooks]\nassinado = \"{own}\"\nnuvemshop = \"theirs\"\n[apis]\ncallbell = \"demo-callbell-token\"\n"
    );
    let world = World::with(Some(&file)).await;
    let kept = |name: &str| {
        let text = std::fs::read_to_string(world.folder.path().join("secrets.toml")).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let value = &table["webhooks"][name];
        let first = value.as_array().map_or(value, |list| &list[0]);
        first.as_str().unwrap().to_owned()
    };
    for name in ["erp", "antigo"] {
        let (said, line) = connect(&world, name, &[]).await;
        let secret = kept(name);
        assert!(said.contains(&secret) && line.contains(&secret), "{said}");
        is_accepted(name, &line, None).await;
        let (said, line) = connect(&world, name, &["--json"]).await;
        assert!(
            !said.contains(&secret) && line.contains("$SECRET"),
            "{said}"
        );
    }
    for name in ["assinado", "nuvemshop"] {
        let old = kept(name);
        let (said, line) = connect(&world, name, &[]).await;
        assert!(!said.contains(&old), "{said}");
        is_accepted(name, &line, Some(&old)).await;
        let (said, line) = connect(&world, name, &["--rotate"]).await;
        let new = kept(name);
        assert!(new != old && !said.contains(&old), "{said}");
        assert!(!line.contains("$SECRET"), "{line}");
        is_accepted(name, &line, None).await;
    }
    let (said, _) = connect(&world, "nuvemshop", &[]).await;
    let command = "callbell secrets set nuvemshop";
    let is_alone = said.lines().any(|line| line.ends_with(command));
    assert!(is_alone, "{said}");
}
