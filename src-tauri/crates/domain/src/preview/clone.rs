//! Clone: a new cluster with what another one holds now. That one goes on meanwhile, and gives the copy as it gives a backup.

use super::rules::{self, fresh, leaders_well};
use super::{Facts, Preview, Subject, backup as of_backup, create};
use crate::{BackedUp, CloneCluster, ClusterSpec, CreateCluster, RestoreBackup};

/// How long the copy that it is made of stays as a backup.
pub const CLONE_KEPT_HOURS: i64 = 24;

/// The cluster that a clone makes, with what was left out as it is. `found` are the versions there are.
pub fn cloned_cluster(
    wish: &CloneCluster,
    spec: &ClusterSpec,
    clusters: &[ClusterSpec],
    found: &[String],
) -> CreateCluster {
    let as_restored = RestoreBackup {
        backup: String::new(),
        at: None,
        name: wish.name.clone(),
        nodes: wish.nodes,
        topology: wish.topology,
        provider: wish.provider.clone(),
        region: wish.region.clone(),
        plan: wish.plan.clone(),
    };
    of_backup::created_from(&as_restored, &BackedUp::from(spec), "-clone", clusters, found)
}

pub(super) fn preview(wish: &CloneCluster, subject: &Subject<'_>, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let found = facts.capacity.map_or(&[][..], |c| &c.versions);
    let create = cloned_cluster(wish, spec, facts.clusters, found);
    let mut preview = create::preview(&create, facts);
    preview.title = format!("Clone {} as {}", spec.name, create.name.trim());
    preview.block(rules::free(subject));
    preview.block(of_backup::under_way(subject));
    preview.block(of_backup::shape_differs(spec.topology, create.topology));
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !leaders_well(spec, seen, &mut preview) {
        return preview;
    }
    of_backup::copy(spec, seen, facts, &mut preview);
    preview.block(of_backup::room(seen.nodes.iter().filter_map(|n| n.data_bytes).max(), facts));
    preview.effect(format!(
        "{} gets what {} holds at that moment, counted on both sides; passwords are new ones. {} goes on as it is.",
        create.name.trim(),
        spec.name,
        spec.name
    ));
    preview.effect(format!("The copy stays for {CLONE_KEPT_HOURS} h as a backup of {}.", spec.name));
    preview
}
