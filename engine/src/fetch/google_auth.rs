//! Google's access tokens: of a service account, by a JWT that it signs, or of a person, by a refresh token.
//! <https://developers.google.com/identity/protocols/oauth2/service-account>,
//! <https://developers.google.com/identity/protocols/oauth2/web-server#offline>

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use shared::secrets::Secret;

use super::FetchError;
use crate::apis::{Apis, Auth, Body, Call, Reply};

/// Where tokens are made.
const HOST: &str = "oauth2.googleapis.com";
/// Whom the JWT is for.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
/// Enough to list a calendar's events and to watch them.
pub const CALENDAR: &str = "https://www.googleapis.com/auth/calendar.events.readonly";
/// Enough to read a mailbox and to have its changes pushed.
pub const MAILBOX: &str = "https://www.googleapis.com/auth/gmail.readonly";
/// Enough to read and write sheets.
pub const SHEETS: &str = "https://www.googleapis.com/auth/spreadsheets";
/// How long a JWT is good, in seconds; Google takes at most an hour.
const JWT_SECONDS: i64 = 3_600;
/// By how much a JWT begins in the past, in seconds, for a clock that is ahead of Google's.
const JWT_BACK_SECONDS: i64 = 30;
/// For how long an access token is used unless the answer says, in seconds.
const TOKEN_SECONDS: i64 = 3_600;
/// So long before its end a token is no longer used.
const TOKEN_MARGIN: SignedDuration = SignedDuration::from_mins(2);
/// Longest word of an error that is repeated, in characters.
const WORD_CHARS_MAX: usize = 40;

/// What the secret of a connection holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Credentials {
    /// The JSON key of a service account as Google hands it out; `subject` is ours to add: whom it acts for,
    /// where a Workspace domain lets it.
    ServiceAccount {
        client_email: String,
        private_key: String,
        #[serde(default)]
        private_key_id: Option<String>,
        #[serde(default)]
        subject: Option<String>,
    },
    /// Of a person who gave consent once.
    Refresh {
        client_id: String,
        client_secret: String,
        refresh_token: String,
    },
}

/// An access token. Not printed.
#[derive(Clone)]
pub struct AccessToken(String);

impl AccessToken {
    /// How a request proves itself with it.
    pub fn auth(&self) -> Auth<'_> {
        Auth::Bearer(&self.0)
    }

    /// As a secret, for another cache than this one.
    pub fn into_secret(self) -> Secret {
        Secret::new(self.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Access tokens that are still good, by what they permit and the secret that they were made of.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<Granted, (AccessToken, Timestamp)>>);

/// For which scope, and on whose behalf.
type Granted = (&'static str, String);

impl Tokens {
    /// An access token for what `scope` permits, for the first of these secrets that Google accepts.
    ///
    /// # Errors
    /// [`FetchError::Refused`] where it accepts none; what came of asking.
    pub async fn get(
        &self,
        apis: &Apis,
        secrets: &[Secret],
        scope: &'static str,
        now: Timestamp,
    ) -> Result<AccessToken, FetchError> {
        let mut refused = FetchError::Refused("there is no API secret".to_owned());
        for secret in secrets {
            match self.of(apis, secret, scope, now).await {
                Err(error @ FetchError::Refused(_)) => refused = error,
                other => return other,
            }
        }
        Err(refused)
    }

    /// Forgets what was made of these secrets: Google refused it before its time.
    pub fn forget(&self, secrets: &[Secret]) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|(_, of), _| secrets.iter().all(|secret| secret.expose() != of));
    }

    async fn of(
        &self,
        apis: &Apis,
        secret: &Secret,
        scope: &'static str,
        now: Timestamp,
    ) -> Result<AccessToken, FetchError> {
        let key = (scope, secret.expose().to_owned());
        let held = {
            let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.get(&key).cloned()
        };
        if let Some((token, until)) = held
            && now < until
        {
            return Ok(token);
        }
        let (token, seconds) = ask(apis, secret, scope, now).await?;
        let life = SignedDuration::from_secs(seconds.clamp(0, TOKEN_SECONDS));
        let until = now
            .saturating_add(life.saturating_sub(TOKEN_MARGIN))
            .unwrap_or(now);
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(key, (token.clone(), until));
        Ok(token)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// Asks for an access token for what `scope` permits; how many seconds it is good. A refresh token permits
/// what its owner consented to, whatever the scope.
///
/// # Errors
/// [`FetchError::Refused`] where Google refuses the secret or it is none; what came of asking.
pub async fn ask(
    apis: &Apis,
    secret: &Secret,
    scope: &str,
    now: Timestamp,
) -> Result<(AccessToken, i64), FetchError> {
    let malformed = || {
        FetchError::Refused(
            "the API secret is neither a service account's JSON key nor JSON of client_id, \
             client_secret and refresh_token"
                .to_owned(),
        )
    };
    let credentials: Credentials =
        serde_json::from_str(secret.expose()).map_err(|_| malformed())?;
    let assertion;
    let form = match &credentials {
        Credentials::ServiceAccount { .. } => {
            assertion = signed(&credentials, scope, now).ok_or_else(malformed)?;
            vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", assertion.as_str()),
            ]
        }
        Credentials::Refresh {
            client_id,
            client_secret,
            refresh_token,
        } => vec![
            ("grant_type", "refresh_token"),
            ("client_id", client_id.as_str()),
            ("client_secret", client_secret.as_str()),
            ("refresh_token", refresh_token.as_str()),
        ],
    };
    let reply = apis
        .call(&Call {
            method: Method::POST,
            host: HOST,
            path: &["token"],
            query: &[],
            auth: Auth::None,
            body: Body::Form(&form),
        })
        .await?;
    read(&reply)
}

fn read(reply: &Reply) -> Result<(AccessToken, i64), FetchError> {
    let answer = reply.json();
    if reply.is_success() {
        let token = answer.get("access_token").and_then(|token| token.as_str());
        let seconds = answer
            .get("expires_in")
            .and_then(|seconds| seconds.as_i64());
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| {
            FetchError::Unreadable("Google's answer has no access token".to_owned())
        })?;
        return Ok((
            AccessToken(token.to_owned()),
            seconds.unwrap_or(TOKEN_SECONDS),
        ));
    }
    let word = word(answer.get("error").and_then(|error| error.as_str()));
    match reply.status {
        400 | 401 | 403 => Err(FetchError::Refused(format!(
            "Google refuses the credentials: {word}"
        ))),
        status => Err(FetchError::Unavailable {
            why: format!("Google's token endpoint answered {status}: {word}"),
            retry_after: reply.retry_after,
        }),
    }
}

