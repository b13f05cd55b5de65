//! Waiting for what takes its time: a question asked again and again until a deadline.

use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// How long between two questions.
const AGAIN: Duration = Duration::from_millis(250);
/// The same where a question is an order.
const AGAIN_SLOWLY: Duration = Duration::from_secs(5);

/// Asks until there is an answer. `what` is said where there is none within `limit`, with what the last
/// question brought instead.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    ask: impl AsyncFnMut() -> Outcome<Result<T, String>>,
) -> Outcome<T> {
    every(AGAIN, what, limit, ask).await
}

/// The same, every few seconds.
pub(crate) async fn until_slowly<T>(
    what: &str,
    limit: Duration,
    ask: impl AsyncFnMut() -> Outcome<Result<T, String>>,
) -> Outcome<T> {
    every(AGAIN_SLOWLY, what, limit, ask).await
}

async fn every<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Outcome<Result<T, String>>,
) -> Outcome<T> {
    let start = Instant::now();
    loop {
        let instead = match ask().await? {
            Ok(answer) => return Ok(answer),
            Err(instead) => instead,
        };
        if start.elapsed() >= limit {
            let seconds = limit.as_secs();
            return Err(Failure::new(format!(
                "{what}: not within {seconds} s; {instead}"
            )));
        }
        tokio::time::sleep(pause).await;
    }
}
