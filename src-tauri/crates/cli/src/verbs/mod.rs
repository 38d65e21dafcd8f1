//! What each verb does: ask, then print. One file per noun.

mod access;
mod alert;
mod audit;
mod backup;
mod catalog;
mod cluster;
mod connection;
pub(crate) mod doctor;
mod migrate;
pub(crate) mod node;
mod operation;
pub(crate) mod program;
pub(crate) mod serve;

use crate::{answer::piece, args::Noun, args::Paged, failure::Failure, output::Output, session::Session};
use clusterdeck_api::{Code, Problem};
use std::path::Path;

/// Does what was typed.
pub(crate) async fn run(noun: Noun, session: &Session) -> Result<(), Failure> {
    match noun {
        Noun::Service(verb) => catalog::service(session, verb).await,
        Noun::Provider(verb) => catalog::provider(session, verb).await,
        Noun::Plan(verb) => catalog::plan(session, verb).await,
        Noun::Cluster(verb) => cluster::run(session, verb).await,
        Noun::Node(verb) => node::run(session, verb).await,
        Noun::Backup(verb) => backup::run(session, verb).await,
        Noun::Vault(verb) => backup::vault(session, verb).await,
        Noun::Migrate(wish) => migrate::run(session, *wish).await,
        Noun::Operation(verb) => operation::run(session, verb).await,
        Noun::Alert(verb) => alert::run(session, verb).await,
        Noun::Audit(verb) => audit::run(session, verb).await,
        Noun::Connection(verb) => connection::run(session, verb).await,
        Noun::HostUntilIdle => serve::until_idle(session).await,
        // These are done before it comes to this.
        Noun::Serve(_) | Noun::Doctor | Noun::Completion { .. } | Noun::Openapi => Ok(()),
    }
}

/// The query of a page of a list.
fn query(paged: &Paged, cluster: Option<&String>) -> String {
    let mut query = format!("?limit={}", paged.limit);
    for (name, value) in [("cursor", paged.cursor.as_ref()), ("cluster", cluster)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", piece(value)));
        }
    }
    query
}

/// Says that there is more.
fn more(output: &Output, next: Option<&String>) {
    if let Some(cursor) = next {
        output.note(&format!("There is more: add --cursor {cursor}"));
    }
}

/// A value of an enum as the API spells it.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A secret that stands in a file, or comes in where that is `-`. What a file ends with is no part of it.
fn typed_in(what: &str, file: &Path) -> Result<String, Failure> {
    let read = match file == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let read = read.map_err(|e| Problem::new(Code::Invalid, format!("the {what} cannot be read: {e}")))?;
    Ok(read.trim_end_matches(['\r', '\n']).to_owned())
}
