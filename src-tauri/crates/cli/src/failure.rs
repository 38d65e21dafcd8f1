//! How a command fails, and the exit status that says so.

use clusterdeck_api::{Code, Problem};
use clusterdeck_domain::{Operation, OperationState};

/// Why a command did not do what it was asked.
pub(crate) enum Failure {
    /// The API said no.
    Problem(Box<Problem>),
    /// The operation ended, but not well.
    Ended(Box<Operation>),
    /// Stopped by a person or the system; the text says what becomes of what was under way.
    Interrupted(String),
    /// Whoever read the output has gone away. Nothing is wrong.
    Closed,
}

impl Failure {
    /// Anything the API has no word for.
    pub(crate) fn other(title: impl Into<String>) -> Self {
        Problem::new(Code::Failed, title).into()
    }

    /// The exit status: see `api-and-cli.md`.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Problem(problem) => match problem.code {
                Code::Invalid => 2,
                Code::Blocked | Code::Busy => 3,
                Code::NotFound => 4,
                Code::Offline | Code::ShuttingDown => 5,
                Code::ConfirmationMissing => 6,
                _ => 1,
            },
            Self::Ended(operation) if operation.state == OperationState::Succeeded => 0,
            Self::Ended(_) => 1,
            Self::Interrupted(_) => 130,
            Self::Closed => 0,
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_exit_status() {
        let exit = |code| Failure::from(Problem::new(code, "x")).exit();
        for (code, status) in [
            (Code::Invalid, 2),
            (Code::Blocked, 3),
            (Code::NotFound, 4),
            (Code::Offline, 5),
            (Code::ShuttingDown, 5),
            (Code::ConfirmationMissing, 6),
            (Code::KeyringLocked, 1),
            (Code::Failed, 1),
        ] {
            assert_eq!(exit(code), status, "{}", code.id());
        }
        assert_eq!(Failure::Interrupted(String::new()).exit(), 130);
    }
}
