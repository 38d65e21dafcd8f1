//! Machines: made once, found again, with an address of their own; engines and images as they are found.

use crate::support::{Home, IMAGE, sleeper, unit, until};
use clusterdeck_domain::{ClusterId, Network};
use clusterdeck_driver::{
    ClientCommand, DriverError, Image, MachineRequest, Needs, Programs, Progress, Provider,
};
use clusterdeck_testkit::containers::{MIRRORED, REGISTRY};
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

#[tokio::test]
async fn asked_for_twice_it_is_one_machine_with_a_name_and_an_address_that_is_reached_from_here() {
    let Some(home) = Home::enter().await else { return };
    let begun = Instant::now();
    let first = home.machine().await;
    println!("a machine is made in {:?}", begun.elapsed());
    let begun = Instant::now();
    let again = home.machine().await;
    println!("and found in {:?}", begun.elapsed());
    assert_eq!((first.id(), first.address()), (again.id(), again.address()));
    assert_eq!(
        home.ground.everything().len(),
        3,
        "a container, a volume, a network: {:?}",
        home.ground.everything()
    );
    let name = format!("clusterdeck-{}", first.id());
    assert_eq!(home.inspect(&name, ".Config.Hostname"), "demo-1");

    let address = first.address().to_string();
    let redis = unit(
        "server",
        "/usr/bin/redis-server",
        &["--bind", &address, "--save", "", "--protected-mode", "no"],
    );
    first.start(&redis).await.unwrap();
    let at = (first.address(), first.port(6379));
    until("we reach it", async || tokio::net::TcpStream::connect(at).await.is_ok()).await;
    let second = home.machine_of(&home.provider(), 2).await;
    assert_ne!(second.address(), first.address());
    let found = second.software("redis-server").await.unwrap();
    assert!(found[0].version.starts_with("8.0"), "{found:?}");
    let ask = unit("ask", "/bin/sh", &["-c", &format!("redis-cli -h {address} ping; exec sleep 100")]);
    second.start(&ask).await.unwrap();
    until("its neighbour reaches it", async || second.log("ask", 9, None).await.unwrap().0 == ["PONG"]).await;
}

#[tokio::test]
async fn every_cluster_has_a_network_that_meets_no_other() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    home.machine().await;
    let next = |used: Vec<Network>| {
        let provider = &provider;
        async move { provider.allocate_network(&ClusterId::new(2), "", &used).await.unwrap() }
    };
    let second = next(Vec::new()).await;
    assert_ne!(second, home.network, "what the engine has is taken");
    let third = next(vec![second.clone()]).await;
    assert!(third != second && third != home.network);
    let subnet = third.0.split('@').next().unwrap();
    home.ground.podman(&["network", "create", "--subnet", subnet, "stranger"]);
    assert_ne!(next(vec![second]).await, third, "and what a stranger made since");
}

#[tokio::test]
async fn what_an_engine_can_run_is_told_by_its_images() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    let check = provider.check(&[]).await.unwrap();
    assert!(check.usable && check.missing.is_empty() && check.notes[0].contains("can be used"), "{check:?}");
    let regions = provider.regions().await.unwrap();
    assert_eq!(regions.len(), 1);
    assert!(!provider.plans(&regions[0].id).await.unwrap().is_empty());
    assert!(matches!(provider.plans("elsewhere").await, Err(DriverError::Gone { .. })));

    let image =
        |line: &str, reference: &str| Image { line: line.to_owned(), reference: reference.to_owned() };
    let needs = |images: Vec<Image>| Needs {
        server: Programs { programs: vec![("redis-server", "the server")], images, ..Programs::default() },
        ..Needs::default()
    };
    let begun = Instant::now();
    let here = provider.capacity(&needs(vec![image("8.0", IMAGE)])).await.unwrap();
    println!("the first look into an image takes {:?}", begun.elapsed());
    assert!(here.missing.is_empty() && here.to_fetch.is_empty(), "{here:?}");
    assert!(here.versions[0].starts_with("8.0."), "{here:?}");
    assert_eq!(here.region.as_deref(), Some(regions[0].id.as_str()));
    assert_eq!(here.addresses_free, Some(true));
    let begun = Instant::now();
    home.provider().capacity(&needs(vec![image("8.0", IMAGE)])).await.unwrap();
    println!("the next one, in another program, {:?}", begun.elapsed());

    let lost = provider.capacity(&needs(vec![image("9.9", "registry.invalid/redis:9.9")])).await.unwrap();
    assert!(lost.versions.is_empty(), "{lost:?}");
    assert!(lost.missing[0].program.contains("registry.invalid/redis:9.9"), "{lost:?}");
    assert!(lost.missing[0].purpose.contains("cannot be reached"), "the reason: {lost:?}");
    let wrong = provider.capacity(&needs(vec![image("7.0", IMAGE)])).await.unwrap();
    assert!(wrong.missing[0].purpose.contains("holds version 8.0"), "{wrong:?}");
    let none = provider.capacity(&needs(Vec::new())).await.unwrap();
    assert!(none.missing[0].program.contains("redis-server"), "{none:?}");
}

