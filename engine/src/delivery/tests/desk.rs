//! A worker over the real store, a clock that stands still, and a Callbell that follows a script.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::connections::Connections;
use shared::event::Event;
use shared::secrets::Secret;
use shared::store::{JobFilter, JobRow, RowKey, Status, Store};

use crate::callbell::{Callbell, Limits};
use crate::delivery::{Random, Report, Worker};
use crate::plan::tests::merge;

/// The number of the contact `other`; everybody else is the contact `person`.
pub(super) const OTHER: &str = "+5511912345678";

/// What the scripted Callbell does with a send.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Takes it.
    Accept,
    /// Takes it, and answers after so long.
    AcceptAfter(Duration),
    /// Takes it and says nothing.
    AcceptAndDrop,
    /// Takes it and answers so.
    AcceptThen(u16),
    /// Does not take it and says nothing.
    Drop,
    /// Does not take it and answers so.
    Refuse(u16, &'static str),
    /// 429 with `Retry-After`.
    Limit(u64),
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    sent: Vec<(Timestamp, Value)>,
    history: Vec<Value>,
    requests: Vec<String>,
    person: Option<Value>,
    /// What is changed at Callbell by other requests than sends: the first line and the body.
    changes: Vec<(String, String)>,
    /// The other requests than sends that are refused: how the first line begins, and the status.
    refused: Vec<(&'static str, u16)>,
}

/// The scripted Callbell.
#[derive(Clone)]
pub(super) struct Script(Arc<Mutex<State>>, Arc<Gate>);

/// Counts requests that are being answered.
#[derive(Default)]
struct Gate {
    open: Mutex<usize>,
    closed: Condvar,
    address: OnceLock<SocketAddr>,
}

impl Script {
    fn start(clock: Clock) -> (Script, String) {
        let script = Script(Arc::default(), Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}/v1");
        script.1.address.set(address).unwrap();
        let served = script.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, clock) = (served.clone(), clock.clone());
                *served.1.open.lock().unwrap() += 1;
                std::thread::spawn(move || {
                    served.answer(stream, &clock);
                    *served.1.open.lock().unwrap() -= 1;
                    served.1.closed.notify_all();
                });
            }
        });
        (script, base)
    }

    /// What the next sends meet; afterwards they are accepted.
    pub(super) fn next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.0.lock().unwrap().script.extend(replies);
    }

    /// From now on other requests than sends that begin so are answered with this status.
    pub(super) fn refuse(&self, begins: &'static str, status: u16) {
        self.0.lock().unwrap().refused.push((begins, status));
    }

    /// Waits until every request that was made before has been dealt with: connections are accepted in
    /// the order in which they were made. The runtime goes on meanwhile: a connection that a crashed worker
    /// opened and sent nothing on is closed there.
    pub(super) async fn drain(&self) {
        let script = self.clone();
        tokio::task::spawn_blocking(move || script.wait_for_quiet())
            .await
            .unwrap();
    }

    fn wait_for_quiet(&self) {
        let mut last = TcpStream::connect(self.1.address.get().unwrap()).unwrap();
        last.write_all(b"GET /v1/teams HTTP/1.1\r\n\r\n").unwrap();
        let _ = last.read_to_end(&mut Vec::new());
        let open = self.1.open.lock().unwrap();
        drop(self.1.closed.wait_while(open, |open| *open > 0).unwrap());
    }

    /// From now on everything is accepted.
    pub(super) fn forget_script(&self) {
        self.0.lock().unwrap().script.clear();
    }

    /// Every message that exists at Callbell, oldest first.
    pub(super) fn sent(&self) -> Vec<Value> {
        self.0
            .lock()
            .unwrap()
            .sent
            .iter()
            .map(|(_, body)| body.clone())
            .collect()
    }

    /// When each of them was taken.
    pub(super) fn times(&self) -> Vec<Timestamp> {
        self.0
            .lock()
            .unwrap()
            .sent
            .iter()
            .map(|(at, _)| *at)
            .collect()
    }

    /// The person whom Callbell finds, whoever is asked for, and who is changed from then on; an empty object is nobody.
    pub(super) fn knows(&self, person: Value) {
        self.0.lock().unwrap().person = Some(person);
    }

    /// That person as they are now.
    pub(super) fn person(&self) -> Option<Value> {
        self.0.lock().unwrap().person.clone()
    }

    /// The bodies of what was changed about persons, in order.
    pub(super) fn persons_changed(&self) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        let of_a_person = |line: &&(String, String)| line.0.starts_with("PATCH /v1/contacts/");
        let changes = state.changes.iter().filter(of_a_person);
        changes
            .map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect()
    }

    /// How often Callbell was asked for a person.
    pub(super) fn questions(&self) -> usize {
        let state = self.0.lock().unwrap();
        let about_a_person = |line: &&String| line.starts_with("GET /v1/contacts/");
        state.requests.iter().filter(about_a_person).count()
    }

    /// How many sends were tried.
    pub(super) fn tries(&self) -> usize {
        self.0
            .lock()
            .unwrap()
            .requests
            .iter()
            .filter(|line| line.starts_with("POST"))
            .count()
    }

    /// What was changed at Callbell by other requests than sends: the first line and the body.
    pub(super) fn changes(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().changes.clone()
    }

    /// Puts a message into the history that the person wrote.
    pub(super) fn remember_theirs(&self, text: &str, at: Timestamp) {
        let mut line = line("theirs", text, at);
        line["status"] = json!("received");
        self.0.lock().unwrap().history.insert(0, line);
    }

    /// Puts a message into the history that somebody else wrote.
    pub(super) fn remember(&self, uuid: &str, text: &str, at: Timestamp) {
        self.0
            .lock()
            .unwrap()
            .history
            .insert(0, line(uuid, text, at));
    }

    fn answer(&self, mut stream: TcpStream, clock: &Clock) {
        let Some((first, body)) = request(&mut stream) else {
            return;
        };
        let reply = self.decide(&first, &body, clock);
        if let Some((status, headers, body)) = reply {
            let head = format!(
                "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body.as_bytes()));
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn decide(&self, first: &str, body: &str, clock: &Clock) -> Option<(u16, String, String)> {
        let mut state = self.0.lock().unwrap();
        state.requests.push(first.to_owned());
        let ok = |body: Value| Some((200, String::new(), body.to_string()));
        if first.starts_with("GET /v1/contacts/") && first.contains("/messages") {
            let is_other = first.starts_with("GET /v1/contacts/other/");
            let theirs = |line: &&Value| (line["to"] == OTHER) == is_other;
            let history: Vec<&Value> = state.history.iter().filter(theirs).collect();
            return ok(json!({"messages": history, "meta": {"page": 1, "pages": 1}}));
        }
        if first.starts_with("GET /v1/contacts/") {
            let person = state.person.clone();
            return ok(json!({"contact": [person.unwrap_or(json!({"uuid": "person"}))]}));
        }
        if first.starts_with("GET /v1/teams") {
            return ok(json!({"teams": [{"uuid": "team-7", "name": "Vendas"}]}));
        }
        if !first.starts_with("POST /v1/messages/send") {
            let refused = state.refused.iter();
            let mut refused = refused.filter(|(begins, _)| first.starts_with(begins));
            if let Some((_, status)) = refused.next() {
                return Some((*status, String::new(), "{}".to_owned()));
            }
            let line = first.trim_end_matches(" HTTP/1.1").to_owned();
            if line.starts_with("PATCH /v1/contacts/")
                && let Some(person) = &mut state.person
            {
                merge(person, serde_json::from_str(body).unwrap());
            }
            state.changes.push((line, body.to_owned()));
            return ok(json!({"success": true}));
        }
        let reply = state.script.pop_front().unwrap_or(Reply::Accept);
        if matches!(
            reply,
            Reply::Accept | Reply::AcceptAfter(_) | Reply::AcceptAndDrop | Reply::AcceptThen(_)
        ) {
            let body: Value = serde_json::from_str(body).unwrap();
            let uuid = format!("{:032x}", state.sent.len() + 1);
            let text = body["content"]["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let mut line = line(&uuid, &text, clock.now());
            line["to"] = body["to"].clone();
            state.history.insert(0, line);
            state.sent.push((clock.now(), body));
            if let Reply::AcceptAfter(wait) = reply {
                drop(state);
                std::thread::sleep(wait);
                return ok(json!({"message": {"uuid": uuid, "status": "enqueued"}}));
            }
            if matches!(reply, Reply::Accept) {
                return ok(json!({"message": {"uuid": uuid, "status": "enqueued"}}));
            }
        }
        match reply {
            Reply::AcceptThen(status) => Some((status, String::new(), String::new())),
            Reply::Refuse(status, body) => Some((status, String::new(), body.to_owned())),
            Reply::Limit(seconds) => {
                Some((429, format!("retry-after: {seconds}\r\n"), String::new()))
            }
            Reply::Accept | Reply::AcceptAfter(_) | Reply::AcceptAndDrop | Reply::Drop => None,
        }
    }
}

fn line(uuid: &str, text: &str, at: Timestamp) -> Value {
    json!({"uuid": uuid, "status": "sent", "text": text, "createdAt": at.to_string()})
}

fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .and_then(|n| n.parse().ok())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.lines().next()?.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Everything that a test needs.
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) callbell: Script,
    pub(super) worker: Worker,
    base: String,
}

/// What all files of the tests begin with.
const HEAD: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.shop]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.thanks]
text = "Obrigado, {{ customer.first_name | default('cliente') }}! Pedido {{ order.number }}."

