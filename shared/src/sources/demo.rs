//! The secrets of the sample events and of the development server. Public, so they protect nothing: no
//! function refers to this module.

use serde_json::json;

use super::{Source, callbell, gmail, webhook};
use crate::connections::{Auth, Connection, Connections, Encoding, Hash, HmacOf};
use crate::keys::{PublicKeys, RsaKey};
use crate::secrets::{Secret, Secrets};

/// Who pushes the mailbox of the samples.
const PUSHER: &str = "push@demo.iam.gserviceaccount.com";
/// What signs its pushes in Google's place, PKCS#8 in base64. As public as all values here.
const SIGNS_FOR_GOOGLE: &str = "\
    MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDF6vg2wlF0Wmqt+EAddHputo4mn0WA2+x/MG+QHq36Q7ZbgQ+r\
    xdgp20PoXaPNTpTp6m+S3dzyP9S2lI/jwTvH3xuS6ro9KO+RLhW0fo5/pSF74IYcKDGJaQMb5t0GSg92V7zcxZ6UemjFhMOW+Ihe\
    nIogOm4ArdkS0xDDaqq0dwa2eqIs435mDwzqgrKM7nyN6QL1lYrzpAgbF0CIfzKh0ruXYtmKqy+H4nE0BQEa0YoXXfy7bKxo7xtB\
    3+6zoRfDhUpTQMvtjAWBz9enX2AVGzMUal3++8b7y8fxHoFAMSXf5qwzcQWb8xpAbXrbmBnIIRaCUzhaFTO6qijfriZDAgMBAAEC\
    ggEAUdnYmFDpvexsxRDvdx8GSUY/aLKi3GVXm8xMvzYo7mDViGdKM1hpivnuzij3xr8yb8DwLrWJnDgQwQeUsHToQ8M91Jc1uXh2\
    Bz0fZduXFCwXOnODEx7+SZ0/12i1TNYRKfikF0u1RyOOs+0xtHyJbVNg/m4bszUymonmm2LAQUxi5YKhjxEYKk89ep5v7v67ecij\
    4QIVYy8lLzsg162Ywq0RDcLNYB7CotY5xZhuEDoqXqY2bJV9lOv8i+wGSWslx7D0baApe3MOKxe1gsP+NbQQE+hqVV7S+fZip9gA\
    eoGxBaNfNQsOWb4U29DOzRzX0sKNzjIY/lqBK7jJ0OtF1QKBgQD9N25dsQ05IkrFB5hh8uSpNkJp5r7tr8eL0doxobaOdpfOrlp7\
    NYrVbXwU2HUl/WUIfrR44lyE6SJWCk/pVYvg/3ZRhANo0JztOztUWGF76RTCdA82Uk5qD7DzVfADRsBb4kqHSA58wS0WqHEFTyNL\
    YcJVQajbVpI1T4dTUxawhwKBgQDIF+yVKwppOBQ/GoZvb7s+8Vt7mMSeCX059mjx6nCM7lCD4WXFgjsi524CqsI3dIaoxu8M6jij\
    0GQbiwGVka2lBaYjPxNiDKP4gU/fheRzX+kCsqWcG8L3PImPoUDhBaziYntT/G+UWynrpDYlJEwRwzpQfOJ+rCNhCz5JWKa3ZQKB\
    gCEZuOSoe1kHoYyGBKZxMPDptd7QGg9KFiSx5vrr78hJumh7JDrM8fwaVskGzrGLoURuA7t1o7CAJUvoBzAyTZm460eWoTd3Zbwh\
    LQ1GjF+9RUhyEXcBZVy59mCo0DotaoHYX/O1OKeYPQOkOzn9cViuS9AHSEJ725r6bW84AlRLAoGAKHp+h+a/Im4P2nw5Og32aVNW\
    WHidPgNZbAJnVJlCz5/ede+BMSWZZQRAgxWcWK+gFkC4V3qCntEnj1LdrS5dXIb6ByNZfnpkKX+vct6ZSqXac4tEaYJMPMvoYEAU\
    6fDF+r5FiMYGpJKUtnDv6y+em/FMuL+q6klUlus5XIksoOkCgYAEPBK3AWqWNYCl8+aHHRtwtHBRtNl2zZkqwos6Mx0pinmzFcNd\
    RPRy8MLmWHSGCKD3onZXfTBOHBcojO+PCm8wQHvNY35LdzEKS+vHiF6dVWzcBxP/9cKB7zmcitJEmnvVR4z/QpXWpxuPt9lDiyhe\
    HEe9PTsnI28xhzxIK1yAYw==";

/// Its public half: the modulus.
const MODULUS: &str = "\
    xer4NsJRdFpqrfhAHXR6braOJp9FgNvsfzBvkB6t-kO2W4EPq8XYKdtD6F2jzU6U6epvkt3c8j_UtpSP48E7x98bkuq6PSjvkS4V\
    tH6Of6Uhe-CGHCgxiWkDG-bdBkoPdle83MWelHpoxYTDlviIXpyKIDpuAK3ZEtMQw2qqtHcGtnqiLON-Zg8M6oKyjO58jekC9ZWK\
    86QIGxdAiH8yodK7l2LZiqsvh-JxNAUBGtGKF138u2ysaO8bQd_us6EXw4VKU0DL7YwFgc_Xp19gFRszFGpd_vvG-8vH8R6BQDEl\
    3-asM3EFm_MaQG1625gZyCEWglM4WhUzuqoo364mQw";

/// Systems of the user's own that sample events come from.
const OWN: [&str; 3] = ["erp", "nuvemshop", "zapier"];

/// The demo secret that a connection signs with: `demo-shopify-secret`.
pub fn secret(connection: &str) -> Secret {
    if connection == gmail::KIND {
        return google(connection);
    }
    let prefix = if connection == callbell::KIND {
        callbell::SIGNING_PREFIX
    } else {
        ""
    };
    Secret::new(format!("{prefix}demo-{connection}-secret"))
}

/// What proves a push of Google's, and what signs it.
pub fn google(audience: &str) -> Secret {
    let secret = json!({
        "email": PUSHER, "audience": format!("demo-{audience}-audience"), "private_key": SIGNS_FOR_GOOGLE,
    });
    Secret::new(secret.to_string())
}

/// The keys that Google would list where the demo's signs for it.
pub fn public_keys() -> PublicKeys {
    let key = RsaKey {
        n: MODULUS.to_owned(),
        e: "AQAB".to_owned(),
    };
    PublicKeys([(gmail::DEMO_KID.to_owned(), key)].into())
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
