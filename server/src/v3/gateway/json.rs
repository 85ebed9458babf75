//! Requests and answers as etcd's gateway writes them: bytes as base64, numbers of 64 bits as texts, and nothing that is empty.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use convene_etcd::wire::{
    DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader,
    range_request::{SortOrder, SortTarget},
};
use serde::{Serialize, Serializer};
use serde_json::{Deserializer, Map, Value};

use super::GatewayError;

/// Reads the body of `/v3/kv/put`.
pub fn put(body: &[u8]) -> Result<PutRequest, GatewayError> {
    let fields = Fields::read(body)?;
    Ok(PutRequest {
        key: fields.bytes("key")?,
        value: fields.bytes("value")?,
        lease: fields.integer("lease")?,
        prev_kv: fields.flag("prev_kv")?,
        ignore_value: fields.flag("ignore_value")?,
        ignore_lease: fields.flag("ignore_lease")?,
    })
}

/// Reads the body of `/v3/kv/range`.
pub fn range(body: &[u8]) -> Result<RangeRequest, GatewayError> {
    let fields = Fields::read(body)?;
    let order = |name: &str| SortOrder::from_str_name(name).map(i32::from);
    let target = |name: &str| SortTarget::from_str_name(name).map(i32::from);
    Ok(RangeRequest {
        key: fields.bytes("key")?,
        range_end: fields.bytes("range_end")?,
        limit: fields.integer("limit")?,
        revision: fields.integer("revision")?,
        sort_order: fields.word("sort_order", order, "NONE, ASCEND or DESCEND")?,
        sort_target: fields.word("sort_target", target, "KEY, VERSION, CREATE, MOD or VALUE")?,
        serializable: fields.flag("serializable")?,
        keys_only: fields.flag("keys_only")?,
        count_only: fields.flag("count_only")?,
        min_mod_revision: fields.integer("min_mod_revision")?,
        max_mod_revision: fields.integer("max_mod_revision")?,
        min_create_revision: fields.integer("min_create_revision")?,
        max_create_revision: fields.integer("max_create_revision")?,
    })
}

/// Reads the body of `/v3/kv/deleterange`.
pub fn delete_range(body: &[u8]) -> Result<DeleteRangeRequest, GatewayError> {
    let fields = Fields::read(body)?;
    Ok(DeleteRangeRequest {
        key: fields.bytes("key")?,
        range_end: fields.bytes("range_end")?,
        prev_kv: fields.flag("prev_kv")?,
    })
}

/// Reads the password in the body of `/v3/auth/authenticate`.
pub fn password(body: &[u8]) -> Result<String, GatewayError> {
    let fields = Fields::read(body)?;
    let password = fields.get("password").and_then(Value::as_str);
    // The message must not quote the field.
    password.map(str::to_owned).ok_or_else(|| GatewayError::invalid("password: must be a text".to_owned()))
}

/// The fields of a request, each under its name of the protocol or in camel case. As in etcd, unknown fields don't count,
/// a field that is null is missing, and what follows the object is not read.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8]) -> Result<Self, GatewayError> {
        let first = Deserializer::from_slice(body).into_iter::<Value>().next().transpose();
        match first.map_err(|error| GatewayError::invalid(format!("the body is not JSON: {error}")))? {
            None | Some(Value::Null) => Ok(Self(Map::new())),
            Some(Value::Object(fields)) => Ok(Self(fields)),
            Some(_) => Err(GatewayError::invalid(
                "the body must be a JSON object, such as {\"key\":\"BASE64\",\"value\":\"BASE64\"}".to_owned(),
            )),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| self.0.get(&camel_case(name))).filter(|value| !value.is_null())
    }

    /// Takes both alphabets of base64, with and without padding, as etcd does from 3.6 on.
    fn bytes(&self, name: &str) -> Result<Vec<u8>, GatewayError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let decoded = value.as_str().and_then(|text| {
            let engine = if text.contains('=') { PADDED } else { UNPADDED };
            engine.decode(text.replace('-', "+").replace('_', "/")).ok()
        });
        decoded.ok_or_else(|| wrong(name, value, "base64, as echo -n TEXT | base64 -w0 prints it"))
    }

    fn integer(&self, name: &str) -> Result<i64, GatewayError> {
        let Some(value) = self.get(name) else { return Ok(0) };
        let integer = value.as_i64().or_else(|| value.as_str()?.parse().ok());
        integer.ok_or_else(|| wrong(name, value, "a whole number"))
    }

    fn flag(&self, name: &str) -> Result<bool, GatewayError> {
        let Some(value) = self.get(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| wrong(name, value, "true or false"))
    }

    fn word(&self, name: &str, number: impl Fn(&str) -> Option<i32>, words: &str) -> Result<i32, GatewayError> {
        let Some(value) = self.get(name) else { return Ok(0) };
        let given = value.as_i64().and_then(|number| number.try_into().ok());
        given.or_else(|| number(value.as_str()?)).ok_or_else(|| wrong(name, value, words))
    }
}

/// Go does not look at the bits that are left over.
const ENGINE: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);

const PADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ENGINE);

const UNPADDED: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, ENGINE.with_decode_padding_mode(DecodePaddingMode::RequireNone));

fn wrong(name: &str, value: &Value, expected: &str) -> GatewayError {
    let shown: String = value.to_string().chars().take(100).collect();
    GatewayError::invalid(format!("{name}: must be {expected}, not {shown}"))
}

/// `rangeEnd` for `range_end`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        camel + &initial.to_ascii_uppercase() + rest
    })
}

