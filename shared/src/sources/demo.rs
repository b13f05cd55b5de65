//! The secrets of the sample events and of the development server. Public, so they protect nothing: no
//! function refers to this module.

use super::{Source, callbell, webhook};
use crate::connections::{Auth, Connection, Connections, Encoding, Hash, HmacOf};
use crate::secrets::{Secret, Secrets};

/// Systems of the user's own that sample events come from.
const OWN: [&str; 2] = ["erp", "nuvemshop"];

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
    for name in OWN {
        secrets.insert(name, secret(name));
    }
    secrets
}

/// The `[source.x]` tables that sample events of systems of the user's own go by: `examples/erp.toml` has the
/// same.
pub fn connections() -> Connections {
    let connection = |name: &str| {
        let auth = match name {
            "nuvemshop" => Auth::Hmac(HmacOf {
                header: "x-linkedstore-hmac-sha256".to_owned(),
                hash: Hash::Sha256,
                encoding: Encoding::Hex,
                prefix: String::new(),
            }),
            _ => Auth::Bearer,
        };
        let connection = Connection {
            kind: webhook::KIND.to_owned(),
            auth: Some(auth),
            ..Connection::plain(name)
        };
        (name.to_owned(), connection)
    };
    Connections(OWN.into_iter().map(connection).collect())
}
