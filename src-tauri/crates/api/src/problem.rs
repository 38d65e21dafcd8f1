//! Errors of the API: `application/problem+json` (RFC 9457) with a code from a closed list. This is the only place that
//! turns an engine's error into a status code.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use clusterdeck_domain::OperationId;
use clusterdeck_engine::EngineError;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $status:literal;)*) => {
        /// What went wrong. The list is closed: scripts may rely on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// The code as text.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
            /// The status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
            /// The code with that text; what is not in the list is our own fault.
            pub fn of(id: &str) -> Self {
                match id { $($id => Self::$name,)* _ => Self::Internal }
            }
        }
    };
}

codes! {
    /// Input that cannot be understood; `fields` says which.
    Invalid = "invalid", 400;
    /// Nothing of that name or id.
    NotFound = "not-found", 404;
    /// The preview has blockers. Nothing was changed.
    Blocked = "blocked", 409;
    /// What must be typed was not typed. Nothing was changed.
    ConfirmationMissing = "confirmation-missing", 409;
    /// The cluster changed since the preview. Nothing was changed.
    PreviewStale = "preview-stale", 409;
    /// The preview is too old or used up. Nothing was changed.
    PreviewExpired = "preview-expired", 410;
    /// Another operation holds the cluster.
    Busy = "busy", 409;
    /// The other side cannot be reached; reads come from the copy, changes are refused.
    Offline = "offline", 503;
    /// No token, or a wrong one.
    Unauthorized = "unauthorized", 401;
    /// Signed in, but this request may not do that.
    Forbidden = "forbidden", 403;
    /// Somebody else changed it at the same time, or it is there already.
    Conflict = "conflict", 409;
    /// No keyring is running.
    KeyringMissing = "keyring-missing", 503;
    /// The keyring is locked.
    KeyringLocked = "keyring-locked", 503;
    /// The keyring refused.
    KeyringDenied = "keyring-denied", 503;
    /// The encrypted vault cannot be opened.
    VaultBroken = "vault-broken", 503;
    /// A vault of backups does not answer, or is not there. What lies in it is as it was.
    VaultUnreachable = "vault-unreachable", 502;
    /// A vault of backups takes no more. What lies in it is as it was.
    VaultFull = "vault-full", 507;
    /// A vault of backups does not accept the key, passphrase or rights. What lies in it is as it was.
    VaultRefused = "vault-refused", 502;
    /// state.db cannot be used.
    StoreBroken = "store-broken", 500;
    /// No space left.
    DiskFull = "disk-full", 507;
    /// Cannot be done here.
    Unsupported = "unsupported", 422;
    /// It was tried and did not work.
    Failed = "failed", 502;
    /// The engine is ending; try again in a moment. Nothing was changed.
    ShuttingDown = "shutting-down", 503;
    /// Our own fault; the log has the details.
    Internal = "internal", 500;
}

/// A member of the input that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Field {
    /// Which, as a JSON pointer (`/name`); a query parameter by its name (`/limit`).
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

/// An error: what happened (`title`), what it means for the data (`detail`), what to do (`hint`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A URI for the code.
    #[serde(rename = "type", with = "urn", default = "Code::internal")]
    #[schema(value_type = String)]
    kind: Code,
    /// What happened.
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// From the closed list.
    pub code: Code,
    /// What it means for the data.
    #[serde(default)]
    pub detail: String,
    /// What to do.
    #[serde(default)]
    pub hint: String,
    /// What is wrong with the input.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// The operation it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<OperationId>)]
    pub operation_id: Option<Box<OperationId>>,
}

/// The code as the URI that RFC 9457 wants.
mod urn {
    use super::Code;
    use serde::{Deserialize, Deserializer, Serializer};

    const PREFIX: &str = "urn:clusterdeck:problem:";

    pub(super) fn serialize<S: Serializer>(code: &Code, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{PREFIX}{}", code.id()))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Code, D::Error> {
        let text = String::deserialize(from)?;
        Ok(Code::of(text.strip_prefix(PREFIX).unwrap_or_default()))
    }
}

impl Code {
    const fn internal() -> Self {
        Self::Internal
    }
}

impl Problem {
    /// A problem with a title.
    pub fn new(code: Code, title: impl Into<String>) -> Self {
        Self {
            kind: code,
            title: title.into(),
            status: code.status(),
            code,
            detail: String::new(),
            hint: String::new(),
            fields: Vec::new(),
            operation_id: None,
        }
    }
    /// One member of the input is wrong.
    pub fn invalid(pointer: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(Code::Invalid, message.clone()).field(pointer, message)
    }
    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}")).detail("Nothing was changed.")
    }
    /// Says what it means.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
    /// Names a member of the input.
    #[must_use]
    pub fn field(mut self, pointer: &str, message: impl Into<String>) -> Self {
        self.fields.push(Field { pointer: pointer.to_owned(), message: message.into() });
        self
    }
    /// The same under another code.
    #[must_use]
    pub fn recoded(self, code: Code) -> Self {
        Self { kind: code, code, status: code.status(), ..self }
    }
    /// Another status than the code's own, where HTTP has an exact one (405, 413).
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title)
    }
}
impl std::error::Error for Problem {}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let said = error.problem();
        let problem = Self::new(Code::of(&said.code), said.title).detail(said.detail).hint(said.hint);
        match &error {
            EngineError::Invalid { what, pointer } => problem.field(pointer, what),
            EngineError::Blocked { blockers } => blockers
                .iter()
                .filter_map(|b| b.pointer.as_ref().map(|p| (p, &b.text)))
                .fold(problem, |problem, (pointer, text)| problem.field(pointer, text)),
            _ => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() && self.code == Code::Internal {
            tracing::error!(title = %self.title, detail = %self.detail, "a request failed");
        }
        // A struct of strings and numbers cannot fail to become JSON.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_itself_and_has_an_error_status() {
        for code in Code::ALL {
            assert_eq!(Code::of(code.id()), *code, "{} reads back", code.id());
            assert_eq!(
                serde_json::to_value(code).ok(),
                Some(code.id().into()),
                "one spelling of {}",
                code.id()
            );
            assert!((400..600).contains(&code.status()), "{} is an error", code.id());
        }
        assert_eq!(Code::of("brand-new"), Code::Internal);
    }

    #[test]
    fn a_problem_survives_its_text_form() {
        let problem = Problem::invalid("/name", "too long").hint("Choose a shorter one.");
        let text = serde_json::to_string(&problem).expect("JSON");
        assert!(text.contains(r#""type":"urn:clusterdeck:problem:invalid""#), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).expect("read"), problem);
    }

    #[test]
    fn a_blocked_change_points_at_the_members_that_block_it() {
        let blockers = vec![clusterdeck_domain::Finding::new("name-taken", "`demo` is taken").at("/name")];
        let problem = Problem::from(EngineError::Blocked { blockers });
        assert_eq!((problem.status, problem.code), (409, Code::Blocked));
        assert_eq!(problem.fields[0].pointer, "/name");
        assert!(problem.detail.contains("Nothing was changed"), "it says what it means for the data");
    }
}
