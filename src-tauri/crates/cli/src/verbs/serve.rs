//! `clusterdeck serve`, and hosting for a command that did not wait.

use crate::{
    args::Serve,
    failure::Failure,
    session::{self, Session},
};
use clusterdeck_api::{Problem, serve};
use clusterdeck_engine::EngineError;
use serde_json::json;
use std::{io::IsTerminal, time::Duration};

/// How long operations under way get to end when serving stops; what has not ended goes on at the next start.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves until it is told to stop, which is its good end.
pub(crate) async fn run(session: &Session, options: Serve) -> Result<(), Failure> {
    let served = serve_until_stopped(session, options).await;
    session.front().close(FAREWELL).await;
    served
}

async fn serve_until_stopped(session: &Session, options: Serve) -> Result<(), Failure> {
    let output = session.output;
    let secrets = session.secrets().await?;
    let token = serve::token(secrets.as_ref()).await?;
    if options.token_only {
        return if output.json() {
            output.line(&json!({"token": token.reveal()}).to_string())
        } else {
            output.line(token.reveal())
        };
    }
    let wanted = serve::Options {
        listen: options.listen,
        tls: options.tls_cert.zip(options.tls_key),
        names: options.name,
    };
    let serving = serve::start(session.front().clone(), secrets.as_ref(), wanted).await?;
    // The link signs a browser in: it is for the one who sits here, not for a log.
    let link = if std::io::stdout().is_terminal() || options.show_token {
        Some(serving.sign_in_link()?)
    } else {
        None
    };
    let shown = options.show_token.then(|| token.reveal().clone());
    if output.json() {
        output.line(
            &json!({
                "url": serving.url(),
                "listen": serving.address().to_string(),
                "fingerprint": serving.fingerprint(),
                "sign_in": link,
                "token": shown,
            })
            .to_string(),
        )?;
    } else {
        output.line(&format!("Serving {}", serving.url()))?;
        if let Some(fingerprint) = serving.fingerprint() {
            output.line(&format!("Certificate SHA-256 {fingerprint}"))?;
        }
        if let Some(link) = link {
            output.line(&format!("Sign a browser in (once, within ten minutes): {link}"))?;
        }
        if let Some(token) = shown {
            output.line(&format!("Token: {token}"))?;
        }
    }
    session::stopped().await;
    output.note("Stopping. The servers keep running.");
    serving.stop().await;
    Ok(())
}

/// Hosts the engine until whoever started this has gone away and nothing is under way.
pub(super) async fn until_idle(session: &Session) -> Result<(), Failure> {
    session.output.line("ready")?;
    // An error is an end as well.
    drop(tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await);
    Ok(())
}

impl Session {
    /// Where secrets live: with the host's own eyes, or opened here when another process holds the home.
    async fn secrets(
        &self,
    ) -> Result<std::sync::Arc<dyn clusterdeck_engine::repository::SecretRepository>, Failure> {
        if let Some(secrets) = self.front().secrets() {
            return Ok(secrets);
        }
        let home = self.front().home().to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            clusterdeck_secrets::open(clusterdeck_secrets::OpenOptions::from_env(home))
        });
        let opened = opened.await.map_err(|e| Failure::other(e.to_string()))?;
        Ok(opened.map_err(|e| Problem::from(EngineError::from(e)))?)
    }
}
