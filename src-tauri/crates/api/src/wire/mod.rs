//! The shapes of the API: what is read from it, converted from the engine's reports. Shapes that the domain already
//! defines (`Operation`, `Preview`, `Change`, `Plan`…) are used as they are. Members are added, never renamed.

mod backup;
mod catalog;
mod cluster;
mod document;
mod node;
mod work;

pub use backup::{BackupKey, ImportedKey, NewVault, VaultSecret, VaultTrial};
pub use catalog::{Offered, Place, Provider, Region, Service};
pub use cluster::{Access, AccessTrial, Busy, Cluster, Credentials, Endpoint, Scheduled};
pub use document::{Info, List, MetricSample, MetricsAnswer, NodeSample, Session, SignIn};
pub use node::Node;
pub use work::{Confirmation, JournalLine, PreviewAnswer};
