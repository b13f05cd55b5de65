//! The keys of a `[source.x]` of the kind `webhook`: how its posts prove themselves, and what they mean.

use shared::connections::{Auth, Encoding, Hash, HmacOf};
use shared::sources::webhook;

use super::super::model::{Expr, Posts};
use super::super::{fields, spec, syntax};
use super::message::expr;
use super::places;
use super::reader::{Ctx, Node};

/// The keys that no other kind has.
const OWN: [&str; 8] = [
    "auth", "hmac", "key", "phone", "name", "email", "at", "each",
];

/// What these keys say.
pub(super) struct Own {
    pub(super) auth: Option<Auth>,
    pub(super) posts: Option<Posts>,
}

/// Reads them. `kind` is the source's; `None` where that is wrong and was reported.
pub(super) fn own<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, kind: Option<&str>) -> Own {
    let none = Own {
        auth: None,
        posts: None,
    };
    if let Some(kind) = kind
        && kind != webhook::KIND
    {
        for key in OWN {
            if let Some(entry) = node.get(key) {
                let message = format!(
                    "{key} is for kind = \"{}\": what {kind} sends is read without it",
                    webhook::KIND
                );
                ctx.error(&entry.span(), message);
            }
        }
        return none;
    }
    let auth = auth(ctx, node);
    let key = expr_of(ctx, node, "key");
    let [phone, name, email, at, each] =
        ["phone", "name", "email", "at", "each"].map(|key| expr_of(ctx, node, key));
    let locale = says_locale(node).then(|| expr_of(ctx, node, "locale"));
    if kind.is_some() && !node.has("key") {
        let example = spec::SOURCE.key("key").map_or("", |key| key.example);
        let message = format!(
            "{} has no key, by which the same event is known again: key = {example}",
            node.path
        );
        ctx.error(&node.header, message);
    }
    // Without a key that can be read the file is not used; the others are looked through all the same.
    let posts = Some(Posts {
        key: key.unwrap_or_else(|| Expr(String::new())),
        phone,
        name,
        email,
        locale: locale.flatten(),
        at,
        each,
    });
    Own { auth, posts }
}

fn expr_of<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, key: &'static str) -> Option<Expr> {
    node.get(key).and_then(|entry| expr(ctx, &entry))
}

/// Whether `locale` is an expression: one that names a field of the body. What can be read as BCP 47 is a
/// locale, as in every other table.
pub(super) fn says_locale(node: &Node<'_, '_>) -> bool {
    let entry = node.get("locale");
    let text = entry
        .as_ref()
        .and_then(|entry| entry.value.get_ref().as_str());
    let names_data = |text: &str| {
        let of_data = |path: &str| fields::root(path) == "data";
        match syntax::expression(text) {
            Ok(found) => found.fields.iter().any(|field| of_data(&field.path)),
            // An expression with a mistake in it.
            Err(_) => text.contains("data.") || text.contains("data["),
        }
    };
    text.is_some_and(|text| places::locale(text).is_err() && names_data(text))
}

/// `auth`, and `hmac` where it asks for it.
fn auth<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<Auth> {
    let word = ctx.word(node, "auth");
    let of = hmac(ctx, node);
    // An `auth` that is wrong itself has its own report.
    let is_wrong = node.has("auth") && word.is_none();
    if let Some(entry) = node.get("hmac")
        && word != Some("hmac")
        && !is_wrong
        && of.is_some()
    {
        ctx.error(&entry.span(), "hmac is for auth = \"hmac\"");
    }
    match word? {
        "bearer" => Some(Auth::Bearer),
        "basic" => Some(Auth::Basic),
        "hmac" => {
            if !node.has("hmac") {
                let example = spec::SOURCE.key("hmac").map_or("", |key| key.example);
                let message =
                    format!("auth = \"hmac\" needs the name of the header: hmac = {example}");
                let span = node.span_of("auth");
                ctx.error(&span, message);
            }
            of.map(Auth::Hmac)
        }
        _ => Some(Auth::StandardWebhooks),
    }
}

fn hmac<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<HmacOf> {
    let entry = node.get("hmac")?;
    let Some(table) = entry.value.get_ref().as_table() else {
        ctx.wrong_type(entry.key, entry.value);
        return None;
    };
    let inner = Node {
        spec: &spec::HMAC,
        path: entry.path.clone(),
        header: entry.span(),
        table,
    };
    inner.unknown_keys(ctx, |_| false, &[]);
    let header = ctx.parsed(&inner, "header", header);
    let hash = match ctx.word(&inner, "hash") {
        Some("sha1") => Hash::Sha1,
        Some("sha512") => Hash::Sha512,
        _ => Hash::Sha256,
    };
    let encoding = match ctx.word(&inner, "encoding") {
        Some("base64") => Encoding::Base64,
        _ => Encoding::Hex,
    };
    let prefix = ctx.parsed(&inner, "prefix", |text| Ok(text.to_owned()));
    Some(HmacOf {
        header: header?,
        hash,
        encoding,
        prefix: prefix.unwrap_or_default(),
    })
}

/// The header's name in lower case.
fn header(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!(
        "header = \"{text}\" is no name of a header: letters, digits and -, as in x-signature"
    ))
}
