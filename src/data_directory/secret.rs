//! The admin secret: configured, or generated once and kept.

use super::{DataDirectory, DataDirectoryError, files};
use http_api::Secret;
use std::path::Path;

/// The admin secret in force.
#[derive(Debug)]
pub struct AdminSecret {
    /// The secret.
    pub secret: Secret,
    /// Whether this start made it: then it is printed, once.
    pub generated_now: bool,
}

/// The configured secret, else the directory's own, else a fresh one that is stored there first.
///
/// # Errors
/// When the file cannot be read or written, or holds something else.
pub fn admin_secret(directory: &DataDirectory, configured: Option<&Secret>) -> Result<AdminSecret, DataDirectoryError> {
    if let Some(secret) = configured {
        return Ok(AdminSecret { secret: secret.clone(), generated_now: false });
    }
    if let Some(secret) = stored_admin_secret(directory.path())? {
        return Ok(AdminSecret { secret, generated_now: false });
    }
    let secret = Secret::new(random_secret());
    files::write_private(&directory.path().join("admin-secret"), format!("{}\n", secret.reveal()).as_bytes())?;
    Ok(AdminSecret { secret, generated_now: true })
}

/// The secret an earlier start generated in this directory.
///
/// # Errors
/// When the file is there and cannot be read, or is too short to be one.
pub fn stored_admin_secret(directory: &Path) -> Result<Option<Secret>, DataDirectoryError> {
    let path = directory.join("admin-secret");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(DataDirectoryError::unusable(&path)(fault)),
    };
    let secret = text.trim();
    if secret.len() < crate::configuration::ADMIN_SECRET_LEAST_CHARS {
        let reason = "is no admin secret of at least 32 characters; remove it and a new one is generated".into();
        return Err(DataDirectoryError::Damaged { path, reason });
    }
    Ok(Some(Secret::new(secret)))
}

/// 64 hexadecimal digits of the system's randomness: two version 4 UUIDs carry 244 random bits.
fn random_secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_generated_once_kept_private_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let opened = DataDirectory::open(directory.path()).unwrap();
        let first = admin_secret(&opened, None).unwrap();
        assert!(first.generated_now && first.secret.reveal().len() >= 32);
        let mode = std::fs::metadata(directory.path().join("admin-secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = admin_secret(&opened, None).unwrap();
        assert!(!second.generated_now);
        assert_eq!(second.secret.reveal(), first.secret.reveal());
    }

    #[test]
    fn a_configured_secret_wins_and_is_not_written_to_disk() {
        let directory = tempfile::tempdir().unwrap();
        let opened = DataDirectory::open(directory.path()).unwrap();
        let configured = Secret::new("c".repeat(40));
        assert!(admin_secret(&opened, Some(&configured)).unwrap().secret.matches(&"c".repeat(40)));
        assert!(!directory.path().join("admin-secret").exists());
    }
}
