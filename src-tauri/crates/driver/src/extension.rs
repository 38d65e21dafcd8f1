//! What is loaded into a server and versioned apart from it: its files lie beside one of the server's programs.

use crate::Software;
use serde::{Deserialize, Serialize};

/// An extension as a driver names it, so that a provider can find it without knowing whose it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name for people: `TimescaleDB`.
    pub name: &'static str,
    /// Its name for those who package it.
    pub package: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
    /// What it is loaded into, for people: `PostgreSQL`.
    pub carrier: &'static str,
    /// The program of the carrier that it lies beside, whose version is the carrier's.
    pub beside: &'static str,
    /// First and last major version of the carrier that it works with.
    pub majors: (u32, u32),
    /// Where it describes itself, seen from the folder of that program; `{major}` stands for the program's major version.
    /// The first that exists counts.
    pub files: &'static [&'static str],
    /// What its version is called there, in a line `name = 'version'`.
    pub version_key: &'static str,
    /// Where else it can be had, in sentences: told where it is not installed.
    pub elsewhere: &'static str,
}

/// An extension as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// What its description says (`2.19.3`).
    pub version: String,
    /// The program it lies beside.
    pub by: Software,
}

impl Extension {
    /// Where it may describe itself, beside a program of this version. Empty where it does not work with that one.
    pub fn files_beside(&self, version: &str) -> impl Iterator<Item = String> {
        let major = version.split('.').next().unwrap_or_default().to_owned();
        let works = major.parse().is_ok_and(|m: u32| (self.majors.0..=self.majors.1).contains(&m));
        self.files.iter().filter(move |_| works).map(move |file| file.replace("{major}", &major))
    }

    /// The version in its description, as far as it is numbers: `11.1-12` is 11.1.
    pub fn version_in(&self, description: &str) -> Option<String> {
        let value = |line: &str| {
            let rest = line.trim().strip_prefix(self.version_key)?.trim_start().strip_prefix('=')?;
            let number = |c: char| c.is_ascii_digit() || c == '.';
            let rest = rest.trim_start().trim_start_matches('\'');
            Some(rest.split(|c| !number(c)).next()?.trim_matches('.').to_owned())
        };
        description.lines().find_map(value).filter(|version| !version.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Extension = Extension {
        name: "Sample",
        package: "sample",
        purpose: "",
        carrier: "Server",
        beside: "serverctl",
        majors: (14, 17),
        files: &["../share/sample.control", "../../share/{major}/sample.control"],
        version_key: "default_version",
        elsewhere: "",
    };

    #[test]
    fn an_extension_is_looked_for_beside_majors_it_works_with_and_no_others() {
        let beside = |version| SAMPLE.files_beside(version).collect::<Vec<_>>();
        assert_eq!(beside("17.11"), ["../share/sample.control", "../../share/17/sample.control"]);
        assert_eq!(beside("18.6"), Vec::<String>::new());
        assert_eq!(beside(""), Vec::<String>::new(), "a version nobody knows");
    }

    #[test]
    fn its_version_is_read_as_its_makers_write_it() {
        let said =
            "# sample extension\ncomment = 'default_version = 1'\ndefault_version = '2.19.3' # newest\n";
        assert_eq!(SAMPLE.version_in(said).as_deref(), Some("2.19.3"));
        assert_eq!(SAMPLE.version_in("default_version='11.1-12'").as_deref(), Some("11.1"));
        assert_eq!(SAMPLE.version_in("default_version_of = '1'\ncomment = ''"), None);
    }
}