[message.cart]
text = "Seu carrinho: {{ checkout.total | money }}"
"#;

impl Desk {
    /// A desk with an automations file pushed. The customer's window is open, so free text goes out.
    pub(super) async fn with(file: &str) -> Desk {
        let desk = Desk::empty().await;
        desk.push(file).await;
        desk.open_window(SignedDuration::from_hours(24 * 365)).await;
        desk
    }

    /// A desk where nothing was pushed.
    pub(super) async fn empty() -> Desk {
        let (store, clock) = testkit::store().await;
        Desk::over(store, clock)
    }

    /// A desk over a table that is there.
    pub(super) fn over(store: Store, clock: Clock) -> Desk {
        let (callbell, base) = Script::start(clock.clone());
        let worker = worker(&store, &base);
        Desk {
            store,
            clock,
            callbell,
            worker,
            base,
        }
    }

    /// Another worker over the same rows.
    pub(super) fn another_worker(&self) -> Worker {
        worker(&self.store, &self.base)
    }

    pub(super) async fn push(&self, file: &str) {
        self.push_raw(&format!("{HEAD}\n{file}"), "[]").await;
    }

    pub(super) async fn push_with_templates(&self, file: &str, templates: &str) {
        self.push_raw(&format!("{HEAD}\n{file}"), templates).await;
    }

