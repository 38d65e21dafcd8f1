//! The command line. Every command asks the same API as the window does; nothing here talks to an engine, except that a
//! command opens and closes the home it works in. What must not enter: rules about clusters.

mod answer;
mod args;
mod background;
mod change;
pub mod compose;
mod failure;
mod log;
mod output;
mod session;
mod verbs;
mod watch;

use args::{Args, NodeVerb, Noun};
use clap::Parser;
use failure::Failure;
use output::Output;
use session::Session;
use std::process::{Command, ExitCode};

/// Runs the program with the arguments it was started with, and says how it ended (see the table in the README).
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no failures. A closed pipe is not worth a word either.
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    if matches!(args.noun, Noun::HostUntilIdle) {
        background::leave_terminal();
    }
    let output = Output::new(args.global.json);
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(go(args, &output));
            // A thread may still wait for a line from the terminal.
            runtime.shutdown_background();
            ended.and_then(|next| next.map_or(Ok(()), take_our_place))
        }
        Err(error) => Err(Failure::other(format!("no threads could be started: {error}"))),
    };
    ExitCode::from(ended.err().map_or(0, |failure| output.failure(&failure)))
}

/// Becomes another program, so that keys and signals are its own. Everything of ours is let go by now.
fn take_our_place(mut program: Command) -> Result<(), Failure> {
    let name = program.get_program().to_string_lossy().into_owned();
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut program);
    #[cfg(not(unix))]
    let error = match program.status() {
        Ok(ended) => std::process::exit(ended.code().unwrap_or(1)),
        Err(error) => error,
    };
    Err(Failure::other(format!("`{name}` could not be started ({error}); is it installed?")))
}

/// Does what was asked; a program to become afterwards, where that was what was asked for.
async fn go(args: Args, output: &Output) -> Result<Option<Command>, Failure> {
    // These need no home.
    match &args.noun {
        Noun::Completion { shell } => return verbs::program::completion(*shell, output).map(|()| None),
        Noun::Openapi => return verbs::program::openapi(output).map(|()| None),
        Noun::Doctor => return verbs::doctor::run(&args, output).await.map(|()| None),
        _ => {}
    }
    let session = Session::open(&args, output).await?;
    if let Noun::Serve(options) = args.noun {
        return verbs::serve::run(&session, options).await.map(|()| None);
    }
    if let Noun::Node(NodeVerb::Shell { node, rest }) = &args.noun {
        let command = verbs::node::shell(&session, node, rest).await;
        let (command, ended) = match command {
            Ok(command) => (Some(command), Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        return session.close(ended).await.map(|()| command);
    }
    // A command that was told to stop lets go of everything in order, whatever it was doing.
    let ended = tokio::select! {
        ended = verbs::run(args.noun, &session) => ended,
        signal = session::stopped() => Err(Failure::Interrupted(signal)),
    };
    session.close(ended).await.map(|()| None)
}
