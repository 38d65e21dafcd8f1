//! Bringing data in: each check that failed refuses, what would be mixed or replaced wants the cluster's name, and room is judged here.

use crate::builder::*;
use clusterdeck_domain::{
    BehindIn, CaCertificates, Change, Check, CheckState, Following, MigrateIn, PlanId, SourceReport,
    SourceTls, SourceUrl, plan,
};

pub(crate) fn migrate() -> Change {
    let from = SourceUrl::parse("redis://anna:secret@db.example.com").unwrap();
    Change::Migrate(MigrateIn {
        cluster: "demo".to_owned(),
        from,
        password: None,
        ca: None,
        replace: false,
        follow: false,
    })
}
fn cut_over() -> Change {
    Change::CutOver { cluster: "demo".to_owned() }
}

/// A source that fits, and a cluster that is empty.
pub(crate) fn fits() -> SourceReport {
    let passed = |id: &str| Check::new(id, id, CheckState::Passed, "All is well.");
    SourceReport {
        checks: ["reachable", "credentials", "names"].map(passed).to_vec(),
        server: Some("Redis 7.0.15".to_owned()),
        bytes: Some(100 << 20),
        items: Some(1_000),
        target_is_empty: true,
        clashes: false,
        online: true,
        how: vec!["Each of its 1000 keys is copied.".to_owned()],
        makes: None,
    }
}

fn from(edit: impl FnOnce(&mut SourceReport)) -> Scene {
    let mut report = fits();
    edit(&mut report);
    three().set(|s| s.source = Some(report))
}

#[test]
fn a_source_that_fits_needs_no_name_and_no_check_is_left_out() {
    let preview = from(|_| {}).preview(&migrate());
    warned(&preview, &[]);
    assert_eq!(preview.confirm, None);
    let ids: Vec<&str> = preview.checks.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["reachable", "credentials", "names", "size"]);
    assert!(!format!("{preview:?}").contains("secret"), "{preview:?}");
    let only_read = |preview: &clusterdeck_domain::Preview| {
        preview.effects.iter().any(|e| e == "The source is only read.")
    };
    assert!(only_read(&preview));
    let makes = "At the source a slot is made.".to_owned();
    let making = from(|s| s.makes = Some(makes.clone())).preview(&migrate());
    assert!(!only_read(&making) && making.effects.contains(&makes), "{making:#?}");
}

/// An authority until some year.
fn authority(name: &str, until: i32) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_after = rcgen::date_time_ymd(until, 1, 31);
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn an_authority_that_is_given_is_told_and_makes_the_source_be_verified() {
    let Change::Migrate(plain) = migrate() else { panic!("it is a migration") };
    let both = authority("Old CA", 2001) + &authority("Demo CA", 2096);
    let ca = Some(CaCertificates::parse(&both).unwrap());
    let wish = MigrateIn { ca: ca.clone(), ..plain.clone() };
    let source = wish.source();
    assert_eq!((source.tls, &source.ca), (SourceTls::Verify, &ca), "whatever the address says");
    assert_eq!((plain.source().tls, plain.source().ca), (SourceTls::Off, None));
    let written = serde_json::to_string(&wish).unwrap();
    assert_eq!(serde_json::from_str::<MigrateIn>(&written).unwrap().ca, ca, "a change has it again");
    assert!(!serde_json::to_string(&plain).unwrap().contains("\"ca\""));

    let told = |change: &Change| from(|_| {}).preview(change).effects.join("\n");
    let with = told(&Change::Migrate(wish));
    let words =
        "certificate for db.example.com that was signed by CN=Demo CA (until 2096-01-31); nobody else";
    assert!(with.contains(words) && !with.contains("Old CA"), "{with}");
    assert!(!told(&migrate()).contains("signed by"));
}

#[test]
fn what_failed_refuses_by_its_own_name() {
    let failing = |id: &str| {
        let check = Check::new(id, id, CheckState::Failed, "It is not well.").hint("Mend it.");
        from(|s| s.checks.push(check)).preview(&migrate())
    };
    for id in ["reachable", "credentials", "rights", "version", "extensions"] {
        blocked(&failing(id), &[id]);
    }
    let preview = failing("credentials");
    assert_eq!(preview.checks.last().map(|c| c.state), Some(CheckState::Skipped), "room is not judged then");
    blocked(&three().preview(&migrate()), &["source-unknown"]);
    blocked(&from(|_| {}).busy().preview(&migrate()), &["busy"]);
    blocked(&from(|_| {}).dead(1).dead(2).dead(3).preview(&migrate()), &["primary-unknown"]);
}

#[test]
fn too_little_room_is_told_whether_in_memory_on_a_node_or_on_the_disk() {
    let node = plan(&PlanId::default()).unwrap();
    blocked(&from(|s| s.bytes = None).preview(&migrate()), &["size"]);
    let memory = from(|s| s.bytes = Some(node.memory_bytes)).preview(&migrate());
    blocked(&memory, &["size"]);
    assert!(memory.blockers[0].text.contains("in memory"), "{memory:#?}");
    let small = |s: &mut Scene| s.capacity.as_mut().unwrap().disk_free_bytes = Some(200 << 20);
    let disk = from(|_| {}).set(small).preview(&migrate());
    blocked(&disk, &["size"]);
    assert!(disk.blockers[0].text.contains("are free"), "three copies of 100 MiB do not fit: {disk:#?}");
    blocked(&from(|_| {}).set(|s| s.capacity = None).preview(&migrate()), &["size"]);
}

#[test]
fn what_would_be_mixed_or_replaced_wants_the_name_of_the_cluster() {
    let mixed = from(|s| s.target_is_empty = false).preview(&migrate());
    assert_eq!((mixed.confirm.as_deref(), mixed.destructive), (Some("demo"), false));
    let replaced = from(|s| (s.target_is_empty, s.clashes) = (false, true)).preview(&migrate());
    assert_eq!((replaced.confirm.as_deref(), replaced.destructive), (Some("demo"), true));
}

#[test]
fn cutting_over_waits_until_everything_was_copied_once_and_tells_how_far_it_is() {
    let counted = |behind, unit| {
        let following = Following { from: "db.example.com:6379".to_owned(), behind, unit };
        three().busy().set(|s| s.following = Some(following)).preview(&cut_over())
    };
    let at = |behind| counted(behind, BehindIn::Changes);
    blocked(&three().preview(&cut_over()), &["no-migration"]);
    blocked(&at(None), &["still-copying"]);
    warned(&at(Some(0)), &["writers-must-stop"]);
    assert!(at(Some(12)).effects[0].starts_with("12 changes"));
    assert!(counted(Some(3 << 20), BehindIn::LogBytes).effects[0].starts_with("3 MiB of the log"));
}
