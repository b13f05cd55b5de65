//! Every other system at once: records what it is asked, and answers as its script says, else as the systems
//! do.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Clock;
use shared::secrets::{Secrets, SecretsProvider};

use crate::apis::Apis;
use crate::callbell::Limits;
use crate::fetch::Fetching;

/// What the next request meets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// This status.
    Status(u16),
    /// 429 with `Retry-After`.
    Limit(u64),
    /// It is taken, and nothing is said.
    Silence,
}

#[derive(Default)]
struct State {
    script: VecDeque<Fault>,
    requests: Vec<(String, Value)>,
}

/// The systems.
#[derive(Clone, Default)]
pub(super) struct Systems(Arc<Mutex<State>>);

/// API secrets for all of them.
pub(super) const SECRETS: &str = r#"{
    "slack": "https://hooks.slack.com/services/T/B/x",
    "erp": "whsec_c2VjcmV0LW9mLXRoZS1lcnA=",
    "hubspot": "pat-1",
    "google-sheets": "{\"client_id\":\"i\",\"client_secret\":\"s\",\"refresh_token\":\"r\"}",
    "key": "k-1"
}"#;

impl Systems {
    /// The systems, and how a worker reaches them with these secrets.
    pub(super) fn start(secrets: &str, clock: &Clock) -> (Systems, Fetching) {
        let systems = Systems::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let served = systems.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                std::thread::spawn(move || served.answer(stream));
            }
        });
        (systems, reaching(&base, secrets, clock))
    }

    /// What the next requests meet.
    pub(super) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap().script.extend(faults);
    }

    /// Method, path and body of every request whose path holds this, oldest first.
    pub(super) fn asked(&self, part: &str) -> Vec<(String, Value)> {
        let state = self.0.lock().unwrap();
        let theirs = state
            .requests
            .iter()
            .filter(|(line, _)| line.contains(part));
        theirs.cloned().collect()
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some((line, body)) = request(&mut stream) else {
            return;
        };
        let fault = {
            let mut state = self.0.lock().unwrap();
            state.requests.push((line.clone(), body));
            // A token is fetched in passing.
            let is_token = line.contains("/token");
            if is_token {
                None
            } else {
                state.script.pop_front()
            }
        };
        let (status, headers, body) = match fault {
            Some(Fault::Silence) => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Some(Fault::Status(status)) => (status, String::new(), "{}".to_owned()),
            Some(Fault::Limit(seconds)) => {
                (429, format!("retry-after: {seconds}\r\n"), "{}".to_owned())
            }
            None if line.starts_with("GET") && line.contains("/contacts/") => {
                (404, String::new(), "{}".to_owned())
            }
            None => (200, String::new(), usual(&line)),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n");
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()));
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn reaching(base: &str, secrets: &str, clock: &Clock) -> Fetching {
    let limits = Limits {
        connect: Duration::from_millis(500),
        request: Duration::from_millis(1500),
    };
    let http = crate::http::client(limits).unwrap();
    let apis = Apis::over(http, Some(base)).unwrap();
    let secrets = SecretsProvider::Fixed(Secrets::from_json(secrets).unwrap());
    Fetching::new(apis, secrets, clock.clone())
}

/// What the systems answer where nothing is wrong.
fn usual(line: &str) -> String {
    if line.contains("/hooks.slack.com/") {
        return "ok".to_owned();
    }
    let json = if line.contains("/token") {
        json!({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})
    } else if line.contains("/contacts/search") {
        json!({"results": [], "total": 0})
    } else if line.contains("/contacts") {
        json!({"id": "7", "properties": {}})
    } else if line.contains("1%3A1") || line.contains("1:1") {
        json!({"values": [["Nome", "Total"]]})
    } else {
        json!({})
    };
    json.to_string()
}

fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
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
                let line = head.lines().next()?.to_owned();
                return Some((line, serde_json::from_str(body).unwrap_or_default()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
