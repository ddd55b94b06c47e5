//! The agent's API, for the plugin and for people: see [`crate::api`].

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged;

use super::engine::Event;
use super::events;
use super::explain::{self, Explanation, Party};
use super::live::{self, Live};
use super::metrics::{self, Metrics};
use super::stores::Read;
use super::view::View;
use crate::api::{NewEndpoint, Problem};

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct Api {
    /// To the engine.
    pub engine: mpsc::Sender<Event>,
    /// From the engine.
    pub view: watch::Receiver<Arc<View>>,
    /// From the source, if that is a directory of manifests.
    pub read: watch::Receiver<Read>,
    /// From the kernel.
    pub monitor: events::Monitor,
    /// Set when the maps are true.
    pub ready: watch::Receiver<bool>,
    /// What is counted.
    pub metrics: Metrics,
}

/// The answer to [`explain`](mod@super::explain)'s question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explained {
    /// Who asks.
    pub source: Party,
    /// Who is asked.
    pub destination: Party,
    /// What the policies say.
    pub explanation: Explanation,
    /// What the maps say.
    pub live: Live,
}

/// Listens; whoever was listening here before is gone, or this one would not have been started.
pub fn listen(socket: &Path) -> Result<UnixListener> {
    let unusable = || format!("cannot listen on {}", socket.display());
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory).with_context(unusable)?;
    }
    // By rename: a plugin finds the old socket, which refuses it, or one that answers.
    let new = socket.with_extension("new");
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new).with_context(unusable)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&new, socket))
        .with_context(unusable)?;
    Ok(listener)
}

/// All routes.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/healthz", get(healthz))
        .route(
            "/v1/endpoint",
            get(|State(api): State<Api>| async move { Json(api.view().endpoints.clone()) }),
        )
        .route("/v1/endpoint/{link}", get(endpoint).put(put).delete(delete))
        .route(
            "/v1/identity",
            get(|State(api): State<Api>| async move { Json(api.view().identities.clone()) }),
        )
        .route("/v1/manifests", get(manifests))
        .route("/v1/explain", get(explain))
        .route("/v1/monitor", get(monitor))
        .route("/metrics", get(metrics))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing of that name") })
        .with_state(api)
}

impl Api {
    fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }
}

fn problem(status: StatusCode, error: impl ToString) -> Response {
    (status, Json(Problem { error: error.to_string() })).into_response()
}

async fn healthz(State(api): State<Api>) -> Response {
    if !*api.ready.borrow() {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "not all pods, namespaces and policies are known yet",
        );
    }
    Json(json!({ "problems": api.view().problems })).into_response()
}

/// Which content of which manifest has been read, and whether the maps follow all of it.
async fn manifests(State(api): State<Api>) -> Response {
    let read = api.read.borrow();
    let in_force = read.revision == api.view().revision;
    Json(json!({ "files": read.files, "in_force": in_force })).into_response()
}

async fn endpoint(State(api): State<Api>, UrlPath(link): UrlPath<String>) -> Response {
    match api.view().endpoints.iter().find(|it| it.link == link) {
        Some(endpoint) => Json(endpoint).into_response(),
        None => problem(StatusCode::NOT_FOUND, format!("there is no endpoint {link}")),
    }
}

async fn put(
    State(api): State<Api>,
    UrlPath(link): UrlPath<String>,
    Json(new): Json<NewEndpoint>,
) -> Response {
    let (answer, answered) = oneshot::channel();
    ask(&api, Event::Put(link, new, answer), answered).await
}

async fn delete(State(api): State<Api>, UrlPath(link): UrlPath<String>) -> Response {
    let (answer, answered) = oneshot::channel();
    ask(&api, Event::Delete(link, answer), answered).await
}

/// Asks the engine, which answers when the maps are written.
async fn ask<T: Serialize>(
    api: &Api,
    event: Event,
    answered: oneshot::Receiver<Result<T>>,
) -> Response {
    let sent = api.engine.send(event).await;
    match answered.await {
        Ok(Ok(value)) if sent.is_ok() => Json(value).into_response(),
        Ok(Err(error)) => problem(StatusCode::CONFLICT, format!("{error:#}")),
        _ => problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending"),
    }
}

/// Whom a question is about.
#[derive(Debug, Deserialize)]
struct Pair {
    from: String,
    to: String,
}

/// What policies and maps say of a connection.
async fn explain(State(api): State<Api>, Query(pair): Query<Pair>) -> Response {
    let view = api.view();
    let explained = view.find(&pair.from).and_then(|source| {
        let destination = view.find(&pair.to)?;
        let explanation = explain::explain(&view.policies, &source.0, &destination.0);
        let live = live::look_up(&source, &destination)?;
        Ok(Explained { source: source.0, destination: destination.0, explanation, live })
    });
    match explained {
        Ok(explained) => Json(explained).into_response(),
        Err(error) => problem(StatusCode::NOT_FOUND, format!("{error:#}")),
    }
}

async fn metrics(State(api): State<Api>) -> Response {
    let text = api.metrics.encode(&api.view());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// A line of JSON for each event, until the caller hangs up.
async fn monitor(State(api): State<Api>) -> Response {
    let events = BroadcastStream::new(api.monitor.subscribe().await);
    let lines = events.map(move |event| {
        let line = match event {
            Ok(event) => serde_json::to_value(api.view().tell(event)).unwrap_or_default(),
            Err(Lagged(count)) => json!({ "lost": count }),
        };
        Ok::<_, Infallible>(format!("{line}\n"))
    });
    Body::from_stream(lines).into_response()
}
