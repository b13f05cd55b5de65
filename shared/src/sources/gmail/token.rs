//! The token by which Pub/Sub proves a push: a JWT that Google signs, in the name of the service account that the
//! push subscription was given. Google wants all of it checked; without the account's address anybody who
//! has a subscription of their own could have a token made for our audience.
//! <https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::{Proofs, Refusal};
use crate::keys::RsaKey;
use crate::secrets::Secret;

/// Where the token stands.
pub(super) const HEADER: &str = "authorization";
/// What stands before it.
const SCHEME: &str = "Bearer ";
/// Longest token, in characters: Google's have about a thousand.
const TOKEN_CHARS_MAX: usize = 4_096;
/// By how much Google's clock and ours may differ, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// How long a token is good that is made here, in seconds: as Google's.
const TOKEN_SECONDS: i64 = 3_600;
/// Who signs.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// The id of the key that signs what is made here.
pub const KID: &str = "demo";

/// What the secret of a connection says.
#[derive(Deserialize)]
struct Expected {
    /// The service account of the push subscription.
    email: String,
    /// What the subscription was told to have tokens made for.
    audience: String,
    /// PKCS#8 in base64: of demo values and tests alone, whose tokens are made here.
    #[serde(default)]
    private_key: Option<String>,
    /// That key's id.
    #[serde(default)]
    kid: Option<String>,
}

impl Expected {
    /// `None`: the secret is not of this form, or one of the two is empty, and then nothing matches it.
    fn of(secret: &Secret) -> Option<Expected> {
        let expected: Expected = serde_json::from_str(secret.expose()).ok()?;
        let whole = !expected.email.is_empty() && !expected.audience.is_empty();
        whole.then_some(expected)
    }

    /// Google calls the audience a string that is compared in any case.
    /// <https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions#OidcToken>
    fn is_met_by(&self, claims: &Claims) -> bool {
        claims.aud.eq_ignore_ascii_case(&self.audience)
            && claims.email_verified
            && claims.email.eq_ignore_ascii_case(&self.email)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    /// What a reader must understand; this one knows nothing of the kind.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
    iat: i64,
    exp: i64,
}

/// A token, taken apart and not believed yet.
struct Token<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    kid: String,
    claims: Claims,
}

impl<'a> Token<'a> {
    /// `None`: it is none, or not signed with RS256, the one algorithm that Google uses.
    fn parse(text: &'a str) -> Option<Token<'a>> {
        let (scheme, token) = text.trim().split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = part(header)?;
        if header.alg != "RS256" || header.crit.is_some() {
            return None;
        }
        Some(Token {
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            kid: header.kid,
            claims: part(claims)?,
        })
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether a header holds a token that Google made for one of these secrets.
pub(super) fn verify(header: &str, proofs: &Proofs<'_>, now: Timestamp) -> Result<(), Refusal> {
    let token = Token::parse(header).ok_or(Refusal::Malformed(HEADER))?;
    let no_match = Refusal::NoMatch {
        secrets: proofs.secrets.len(),
    };
    let key = proofs.keys.0.get(&token.kid).ok_or(Refusal::UnknownKey)?;
    let claims = &token.claims;
    let is_googles = is_signed(&token, key) == Some(true) && ISSUERS.contains(&claims.iss.as_str());
    let expected = proofs.secrets.iter().filter_map(Expected::of);
    if !is_googles || !expected.into_iter().any(|one| one.is_met_by(claims)) {
        return Err(no_match);
    }
    let now = now.as_second();
    let begun = claims.iat <= now.saturating_add(LEEWAY_SECONDS);
    let ended = claims.exp.saturating_add(LEEWAY_SECONDS) <= now;
    if !begun || ended {
        return Err(Refusal::Stale {
            seconds: now.saturating_sub(claims.iat).saturating_abs(),
        });
    }
    Ok(())
}

fn is_signed(token: &Token<'_>, key: &RsaKey) -> Option<bool> {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let key = PublicKeyComponents {
        n: decode(&key.n)?,
        e: decode(&key.e)?,
    };
    let signed = token.signed.as_bytes();
    let verified = key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, &token.signature);
    Some(verified.is_ok())
}

/// The header that a push would have, where the secret holds the key to make it.
pub(super) fn make(secret: &Secret, now: Timestamp) -> Option<String> {
    let expected: Expected = serde_json::from_str(secret.expose()).ok()?;
    let pair = pair(expected.private_key.as_deref()?)?;
    let header =
        json!({"alg": "RS256", "typ": "JWT", "kid": expected.kid.as_deref().unwrap_or(KID)});
    let begins = now.as_second();
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": expected.audience, "azp": "113774264463038321964",
        "sub": "113774264463038321964", "email": expected.email, "email_verified": true,
        "iat": begins, "exp": begins.saturating_add(TOKEN_SECONDS),
    });
    let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
        .ok()?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Some(format!("{SCHEME}{text}.{signature}"))
}

fn pair(private_key: &str) -> Option<RsaKeyPair> {
    RsaKeyPair::from_pkcs8(&STANDARD.decode(private_key).ok()?).ok()
}
