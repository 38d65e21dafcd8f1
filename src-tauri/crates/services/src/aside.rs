//! A server's old data while it copies everything again: out of the way once, and given up only when it is known that
//! nobody lacks what is in it.

use clusterdeck_driver::{DriverError, Machine, Result};

/// Where data goes. Paths on the machine.
pub(crate) struct Aside {
    /// Where the server has it.
    pub(crate) data: &'static str,
    /// Where it waits until the copy is there.
    pub(crate) waiting: &'static str,
    /// Where data stays until the next copy that may hold what nobody else has, the newest first.
    pub(crate) kept: &'static [&'static str],
}

/// Whether a node that copies everything again held writes that its primary lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// All it held, its primary has.
    Nothing,
    /// It wrote by itself.
    Writes,
    /// It did not say.
    Unknown,
}

impl Held {
    /// From what was seen, where anything was.
    pub(crate) fn of(diverged: Option<bool>) -> Self {
        match diverged {
            Some(true) => Self::Writes,
            Some(false) => Self::Nothing,
            None => Self::Unknown,
        }
    }
}

impl Aside {
    /// Puts the data of a stopped server away, once: a call after one that was cut off finds it put away, and what lies in
    /// its place by now is a part of the copy. Says whether that is so.
    pub(crate) async fn put_away(&self, machine: &dyn Machine, held: Held, primary: &str) -> Result<bool> {
        if machine.exists(self.waiting).await? {
            return Ok(true);
        }
        let there = machine.exists(self.data).await?;
        if there && held == Held::Nothing {
            for old in self.kept {
                machine.remove(old).await?;
            }
            machine.rename(self.data, self.waiting).await?;
            return Ok(false);
        }
        if there {
            self.keep(machine).await?;
        }
        // From here on nothing that lies in the place of the data is taken for it.
        machine.create_dir(self.waiting).await?;
        if there {
            let why = match held {
                Held::Writes => format!("It held writes that {primary} lacks."),
                _ => format!("It did not say whether it held writes that {primary} lacks."),
            };
            machine.write(&self.why(), why.as_bytes(), 0o600).await?;
        }
        Ok(false)
    }

    /// Moves the data to where it stays; what stayed there moves on, and the oldest goes.
    pub(crate) async fn keep(&self, machine: &dyn Machine) -> Result<()> {
        for pair in self.kept.windows(2).rev() {
            if machine.exists(pair[0]).await? {
                machine.remove(pair[1]).await?;
                machine.rename(pair[0], pair[1]).await?;
            }
        }
        machine.remove(self.kept[0]).await?;
        machine.rename(self.data, self.kept[0]).await
    }

    /// The copy is there: what waited goes. Says, in words, what stays and where.
    pub(crate) async fn done(&self, machine: &dyn Machine) -> Result<Option<String>> {
        let why = match machine.read(&self.why()).await {
            Ok(why) => String::from_utf8_lossy(&why).into_owned(),
            Err(DriverError::Gone { .. }) => "It may have held writes that nobody else has.".to_owned(),
            Err(e) => return Err(e),
        };
        let kept = machine.exists(self.kept[0]).await?.then(|| {
            let at = machine.path(self.kept[0]);
            format!("{why} Its old data is kept in {} until the next resync.", at.display())
        });
        machine.remove(self.waiting).await?;
        Ok(kept)
    }

    fn why(&self) -> String {
        format!("{}/why", self.waiting)
    }
}
