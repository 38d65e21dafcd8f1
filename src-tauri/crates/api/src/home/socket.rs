//! Where the holder of a home can be reached by other processes of the same user: a unix socket that only its owner may
//! open. Windows has loopback TCP and a token in a file instead.

use crate::problem::{Code, Problem};
use std::path::{Path, PathBuf};

/// The longest path a socket may have: `sun_path` is 108 bytes on Linux, 104 on macOS, with its end marker.
#[cfg(unix)]
const LONGEST: usize = 100;

#[cfg(unix)]
pub(crate) type Stream = tokio::net::UnixStream;
#[cfg(not(unix))]
pub(crate) type Stream = tokio::net::TcpStream;

/// The file other processes look for.
#[cfg(unix)]
pub(crate) fn path(home: &Path) -> Result<PathBuf, Problem> {
    use sha2::{Digest, Sha256};
    use std::os::unix::ffi::OsStrExt;

    let near = home.join("api.sock");
    if near.as_os_str().len() <= LONGEST {
        return Ok(near);
    }
    // Too deep for a socket: a short folder of our own, the same for everybody who means this home.
    let mark = hex::encode(&Sha256::digest(home.as_os_str().as_bytes())[..8]);
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_absolute() && p.is_dir());
    let far = match runtime.map(|r| r.join(format!("clusterdeck-{mark}"))) {
        Some(short) if short.as_os_str().len() + 10 <= LONGEST => short,
        _ => PathBuf::from(format!("/tmp/clusterdeck-{}-{mark}", rustix::process::getuid().as_raw())),
    };
    own(&far)?;
    Ok(far.join("api.sock"))
}

/// Makes sure that a folder in a public place is ours alone and no link to somewhere else.
#[cfg(unix)]
fn own(folder: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let failed = |what: String| {
        Problem::new(Code::Forbidden, format!("{} cannot hold the local socket: {what}", folder.display()))
            .detail("Nothing was changed.")
            .hint("Remove that folder, or choose a home with a shorter path.")
    };
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(failed(error.to_string()));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(folder).map_err(|e| failed(e.to_string()))?;
    let ours =
        found.is_dir() && found.uid() == rustix::process::getuid().as_raw() && found.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(failed("it belongs to somebody else, or others may enter it".to_owned())) }
}

/// Listens where others look. Only the holder of the lock calls this, so a socket file that is there is a dead one's.
#[cfg(unix)]
pub(crate) fn listen(home: &Path) -> Result<(tokio::net::UnixListener, PathBuf), Problem> {
    use std::os::unix::fs::PermissionsExt;
    let path = path(home)?;
    let failed = |error: std::io::Error| {
        Problem::new(
            Code::StoreBroken,
            format!("the local socket {} cannot be made: {error}", path.display()),
        )
        .detail("Nothing was changed.")
        .hint("Check the permissions of the folder, and that its file system knows sockets.")
    };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = tokio::net::UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok((listener, path))
}

/// Reaches the holder. The second value is the token to show, where the place itself does not keep others out.
#[cfg(unix)]
pub(crate) async fn connect(home: &Path) -> std::io::Result<(Stream, Option<String>)> {
    let path = path(home).map_err(std::io::Error::other)?;
    Ok((tokio::net::UnixStream::connect(path).await?, None))
}

/// Loopback TCP on a port the system chooses; port and token stand in a file below the user's profile.
#[cfg(not(unix))]
pub(crate) fn listen(home: &Path) -> Result<(tokio::net::TcpListener, PathBuf, String), Problem> {
    let path = home.join("api.port");
    let failed = |error: String| {
        Problem::new(Code::StoreBroken, format!("the local address cannot be opened: {error}"))
            .detail("Nothing was changed.")
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| failed(e.to_string()))?;
    listener.set_nonblocking(true).map_err(|e| failed(e.to_string()))?;
    let port = listener.local_addr().map_err(|e| failed(e.to_string()))?.port();
    let token = crate::serve::fresh_token().map_err(|e| failed(e.to_string()))?;
    std::fs::write(&path, format!("{port} {token}")).map_err(|e| failed(e.to_string()))?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|e| failed(e.to_string()))?;
    Ok((listener, path, token))
}

/// Reaches the holder.
#[cfg(not(unix))]
pub(crate) async fn connect(home: &Path) -> std::io::Result<(Stream, Option<String>)> {
    let text = tokio::fs::read_to_string(home.join("api.port")).await?;
    let (port, token) = text.split_once(' ').ok_or(std::io::ErrorKind::InvalidData)?;
    let port: u16 = port.parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
    Ok((Stream::connect(("127.0.0.1", port)).await?, Some(token.to_owned())))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_home_too_deep_for_a_socket_is_reached_by_a_short_path_that_only_we_may_enter() {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().expect("a folder");
        let home = base.path().join("x".repeat(60)).join("y".repeat(60));
        std::fs::create_dir_all(&home).expect("a deep folder");
        let (listener, path) = listen(&home).expect("a socket");
        assert!(path.as_os_str().len() <= LONGEST, "{} is short enough", path.display());
        let mode = |p: &Path| std::fs::metadata(p).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().expect("a folder")), 0o700);
        assert_eq!(mode(&path), 0o600);
        let (connected, accepted) = tokio::join!(connect(&home), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok(), "who means the same home finds it");
        std::fs::remove_dir_all(path.parent().expect("a folder")).expect("gone");
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_holder_is_replaced() {
        let home = tempfile::tempdir().expect("a folder");
        drop(listen(home.path()).expect("a socket"));
        assert!(path(home.path()).expect("a path").exists(), "a dead holder leaves its file");
        assert!(connect(home.path()).await.is_err(), "and nobody behind it");
        let (_listener, _) = listen(home.path()).expect("replaced");
        assert!(connect(home.path()).await.is_ok());
    }
}
