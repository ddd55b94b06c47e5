//! Where the agent listens, and for how many at a time.

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;

use crate::agent::files::make_directory;

/// As many connections are open at a time; the next one ends the oldest. So neither who says
/// nothing nor who reads nothing keeps others from being answered.
const CONNECTIONS: usize = 256;

/// Listens. An agent that was listening here before is gone, or this one would not have been started.
pub fn listen(socket: &Path) -> Result<UnixListener> {
    let unusable = || format!("cannot listen on {}", socket.display());
    if let Some(directory) = socket.parent() {
        make_directory(directory)?;
    }
    // By rename: a plugin finds the old socket, which refuses it, or one that answers.
    let new = socket.with_extension("new");
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new).with_context(unusable)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&new, socket))
        .with_context(unusable)?;
    Ok(listener)
}

/// Answers for ever.
pub async fn serve(listener: UnixListener, router: Router) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        open.retain(|connection| !connection.is_finished());
        if open.len() == CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        // A client that hangs up is no error of ours.
        open.push_back(tokio::spawn(async { drop(connection.await) }).abort_handle());
    }
}
