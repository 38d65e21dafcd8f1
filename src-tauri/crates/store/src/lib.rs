//! What is remembered, in SQLite: `state.db` is the truth, `cache.db` may be deleted at any time.
//!
//! Only this room knows SQL. One file a table (`table/`, `cache/`): its migration, its row and its queries together.
//! What must not enter: decisions. The rules kept here are those that two writers could break between them: a cluster's
//! generation, unique names, unique idempotency keys, and that an operation and its journal never disagree.
//!
//! **Owner.** Each file has one thread that owns its connection; calls go to it through a bounded queue, so nothing is
//! locked across an await and no runtime thread waits for a disk.
//!
//! **What a crash can cost.** Both files are in WAL mode. `state.db` runs with `synchronous = NORMAL`: what a call
//! acknowledged survives the death of this process at any instant (`kill -9`), because it is in the kernel's hands then.
//! A power cut may take the last transactions (those since the last checkpoint), never the file's consistency. `FULL`
//! would buy these back with an fsync for every journal line, of which a running operation writes many; they are not
//! worth it, because every step *looks, then acts*: a step whose line was lost is looked at again and found done.
//! `cache.db` runs with `OFF`: after a power cut it may be damaged, and is then made anew.
//!
//! **Damage.** `state.db` is checked at every start and its rows carry a checksum. It is never repaired, emptied or made
//! anew behind anybody's back: it is refused, with the way back (see [`State::open`]). A damaged `cache.db` is moved
//! aside. What can not be seen: a write-ahead log whose *end* is missing looks like one that was never longer.

mod cache;
mod fault;
mod file;
mod keep;
mod migrate;
mod owner;
mod state;
mod table;

pub use cache::{Cache, KeptCopy, Limits};
pub use state::State;
