//! `clusterdeck cluster allow …` and `clusterdeck cluster expose …`: who may reach a cluster.

use crate::{
    answer::piece,
    args::{Allow, Expose},
    change,
    failure::Failure,
    output::{Table, facts},
    session::Session,
};
use axum::http::Method;
use clusterdeck_api::{Problem, wire::Access};
use clusterdeck_domain::{AllowEntry, AllowWish, Cidr, Exposure, Operation};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub(super) async fn allow(session: &Session, asked: &Allow) -> Result<(), Failure> {
    if asked.keep || asked.revert {
        return end_trial(session, asked).await;
    }
    if asked.entries.is_empty() && !asked.open {
        return show(session, &asked.name).await;
    }
    let entries = wished(session, asked).await?;
    let change = json!({
        "kind": "set-allowlist",
        "cluster": asked.name,
        "entries": entries,
        "keep_within_ms": asked.keep_within.map(|s| s.saturating_mul(1_000)),
    });
    change::make(session, change, &asked.confirming).await
}

pub(super) async fn expose(session: &Session, asked: &Expose) -> Result<(), Failure> {
    if asked.on.is_none() && !asked.off {
        return show_exposure(session, &asked.name).await;
    }
    let change = json!({
        "kind": "expose-endpoint", "cluster": asked.name, "on": asked.on, "port": asked.port,
    });
    change::make(session, change, &asked.confirming).await
}

async fn show_exposure(session: &Session, name: &str) -> Result<(), Failure> {
    let (access, body) = access(session, name).await?;
    if session.output.json() {
        return session.output.body(&body);
    }
    session.output.line(&match access.exposure.and_then(Exposure::open_at) {
        Some(at) if access.open => format!("Other computers reach it at {at}; no list limits which."),
        Some(at) => format!("Other computers reach it at {at}; only those in its list come in."),
        None => "It is not open to other computers.".to_owned(),
    })?;
    session.output.line(&match access.not_exposable {
        Some(why) => why,
        None if access.addresses.is_empty() => {
            "This computer has no address that others reach: it is in no network.".to_owned()
        }
        None => format!("Addresses of this computer: {}.", access.addresses.join(", ")),
    })
}

async fn access(session: &Session, name: &str) -> Result<(Access, Vec<u8>), Failure> {
    let answer = session.get(&format!("/v1/clusters/{}/access", piece(name))).await?;
    Ok((answer.read()?, answer.body))
}

/// The list as it shall be. Who is in it already keeps comment and end, unless new ones were typed.
async fn wished(session: &Session, asked: &Allow) -> Result<Vec<AllowWish>, Failure> {
    if asked.open {
        return Ok(Vec::new());
    }
    let present = match access(session, &asked.name).await {
        Ok((access, _)) => access.entries,
        // The preview says in its own words that there is no such cluster.
        Err(_) => Vec::new(),
    };
    let expires_at = asked.expires.as_deref().map(|text| end_of(text, Timestamp::now())).transpose()?;
    let named = |entry: &AllowEntry| {
        asked.entries.iter().any(|text| Cidr::parse(text).is_ok_and(|cidr| cidr == entry.cidr))
    };
    let as_it_is = |entry: &AllowEntry| AllowWish {
        cidr: entry.cidr.to_string(),
        comment: entry.comment.clone(),
        expires_at: entry.expires_at,
    };
    let mut list: Vec<AllowWish> = Vec::new();
    if asked.add || asked.remove {
        list.extend(present.iter().filter(|entry| !named(entry)).map(as_it_is));
    }
    if asked.remove {
        for text in &asked.entries {
            let known = Cidr::parse(text).is_ok_and(|cidr| present.iter().any(|entry| entry.cidr == cidr));
            if !known {
                let what = format!("`{text}` is not in the list of {}", asked.name);
                return Err(Problem::invalid("/entries", what).into());
            }
        }
        if list.is_empty() {
            let problem =
                Problem::invalid("/entries", "nothing would be left in the list, and an empty one is open");
            return Err(problem.hint("Say so with --open if that is meant.").into());
        }
        return Ok(list);
    }
    for text in &asked.entries {
        let before = Cidr::parse(text).ok().and_then(|cidr| present.iter().find(|entry| entry.cidr == cidr));
        list.push(AllowWish {
            cidr: text.clone(),
            comment: asked.comment.clone().or_else(|| before.and_then(|entry| entry.comment.clone())),
            expires_at: expires_at.or_else(|| before.and_then(|entry| entry.expires_at)),
        });
    }
    Ok(list)
}

