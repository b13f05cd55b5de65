//! The client against raw TCP stand-ins: what a connection does decides between "surely not sent" and
//! "unknown", so the tests speak TCP, not HTTP.

use std::time::Duration;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const LIMITS: Limits = Limits {
    connect: Duration::from_millis(150),
    request: Duration::from_millis(400),
};

/// A stand-in that does one thing to every connection, and counts them.
struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

fn peer(behave: impl Fn(TcpStream) + Send + 'static) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            seen.fetch_add(1, Ordering::SeqCst);
            behave(stream);
        }
    });
    Peer {
        address,
        connections,
    }
}

/// Reads one whole request: head, then as many bytes as it announces.
fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length: ")
                        .and_then(|n| n.parse().ok())
                })
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn answering(answer: &'static str) -> Peer {
    peer(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.shutdown(Shutdown::Both);
    })
}

fn client(address: SocketAddr) -> Callbell {
    Callbell::with_limits(
        &format!("http://{address}/v1"),
        &Secret::new("token"),
        LIMITS,
    )
    .unwrap()
}

fn message() -> SendMessage {
    SendMessage {
        to: Some("+5511987654321".to_owned()),
        bsuid: None,
        from: "whatsapp",
        kind: "text",
        content: Content {
            text: Some("Olá Maria".to_owned()),
            url: None,
        },
        channel_uuid: "c".repeat(32),
        template_uuid: None,
        template_values: Vec::new(),
        optin_contact: false,
        assigned_user: None,
        team_uuid: None,
        bot_status: None,
        metadata: [("job".to_owned(), "a".repeat(32))].into(),
    }
}

async fn send_to(peer: &Peer) -> Outcome {
    let outcome = client(peer.address).send(&message()).await;
    assert_eq!(
        peer.connections.load(Ordering::SeqCst),
        1,
        "one send is one connection"
    );
    outcome
}

#[tokio::test]
async fn a_refused_connection_left_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let outcome = client(address).send(&message()).await;
    assert_eq!(
        outcome,
        Outcome::NotSent {
            reason: "no connection to Callbell".to_owned()
        }
    );
}

#[tokio::test]
async fn a_failed_tls_handshake_left_nothing() {
    for behave in [
        // Not TLS at all.
        (|mut stream: TcpStream| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }) as fn(TcpStream),
        // Closes at once.
        |stream| drop(stream),
        // Accepts and says nothing: the limit for connecting covers TLS.
        |stream| {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.read_to_end(&mut Vec::new());
            });
        },
    ] {
        let peer = peer(behave);
        let base = format!("https://{}/v1", peer.address);
        let callbell = Callbell::with_limits(&base, &Secret::new("token"), LIMITS).unwrap();
        let outcome = callbell.send(&message()).await;
        assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn after_the_connection_stood_nothing_is_certain() {
    let lost = Outcome::Unknown {
        reason: "Callbell's answer was lost".to_owned(),
    };
    let late = Outcome::Unknown {
        reason: "no answer from Callbell in time".to_owned(),
    };

    // Closed before a byte was read, which resets a connection with unread bytes.
    assert_eq!(send_to(&peer(drop)).await, lost);
    // Read in full, then closed.
    assert_eq!(
        send_to(&peer(|mut stream| drop(read_request(&mut stream)))).await,
        lost
    );
    // Read in full, then silence.
    let hang = peer(|mut stream| {
        std::thread::spawn(move || {
            read_request(&mut stream);
            let _ = stream.read(&mut [0]);
        });
    });
    assert_eq!(send_to(&hang).await, late);
    // Not HTTP.
    assert_eq!(send_to(&answering("what?\r\n\r\n")).await, lost);
    // A success that ends before its body does.
    let truncated =
        answering("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"message\":{\"uuid\":\"aa");
    assert_eq!(
        send_to(&truncated).await,
        Outcome::Unknown {
            reason: "Callbell 200 without a message uuid".to_owned()
        }
    );
    let no_uuid = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    assert!(matches!(send_to(&no_uuid).await, Outcome::Unknown { .. }));
}

#[tokio::test]
async fn answers_are_told_apart() {
    let sent = answering(
        "HTTP/1.1 201 Created\r\ncontent-length: 35\r\n\r\n{\"message\":{\"uuid\":\"00112233aabb\"}}",
    );
    assert_eq!(
        send_to(&sent).await,
        Outcome::Sent {
            uuid: "00112233aabb".to_owned()
        }
    );

    let limited = answering("HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(
        send_to(&limited).await,
        Outcome::Limited {
            retry_after: Some(Duration::from_secs(7))
        }
    );

    // The status alone says enough where the body is cut off.
    let cut = answering("HTTP/1.1 503 Unavailable\r\ncontent-length: 100\r\n\r\noh");
    assert_eq!(
        send_to(&cut).await,
        Outcome::NotSent {
            reason: "Callbell 503".to_owned()
        }
    );

    let echo = answering(
        "HTTP/1.1 422 No\r\ncontent-length: 54\r\n\r\n{\"error\":{\"to\":[\"+5511987654321, Olá Maria is bad\"]}}",
    );
    assert_eq!(
        send_to(&echo).await,
        Outcome::Refused {
            status: 422,
            reason: "to …, … is bad".to_owned()
        }
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let location = format!(
        "HTTP/1.1 307 Moved\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
        target.address
    );
    let outcome = send_to(&answering(location.leak())).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_request_is_what_callbell_documents() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let peer = peer(move |mut stream| {
        let _ = sender.send(read_request(&mut stream));
    });
    let callbell = client(peer.address);
    callbell.send(&message()).await;
    let request = receiver.recv().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v1/messages/send HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains("\r\nauthorization: bearer token\r\n"),
        "{head}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        serde_json::json!({
            "to": "+5511987654321", "from": "whatsapp", "type": "text", "content": {"text": "Olá Maria"},
            "channel_uuid": "c".repeat(32), "metadata": {"job": "a".repeat(32)},
        })
    );
    let _ = callbell
        .contact_by_phone("+5511987654321", Some("ch"))
        .await;
    let request = receiver.recv().unwrap();
    assert!(
        request.starts_with("GET /v1/contacts/phone/+5511987654321?channel_uuid=ch HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(!format!("{callbell:?} {:?}", message()).contains("token\""));
}