#[tokio::test]
async fn a_machine_whose_image_cannot_be_had_is_refused_with_the_reason_and_leaves_nothing() {
    let Some(home) = Home::enter().await else { return };
    let request = MachineRequest { image: Some("registry.invalid/x:1".to_owned()), ..home.request(1) };
    let provider = home.provider();
    match provider.ensure_machine(&request, &Progress::silent()).await {
        Err(DriverError::Rejected { what, hint }) => {
            assert!(what.contains("registry.invalid/x:1") && what.contains("lookup"), "{what}");
            assert!(hint.contains("mirror"), "{hint}");
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is no such image"),
    }
    assert_eq!(home.ground.everything(), Vec::<String>::new());
    assert!(provider.machines().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_engine_that_does_not_answer_makes_a_machine_unknown_not_gone() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    let machine = home.machine_of(&provider, 1).await;
    machine.start(&sleeper()).await.unwrap();
    let spec = provider.machine_spec(&home.request(1)).unwrap();
    let socket = home.ground.dir().join("engine.sock");
    let aside = home.ground.dir().join("aside.sock");
    std::fs::rename(&socket, &aside).unwrap();
    let next = home.provider();
    let none = next.capacity(&Needs { region: Some("engine-gone"), ..Needs::default() }).await.unwrap();
    assert!(none.missing[0].refused && none.missing[0].purpose.contains("start it"), "{none:?}");
    let Err(unknown) = next.machine(&spec).await else { panic!("nobody answers") };
    assert!(unknown.is_transient(), "{unknown:?}");
    assert!(next.remove_machine(&spec).await.unwrap_err().is_transient(), "nothing is called removed");
    assert!(machine.state("sleeper").await.unwrap_err().is_transient());
    assert_eq!(
        next.machines().await.unwrap(),
        std::slice::from_ref(&spec.id),
        "the home knows that it is there"
    );
    std::fs::rename(&aside, &socket).unwrap();
    let after = home.provider().machine(&spec).await.unwrap();
    assert!(after.state("sleeper").await.unwrap().is_running());
}

#[tokio::test]
async fn an_image_that_is_not_here_is_fetched_once_with_progress() {
    let Some(home) = Home::enter().await else { return };
    let reference = home.ground.registry(IMAGE);
    let provider = home.provider();
    let needs = Needs {
        server: Programs {
            programs: vec![("redis-server", "the server")],
            extension: None,
            images: vec![Image { line: "8.0".to_owned(), reference: reference.clone() }],
            ..Programs::default()
        },
        ..Needs::default()
    };
    let before = provider.capacity(&needs).await.unwrap();
    assert!(before.missing.is_empty(), "{before:?}");
    assert_eq!(
        (before.versions.as_slice(), before.to_fetch.len()),
        (&["8.0".to_owned()][..], 1),
        "{before:?}"
    );
    assert_eq!(before.fetched_first, before.versions, "only its line is known before it is here");

    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let progress =
        Progress::new(move |note, measured| sink.lock().unwrap().push((note.to_owned(), measured)));
    let requests = [1, 2].map(|n| MachineRequest { image: Some(reference.clone()), ..home.request(n) });
    let made =
        futures::future::join_all(requests.iter().map(|r| provider.ensure_machine(r, &progress))).await;
    assert!(made.iter().all(Result::is_ok), "two machines at once want the same image");
    let told = told.lock().unwrap().clone();
    assert!(told.iter().all(|(note, _)| *note == format!("fetching {reference}")), "{told:?}");
    assert!(told.iter().any(|(_, measured)| measured.is_some()), "{told:?}");
    assert_eq!(told.iter().filter(|(_, measured)| measured.is_none()).count(), 1, "fetched once: {told:?}");
    let after = provider.capacity(&needs).await.unwrap();
    assert!(after.to_fetch.is_empty() && after.fetched_first.is_empty(), "{after:?}");
    assert!(after.versions[0].starts_with("8.0."), "{after:?}");
}

#[tokio::test]
async fn an_image_that_only_a_mirror_of_the_engine_has_is_not_blocked_and_fetched() {
    let Some(home) = Home::enter().await else { return };
    let reference = home.ground.registry(IMAGE).replace(REGISTRY, MIRRORED);
    let provider = home.provider();
    let needs = Needs {
        server: Programs {
            programs: vec![("redis-server", "the server")],
            images: vec![Image { line: "8.0".to_owned(), reference: reference.clone() }],
            ..Programs::default()
        },
        ..Needs::default()
    };
    let before = provider.capacity(&needs).await.unwrap();
    assert!(before.missing.is_empty() && before.to_fetch.len() == 1, "{before:?}");
    let request = MachineRequest { image: Some(reference), ..home.request(1) };
    provider.ensure_machine(&request, &Progress::silent()).await.unwrap();
}

#[tokio::test]
async fn an_image_of_a_registry_that_asks_for_a_password_is_fetched_by_who_signed_in() {
    let Some(home) = Home::enter().await else { return };
    let reference = home.ground.registry_with_password(IMAGE);
    let request = MachineRequest { image: Some(reference), ..home.request(1) };
    match home.provider().ensure_machine(&request, &Progress::silent()).await {
        Err(DriverError::Rejected { hint, .. }) => assert!(hint.contains("login 127.0.0.1:5000"), "{hint}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("nobody signed in"),
    }
    let dir = home.ground.dir().join("docker");
    // me:secret
    std::fs::write(dir.join("config.json"), r#"{"auths":{"127.0.0.1:5000":{"auth":"bWU6c2VjcmV0"}}}"#)
        .unwrap();
    home.provider().ensure_machine(&request, &Progress::silent()).await.unwrap();
    let notes = home.ground.podman(&["ps", "-a", "--format", "json"]);
    assert!(!notes.contains("secret") && !notes.contains("bWU6c2VjcmV0"), "nothing of it is kept");
}

#[tokio::test]
async fn a_client_in_a_terminal_runs_on_the_machine_and_this_computer_need_not_have_it() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let address = machine.address().to_string();
    let args = ["--bind", &address, "--save", "", "--requirepass", "open-sesame"];
    machine.start(&unit("server", "/usr/bin/redis-server", &args)).await.unwrap();
    let at = (machine.address(), 6379);
    until("it listens", async || tokio::net::TcpStream::connect(at).await.is_ok()).await;
    let client = ClientCommand::new("redis-cli", &["-h", &address], "REDISCLI_AUTH");
    let inside = machine.inside(&client).unwrap();
    assert!(!format!("{inside:?}").contains("open-sesame"));
    // A path on which there is the engine's client and no other.
    let path = home.ground.dir().join("path");
    std::fs::create_dir_all(&path).unwrap();
    let engine = if std::env::var("CLUSTERDECK_TEST_ENGINE").is_ok_and(|e| e == "docker") {
        "docker"
    } else {
        "podman"
    };
    std::os::unix::fs::symlink(format!("/usr/bin/{engine}"), path.join(engine)).unwrap();
    let said = std::process::Command::new(&inside.program)
        .args(&inside.args)
        .arg("ping")
        .env("PATH", &path)
        .env(&inside.password_variable, "open-sesame")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "PONG", "{said:?}");
}

#[tokio::test]
async fn a_new_machine_runs_what_its_neighbours_run_also_when_the_name_stands_for_another_image_by_now() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let (image, version) =
        (machine.image().unwrap().to_owned(), machine.software("redis-server").await.unwrap());
    let version = version[0].version.clone();
    // As after a pull: the name is taken by an image that cannot even run.
    let empty = home.ground.dir().join("empty.tar");
    std::fs::write(&empty, [0_u8; 1024]).unwrap();
    home.ground.podman(&["import", "--quiet", &empty.to_string_lossy(), "clusterdeck.test/other:1"]);
    home.ground.podman(&["tag", "clusterdeck.test/other:1", IMAGE]);
    assert_ne!(home.ground.podman(&["inspect", "--format", "{{.Id}}", IMAGE]), image);
    let needs = Needs {
        server: Programs {
            programs: vec![("redis-server", "the server")],
            images: vec![Image { line: version.clone(), reference: image.clone() }],
            ..Programs::default()
        },
        version: Some(&version),
        ..Needs::default()
    };
    let provider = home.provider();
    let there = provider.capacity(&needs).await.unwrap();
    assert!(there.missing.is_empty() && there.to_fetch.is_empty(), "{there:?}");
    assert_eq!(there.versions, [version]);
    let request = MachineRequest { image: Some(image.clone()), ..home.request(2) };
    let second = provider.ensure_machine(&request, &Progress::silent()).await.unwrap();
    assert_eq!(second.image(), Some(image.as_str()));
}

#[tokio::test]
async fn machines_of_a_cluster_made_at_once_share_one_network() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    let begun = Instant::now();
    futures::future::join_all((1..=4).map(|number| home.machine_of(&provider, number))).await;
    println!("four machines at once are made in {:?}", begun.elapsed());
    let made = home.ground.everything();
    assert_eq!(made.iter().filter(|what| what.starts_with("network")).count(), 1, "{made:?}");
    assert_eq!(made.len(), 4 + 4 + 1, "{made:?}");
}
