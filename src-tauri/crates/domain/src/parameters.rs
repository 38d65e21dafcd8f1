//! Settings of a cluster's servers: what each takes, and whether a text is one of those.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What somebody has set, by name; what is not in it has its default.
pub type Parameters = BTreeMap<String, String>;

/// What a setting takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ParameterKind {
    /// `on` or `off`.
    Switch,
    /// A number, in the parameter's unit unless the text names another of its kind (`64MB`, `5min`).
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
        /// Only whole numbers.
        whole: bool,
    },
    /// One of these.
    Choice {
        /// All there are.
        values: Vec<String>,
    },
    /// Anything the server understands.
    Text,
}

/// A setting of the servers of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Parameter {
    /// Its name, as the server knows it.
    pub name: String,
    /// What it has to do with, for people.
    pub group: String,
    /// What it does, in the server's words.
    pub about: String,
    /// The value in force on the primary, with its unit.
    pub value: String,
    /// What somebody has set; `null` while it has its default.
    pub chosen: Option<String>,
    /// Its unit, when it has one (`kB`, `8kB`, `ms`).
    pub unit: Option<String>,
    /// What it takes.
    #[serde(flatten)]
    pub takes: ParameterKind,
    /// It takes effect when the server is restarted.
    pub restart: bool,
    /// Why it cannot be set here; `null` when it can.
    pub fixed: Option<String>,
}

/// Units by their size in the smallest of their kind: bytes, microseconds.
const MEMORY: [(&str, f64); 5] =
    [("B", 1.0), ("kB", 1024.0), ("MB", 1_048_576.0), ("GB", 1_073_741_824.0), ("TB", 1_099_511_627_776.0)];
const TIME: [(&str, f64); 6] =
    [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 6e7), ("h", 3.6e9), ("d", 8.64e10)];

/// How large a unit is, and in which scale: `8kB` is 8192 of memory.
fn size(unit: &str) -> Option<(f64, bool)> {
    let digits = unit.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    let times = unit[..digits].parse::<f64>().unwrap_or(1.0);
    let named =
        |scale: &[(&str, f64)]| scale.iter().find(|(name, _)| *name == &unit[digits..]).map(|(_, n)| *n);
    named(&MEMORY).map(|n| (n * times, true)).or_else(|| named(&TIME).map(|n| (n * times, false)))
}

impl Parameter {
    /// A text as a number of the parameter's unit.
    fn number(&self, text: &str) -> Option<f64> {
        let text = text.trim();
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-')).unwrap_or(text.len());
        let number: f64 = text[..end].parse().ok()?;
        let named = text[end..].trim();
        if named.is_empty() {
            return Some(number);
        }
        let ((of, memory), (own, own_memory)) = (size(named)?, size(self.unit.as_deref()?)?);
        (memory == own_memory).then(|| number * of / own)
    }

    /// What is wrong with a text for it, in a sentence.
    ///
    /// # Errors
    /// The sentence.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let name = &self.name;
        if let Some(why) = &self.fixed {
            return Err(format!("{name} cannot be set here: {why}."));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{name} takes one line of text."));
        }
        match &self.takes {
            ParameterKind::Text => Ok(()),
            ParameterKind::Switch if matches!(text, "on" | "off") => Ok(()),
            ParameterKind::Switch => Err(format!("{name} is `on` or `off`, not `{text}`.")),
            ParameterKind::Choice { values } if values.iter().any(|v| v == text) => Ok(()),
            ParameterKind::Choice { values } => {
                Err(format!("{name} is one of {}, not `{text}`.", values.join(", ")))
            }
            ParameterKind::Number { min, max, whole } => {
                let unit = self.unit.as_deref().unwrap_or_default();
                let range = format!("{name} takes {min} to {max} {unit}").trim_end().to_owned();
                match self.number(text) {
                    Some(n) if n < *min || n > *max => Err(format!("{range}, not {text}.")),
                    Some(n) if *whole && n.fract() != 0.0 && self.unit.is_none() => {
                        Err(format!("{name} takes a whole number, not {text}."))
                    }
                    Some(_) => Ok(()),
                    None => Err(format!("{range}; `{text}` is not such a number.")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(unit: Option<&str>, min: f64, max: f64) -> Parameter {
        Parameter {
            name: "p".to_owned(),
            group: String::new(),
            about: String::new(),
            value: String::new(),
            chosen: None,
            unit: unit.map(str::to_owned),
            takes: ParameterKind::Number { min, max, whole: true },
            restart: false,
            fixed: None,
        }
    }

    #[test]
    fn numbers_are_read_with_any_unit_of_their_kind() {
        let buffers = number(Some("8kB"), 16.0, 1_073_741_823.0);
        for good in ["16", "128kB", "1GB", " 64 MB "] {
            assert_eq!(buffers.check(good), Ok(()), "{good}");
        }
        for bad in ["15", "64kB", "1s", "much", "", "64 mb", "-1"] {
            assert!(buffers.check(bad).is_err(), "{bad}");
        }
        let wait = number(Some("ms"), 0.0, 60_000.0);
        assert_eq!(wait.check("1min"), Ok(()));
        assert!(wait.check("2min").unwrap_err().contains("0 to 60000 ms"));
        assert!(number(None, 1.0, 10.0).check("1.5").unwrap_err().contains("whole"));
    }

    #[test]
    fn choices_switches_and_what_is_fixed_are_told_in_words() {
        let mut p = Parameter { takes: ParameterKind::Switch, ..number(None, 0.0, 0.0) };
        assert_eq!(p.check("on"), Ok(()));
        assert!(p.check("yes").unwrap_err().contains("`on` or `off`"));
        p.takes = ParameterKind::Choice { values: vec!["a".to_owned(), "b".to_owned()] };
        assert!(p.check("c").unwrap_err().contains("one of a, b"));
        p.takes = ParameterKind::Text;
        assert!(p.check("one\ntwo").is_err(), "a line break would begin another setting");
        p.fixed = Some("the nodes need it".to_owned());
        assert!(p.check("x").unwrap_err().contains("the nodes need it"));
    }
}
