//! A service of the company's that answers with JSON: one record as an object, or a
//! list of them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use serde_json::{Map, Value};

use super::{Fault, Record};
use crate::message::target::check_path;
use crate::message::{Json, MemberPath};
use crate::outbound::{Bounds, CallError, Outbound};
use crate::time::Time;

/// A service over HTTP.
#[derive(Debug)]
pub struct Http {
    /// Scheme, host and port, perhaps a path; no slash at the end.
    pub url: Box<str>,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// What proves who asks.
    pub sign: Option<Box<dyn Sign>>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Adds to a request what proves who asks.
pub trait Sign: fmt::Debug + Send + Sync {
    /// Adds headers. `id` names the request; errors repeat no secret.
    fn sign(&self, headers: &mut HeaderMap, body: &[u8], id: &str, now: Time)
    -> Result<(), String>;
}

impl Http {
    /// Longest answer that is read, in bytes.
    const MAX_ANSWER: usize = 64 << 10;

    /// Asks with GET. An object is the record, a list has none, one, or too many; 404
    /// means that there is none. Everything else is a fault.
    pub(super) async fn find(
        &self,
        path: &str,
        fields: &[Box<str>],
        outbound: &Outbound,
        now: Time,
    ) -> Result<Option<Record>, Fault> {
        let request = self.request(path, now).map_err(Fault::Refused)?;
        let bounds = Bounds {
            timeout: self.timeout,
            max_body: Self::MAX_ANSWER,
        };
        match outbound.call(request, bounds).await {
            Ok(answer) => read(&answer, fields),
            Err(CallError::TooLarge) => Err(Fault::Refused(CallError::TooLarge.to_string())),
            Err(error) => Err(Fault::Unavailable(error.to_string())),
        }
    }

    fn request(&self, path: &str, now: Time) -> Result<Request<Bytes>, String> {
        let uri: Uri = [&*self.url, path]
            .concat()
            .parse()
            .map_err(|_| "its URL is not a URL")?;
        check_path(uri.path()).map_err(|_| "the path of its URL is ambiguous")?;
        let mut headers = self.headers.clone();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(sign) = &self.sign {
            let id = crate::secret::id("record-");
            sign.sign(&mut headers, b"", &id, now)?;
        }
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn read(answer: &Response<Bytes>, fields: &[Box<str>]) -> Result<Option<Record>, Fault> {
    let status = answer.status();
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            return Err(Fault::Unavailable(format!("it answers {status}")));
        }
        _ => return Err(Fault::Refused(format!("it answers {status}"))),
    }
    let garbage =
        || Fault::Refused("its answer is neither a JSON object nor a list of them".into());
    let json = Json::parse(answer.body()).ok();
    // A member that is given twice has two readings, and none that counts.
    match json.as_ref().map(Json::views) {
        Some([Value::Object(object)]) => Ok(Some(record(object, fields))),
        Some([Value::Array(items)]) => match &items[..] {
            [] => Ok(None),
            [Value::Object(object)] => Ok(Some(record(object, fields))),
            items if items.iter().all(Value::is_object) => Err(Fault::Ambiguous),
            _ => Err(garbage()),
        },
        _ => Err(garbage()),
    }
}

fn record(object: &Map<String, Value>, fields: &[Box<str>]) -> Record {
    let mut record = Record::default();
    for field in fields {
        if let Some(value) = member(object, field) {
            record.fields.insert(field.to_string(), value.clone());
        }
    }
    record
}

/// A member by its name, or by its path from the top: `address.city`.
fn member<'j>(object: &'j Map<String, Value>, field: &str) -> Option<&'j Value> {
    let MemberPath(path) = MemberPath::parse(field).ok()?;
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(object.get(&**first)?, |value, name| value.get(&**name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &str) -> Result<Option<Record>, Fault> {
        let answer = Response::builder().status(status);
        let answer = answer.body(Bytes::from(body.to_owned())).unwrap();
        read(&answer, &["phone".into(), "address.city".into()])
    }

    #[test]
    fn a_record_is_an_object_or_a_list_of_one() {
        let body = r#"{"phone": "1", "address": {"city": "Ede"}, "more": 1}"#;
        let found = answer(200, body).unwrap().unwrap();
        assert_eq!(
            Value::Object(found.fields),
            json!({"phone": "1", "address.city": "Ede"})
        );
        assert!(answer(200, &format!("[{body}]")).unwrap().is_some());
        assert_eq!(answer(404, "<html>"), Ok(None));
        assert_eq!(answer(200, "[]"), Ok(None));
        let two = answer(200, &format!("[{body}, {body}]"));
        assert_eq!(two, Err(Fault::Ambiguous));
        assert_eq!(answer(200, "{}"), Ok(Some(Record::default())));
    }

    #[test]
    fn everything_else_is_a_fault() {
        for (status, body) in [
            (200, ""),
            (200, "null"),
            (200, "1"),
            (200, "[1]"),
            (200, "[{}, 1]"),
            (200, "{\"phone\": 1, \"phone\": 2}"),
            (200, "<html>"),
            (204, ""),
            (301, ""),
            (401, "{}"),
            (500, "{}"),
        ] {
            let found = answer(status, body);
            assert!(matches!(found, Err(Fault::Refused(_))), "{status} {body}");
        }
        for status in [429, 502, 503, 504] {
            let found = answer(status, "{}");
            assert!(matches!(found, Err(Fault::Unavailable(_))), "{status}");
        }
    }

    #[test]
    fn no_value_changes_the_path() {
        let http = Http {
            url: "http://127.0.0.1:1/api".into(),
            headers: HeaderMap::new(),
            sign: None,
            timeout: Duration::from_secs(1),
        };
        let pattern =
            super::super::Pattern::parse("/c/{{ x }}", super::super::pattern::Escape::Url).unwrap();
        let request =
            |value: &str| http.request(&pattern.fill(&[value.into()]), Time::from_secs(0));
        for value in ["..", ".", "a/b", "a\\b", "a;b", "a?b", "a#b", "a\0"] {
            assert!(request(value).is_err(), "{value:?}");
        }
        let uri = request("é&x y").unwrap().uri().to_string();
        assert_eq!(uri, "http://127.0.0.1:1/api/c/%C3%A9%26x%20y");
    }
}