/// `90m`, `12h`, `7d` from now, or a moment.
fn end_of(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::from(
            Problem::invalid(
                "/entries/0/expires_at",
                format!("`{text}` is not an end that can be understood"),
            )
            .hint("Write 90m, 12h, 7d, or a moment such as 2026-12-31T18:00:00Z."),
        )
    };
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let mut letters = text.chars();
    let unit = match letters.next_back() {
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number: i64 = letters.as_str().parse().map_err(|_| wrong())?;
    let wait = number.checked_mul(unit).filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
    now.checked_add(SignedDuration::from_secs(wait)).map_err(|_| wrong())
}

/// Keeps the list that is being tried, or takes it back, and waits for that.
async fn end_trial(session: &Session, asked: &Allow) -> Result<(), Failure> {
    let (found, _) = access(session, &asked.name).await?;
    let operation = found.trial.and_then(|trial| trial.operation_id).ok_or_else(|| {
        Problem::invalid("", format!("no list of {} is being tried", asked.name))
            .hint("It may have been taken back already; `clusterdeck operation list` tells.")
    })?;
    let verb = if asked.keep { "keep" } else { "cancel" };
    let path = format!("/v1/operations/{}/{verb}", piece(operation.as_str()));
    let answer = session.send(Method::POST, &path, None).await?;
    if asked.keep {
        let operation: Operation = answer.read()?;
        return change::follow(session, &operation, &answer.body, asked.confirming.detach).await;
    }
    let ended = session.watch(operation.as_str()).await?;
    if session.output.json() {
        return session.output.body(&ended.body);
    }
    session.output.line("The list before is in force again.")
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let (access, body) = access(session, name).await?;
    if session.output.json() {
        return session.output.body(&body);
    }
    let now = Timestamp::now();
    if access.open {
        session.output.line("Open: every address may come in.")?;
    } else {
        session.output.table(&listed(&access.entries, now))?;
    }
    if let Some(trial) = &access.trial {
        let left = trial.until.duration_since(now).as_secs().max(0);
        session.output.line("")?;
        session.output.line(&format!("Being tried for {left} s more, unless it is kept (--keep):"))?;
        match trial.entries.is_empty() {
            true => session.output.line("Open: every address may come in.")?,
            false => session.output.table(&listed(&trial.entries, now))?,
        }
    }
    session.output.line("")?;
    let you = match (&access.your_address, access.you_come_in) {
        (Some(from), Some(true)) => format!("{from}, which comes in"),
        (Some(from), _) => format!("{from}, which does not come in"),
        (None, _) => "not known".to_owned(),
    };
    let limited = |enforced| if enforced { "limited" } else { "not limited" };
    let mut rows = vec![("You come from", you)];
    rows.extend(
        access.ways.iter().map(|way| (way.name.as_str(), format!("{}. {}", limited(way.enforced), way.text))),
    );
    session.output.line(&facts(&rows))
}

fn listed(entries: &[AllowEntry], now: Timestamp) -> Table {
    let mut table = Table::new(&["address", "comment", "until"]);
    for entry in entries {
        let until = match entry.expires_at {
            None => String::new(),
            Some(end) if entry.is_over(now) => format!("{end} (over)"),
            Some(end) => end.to_string(),
        };
        table.row(vec![entry.cidr.to_string(), entry.comment.clone().unwrap_or_default(), until]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_from_now_or_a_moment() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let end = |text: &str| end_of(text, now).ok().map(|end| end.to_string());
        assert_eq!(end("90m").as_deref(), Some("2026-11-29T13:30:00Z"));
        assert_eq!(end("7d").as_deref(), Some("2026-12-06T12:00:00Z"));
        assert_eq!(end("2026-12-31T18:00:00Z").as_deref(), Some("2026-12-31T18:00:00Z"));
        for text in ["", "7", "d", "-1h", "0h", "soon", "9223372036854775807d"] {
            assert_eq!(end(text), None, "{text}");
        }
    }
}
