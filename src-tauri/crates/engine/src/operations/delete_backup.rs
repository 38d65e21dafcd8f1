//! Take a backup away: out of its vault first, so that what is forgotten is gone.

use crate::{
    backups,
    step::{Step, step},
};
use clusterdeck_domain::BackupId;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) backup: BackupId,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let id = plan.backup.clone();
    vec![step("remove", "Take it out of the vault", move |cx| {
        let id = id.clone();
        async move {
            match backups::find(&cx.shared, id.as_str()) {
                Ok(backup) => backups::take_away(&cx.shared, &backup).await,
                Err(_) => Ok(()),
            }
        }
    })]
}
