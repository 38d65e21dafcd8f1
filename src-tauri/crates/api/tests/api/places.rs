//! What each place has of a service, as the wizard and the terminal read it.

use clusterdeck_api::wire::Service;
use clusterdeck_domain::{Capacity, Failover, ProviderId, ServiceKind};
use clusterdeck_engine::{PlaceReport, ServiceReport};

fn place(provider: &str, versions: &[&str], fetched: &[&str]) -> PlaceReport {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let capacity =
        Capacity { versions: owned(versions), fetched_first: owned(fetched), ..Capacity::default() };
    let (provider, name) = (ProviderId(provider.to_owned()), provider.to_owned());
    PlaceReport { provider, name, region: None, capacity, problem: None }
}

#[test]
fn each_place_tells_its_own_versions_and_what_their_makers_offer() {
    let places = vec![place("local", &["10.11.19"], &[]), place("container", &["9.7", "8.4.2"], &["9.7"])];
    let told = Service::from(ServiceReport { service: ServiceKind::Mysql, has_driver: true, places });
    assert_eq!((told.available, told.installed_versions.as_slice()), (true, &["10.11.19".to_owned()][..]));
    let offered = |place: usize| -> Vec<(&str, &str, bool)> {
        told.places[place].versions.iter().map(|v| (v.version.as_str(), v.line, v.installed)).collect()
    };
    assert_eq!(offered(0), [("10.11.19", "MariaDB", true)]);
    assert_eq!(offered(1), [("9.7", "MySQL", false), ("8.4.2", "MySQL", true)]);
    let failover = |name| told.lines.iter().find(|l| l.name == name).map(|l| l.topologies[0].failover);
    assert_eq!(failover("MariaDB"), Some(Failover::ByHand));
    assert_eq!(failover("MySQL"), Some(Failover::ByVote));
}

#[test]
fn what_would_only_be_fetched_is_not_called_installed() {
    let nothing = PlaceReport { problem: Some("it hangs".to_owned()), ..place("local", &[], &[]) };
    let places = vec![nothing, place("container", &["8.0", "7.2"], &["8.0", "7.2"])];
    let told = Service::from(ServiceReport { service: ServiceKind::Redis, has_driver: true, places });
    assert!(told.available && told.installed_versions.is_empty());
    assert!(!told.places[0].ready && told.places[0].problem.is_some());
}
