//! Large answers that become files: what has come is there when all of it has, and nothing before.

use crate::problem::{Code, Problem};
use axum::body::Body;
use http_body_util::BodyExt as _;
use std::{io, path::Path};
use tokio::{fs::File, io::AsyncWriteExt as _};

/// Writes what is downloaded of a backup into a file, and never over another. Until its last byte is on the disk it has another
/// name (`….part`); it is its owner's only, and what fails or is dropped leaves nothing. `written` hears of the bytes so far, after
/// each piece; the result is how many there are.
///
/// # Errors
/// `conflict` where a file of that name is there by then, `disk-full`, `failed` where the body was cut off or the file cannot be written.
/// Nothing was written then.
pub async fn save(mut body: Body, file: &Path, mut written: impl FnMut(u64)) -> Result<u64, Problem> {
    let unwritten = |error: io::Error| unwritten(file, &error);
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part =
        tempfile::Builder::new().prefix(&name).suffix(".part").tempfile_in(folder).map_err(unwritten)?;
    let mut open = File::from_std(part.as_file().try_clone().map_err(unwritten)?);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::new(Code::Failed, "the backup could not be read to its end")
                .detail("Nothing was written.")
                .hint("Verify the backup: that says what is wrong with it.")
        })?;
        if let Some(data) = frame.data_ref() {
            open.write_all(data).await.map_err(unwritten)?;
            bytes += data.len() as u64;
            written(bytes);
        }
    }
    // Syncing alone would not tell that the last piece did not fit.
    open.flush().await.map_err(unwritten)?;
    open.sync_all().await.map_err(unwritten)?;
    part.persist_noclobber(file).map_err(|kept| unwritten(kept.error))?;
    Ok(bytes)
}

fn unwritten(file: &Path, error: &io::Error) -> Problem {
    let file = file.display();
    let problem = match error.kind() {
        io::ErrorKind::AlreadyExists => Problem::new(Code::Conflict, format!("{file} is there already")),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Problem::new(Code::DiskFull, format!("there is no room for {file}"))
        }
        _ => Problem::new(Code::Failed, format!("{file} could not be written: {error}")),
    };
    problem.detail("Nothing was written.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt as _, stream};
    use std::fs;

    fn pieces(all: Vec<io::Result<&'static str>>) -> Body {
        Body::from_stream(stream::iter(all))
    }

    #[tokio::test]
    async fn a_file_is_there_once_all_of_it_is_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("demo.tar");
        let (seen, mut told) = (file.clone(), Vec::new());
        let body = pieces(vec![Ok("abc"), Ok("de")]);
        let bytes = save(body, &file, |bytes| told.push((bytes, seen.exists()))).await.unwrap();
        assert_eq!(
            (bytes, told),
            (5, vec![(3, false), (5, false)]),
            "told on the way, under its name at the end"
        );
        assert_eq!(fs::read(&file).unwrap(), b"abcde");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing beside it");
    }

    #[tokio::test]
    async fn what_is_cut_off_or_dropped_leaves_nothing_and_no_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("demo.tar");
        let cut = pieces(vec![Ok("abc"), Err(io::ErrorKind::ConnectionReset.into())]);
        assert_eq!(save(cut, &file, |_| ()).await.unwrap_err().code, Code::Failed);
        let endless =
            Body::from_stream(stream::once(async { io::Result::Ok("abc") }).chain(stream::pending()));
        let waited =
            tokio::time::timeout(std::time::Duration::from_millis(200), save(endless, &file, |_| ()));
        waited.await.unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        fs::write(&file, "mine").unwrap();
        assert_eq!(save(pieces(vec![Ok("abc")]), &file, |_| ()).await.unwrap_err().code, Code::Conflict);
        fs::remove_file(&file).unwrap();
        let late = file.clone();
        let theirs = move |_| fs::write(&late, "mine").unwrap();
        assert_eq!(save(pieces(vec![Ok("abc")]), &file, theirs).await.unwrap_err().code, Code::Conflict);
        assert_eq!(fs::read(&file).unwrap(), b"mine", "also where it came while ours was fetched");
        let nowhere = save(pieces(vec![]), &folder.path().join("no/demo.tar"), |_| ()).await.unwrap_err();
        assert!(nowhere.title.contains("could not be written"), "{}", nowhere.title);
    }
}
