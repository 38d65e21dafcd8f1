//! Networks that nobody uses, and room for what is asked.

use crate::support::Home;
use clusterdeck_domain::{ClusterId, Network, PlanId};
use clusterdeck_driver::{Needs, Programs, Progress, Provider};
use std::net::{Ipv4Addr, TcpListener};

fn first_address(network: &Network) -> Ipv4Addr {
    let mut numbers = network.0.strip_suffix("/24").unwrap().parse::<Ipv4Addr>().unwrap().octets();
    numbers[3] = 200;
    Ipv4Addr::from(numbers)
}

#[tokio::test]
async fn a_network_that_is_used_or_listened_in_or_left_behind_is_skipped() {
    let home = Home::new();
    let local = home.local();
    let cluster = ClusterId::new(1);
    let next = async |used: &[Network]| local.allocate_network(&cluster, "", used).await.unwrap();
    let first = next(&[]).await;
    assert_eq!(next(&[]).await, first, "asking takes nothing");
    let second = next(std::slice::from_ref(&first)).await;
    assert_ne!(second, first, "another cluster's is skipped");
    let stranger = TcpListener::bind((first_address(&second), 0)).unwrap();
    let third = next(std::slice::from_ref(&first)).await;
    assert!(third != first && third != second, "one with a listener is skipped: {third:?}");
    drop(stranger);
    let mut request = home.request(&local, 1).await;
    request.network = first.clone();
    local.ensure_machine(&request, &Progress::silent()).await.unwrap();
    assert_ne!(next(&[]).await, first, "one with a machine left in it is skipped, though nobody names it");
}

#[tokio::test]
async fn two_homes_on_one_computer_get_different_networks() {
    let (one, other) = (Home::new(), Home::new());
    let cluster = ClusterId::new(1);
    let a = one.local().allocate_network(&cluster, "", &[]).await.unwrap();
    let b = other.local().allocate_network(&cluster, "", &[]).await.unwrap();
    assert_ne!(a, b);
}

#[tokio::test]
async fn the_capacity_says_what_is_free_what_is_missing_and_which_ports_are_taken() {
    let home = Home::new();
    let local = home.local();
    let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let plan = clusterdeck_domain::plan(&PlanId::parse("SMALL-1C-1G").unwrap()).unwrap();
    let programs = [("redis-server", "the server"), ("keydb-server", "the other server")];
    let server = Programs { programs: programs.to_vec(), ..Programs::default() };
    let needs = Needs { plan: Some(&plan), server, ports: &[port], ..Needs::default() };
    let capacity = local.capacity(&needs).await.unwrap();
    assert_eq!(capacity.plan.as_ref(), Some(&plan));
    assert!(capacity.memory_free_bytes.unwrap() > 1 << 20 && capacity.disk_free_bytes.unwrap() > 1 << 20);
    assert_eq!(capacity.addresses_free, Some(true));
    assert_eq!(capacity.ports_taken, [format!("0.0.0.0:{port}")]);
    let missing: Vec<_> =
        capacity.missing.iter().map(|m| (m.program.as_str(), m.install.as_deref())).collect();
    assert_eq!(missing, [("keydb-server", None)], "nobody packages it");
    assert!(capacity.versions.first().unwrap().split('.').count() == 3, "{:?}", capacity.versions);
}

#[tokio::test]
async fn the_check_says_what_it_found_and_which_part_enforces_a_plan() {
    let home = Home::new();
    let check = home.local().check(&[("keydb-server", "the server")]).await.unwrap();
    assert!(check.usable, "{check:?}");
    let notes = check.notes.join("\n");
    for about in ["memory", "disk", "cgroup v2", "127.", "keydb-server"] {
        assert!(notes.contains(about), "nothing about {about}: {notes}");
    }
}
