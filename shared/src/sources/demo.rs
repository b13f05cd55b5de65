//! The secrets of the sample events and of the development server. Public, so they protect nothing: no
//! function refers to this module.

use crate::secrets::{Secret, Secrets};

/// The demo secret of a connection: `demo-shopify-secret`.
pub fn secret(connection: &str) -> Secret {
    Secret::new(format!("demo-{connection}-secret"))
}

/// A demo secret for every source's plain connection.
pub fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    for source in super::ALL {
        secrets.insert(source.kind(), secret(source.kind()));
    }
    secrets
}
