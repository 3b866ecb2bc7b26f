//! Owns what an operator is told when SQLite cannot do it.
//!
//! Invariant: `Unavailable` means nothing was changed and it may be tried again; `Corrupt` means that trying again is in vain.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let Error::SqliteFailure(failure, _) = &error else {
            return Self::Corrupt(format!(
                "it holds a value that this version cannot read ({error}): restore a backup"
            ));
        };
        match failure.code {
            ErrorCode::DiskFull => Self::Unavailable(
                "the disk is full; free space on it (nothing is sent until then, nothing is lost)".to_owned(),
            ),
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
                Self::Unavailable(
                    "file or folder is read-only for this user; give write permission on the folder that holds it"
                        .to_owned(),
                )
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Self::Unavailable("another program holds it locked for too long; try again".to_owned())
            }
            ErrorCode::CannotOpen => Self::Unavailable(
                "the file cannot be opened; check that its folder exists and may be written".to_owned(),
            ),
            ErrorCode::SystemIoFailure => {
                Self::Unavailable(format!("input or output error ({error}); check the disk and the system log"))
            }
            ErrorCode::OutOfMemory => Self::Unavailable("out of memory".to_owned()),
            ErrorCode::NotADatabase => Self::Corrupt("the file is not a Hikagen store".to_owned()),
            ErrorCode::DatabaseCorrupt => {
                Self::Corrupt(format!("the file is damaged ({error}); stop the worker and restore a backup"))
            }
            _ => Self::Corrupt(format!("unexpected answer of SQLite: {error}")),
        }
    }
}