#[tokio::test]
async fn questions_read_objects_and_one_element_arrays() {
    let bodies = [
        ("{\"contact\":{\"uuid\":\"u1\"}}", Some("u1")),
        ("{\"contact\":[{\"uuid\":\"u2\"}]}", Some("u2")),
        ("{\"contact\":[]}", None),
        ("{\"contact\":null}", None),
        ("{\"contact\":{}}", None),
    ];
    for (body, expected) in bodies {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let peer = answering(answer.leak());
        let contact = client(peer.address)
            .contact_by_phone("+1", None)
            .await
            .unwrap();
        assert_eq!(
            contact.map(|contact| contact.uuid).as_deref(),
            expected,
            "{body}"
        );
    }
    let missing = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    assert!(
        client(missing.address)
            .contact_by_phone("+1", None)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn somebody_who_is_not_there_is_nobody() {
    let answers = [
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 422 No\r\ncontent-length: 29\r\n\r\n{\"error\":\"Contact not found\"}",
        "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"contact\":[]}",
    ];
    for answer in answers {
        let callbell = client(answering(answer).address);
        assert_eq!(
            callbell.contact("u", false).await.unwrap(),
            None,
            "{answer}"
        );
        let peer = client(answering(answer).address);
        assert_eq!(peer.contact_by_bsuid("b").await.unwrap(), None, "{answer}");
        let peer = client(answering(answer).address);
        assert_eq!(
            peer.contact_by_phone("+1", None).await.unwrap(),
            None,
            "{answer}"
        );
    }
}

#[test]
fn a_contact_is_read_in_every_shape() {
    let read = |json: Value| serde_json::from_value::<Contact>(json).ok();
    let whole = read(serde_json::json!({
        "uuid": "u", "name": "Maria", "href": "h", "tags": ["a", null, "b"], "assignedUser": "ana@example.com",
        "customFields": {"Cidade": "Roma", "Extras": "[\"x\", \"y\"]", "Nota": "[sic"},
        "customFieldsMetadata": {"Cidade": {"type": "text"}, "Posta": {"type": "email"}},
        "team": {"uuid": "t", "name": "Vendas"}, "funnelId": "f", "note": " ", "closedAt": "2026-01-01T00:00:00Z",
    }));
    let whole = whole.unwrap();
    assert_eq!(whole.tags, ["a", "b"]);
    assert_eq!(
        Value::Object(whole.fields),
        serde_json::json!({"Cidade": "Roma", "Extras": ["x", "y"], "Nota": "[sic"})
    );
    assert_eq!(whole.email_fields, ["Posta"]);
    assert_eq!(whole.assigned_user.as_deref(), Some("ana@example.com"));
    assert_eq!(
        (whole.team.as_deref(), whole.team_name.as_deref()),
        (Some("t"), Some("Vendas"))
    );
    assert_eq!((whole.funnel.as_deref(), whole.note), (Some("f"), None));
    assert!(whole.closed);
    let bare = serde_json::json!({"uuid": "u", "team": {}, "tags": null, "funnelId": {"uuid": "g"},
        "assignedUser": {"email": "b@example.com"}, "closedAt": null});
    let bare = read(bare).unwrap();
    assert_eq!((bare.team, bare.closed), (None, false));
    assert_eq!(bare.funnel.as_deref(), Some("g"));
    assert_eq!(bare.assigned_user.as_deref(), Some("b@example.com"));
    assert_eq!(read(serde_json::json!({"name": "x"})), None);
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let peer = peer(|mut stream| {
        let request = read_request(&mut stream);
        let page = if request.contains("page=1 ") { 1 } else { 2 };
        let body = format!(
            "{{\"teams\":[{{\"uuid\":\"t{page}\",\"name\":\"Team {page}\"}}],\"meta\":{{\"page\":{page},\"pages\":2}}}}"
        );
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    });
    let names: Vec<String> = client(peer.address)
        .teams()
        .await
        .unwrap()
        .into_iter()
        .map(|team| team.name)
        .collect();
    assert_eq!(names, ["Team 1", "Team 2"]);
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    for (address, good) in [
        ("http://127.0.0.1:1/v1", true),
        ("http://localhost:1", true),
        ("http://[::1]:1", true),
        ("https://api.callbell.eu/v1", true),
        ("http://api.callbell.eu/v1", false),
        ("http://127.0.0.1.example.com", false),
        ("ftp://127.0.0.1", false),
        ("nonsense", false),
    ] {
        assert_eq!(
            Callbell::new(address, &Secret::new("t")).is_ok(),
            good,
            "{address}"
        );
    }
    assert!(Callbell::new(BASE_URL, &Secret::new("a\nb")).is_err());
}

/// The time for a request is what docs and leases reckon with; connecting takes a part of it.
#[test]
fn the_limits_are_these() {
    let limits = Limits::default();
    assert_eq!(limits.connect, Duration::from_secs(4));
    assert_eq!(limits.request, Duration::from_secs(10));
    assert!(limits.connect <= limits.request / 2);
}

/// Neither a peer that says nothing in TLS nor one that says nothing in HTTP is waited for longer.
#[tokio::test]
async fn nobody_is_waited_for_longer_than_the_limits() {
    for (scheme, least, most) in [
        ("https", LIMITS.connect, LIMITS.request),
        ("http", LIMITS.request, LIMITS.request * 3),
    ] {
        let silent = peer(|stream| {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.read_to_end(&mut Vec::new());
            });
        });
        let base = format!("{scheme}://{}/v1", silent.address);
        let callbell = Callbell::with_limits(&base, &Secret::new("token"), LIMITS).unwrap();
        let begun = std::time::Instant::now();
        callbell.send(&message()).await;
        let took = begun.elapsed();
        assert!(took >= least && took < most, "{scheme}: {took:?}");
    }
}

#[tokio::test]
async fn another_token_goes_through_the_same_client() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let peer = peer(move |mut stream| {
        let _ = sender.send(read_request(&mut stream));
    });
    let renewed = client(peer.address)
        .with_token(&Secret::new("newer"))
        .unwrap();
    renewed.send(&message()).await;
    assert!(
        receiver
            .recv()
            .unwrap()
            .to_lowercase()
            .contains("\r\nauthorization: bearer newer\r\n")
    );
    assert!(renewed.with_token(&Secret::new("a\nb")).is_err());
}

#[test]
fn tls_needs_no_certificate_read() {
    let config = crate::http::tls().unwrap();
    assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
    assert!(webpki_roots::TLS_SERVER_ROOTS.len() > 100);
}
