//! The daemon: loads the programs, watches, reconciles, serves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::engine::Engine;
use super::metrics::Metrics;
use super::server::{self, Api};
use super::view::View;
use super::{api_server, events, manifests};
use crate::{api, tc};

/// What outlives the agent: beside the networks' leases, under a name that no network can have.
const DIRECTORY: &str = "/run/ebpfcni/.agent";
/// An identity rests this long before its number may be given again: longer than any
/// connection is remembered.
const GRACE: Duration = Duration::from_secs(2 * 3600);

/// How to run.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Read objects from the manifests in this directory, not from the API server
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// The name of this node
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node: String,
}

/// Runs until SIGTERM or Ctrl-C. Programs and maps stay: the last known policies hold.
pub fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(serve(options))
}

async fn serve(options: Options) -> Result<()> {
    tc::programs()?; // the plugin needs them, and we need their maps
    let (engine, changes) = mpsc::channel(1024);
    let stores = match &options.manifests {
        Some(directory) => manifests::watch(directory, engine.clone())?,
        None => api_server::watch(engine.clone()).await?,
    };
    let monitor = events::Monitor::default();
    let (view_sender, view) = watch::channel(Arc::new(View::default()));
    let (ready_sender, ready) = watch::channel(false);
    let metrics = Metrics::default();
    let (monitor_of_api, read) = (monitor.clone(), stores.read.clone());
    let api = Api { engine, view, read, monitor: monitor_of_api, ready, metrics: metrics.clone() };
    let listener = server::listen(Path::new(api::SOCKET))?;
    let served = axum::serve(listener, server::router(api)).into_future();

    let reconciled = async {
        stores.wait_until_ready().await?;
        let directory = Path::new(DIRECTORY);
        let engine = Engine::new(options.node, stores, directory, GRACE, view_sender, metrics)?;
        let (first, done) = oneshot::channel();
        tokio::spawn(async move {
            if done.await.is_ok() {
                ready_sender.send_replace(true);
                // For whoever waits: from now on ADD works. There may be nobody.
                let _ = writeln!(std::io::stdout(), "READY");
            }
        });
        engine.run(changes, first).await;
        Ok::<_, anyhow::Error>(())
    };
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        served = served => served.context("cannot serve")?,
        reconciled = reconciled => reconciled?,
        read = monitor.read() => read.context("cannot read events")?,
        _ = terminate.recv() => tracing::info!("SIGTERM: programs and maps stay as they are"),
        _ = tokio::signal::ctrl_c() => tracing::info!("Ctrl-C: programs and maps stay as they are"),
    }
    Ok(())
}
