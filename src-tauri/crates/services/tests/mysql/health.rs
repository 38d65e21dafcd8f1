//! What answers role checks is written twice, for Perl and for Python: both must say the same of every state of a server.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};

const SCRIPTS: [(&str, &str); 2] = [
    ("perl", include_str!("../../src/mysql/health.pl")),
    ("python3", include_str!("../../src/mysql/health.py")),
];

/// Starts a script beside a client that answers with what stands in a file.
fn start(folder: &Path, (program, text): (&str, &str), port: u16, kind: &str) -> Child {
    let script = folder.join(format!("{program}-{kind}"));
    fs::write(&script, text).unwrap();
    let client = folder.join("client");
    Command::new(program)
        .arg(script)
        .args(["127.0.0.1", &port.to_string()])
        .arg(client)
        .args([folder.join("none.cnf").to_str().unwrap(), kind])
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ask(port: u16, path: &str) -> String {
    for _ in 0..100 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            return said.lines().next().unwrap_or_default().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody listens at {port}")
}

fn states(kind: &str) -> Vec<String> {
    let words: [&[&str]; 3] = match kind {
        "mariadb" => [&["ON", "OFF", "-"], &["ON", "OFF", "-"], &["4", "1", "0", "-"]],
        _ => [&["ONLINE", "OFFLINE", "RECOVERING"], &["PRIMARY", "SECONDARY", "-"], &["0", "1"]],
    };
    let mut all = vec!["role 1".to_owned(), "nothing of ours".to_owned()];
    for read_only in ["0", "1"] {
        for a in words[0] {
            for b in words[1] {
                all.extend(words[2].iter().map(|c| format!("role {read_only} {a} {b} {c}")));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn perl_and_python_say_the_same_of_every_state_of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (client, says) = (folder.path().join("client"), folder.path().join("says"));
    fs::write(&client, format!("#!/bin/bash\nwhile read -r _; do cat '{}'; done\n", says.display())).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o700)).unwrap();
    for kind in ["mariadb", "group"] {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ports = [free(), free()];
        let _running: Vec<_> = SCRIPTS
            .iter()
            .zip(ports)
            .map(|(script, port)| start(folder.path(), *script, port, kind))
            .collect();
        let mut fit = 0;
        for state in states(kind) {
            fs::write(&says, format!("{state}\n")).unwrap();
            for path in ["/primary", "/replica", "/member", "/other"] {
                // A client that does not answer within 0.35 s, as on a busy computer, counts as unfit: asked again.
                let (mut perl, mut python) = (ask(ports[0], path).await, ask(ports[1], path).await);
                for _ in 0..5 {
                    if perl == python {
                        break;
                    }
                    (perl, python) = (ask(ports[0], path).await, ask(ports[1], path).await);
                }
                assert_eq!(perl, python, "{kind} {path}: {state}");
                assert!(perl.starts_with("HTTP/1.0 "), "{perl}");
                fit += usize::from(perl.ends_with("200 OK"));
            }
        }
        println!("{kind}: {fit} times fit");
        assert!(fit > 5, "some states must be fit for something");
    }
}
