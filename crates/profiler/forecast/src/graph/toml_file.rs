//! `[[edge]]` tables with `from` and `to`; `to` may be a list.

use super::read::{Read, line_and_column};
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    edge: Vec<Edge>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    from: String,
    to: Spanned<To>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    One(String),
    Several(Vec<String>),
}

pub(super) fn read(text: &str) -> Read {
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
            return Read::failed(format!("{line}:{column}"), error.message().trim().to_owned());
        }
    };
    let mut read = Read::default();
    for edge in &file.edge {
        let (line, _) = line_and_column(text, edge.to.span().start);
        let names = match edge.to.get_ref() {
            To::One(name) => std::slice::from_ref(name),
            To::Several(names) => names,
        };
        for name in names {
            read.edge(&edge.from, name, line.to_string());
        }
    }
    read
}
