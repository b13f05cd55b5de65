//! The floor: a handler that does nothing, on the same runtime as the functions.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(async |_: Request| {
        Ok::<_, Error>(Response::new(Body::from(r#"{"status":"accepted"}"#)))
    }))
    .await
}