    pub(super) async fn push_raw(&self, file: &str, templates: &str) {
        crate::automations::parse(file).unwrap_or_else(|problems| panic!("{problems:?}"));
        self.store
            .push_config(file, templates, &Connections::default())
            .await
            .unwrap();
        self.worker.forget_configuration().await;
    }

    pub(super) async fn open_window(&self, for_: SignedDuration) {
        let id = shared::store::PersonId::phone("+5511987654321");
        self.store
            .set_window(&id, Some(self.clock.now() + for_))
            .await
            .unwrap();
    }

    /// The door stores an event.
    pub(super) async fn receive(&self, event: Value) -> String {
        let event: Event = serde_json::from_value(event).unwrap();
        let key = event.event.id.clone();
        self.store.put_event(event).await.unwrap();
        key
    }

    /// The stream nudges.
    pub(super) async fn stream(&self) {
        let rows = testkit::lane(testkit::Engine::shared(), &self.store).await;
        self.worker.on_stream(rows, self.deadline()).await;
    }

    /// The stream names these rows.
    pub(super) async fn nudge(&self, rows: Vec<RowKey>) {
        self.worker.on_stream(rows, self.deadline()).await;
    }

    /// The minute's sweep, `after` so much time.
    pub(super) async fn minute(&self, after: SignedDuration) -> Report {
        self.clock.advance(after);
        self.worker.on_minute(self.deadline()).await
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(60)
    }

    /// All jobs, by key.
    pub(super) async fn jobs(&self) -> Vec<JobRow> {
        let mut jobs = Vec::new();
        let mut page = None;
        loop {
            let (rows, next) = self
                .store
                .list_jobs(&JobFilter::default(), page)
                .await
                .unwrap();
            jobs.extend(rows);
            page = next;
            if page.is_none() {
                break;
            }
        }
        jobs.sort_by(|a, b| a.key.cmp(&b.key));
        jobs
    }

    /// The only job.
    pub(super) async fn job(&self) -> JobRow {
        let mut jobs = self.jobs().await;
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    /// Status and reason of the only job.
    pub(super) async fn state(&self) -> (Status, String) {
        let job = self.job().await;
        (job.status, job.reason.unwrap_or_default())
    }

    /// How many messages exist at Callbell.
    pub(super) fn messages(&self) -> usize {
        self.callbell.sent().len()
    }
}

fn worker(store: &Store, base: &str) -> Worker {
    // The clock of the rows stands still; that of the sockets does not.
    let limits = Limits {
        connect: Duration::from_millis(500),
        request: Duration::from_millis(1500),
    };
    let callbell = Callbell::with_limits(base, &Secret::new("token"), limits).unwrap();
    Worker::new(store.clone(), callbell, Random::new(|| 0.5))
}
