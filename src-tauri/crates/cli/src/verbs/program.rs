//! What needs no home: completion scripts and the OpenAPI document.

use crate::{args::Args, failure::Failure, output::Output};
use clap::CommandFactory;
use clap_complete::Shell;

pub(crate) fn completion(shell: Shell, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "clusterdeck", &mut script);
    output.body(&script)
}

pub(crate) fn openapi(output: &Output) -> Result<(), Failure> {
    let document = clusterdeck_api::document().to_pretty_json();
    output.line(&document.map_err(|e| Failure::other(format!("the document could not be written: {e}")))?)
}
