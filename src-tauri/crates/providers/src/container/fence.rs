//! Who comes to the nodes' own ports through the network of containers: held to a cluster's list by nftables, in a table of the
//! cluster's own. Packets of this computer itself go another way and are not asked. The rules look at each packet and at no
//! memory of connections, so what somebody has open who is taken off the list ends with the next one.
//!
//! Rules of others are neither read nor changed.

use clusterdeck_domain::{Cidr, ClusterId};
use clusterdeck_driver::{DriverError, Fence, Result};
use std::{net::IpAddr, path::Path, process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

const PROGRAM: &str = "nft";
/// Folders that a user's `PATH` may lack.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"];
/// The kernel takes a table within milliseconds.
const WITHIN: Duration = Duration::from_secs(10);

/// Why this computer cannot hold it, in words that end a sentence; `None` where it can.
pub(super) async fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("nftables is there on Linux only".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("changing nftables takes root, and Clusterdeck runs as another user".to_owned());
    }
    if program().is_none() {
        let install = crate::local::install_command(PROGRAM);
        let how = install.map_or_else(String::new, |command| format!(" (`{command}` installs it)"));
        return Some(format!("the program `{PROGRAM}` is not installed{how}"));
    }
    // Root in a container may lack the right, and a kernel a family: only asked, nothing is changed.
    let probe = ["inet", "bridge"].map(|family| format!("table {family} clusterdeck_probe {{ }}\n")).concat();
    let refused = nft(&["--check", "-f", "-"], &probe).await.err()?;
    Some(format!("nftables does not take rules here ({refused})"))
}

fn program() -> Option<String> {
    let named = FOLDERS.iter().map(|folder| format!("{folder}/{PROGRAM}"));
    named.into_iter().find(|path| Path::new(path).exists())
}

/// Puts a fence up in place of the one before, in one transaction.
pub(super) async fn put_up(fence: &Fence) -> Result<()> {
    run(&text(fence)).await
}

/// Takes the fence of a cluster down; nothing happens where there is none.
pub(super) async fn take_down(cluster: &ClusterId) -> Result<()> {
    run(&without(&table(cluster))).await
}

fn table(cluster: &ClusterId) -> String {
    // The letters of an id are those that a name may have.
    format!("clusterdeck_{cluster}")
}

/// A table has to be there to be deleted.
fn without(table: &str) -> String {
    ["inet", "bridge"]
        .map(|family| format!("table {family} {table}\ndelete table {family} {table}\n"))
        .concat()
}

/// Through this computer from another network (`inet`), where the stranger is told, and within the network of the cluster
/// (`bridge`), where nobody can be told anything and packets are dropped.
fn text(fence: &Fence) -> String {
    let table = table(&fence.cluster);
    let nodes = fence.nodes.iter().filter(|address| address.is_ipv4());
    let insiders = nodes.clone().chain(&fence.insiders).filter(|address| address.is_ipv4());
    let (nodes, insiders) = (set(nodes), set(insiders));
    let ports = set(&fence.ports);
    let v4 = |cidr: &&Cidr| matches!(cidr.first(), IpAddr::V4(_));
    let list: Vec<&Cidr> = fence.list.iter().filter(v4).collect();
    // An empty set cannot be written down.
    let elements =
        if list.is_empty() { String::new() } else { format!("        elements = {}\n", set(list)) };
    let allowed = format!(
        "    set allowed {{\n        type ipv4_addr\n        flags interval\n        auto-merge\n{elements}    }}\n"
    );
    let strangers = format!("ip daddr {nodes} tcp dport {ports} ip saddr != {insiders} ip saddr != @allowed");
    let chain = |verdict: &str| {
        format!(
            "    chain forward {{\n        type filter hook forward priority -10; policy accept;\n        {strangers} {verdict}\n    }}\n"
        )
    };
    format!(
        "{}table inet {table} {{\n{allowed}{}}}\ntable bridge {table} {{\n{allowed}{}}}\n",
        without(&table),
        chain("reject with tcp reset"),
        chain("drop"),
    )
}

fn set<T: std::fmt::Display>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    format!("{{ {} }}", all.join(", "))
}

async fn run(script: &str) -> Result<()> {
    nft(&["-f", "-"], script).await.map_err(|what| {
        DriverError::rejected(
            format!(
                "nftables did not take the rules of the cluster's list: {what}; those before stay in force"
            ),
            "see that `nft list ruleset` works, then try again",
        )
    })
}

/// What it says first when it does not do it.
async fn nft(args: &[&str], script: &str) -> std::result::Result<(), String> {
    let path = program().ok_or_else(|| format!("`{PROGRAM}` is not installed any more"))?;
    let told = async {
        let mut child = Command::new(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let ended = timeout(WITHIN, told).await.map_err(|_| format!("no answer within {WITHIN:?}"))?;
    let ended = ended.map_err(|e| e.to_string())?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(said.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(list: &[&str]) -> Fence {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        Fence {
            cluster: ClusterId::new(1),
            network: clusterdeck_domain::Network("10.160.7.0/24@podman".to_owned()),
            nodes: vec![address("10.160.7.11"), address("10.160.7.12")],
            insiders: vec![address("10.160.7.10")],
            ports: vec![6379, 26379],
            list: list.iter().map(|text| Cidr::parse(text).unwrap()).collect(),
        }
    }

    #[test]
    fn the_list_the_nodes_and_the_endpoint_come_in_and_the_table_is_replaced_as_a_whole() {
        let text = text(&fence(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]));
        let table = format!("clusterdeck_{}", ClusterId::new(1));
        assert!(text.starts_with(&format!("table inet {table}\ndelete table inet {table}\n")), "{text}");
        assert_eq!(text.matches("elements = { 10.0.0.0/8, 192.0.2.7 }").count(), 2, "{text}");
        let rule = "ip daddr { 10.160.7.11, 10.160.7.12 } tcp dport { 6379, 26379 } \
                    ip saddr != { 10.160.7.11, 10.160.7.12, 10.160.7.10 } ip saddr != @allowed reject with tcp reset";
        assert!(text.contains(rule), "{text}");
    }

    #[test]
    fn a_list_of_other_addresses_alone_lets_no_ipv4_in() {
        let text = text(&fence(&["2001:db8::/32"]));
        assert!(!text.contains("elements") && text.contains("!= @allowed"), "{text}");
    }
}
