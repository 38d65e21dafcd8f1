//! One REST API for window, browser, scripts and command line: the shapes (`wire`), the router (`routes`), its OpenAPI
//! document, and the ways to it: in this process, over the local socket of a home, from a server (`connections`), to
//! others (`serve`).
//!
//! What must not enter: decisions about clusters (those are the domain's) and anything concrete of stores and drivers
//! (`clusterdeck_cli::compose` names them). Handlers are glue of a few lines.

mod connections;
mod converse;
mod extract;
mod front;
mod home;
pub mod host;
mod problem;
mod router;
mod routes;
mod saving;
pub mod serve;
pub mod wire;

pub use connections::{
    AS_OF, CONNECTION, Connection, ConnectionKind, EMBEDDED, NewConnection, Notices, Streamed, UseConnection,
};
pub use extract::{Actor, MAX_BODY};
pub use front::{Front, problem_of, request};
pub use home::{Compose, Kept, default_home};
pub use problem::{Code, Field, Problem};
pub use router::{Rooms, document, router};
pub use saving::save;
