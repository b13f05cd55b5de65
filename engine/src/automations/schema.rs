//! `automations.schema.json`: completion and red lines in editors, written from [`spec`].

use serde_json::{Map, Value, json};
use shared::event::Name;
use shared::sources;

use super::model::{ActionKind, STEPS_MAX};
use super::spec::{self, Key, Table, Type};

/// Names of tables.
const NAME_PATTERN: &str = "^[a-z0-9-]{1,40}$";
/// Locales, roughly: the parser knows them exactly.
const LOCALE_PATTERN: &str = "^[a-zA-Z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?$";
const UUID_PATTERN: &str =
    "^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$";
const DURATION_PATTERN: &str = "^[0-9]+[mhdw]$";
const SPAN_PATTERN: &str = "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$";
const DATE_PATTERN: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";

/// The JSON Schema (draft 7, which editors' TOML extensions read) of an automations file.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for table in spec::TABLES {
        let one = table_schema(table);
        let value = if table.named {
            json!({
                "type": "object",
                "description": format!("[{}.NAME]: {}", table.kind, table.meaning),
                "patternProperties": { NAME_PATTERN: one },
                "additionalProperties": false,
            })
        } else {
            one
        };
        properties.insert(table.kind.to_owned(), value);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "automations.toml of callbell-serverless",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The schema as the file's text.
pub fn schema_text() -> String {
    // A JSON value can always be written.
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}

fn table_schema(table: &Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        properties.insert(key.name.to_owned(), key_schema(key));
    }
    let required: Vec<&str> = table
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut out = json!({
        "type": "object",
        "description": table.meaning,
        "properties": properties,
        "additionalProperties": false,
    });
    let Some(object) = out.as_object_mut() else {
        return out;
    };
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    if *table == spec::HOURS {
        let day = format!("({})", spec::WEEKDAYS.join("|"));
        let mut days = value_schema(Type::Spans);
        describe(&mut days, spec::WEEKDAY_KEY.meaning, "");
        object.insert(
            "patternProperties".to_owned(),
            json!({ format!("^{day}(-{day})?$"): days }),
        );
    }
    if let Some((keyword, ways)) = ways(table) {
        let ways: Vec<Value> = ways
            .iter()
            .map(|way| json!({ "required": [way] }))
            .collect();
        object.insert(keyword.to_owned(), json!(ways));
    }
    out
}

/// Keys of which a table needs one, and whether just one.
fn ways(table: &Table) -> Option<(&'static str, Vec<&'static str>)> {
    let actions = || ActionKind::ALL.into_iter().map(ActionKind::as_str);
    match table.kind {
        "automation" => Some(("oneOf", actions().chain(["steps"]).collect())),
        "step" => Some(("oneOf", actions().collect())),
        "rule" => Some(("anyOf", vec!["say", "handover", "ignore"])),
        "message" => Some((
            "anyOf",
            vec!["text", "template", "image", "document", "audio", "video"],
        )),
        _ => None,
    }
}

fn key_schema(key: &Key) -> Value {
    let mut out = value_schema(key.value);
    describe(&mut out, key.meaning, key.default);
    out
}

fn describe(value: &mut Value, meaning: &str, default: &str) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    let default = if default.is_empty() {
        String::new()
    } else {
        format!(" Default: {default}.")
    };
    object.insert(
        "description".to_owned(),
        json!(format!("{meaning}{default}")),
    );
}

fn list_of(item: &Value) -> Value {
    json!({ "type": "array", "items": item })
}

/// One value, or one a locale.
fn by_locale(one: &Value) -> Value {
    json!({
        "anyOf": [
            one,
            {
                "type": "object",
                "patternProperties": { LOCALE_PATTERN: one },
                "additionalProperties": false,
                "minProperties": 1,
            },
        ],
    })
}

