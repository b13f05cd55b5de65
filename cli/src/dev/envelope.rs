//! A request as API Gateway hands it to a function: the version 2.0 payload of an HTTP API.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What a payload is made of.
pub struct Parts<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path as it came.
    pub path: &'a str,
    /// The query string as it came, without `?`.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes.
    pub body: &'a [u8],
    /// `ANY /orders/{source}`.
    pub route_key: &'a str,
    /// The path's parameters.
    pub parameters: BTreeMap<String, String>,
    /// When it came.
    pub now: Timestamp,
}

/// Writes the payload. A body that is no text goes as base64.
pub fn write(parts: &Parts<'_>) -> Value {
    let mut headers = Map::new();
    for name in parts.headers.keys() {
        let values: Vec<String> = parts
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        headers.insert(name.as_str().to_owned(), json!(values.join(",")));
    }
    let host = headers
        .get("host")
        .and_then(Value::as_str)
        .unwrap_or("127.0.0.1")
        .to_owned();
    let mut event = json!({
        "version": "2.0",
        "routeKey": parts.route_key,
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "dev",
            "domainName": host,
            "domainPrefix": "dev",
            "http": {
                "method": parts.method,
                "path": parts.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent").and_then(Value::as_str).unwrap_or_default(),
            },
            "requestId": format!("dev-{}", parts.now.as_microsecond()),
            "routeKey": parts.route_key,
            "stage": "$default",
            "time": parts.now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": parts.now.as_millisecond(),
        },
        "pathParameters": parts.parameters,
        "isBase64Encoded": false,
    });
    if let Some(fields) = event.as_object_mut()
        && !parts.body.is_empty()
    {
        let text = std::str::from_utf8(parts.body);
        fields.insert("isBase64Encoded".to_owned(), json!(text.is_err()));
        let body = text.map_or_else(|_| STANDARD.encode(parts.body), str::to_owned);
        fields.insert("body".to_owned(), json!(body));
    }
    event
}

/// What a sample event of `events/` says as a plain request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// `POST`.
    pub method: String,
    /// Whom it called, which some providers sign.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Its headers but those that a connection sets itself.
    pub headers: Vec<(String, String)>,
    /// The signed bytes.
    pub body: Vec<u8>,
    /// When it came: `requestContext.timeEpoch`.
    pub at: Timestamp,
}

/// Reads a payload back into the request that it stands for.
///
/// # Errors
/// Which part is missing.
pub fn read(event: &Value) -> Result<Sample, &'static str> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let raw_path = text("/rawPath").ok_or("rawPath")?;
    let query = text("/rawQueryString").unwrap_or_default();
    let millis = event
        .pointer("/requestContext/timeEpoch")
        .and_then(Value::as_i64)
        .ok_or("timeEpoch")?;
    let body = text("/body").unwrap_or_default();
    let encoded = event
        .get("isBase64Encoded")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let body = if encoded {
        STANDARD.decode(body).map_err(|_| "body")?
    } else {
        body.as_bytes().to_vec()
    };
    let own = ["host", "content-length", "connection", "transfer-encoding"];
    let headers = event
        .get("headers")
        .and_then(Value::as_object)
        .ok_or("headers")?;
    let headers = headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.to_ascii_lowercase().as_str()))
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Ok(Sample {
        method: text("/requestContext/http/method")
            .unwrap_or("POST")
            .to_owned(),
        host: text("/requestContext/domainName")
            .unwrap_or_default()
            .to_owned(),
        path: if query.is_empty() {
            raw_path.to_owned()
        } else {
            format!("{raw_path}?{query}")
        },
        headers: headers.collect(),
        body,
        at: Timestamp::from_millisecond(millis).map_err(|_| "timeEpoch")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_body(body: &[u8]) -> Value {
        let mut headers = HeaderMap::new();
        headers.append("X-Thing", "a".parse().unwrap());
        headers.append("x-thing", "b".parse().unwrap());
        write(&Parts {
            method: "POST",
            path: "/orders/shopify",
            query: "a=1",
            headers: &headers,
            body,
            route_key: "ANY /orders/{source}",
            parameters: BTreeMap::from([("source".to_owned(), "shopify".to_owned())]),
            now: "2026-11-22T10:00:00Z".parse().unwrap(),
        })
    }

    #[test]
    fn a_payload_reads_back() {
        for body in [&b"{\"a\": 1}"[..], &[0xff, 0xfe], b""] {
            let event = write_body(body);
            let sample = read(&event).unwrap();
            assert_eq!(sample.body, body);
            assert_eq!(sample.path, "/orders/shopify?a=1");
            assert_eq!(sample.at.as_millisecond(), 1_795_341_600_000);
        }
        let event = write_body(&[0xff]);
        assert_eq!(event["isBase64Encoded"], true);
        assert_eq!(event["headers"]["x-thing"], "a,b");
        assert_eq!(
            event["requestContext"]["time"],
            "22/Nov/2026:10:00:00 +0000"
        );
        assert_eq!(event["pathParameters"]["source"], "shopify");
    }
}
