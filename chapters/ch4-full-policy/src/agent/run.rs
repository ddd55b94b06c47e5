//! The daemon: loads the programs, watches, reconciles, serves.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::files::make_directory;
use super::objects::changed::Notify;
use super::objects::stores::{Snapshot, Stores};
use super::objects::{api_server, manifest_dir};
use super::reconcile::counters::Counters;
use super::reconcile::engine::Engine;
use super::reconcile::filter_watch;
use super::reconcile::message::Message;
use super::reconcile::view::View;
use super::serve::app_state::AppState;
use super::serve::ring_buffer::Monitor;
use super::serve::{listener, server};
use crate::{api, lock, private, tc};

/// What outlives the agent: beside the networks' leases, under a name that no network can have.
const DIRECTORY: &str = "/run/ebpfcni/.agent";
/// An identity rests this long before its number may be given again: longer than any
/// connection is remembered.
const REST: Duration = Duration::from_secs(3 * 3600);

/// As many answers that take their time are looked for at once.
const ANSWERERS: usize = 2;

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
///
/// Four threads: this one answers, and does nothing that takes long; one reads objects, which may
/// be large; one listens to netlink; and the engine has one, which may wait for the kernel and for
/// files.
pub fn run(options: Options) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(ANSWERERS).build();
    let runtime = runtime.context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(options));
    runtime.shutdown_background();
    ended
}

/// Two agents would write the same maps, each for its own next epoch. One that is ending has some
/// seconds for it.
fn lock() -> Result<File> {
    make_directory(Path::new(DIRECTORY))?;
    let path = Path::new(DIRECTORY).join("lock");
    let file = private::file().create(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    lock::exclusive(&file, &path).context("another ebpf-agent runs on this node")?;
    Ok(file)
}

async fn serve(options: Options) -> Result<()> {
    let _lock = lock()?;
    tc::programs()?; // the plugin needs them, and we need their maps
    let (engine, messages) = mpsc::channel();
    filter_watch::watch(engine.clone())?;
    let monitor = Monitor::default();
    let (view_sender, view) = watch::channel(View::default());
    let (ready_sender, ready) = watch::channel(false);
    let (snapshot_sender, snapshot) = watch::channel(Snapshot::default());
    let counters = Counters::default();
    let state = AppState {
        engine: engine.clone(),
        view,
        snapshot,
        manifests: options.manifests.clone(),
        monitor: monitor.clone(),
        ready,
        counters: counters.clone(),
    };
    let served = listener::serve(listener::listen(Path::new(api::SOCKET))?, server::router(state));

    let reconciled = async {
        let (stores, listed) = oneshot::channel();
        // The engine is gone only when the agent ends.
        let notify: Notify = Arc::new(move |changed| drop(engine.send(Message::Objects(changed))));
        let watched = thread("objects", move || {
            watch_objects(options.manifests, snapshot_sender, notify, stores)
        })?;
        let stores = listed.await;
        let Ok(stores) = stores else { return watched.await };
        stores.wait_until_ready().await?;
        let reconciled = thread("engine", move || {
            let directory = Path::new(DIRECTORY);
            let engine = Engine::new(options.node, stores, directory, REST, view_sender, counters)?;
            engine.run(&messages, || {
                ready_sender.send_replace(true);
                // From now on ADD works. Perhaps nobody reads it.
                let _ = writeln!(std::io::stdout(), "READY");
            });
            Ok(())
        })?;
        tokio::select! { ended = watched => ended, ended = reconciled => ended }
    };
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = served => {}
        reconciled = reconciled => reconciled?,
        () = monitor.run() => {}
        _ = terminate.recv() => tracing::info!("SIGTERM: programs and maps stay as they are"),
        _ = tokio::signal::ctrl_c() => tracing::info!("Ctrl-C: programs and maps stay as they are"),
    }
    Ok(())
}

/// Reads objects for ever, from manifests or from the API server.
fn watch_objects(
    manifests: Option<PathBuf>,
    snapshot: watch::Sender<Snapshot>,
    notify: Notify,
    listed: oneshot::Sender<Stores>,
) -> Result<()> {
    if let Some(directory) = &manifests {
        return manifest_dir::follow(directory, notify, snapshot, listed);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _ = listed.send(api_server::watch(notify).await?); // nobody waits if the agent is ending
        std::future::pending().await
    })
}

/// Starts a thread; the future is ready when it has ended, which it should not.
fn thread(
    name: &str,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<impl Future<Output = Result<()>>> {
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.into());
    thread.spawn(move || drop(done.send(work()))).context("cannot start a thread")?;
    let name = name.to_string();
    Ok(async move { ended.await.with_context(|| format!("the thread {name} has panicked"))? })
}