fn one_or_list(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

fn value_schema(value: Type) -> Value {
    let text = json!({ "type": "string" });
    let pattern = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match value {
        Type::Bool => json!({ "type": "boolean" }),
        Type::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Type::Words(words) => json!({ "type": "string", "enum": words }),
        Type::Name(_) | Type::NameOr(..) => pattern(NAME_PATTERN),
        Type::Duration => pattern(DURATION_PATTERN),
        Type::ExprOrTrue => json!({ "anyOf": [text, { "const": true }] }),
        // Braces in an expression are the one mistake that a pattern finds.
        Type::Expr => json!({ "type": "string", "not": { "pattern": "\\{[{%]" } }),
        Type::Plain
        | Type::Regex
        | Type::Text
        | Type::Time
        | Type::Once
        | Type::Zone
        | Type::Email => text,
        Type::Locale => pattern(LOCALE_PATTERN),
        Type::LocaleOrExpr => {
            json!({ "anyOf": [pattern(LOCALE_PATTERN), pattern("^[^{%]*data *[.\\[]")] })
        }
        Type::Hmac => table_schema(&spec::HMAC),
        Type::LocaleByCountry => json!({
            "type": "object",
            "patternProperties": { "^[A-Za-z]{2}$": pattern(LOCALE_PATTERN) },
            "additionalProperties": false,
        }),
        Type::Country => pattern("^[A-Za-z]{2}$"),
        Type::Uuid => pattern(UUID_PATTERN),
        Type::Phones | Type::Paths => list_of(&text),
        Type::Events => one_or_list(&json!({ "type": "string", "enum": events() })),
        Type::Sources => one_or_list(&text),
        Type::SourceKind => {
            let kinds: Vec<&str> = sources::ALL.iter().map(|source| source.kind()).collect();
            json!({ "type": "string", "enum": kinds })
        }
        Type::LocText => by_locale(&text),
        Type::LocUuid => by_locale(&pattern(UUID_PATTERN)),
        Type::LocTexts => by_locale(&list_of(&text)),
        Type::Spans => list_of(&pattern(SPAN_PATTERN)),
        // A date without quotes is read too, and is a string to editors.
        Type::Dates => list_of(&json!({ "type": "string", "pattern": DATE_PATTERN })),
        Type::SpansByDate => json!({
            "type": "object",
            "patternProperties": { DATE_PATTERN: list_of(&pattern(SPAN_PATTERN)) },
            "additionalProperties": false,
        }),
        Type::Steps => {
            json!({ "type": "array", "items": table_schema(&spec::STEP), "minItems": 1, "maxItems": STEPS_MAX })
        }
        Type::Texts | Type::Plains => list_of(&text),
        Type::LocPlains => by_locale(&list_of(&text)),
        Type::TextTable | Type::Headers => {
            json!({ "type": "object", "additionalProperties": text })
        }
        Type::Url => pattern("^https://"),
        Type::SecretName => pattern(NAME_PATTERN),
        Type::Seconds => pattern("^[0-9]+[smh]$"),
        Type::Match => list_of(&json!({ "type": "string", "enum": ["phone", "email"] })),
        Type::True => json!({ "const": true }),
        Type::TrueOrPlain => json!({ "anyOf": [text, { "const": true }] }),
        Type::CustomerEvery => pattern("^customer +every +[0-9]+[mhdw]$"),
        Type::Rules => {
            json!({ "type": "array", "items": table_schema(&spec::RULE), "maxItems": spec::RULES_MAX })
        }
    }
}

fn events() -> Vec<&'static str> {
    Name::ALL
        .iter()
        .filter(|name| !name.is_internal())
        .map(|name| name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regenerate: `UPDATE=1 cargo test -p engine the_committed_schema`.
    #[test]
    fn the_committed_schema_is_the_generated_one() {
        super::super::hold_to_file("../examples/automations.schema.json", &schema_text());
    }

    fn each(list: Option<&Value>) -> &[Value] {
        list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn matches(pattern: &str, text: &str) -> bool {
        regex_lite::Regex::new(pattern)
            .expect("a pattern")
            .is_match(text)
    }

    fn kind(value: &toml::Value) -> &'static str {
        match value {
            toml::Value::String(_) => "string",
            toml::Value::Integer(_) => "integer",
            toml::Value::Boolean(_) => "boolean",
            toml::Value::Array(_) => "array",
            toml::Value::Table(_) => "object",
            _ => "other",
        }
    }

    /// Whether `value` obeys `schema`, as far as the keywords go that this file writes.
    fn obeys(schema: &Value, value: &toml::Value) -> Result<(), String> {
        let text = value.as_str();
        let any = |key: &str| {
            each(schema.get(key))
                .iter()
                .filter(|one| obeys(one, value).is_ok())
                .count()
        };
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let minimum = schema.get("minimum").and_then(Value::as_i64);
        let json = serde_json::to_value(value).unwrap_or_default();
        let broken = [
            ("anyOf", schema.get("anyOf").is_some() && any("anyOf") == 0),
            ("oneOf", schema.get("oneOf").is_some() && any("oneOf") != 1),
            (
                "not",
                schema
                    .get("not")
                    .is_some_and(|not| obeys(not, value).is_ok()),
            ),
            (
                "type",
                schema
                    .get("type")
                    .is_some_and(|wanted| wanted != kind(value)),
            ),
            (
                "const",
                schema.get("const").is_some_and(|wanted| *wanted != json),
            ),
            (
                "enum",
                schema.get("enum").is_some() && !each(schema.get("enum")).contains(&json),
            ),
            (
                "pattern",
                pattern
                    .zip(text)
                    .is_some_and(|(pattern, text)| !matches(pattern, text)),
            ),
            (
                "minimum",
                minimum
                    .zip(value.as_integer())
                    .is_some_and(|(least, number)| number < least),
            ),
        ];
        if let Some((keyword, _)) = broken.iter().find(|(_, broken)| *broken) {
            return Err(format!("{keyword}: {value} against {schema}"));
        }
        if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
            list.iter().try_for_each(|item| obeys(items, item))?;
        }
        value
            .as_table()
            .map_or(Ok(()), |table| table_obeys(schema, table))
    }

    fn table_obeys(schema: &Value, table: &toml::Table) -> Result<(), String> {
        for name in each(schema.get("required"))
            .iter()
            .filter_map(Value::as_str)
        {
            if !table.contains_key(name) {
                return Err(format!("required: {name}"));
            }
        }
        let patterns = || {
            schema
                .get("patternProperties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
        };
        for (key, inner) in table {
            let known = schema.get("properties").and_then(|all| all.get(key));
            let patterned = || {
                patterns()
                    .find(|(pattern, _)| matches(pattern, key))
                    .map(|(_, one)| one)
            };
            match known.or_else(patterned) {
                Some(one) => obeys(one, inner)?,
                None if schema.get("additionalProperties") == Some(&json!(false)) => {
                    return Err(format!("additionalProperties: {key}"));
                }
                None => {
                    if let Some(other) = schema.get("additionalProperties") {
                        obeys(other, inner)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read(text: &str) -> toml::Value {
        toml::Value::Table(text.parse().expect("TOML"))
    }

    #[test]
    fn the_examples_obey_the_schema() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).expect("examples") {
            let path = file.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "toml") {
                let text = std::fs::read_to_string(&path).expect("a file");
                obeys(&schema(), &read(&text))
                    .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
                seen += 1;
            }
        }
        assert!(seen > 0);
    }

    #[test]
    fn mistakes_do_not_obey_it() {
        for text in [
            "[channel.x]\nkind = 'whatsapp'",
            "[channel.x]\nuuid = 'short'",
            "[channel.X]\nuuid = '35f6f8ccb5504278a2ea099f3a4e0730'",
            "[defaults]\nrate = 0",
            "[defaults]\nlocale = 'pt_BR'",
            "[automation.x]\non = 'order.create'\nmessage = 'm'",
            "[automation.x]\non = 'order.paid'",
            "[automation.x]\non = 'order.paid'\nwhen = '{{ order.test }}'\nmessage = 'm'",
            "[message.x]\ntext.pt_BR = 'x'",
            "[message.x]\nvalues = ['x']",
            "[slack.x]\nchannel = '#x'",
            "[automation.x]\non = 'order.paid'\nmessage = 'm'\nslack = 's'",
            "[automation.x]\non = 'order.paid'\nsteps = [{ at = '+1h' }]",
            "[reply.x]\nrules = [{ words = ['x'] }]",
            "[reply.x]\nurl = 'http://bot.example.com'",
            "[hubspot.x]\nmatch = ['name']",
            "[hubspot.x]\nfields = { a = 1 }",
            "[opt_out]\nservice = 'maybe'",
        ] {
            assert!(obeys(&schema(), &read(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn every_example_of_the_reference_obeys_it() {
        let inner = spec::INNER.iter().map(|(_, table)| *table);
        for table in spec::TABLES.iter().copied().chain(inner) {
            for key in table.keys {
                let value = read(&format!("x = {}", key.example));
                let value = value.get("x").expect("x");
                obeys(&key_schema(key), value)
                    .unwrap_or_else(|why| panic!("{}.{}: {why}", table.kind, key.name));
            }
        }
    }
}
