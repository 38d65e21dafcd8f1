//! Secrets in a real keyring and in real vault files.

#[cfg(target_os = "linux")]
mod keyring;
mod vault;
