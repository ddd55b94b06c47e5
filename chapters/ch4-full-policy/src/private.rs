//! Files for root alone: another user that could open the lock could hold it, and stop all ADDs.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Opens a file for writing, which if new is root's alone.
pub fn file() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}

/// Makes a directory, and what is missing above it. One that others may enter is an older
/// plugin's: its files are closed first, so that a closed directory says that they are.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(dir)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            match fs::set_permissions(entry.path(), Permissions::from_mode(0o600)) {
                // Freed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                closed => closed?,
            }
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700))
}