/// A word of a provider's error (`invalid_grant`), where it is one.
pub(super) fn word(text: Option<&str>) -> &str {
    let is_word = |text: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !text.is_empty() && text.len() <= WORD_CHARS_MAX && text.bytes().all(allowed)
    };
    text.filter(is_word).unwrap_or("no reason given")
}

/// The JWT by which a service account asks for a token: RS256 by the provider that TLS has too.
fn signed(credentials: &Credentials, scope: &str, now: Timestamp) -> Option<String> {
    let Credentials::ServiceAccount {
        client_email,
        private_key,
        private_key_id,
        subject,
    } = credentials
    else {
        return None;
    };
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let (Some(header), Some(kid)) = (header.as_object_mut(), private_key_id) {
        header.insert("kid".to_owned(), json!(kid));
    }
    let begins = now.as_second().saturating_sub(JWT_BACK_SECONDS);
    let mut claims = json!({
        "iss": client_email, "scope": scope, "aud": AUDIENCE,
        "iat": begins, "exp": begins.saturating_add(JWT_SECONDS),
    });
    if let (Some(claims), Some(subject)) = (claims.as_object_mut(), subject) {
        claims.insert("sub".to_owned(), json!(subject));
    }
    let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let der = PrivatePkcs8KeyDer::from_pem_slice(private_key.as_bytes()).ok()?;
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .ok()?;
    Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    #[test]
    fn a_service_account_signs_what_google_asks_for() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let base64 = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = base64
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        );
        let json = json!({
            "type": "service_account", "client_email": "x@p.iam.gserviceaccount.com",
            "private_key": pem, "private_key_id": "k1", "token_uri": "https://elsewhere.example",
            "subject": "studio@example.com",
        });
        let credentials: Credentials = serde_json::from_value(json).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let jwt = signed(&credentials, CALENDAR, now).unwrap();
        let parts: Vec<&str> = jwt.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            panic!("{} parts", parts.len());
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let key = pair.public_key().as_ref();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(format!("{header}.{claims}").as_bytes(), &decode(signature))
            .unwrap();
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
        let expected = json!({
            "iss": "x@p.iam.gserviceaccount.com", "sub": "studio@example.com",
            "scope": "https://www.googleapis.com/auth/calendar.events.readonly",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": 1_799_999_970, "exp": 1_800_003_570,
        });
        assert_eq!(claims, expected);
    }

    #[test]
    fn a_key_that_is_none_signs_nothing() {
        for key in [
            "",
            "x",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let json = json!({"client_email": "x@p", "private_key": key});
            let credentials: Credentials = serde_json::from_value(json).unwrap();
            assert_eq!(signed(&credentials, SHEETS, Timestamp::UNIX_EPOCH), None);
        }
    }

    #[test]
    fn what_the_token_endpoint_answers_says_what_to_do_next() {
        let answer = |status, body: Value| {
            read(&Reply {
                status,
                retry_after: None,
                headers: reqwest::header::HeaderMap::new(),
                body: body.to_string().into_bytes(),
            })
            .map(|(token, seconds)| (token.0, seconds))
        };
        let good = json!({"access_token": "t", "expires_in": 100});
        assert_eq!(answer(200, good), Ok(("t".to_owned(), 100)));
        assert!(matches!(
            answer(200, json!({})),
            Err(FetchError::Unreadable(_))
        ));
        let refused = answer(
            400,
            json!({"error": "invalid_grant", "error_description": "x@y"}),
        );
        let expected = "Google refuses the credentials: invalid_grant";
        assert_eq!(refused, Err(FetchError::Refused(expected.to_owned())));
        // Nothing that is no word is repeated.
        let odd = answer(401, json!({"error": "token of x@y"})).unwrap_err();
        assert!(!odd.to_string().contains("x@y"), "{odd}");
        let down = answer(503, Value::Null);
        assert!(matches!(down, Err(FetchError::Unavailable { .. })));
    }
}
