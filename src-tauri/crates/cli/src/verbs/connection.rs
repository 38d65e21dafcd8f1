//! `clusterdeck connection …`

use crate::{
    answer::piece,
    args::ConnectionVerb,
    change::question,
    failure::Failure,
    output::{Table, age},
    session::Session,
};
use axum::http::Method;
use clusterdeck_api::{Connection, wire::List};
use jiff::Timestamp;
use serde_json::json;

pub(super) async fn run(session: &Session, verb: ConnectionVerb) -> Result<(), Failure> {
    let output = session.output;
    match verb {
        ConnectionVerb::List => {
            let answer = session.get("/v1/connections").await?;
            if output.json() {
                return output.body(&answer.body);
            }
            let connections: List<Connection> = answer.read()?;
            let mut table = Table::new(&["", "name", "address", "reachable", "last seen"]);
            for connection in &connections.items {
                let reachable = connection.reachable.map_or("unknown", |yes| if yes { "yes" } else { "no" });
                table.row(vec![
                    if connection.current { "*" } else { "" }.to_owned(),
                    connection.name.clone(),
                    connection.url.clone().unwrap_or_else(|| "the engine of this computer".to_owned()),
                    reachable.to_owned(),
                    connection.last_seen.map_or_else(String::new, |at| age(at, Timestamp::now())),
                ]);
            }
            output.table(&table)
        }
        ConnectionVerb::Add { name, url, fingerprint } => {
            let token = token(session).await?;
            let body = json!({"name": name, "url": url, "token": token, "fingerprint": fingerprint});
            let answer = session.send(Method::POST, "/v1/connections", Some(&body)).await?;
            if output.json() {
                return output.body(&answer.body);
            }
            output.line(&format!("Added. `clusterdeck connection use {name}` makes it the current one."))
        }
        ConnectionVerb::Remove { name } => {
            session.send(Method::DELETE, &format!("/v1/connections/{}", piece(&name)), None).await?;
            if output.json() { Ok(()) } else { output.line(&format!("Removed {name} and its token.")) }
        }
        ConnectionVerb::Use { name } => {
            let answer =
                session.send(Method::PUT, "/v1/connections/current", Some(&json!({"name": name}))).await?;
            if output.json() {
                output.body(&answer.body)
            } else {
                output.line(&format!("Commands go to {name} from now on."))
            }
        }
    }
}

/// The token, from standard input: an argument could be read by every user of this computer.
async fn token(session: &Session) -> Result<String, Failure> {
    let prompt = if session.output.can_ask() { "Token of the server: " } else { "" };
    let token = question(prompt.to_owned()).await?;
    if token.is_empty() {
        return Err(clusterdeck_api::Problem::invalid(
            "/token",
            "the token is read from standard input, and there was none",
        )
        .hint("`clusterdeck serve --show-token` prints it on the server.")
        .into());
    }
    Ok(token)
}
