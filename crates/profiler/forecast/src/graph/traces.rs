//! Service graphs that tracing makes, as JSON: metrics of OpenTelemetry's service-graph connector (OTLP), the same
//! out of Prometheus, or Jaeger's dependencies.
//!
//! The shapes differ only in where they put the two names, so the whole document is walked for objects that hold
//! both: attributes or labels `client` and `server`, or members `parent` and `child`.

use super::read::Read;
use serde_json::{Map, Value};

/// Deeper documents are no service graph.
const DEPTH_MAX: usize = 32;

pub(super) fn read(text: &str) -> Read {
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            let place = format!("{}:{}", error.line(), error.column());
            return Read::failed(place, error.to_string());
        }
    };
    let mut read = Read::default();
    walk(&document, &mut String::new(), 0, &mut read);
    if read.edges.is_empty() && read.findings.is_empty() {
        read.finding(
            "1".to_owned(),
            "no service graph is in it: expected attributes `client` and `server`, or `parent` and `child`"
                .to_owned(),
        );
    }
    read
}

fn walk(value: &Value, pointer: &mut String, depth: usize, read: &mut Read) {
    if depth > DEPTH_MAX {
        return;
    }
    let before = pointer.len();
    match value {
        Value::Object(members) => {
            if let Some((upstream, downstream)) = ends(members) {
                read.edge(upstream, downstream, pointer.clone());
                return;
            }
            for (key, value) in members {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                walk(value, pointer, depth + 1, read);
                pointer.truncate(before);
            }
        }
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&number.to_string());
                walk(value, pointer, depth + 1, read);
                pointer.truncate(before);
            }
        }
        _ => {}
    }
}

/// Who calls and who is called, where the object says so.
fn ends(members: &Map<String, Value>) -> Option<(&str, &str)> {
    let text = |key: &str| members.get(key)?.as_str();
    let attribute = |name: &str| {
        let attributes = members.get("attributes")?.as_array()?;
        let found = attributes.iter().find(|attribute| attribute["key"] == name)?;
        found["value"]["stringValue"].as_str()
    };
    text("client")
        .zip(text("server"))
        .or_else(|| text("parent").zip(text("child")))
        .or_else(|| attribute("client").zip(attribute("server")))
}
