use reqwest::{Response, StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::comparison::{Answer, Facts};

/// The transfer encoding is not part of the protocol, and lengths follow from the digits of indexes.
const CARRIAGE: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

/// What stands in answers of one server in one scenario and can't be the same on another.
#[derive(Clone, Debug)]
pub struct Particulars {
    /// The cluster's token, be there such a cluster or not.
    pub token: String,
    /// What URLs of the server begin with.
    pub url: String,
    /// The index at which the cluster was made; from there on they are counted from 1.
    pub created: i64,
}

/// The parts of the request that decide how its response is compared.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Whether the order of a directory's nodes was asked for. If not, the reference draws lots.
    pub sorted: bool,
    /// Whether an index was given, so that the cause of an error may quote it.
    pub index: bool,
}

impl Answer {
    /// Reads an answer to its end.
    pub async fn read(response: Response, asked: Asked, particulars: &Particulars) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self::new(status, &headers, &response.text().await.unwrap(), asked, particulars)
    }

    pub fn new(status: StatusCode, headers: &HeaderMap, body: &str, asked: Asked, particulars: &Particulars) -> Self {
        let mut facts = Facts::from([("status".to_owned(), status.as_u16().to_string())]);
        for (name, value) in headers.iter().filter(|(name, _)| !CARRIAGE.contains(&name.as_str())) {
            let value = particulars.header(name.as_str(), value.to_str().unwrap());
            facts.insert(format!("header {name}"), value);
        }
        let mut summary = status.as_u16().to_string();
        match serde_json::from_str::<Value>(body) {
            Ok(mut json @ Value::Object(_)) => {
                let gist = json.get("errorCode").or(json.get("action"));
                summary += &gist.map(|gist| format!(" {}", gist.to_string().trim_matches('"'))).unwrap_or_default();
                particulars.remove_from(&mut json, asked);
                flatten("body ", &json, &mut facts);
                facts.insert("body's end".to_owned(), format!("{:?}", &body[body.trim_end().len()..]));
            }
            _ => drop(facts.insert("body".to_owned(), particulars.text(body))),
        }
        Self { summary, facts }
    }
}

impl Particulars {
    fn header(&self, name: &str, value: &str) -> String {
        match name {
            "x-etcd-index" => value.parse().map_or(value.to_owned(), |index| self.index(index).to_string()),
            "x-raft-index" | "x-raft-term" if value.parse::<u64>().is_ok() => "a number".to_owned(),
            "x-etcd-cluster-id" if u64::from_str_radix(value, 16).is_ok() => "16 digits at most".to_owned(),
            "x-request-id" => "an ID".to_owned(),
            _ => self.text(value),
        }
    }

    /// Counts an index from the cluster's creation. Zero means that there is none.
    fn index(&self, index: i64) -> i64 {
        if index == 0 { 0 } else { index - self.created + 1 }
    }

    fn text(&self, text: &str) -> String {
        let text = text.replace(&self.url, "SERVER").replace(&self.token, "TOKEN");
        // What `/new` answers.
        match text.strip_prefix("SERVER/") {
            Some(drawn) if drawn.len() == 32 && drawn.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                "SERVER/A-NEW-TOKEN".to_owned()
            }
            _ => text,
        }
    }

    fn remove_from(&self, json: &mut Value, asked: Asked) {
        match json {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match (name.as_str(), field.as_i64(), field.as_str()) {
                        ("index" | "modifiedIndex" | "createdIndex", Some(index), _) => {
                            *field = self.index(index).into()
                        }
                        ("cause", _, Some(cause)) if asked.index => *field = self.cause(cause).into(),
                        _ => self.remove_from(field, asked),
                    }
                }
            }
            Value::Array(nodes) => {
                nodes.iter_mut().for_each(|node| self.remove_from(node, asked));
                if !asked.sorted {
                    nodes.sort_by_key(|node| node["key"].to_string());
                }
            }
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    /// Renumbers the indexes in a cause such as `[7 != 5]` and `[7/5]`.
    fn cause(&self, cause: &str) -> String {
        let cause = self.text(cause);
        let pieces = cause.split_inclusive(['[', ']']).map(|piece| {
            let (inner, bracket) = piece.strip_suffix(']').map_or((piece, ""), |inner| (inner, "]"));
            for between in [" != ", "/"] {
                let pair = inner.split_once(between);
                if let Some((Ok(one), Ok(other))) = pair.map(|(one, other)| (one.parse(), other.parse())) {
                    return format!("{}{between}{}{bracket}", self.index(one), self.index(other));
                }
            }
            piece.to_owned()
        });
        pieces.collect()
    }
}

fn flatten(path: &str, json: &Value, into: &mut Facts) {
    match json {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| flatten(&format!("{path}/{name}"), field, into))
        }
        Value::Array(nodes) => {
            nodes.iter().enumerate().for_each(|(n, node)| flatten(&format!("{path}/{n}"), node, into))
        }
        leaf => drop(into.insert(path.to_owned(), leaf.to_string())),
    }
}