#[derive(Serialize)]
pub struct PutAnswer {
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_kv: Option<Pair>,
}

#[derive(Serialize)]
pub struct RangeAnswer {
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kvs: Vec<Pair>,
    #[serde(skip_serializing_if = "is_default")]
    more: bool,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    count: i64,
}

#[derive(Serialize)]
pub struct AuthenticateAnswer {
    pub token: String,
}

#[derive(Serialize)]
pub struct DeleteAnswer {
    header: Option<Header>,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    deleted: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prev_kvs: Vec<Pair>,
}

#[derive(Serialize)]
struct Header {
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    cluster_id: u64,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    member_id: u64,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    revision: i64,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    raft_term: u64,
}

#[derive(Serialize)]
struct Pair {
    #[serde(skip_serializing_if = "is_default", serialize_with = "base64")]
    key: Vec<u8>,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    create_revision: i64,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    mod_revision: i64,
    #[serde(skip_serializing_if = "is_default", serialize_with = "text")]
    version: i64,
    #[serde(skip_serializing_if = "is_default", serialize_with = "base64")]
    value: Vec<u8>,
}

impl From<PutResponse> for PutAnswer {
    fn from(answer: PutResponse) -> Self {
        Self { header: answer.header.map(Into::into), prev_kv: answer.prev_kv.map(Into::into) }
    }
}

impl From<RangeResponse> for RangeAnswer {
    fn from(answer: RangeResponse) -> Self {
        let kvs = answer.kvs.into_iter().map(Into::into).collect();
        Self { header: answer.header.map(Into::into), kvs, more: answer.more, count: answer.count }
    }
}

impl From<DeleteRangeResponse> for DeleteAnswer {
    fn from(answer: DeleteRangeResponse) -> Self {
        let prev_kvs = answer.prev_kvs.into_iter().map(Into::into).collect();
        Self { header: answer.header.map(Into::into), deleted: answer.deleted, prev_kvs }
    }
}

impl From<ResponseHeader> for Header {
    fn from(header: ResponseHeader) -> Self {
        let ResponseHeader { cluster_id, member_id, revision, raft_term } = header;
        Self { cluster_id, member_id, revision, raft_term }
    }
}

impl From<KeyValue> for Pair {
    fn from(pair: KeyValue) -> Self {
        let KeyValue { key, create_revision, mod_revision, version, value, lease: _ } = pair;
        Self { key, create_revision, mod_revision, version, value }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn text<S: Serializer>(number: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&number.to_string())
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T>(read: Result<T, GatewayError>) -> String {
        read.err().expect("it is refused").message
    }

    #[test]
    fn every_field_is_read_in_each_of_its_forms() {
        for body in [
            r#"{"key":"YQ==","range_end":"Yg==","limit":"7","sort_order":"DESCEND","sort_target":"MOD","keys_only":true}"#,
            r#"{"key":"YQ","rangeEnd":"Yg","limit":7,"sortOrder":2,"sortTarget":3,"keysOnly":true,"revision":null} rest"#,
        ] {
            let read = range(body.as_bytes()).ok().unwrap();
            assert_eq!((&read.key[..], &read.range_end[..], read.limit), (&b"a"[..], &b"b"[..], 7), "{body}");
            assert_eq!((read.sort_order(), read.sort_target()), (SortOrder::Descend, SortTarget::Mod), "{body}");
            assert!(read.keys_only && !read.count_only && read.revision == 0, "{body}");
        }
        assert_eq!(put(br#"{"value":"-_8="}"#).ok().unwrap().value, [0xfb, 0xff]);
        for empty in ["", "null", "{}", r#"{"unknown":[1]}"#] {
            assert_eq!(delete_range(empty.as_bytes()).ok().unwrap(), DeleteRangeRequest::default(), "{empty}");
        }
    }

    #[test]
    fn a_wrong_field_is_refused_with_what_it_must_be() {
        for (body, expected) in [
            (r#"{"key":"!"}"#, "key: must be base64, as echo -n TEXT | base64 -w0 prints it, not \"!\""),
            (r#"{"key":7}"#, "key: must be base64"),
            (r#"{"limit":1.5}"#, "limit: must be a whole number, not 1.5"),
            (r#"{"limit":"x"}"#, "limit: must be a whole number, not \"x\""),
            (r#"{"count_only":"true"}"#, "count_only: must be true or false, not \"true\""),
            (r#"{"sort_order":"UP"}"#, "sort_order: must be NONE, ASCEND or DESCEND, not \"UP\""),
            ("[]", "the body must be a JSON object"),
            ("key=a", "the body is not JSON: "),
        ] {
            let error = error(range(body.as_bytes()));
            assert!(error.starts_with(expected), "{body}: {error}");
        }
    }

    #[test]
    fn an_answer_has_nothing_that_is_empty() {
        let header = ResponseHeader { cluster_id: u64::MAX, member_id: 1, revision: 0, raft_term: 1 };
        let pair =
            KeyValue { key: b"a".to_vec(), create_revision: 2, mod_revision: 3, version: 1, ..KeyValue::default() };
        let answer = RangeResponse { header: Some(header), kvs: vec![pair], more: true, count: 2 };
        let expected = r#"{"header":{"cluster_id":"18446744073709551615","member_id":"1","raft_term":"1"},"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"3","version":"1"}],"more":true,"count":"2"}"#;
        assert_eq!(serde_json::to_string(&RangeAnswer::from(answer)).unwrap(), expected);
        assert_eq!(
            serde_json::to_string(&DeleteAnswer::from(DeleteRangeResponse::default())).unwrap(),
            r#"{"header":null}"#
        );
    }
}
