//! The secrets of the sample events and of the development server. Public, so they protect nothing: no
//! function refers to this module.

use super::{Source, callbell};
use crate::secrets::{Secret, Secrets};

/// The demo secret that a connection signs with: `demo-shopify-secret`.
pub fn secret(connection: &str) -> Secret {
    let prefix = if connection == callbell::KIND {
        callbell::SIGNING_PREFIX
    } else {
        ""
    };
    Secret::new(format!("{prefix}demo-{connection}-secret"))
}

/// The last part of the path of a source's plain connection: its name, or the secret in its place.
pub fn path(source: &dyn Source) -> String {
    if source.is_behind_secret() {
        format!("demo-{}-path", source.kind())
    } else {
        source.kind().to_owned()
    }
}

/// A demo secret for every source's plain connection, and one for its path where that ends in a secret.
pub fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    for source in super::ALL {
        if source.is_behind_secret() {
            secrets.insert(source.kind(), Secret::new(path(*source)));
        }
        secrets.insert(source.kind(), secret(source.kind()));
    }
    secrets
}
