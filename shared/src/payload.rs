//! What API Gateway hands to a function and takes back: the version 2.0 payload of an HTTP API.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! `lambda_http::run` would make the same request of it, by way of a URL that it unwraps: a host, an
//! `X-Forwarded-Proto` or a query that makes no URL would end the process before any signature was looked
//! at. It also reads every payload twice, authorizers and all. Here nothing can fail: what is no header is
//! left out, and what is no path names no connection.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use lambda_http::{Body, Request, Response};
use serde::{Deserialize, Serialize};

/// A request, as far as a door needs it. Never printed: it holds a customer's order and a signature.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    #[serde(default)]
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: Context,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    http: Http,
    #[serde(default)]
    domain_name: String,
}

/// The address as the provider called it, for those that sign it. Of the request's context: a `Host` header
/// is whatever its sender wrote.
#[derive(Clone, Debug)]
pub struct CalledAt(pub String);

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// An answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

impl Payload {
    /// The request that the payload stands for. A body is decoded from base64 here, once, into the bytes
    /// that were signed; one that is no base64 is empty, and its signature does not match.
    pub fn into_request(self) -> Request {
        let body = match (self.body, self.is_base64_encoded) {
            (None, _) => Body::Empty,
            (Some(text), false) => Body::Text(text),
            (Some(text), true) => Body::Binary(STANDARD.decode(text).unwrap_or_default()),
        };
        let mut request = Request::new(body);
        *request.method_mut() =
            Method::from_bytes(self.request_context.http.method.as_bytes()).unwrap_or_default();
        *request.uri_mut() = uri(&self.raw_path, &self.raw_query_string);
        *request.headers_mut() = headers(&self.headers);
        let called_at = url(
            &self.request_context.domain_name,
            &self.raw_path,
            &self.raw_query_string,
        );
        request.extensions_mut().insert(CalledAt(called_at));
        request
    }
}

/// An HTTP API is called over https alone.
fn url(domain: &str, path: &str, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("https://{domain}{path}{mark}{query}")
}

/// Path and query; the path alone where the query is none, and neither where the path is none.
fn uri(path: &str, query: &str) -> Uri {
    let whole = if query.is_empty() {
        Uri::try_from(path)
    } else {
        Uri::try_from(format!("{path}?{query}"))
    };
    whole
        .or_else(|_| Uri::try_from(path))
        .unwrap_or_else(|_| Uri::default())
}

fn headers(named: &BTreeMap<String, String>) -> HeaderMap {
    let header = |(name, value): (&String, &String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    named.iter().filter_map(header).collect()
}

impl From<Response<Body>> for Reply {
    fn from(response: Response<Body>) -> Reply {
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let (body, is_base64_encoded) = match body {
            Body::Text(text) => (text, false),
            Body::Binary(bytes) => (STANDARD.encode(bytes), true),
            _ => (String::new(), false),
        };
        Reply {
            status_code: parts.status.as_u16(),
            headers: headers.collect(),
            body,
            is_base64_encoded,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::raw::Raw;

    fn request(json: Value) -> Request {
        let payload: Payload = serde_json::from_value(json).unwrap();
        payload.into_request()
    }

    fn envelope(path: &str, query: &str, headers: &Value) -> Value {
        json!({
            "version": "2.0", "routeKey": "ANY /orders/{source}", "rawPath": path,
            "rawQueryString": query, "headers": headers, "cookies": ["a=1"],
            "requestContext": {"http": {"method": "POST", "path": path}, "stage": "$default", "timeEpoch": 1},
            "body": "{\"id\": 1}", "isBase64Encoded": false,
        })
    }

    #[test]
    fn a_payload_is_the_request_that_came() {
        let request = request(envelope(
            "/orders/shopify",
            "a=1&b=%22",
            &json!({"X-Thing": "a,b"}),
        ));
        let raw = Raw::from_request(request).unwrap();
        assert_eq!(
            (raw.method.as_str(), raw.connection.as_str()),
            ("POST", "shopify")
        );
        assert_eq!(
            (raw.header("x-thing"), raw.query.as_str()),
            (Some("a,b"), "a=1&b=%22")
        );
        assert_eq!(raw.body, b"{\"id\": 1}");
    }

    #[test]
    fn a_body_is_decoded_once() {
        for (body, encoded, bytes) in [
            (json!("/v8="), true, &[0xfe, 0xff][..]),
            (json!("/v8="), false, b"/v8="),
            (json!("no base64"), true, b""),
            (Value::Null, false, b""),
        ] {
            let mut json = envelope("/orders/shopify", "", &json!({}));
            json["body"] = body;
            json["isBase64Encoded"] = json!(encoded);
            assert_eq!(Raw::from_request(request(json)).unwrap().body, bytes);
        }
    }

    /// Each of these makes `lambda_http` panic or refuse the event, which ends in a 500.
    #[test]
    fn what_makes_no_url_ends_no_process() {
        for headers in [
            json!({"host": "exa mple"}),
            json!({"host": "example.com:99999"}),
            json!({"host": "[::1", "x-forwarded-proto": "https"}),
            json!({"host": "example.com", "x-forwarded-proto": "ht tp"}),
            json!({"no header": "a", "x-a": "line\nbreak", "x-thing": "\u{e9}"}),
        ] {
            let request = request(envelope("/orders/shopify", "a=\"<\u{e9} >\"", &headers));
            let raw = Raw::from_request(request).unwrap();
            assert_eq!(raw.connection, "shopify");
            assert_eq!(raw.header("x-a"), None);
        }
        for path in [
            "",
            "no path",
            "/orders/\u{0}",
            "//",
            "/orders/shop\"ify",
            "*",
        ] {
            let request = request(envelope(path, "", &json!({})));
            assert!(Raw::from_request(request).is_err(), "{path}");
        }
    }

    #[test]
    fn an_answer_says_what_it_is() {
        let mut response = Response::new(Body::from("{}"));
        *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
        response
            .headers_mut()
            .insert(http::header::ALLOW, HeaderValue::from_static("POST"));
        assert_eq!(
            serde_json::to_value(Reply::from(response)).unwrap(),
            json!({"statusCode": 405, "headers": {"allow": "POST"}, "body": "{}", "isBase64Encoded": false})
        );
    }
}
