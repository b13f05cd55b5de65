//! A wire that loses what it is told to lose, between a client and the engine.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy in front of an engine. It passes everything on, except for what it was told to lose.
pub struct Proxy {
    endpoint: String,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// Answers to lose, from the next one on.
    answers: AtomicU32,
    /// The one answer to lose, counted from now; 0: none.
    nth_answer: AtomicU32,
    /// Requests to lose, from the next one on.
    requests: AtomicU32,
    /// The operations that were asked for.
    seen: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy that runs on the caller's runtime, in front of `http://127.0.0.1:port`.
    pub async fn start(endpoint: &str) -> Proxy {
        let target = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("the listener's address");
        let proxy = Proxy {
            endpoint: format!("http://{address}"),
            faults: Arc::default(),
        };
        let faults = Arc::clone(&proxy.faults);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else {
                    continue;
                };
                tokio::spawn(pass(near, far, Arc::clone(&faults)));
            }
        });
        proxy
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The next `times` requests take place, and nobody hears of it.
    pub fn lose_answers(&self, times: u32) {
        self.faults.answers.store(times, Ordering::SeqCst);
    }

    /// The `nth` request from now, counted from 1, takes place and nobody hears of it.
    pub fn lose_answer(&self, nth: u32) {
        self.faults.nth_answer.store(nth, Ordering::SeqCst);
    }

    /// The operations asked for since the last time that this was called: `putitem`, …
    pub fn take_operations(&self) -> Vec<String> {
        std::mem::take(
            &mut self
                .faults
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The next `times` requests never arrive.
    pub fn lose_requests(&self, times: u32) {
        self.faults.requests.store(times, Ordering::SeqCst);
    }
}

/// Takes one from a counter that has some.
fn take(counter: &AtomicU32) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
}

/// What a request asks for, from its `x-amz-target` header.
fn operation(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let target = head
        .lines()
        .find_map(|line| line.strip_prefix("x-amz-target: dynamodb_20120810."))?;
    Some(target.trim().to_owned())
}

/// One connection. A request and an answer each are one or more chunks; losing the first chunk closes the
/// connection, which loses the rest.
async fn pass(near: TcpStream, far: TcpStream, faults: Arc<Faults>) {
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let up = async {
        let mut chunk = vec![0_u8; 64 * 1024];
        loop {
            let Ok(length @ 1..) = near_read.read(&mut chunk).await else {
                return;
            };
            if take(&faults.requests) {
                return;
            }
            let sent = chunk.get(..length).unwrap_or_default();
            if let Some(operation) = operation(sent) {
                faults
                    .seen
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(operation);
            }
            if far_write.write_all(sent).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut first = vec![0_u8; 64 * 1024];
        loop {
            let Ok(length @ 1..) = far_read.read(&mut first).await else {
                return;
            };
            let nth = take(&faults.nth_answer) && faults.nth_answer.load(Ordering::SeqCst) == 0;
            if nth || take(&faults.answers) {
                return;
            }
            let answer = first.get(..length).unwrap_or_default();
            if near_write.write_all(answer).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
