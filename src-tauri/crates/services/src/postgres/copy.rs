/// `$1` is the file with the password. It is gone before the copy begins, so that nothing is left of it however that ends, also by
/// being killed: what is open can still be read where the system shows it as a file. Elsewhere it goes with the copy.
const GIVE: &str = r#"
file=$1; shift
pass=$file
if [ -e /proc/self/fd ]; then
  exec 3< "$file" && rm -f "$file" || exit 1
  pass=/proc/self/fd/3
fi
PGPASSFILE=$pass "$@"
status=$?
rm -f "$file"
exit $status
"#;

fn base_backup(machine: &dyn Machine, software: &Software) -> Filter {
    let text = |path: &str| machine.path(path).display().to_string();
    let own = [
        text(PASS),
        "/usr/bin/env".to_owned(),
        // Its words are read.
        "LC_ALL=C".to_owned(),
        "PGSSLMODE=verify-full".to_owned(),
        format!("PGSSLROOTCERT={}", text(tls::CA_FILE)),
        software.folder.join("pg_basebackup").display().to_string(),
        "--host".to_owned(),
        machine.address().to_string(),
        "--port".to_owned(),
        machine.port(config::PORT).to_string(),
        "--username".to_owned(),
        config::REPLICA.to_owned(),
    ];
    // It is told what cannot be asked: `fetch` puts the log into the one archive that there is.
    let how = [
        "--no-password",
        "--pgdata=-",
        "--format=tar",
        "--wal-method=fetch",
        "--checkpoint=fast",
        "--verbose",
    ];
    Filter::script(GIVE, own.into_iter().chain(how.map(str::to_owned)))
}

/// A line of a password file.
fn pass(password: &Sensitive<String>) -> Sensitive<String> {
    let password = password.reveal().replace('\\', "\\\\").replace(':', "\\:");
    Sensitive::new(format!("*:*:*:{}:{password}\n", config::REPLICA))
}

/// Why a server gave no copy. One that was stopped, or promoted, in the middle gives one in a moment.
fn refused(node: &NodeSpec, e: DriverError) -> DriverError {
    let DriverError::Rejected { what, hint } = e else { return e };
    let says = |marks: &[&str]| marks.iter().any(|mark| what.contains(mark));
    let told = format!("{} gave no copy: {what}", node.name);
    if says(&["checksum"]) {
        return DriverError::rejected(
            told,
            "its disk has changed what was written to it: copy from another node, and resync this one",
        );
    }
    if says(&["could not find WAL file", "has already been removed"]) {
        return DriverError::rejected(
            told,
            "more was written meanwhile than the server may keep: raise max_slot_wal_keep_size, or copy when less is written",
        );
    }
    let passes = [
        "closed the connection",
        "terminating connection",
        "Connection refused",
        "starting up",
        "shutting down",
        "promoted during",
        "exceeds max_wal_senders",
    ];
    if says(&passes) { DriverError::transient(told) } else { DriverError::rejected(told, hint) }
}

/// `$1` bytes of input, `$2` the folder. The manifest comes last: where it is, nothing is missing behind it. Whoever feeds us
/// must get rid of all, also of what lies behind the end of an archive.
const LAY: &str = r#"
umask 077
mkdir -p "$2" || exit 1
head -c "$1" | { tar -xf - -C "$2" && cat > /dev/null; } || exit 1
for file in PG_VERSION backup_label global/pg_control backup_manifest; do
  [ -f "$2/$file" ] || { echo "it is no whole copy of a server: it has no $file" >&2; exit 1; }
done
"#;

/// See [`clusterdeck_driver::ServiceDriver::copy_in`].
pub(crate) async fn lay(
    cx: &ClusterContext,
    node: &NodeSpec,
    input: &mut Incoming,
    bytes: u64,
    progress: &Progress,
) -> Result<()> {
    let machine = cx.machine(node)?.as_ref();
    if machine.exists(config::DATA).await? {
        return Err(DriverError::rejected(
            format!("{} holds data already", node.name),
            "a copy is laid for a new node; add one, or make a new cluster from it",
        ));
    }
    clear(machine, &LAID_IN).await?;
    let folder = machine.path(LAYING).display().to_string();
    let laid = async {
        machine.feed(&Filter::script(LAY, [bytes.to_string(), folder]), input, bytes).await?;
        settled::settle(cx, node, machine, progress).await
    };
    let laid = laid.await;
    // What was replayed is in the data by now.
    clear(machine, &[archive::UNTIL, archive::LAID]).await?;
    match laid {
        Ok(()) => machine.rename(LAYING, LAID).await,
        Err(e) => {
            clear(machine, &LAID_IN).await?;
            Err(unusable(node, e))
        }
    }
}

/// Puts a copy that was laid in the place of the data, before the server of a new node starts.
pub(crate) async fn take(machine: &dyn Machine) -> Result<()> {
    match machine.rename(LAID, config::DATA).await {
        // Else an empty cluster would pass for the one that was meant.
        Err(DriverError::Gone { what }) if machine.exists(WRITTEN_BY).await? => {
            Err(DriverError::broken(format!("the copy to start on, {what}, is gone")))
        }
        Err(DriverError::Gone { .. }) => Ok(()),
        taken => taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_pg_basebackup_tells_it() {
        let words = "pg_basebackup: checkpoint completed\n\
                     pg_basebackup: write-ahead log start point: 0/2000028 on timeline 3\n\
                     pg_basebackup: write-ahead log end point: 0/3000100\n\
                     pg_basebackup: base backup completed";
        assert_eq!(Place::told(words).map(|p| p.to_string()).as_deref(), Some("timeline 3, 0/3000100"));
        assert_eq!(Place::told("pg_basebackup: base backup completed"), None);
    }
}
