//! The agent's API, for the plugin and for people: see [`crate::api`].

use std::sync::mpsc;

use anyhow::{Context as _, Result};
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use super::engine::Event;
use super::events;
use super::explain::{Explanation, Party};
use super::live::{self, Live};
use super::metrics::{self, Metrics};
use super::monitor;
use super::stores::Read;
use super::view::View;
use crate::api::{NewEndpoint, Problem, is_host_link};

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct Api {
    /// To the engine.
    pub engine: mpsc::Sender<Event>,
    /// From the engine.
    pub view: watch::Receiver<View>,
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
    /// Why nobody asks them, if so: what is wrong with the filters of the two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// All routes. What takes its time is done in threads of its own, so that all others are
/// answered at once.
pub fn router(api: Api) -> Router {
    let endpoints =
        |State(api): State<Api>| answer(api, |api| Ok(json(&api.copy().endpoint_list())));
    let identities =
        |State(api): State<Api>| answer(api, |api| Ok(json(&api.copy().identity_list())));
    Router::new()
        .route("/v1/healthz", get(healthz))
        .route("/v1/endpoint", get(endpoints))
        .route("/v1/endpoint/{link}", get(endpoint).put(put).delete(delete))
        .route("/v1/identity", get(identities))
        .route("/v1/manifests", get(manifests))
        .route("/v1/explain", get(explain))
        .route("/v1/monitor", get(monitor::monitor))
        .route("/metrics", get(metrics))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing of that name") })
        .with_state(api)
}

impl Api {
    fn copy(&self) -> View {
        self.view.borrow().clone()
    }
}

/// Finds an answer in a thread that may take its time.
async fn answer(
    api: Api,
    find: impl FnOnce(&Api) -> Result<Response> + Send + 'static,
) -> Response {
    match spawn_blocking(move || find(&api)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => problem(StatusCode::NOT_FOUND, format!("{error:#}")),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn json(value: &impl Serialize) -> Response {
    Json(value).into_response()
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
    let view = api.view.borrow();
    let status = if view.is_sound { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, json(&json!({ "problems": view.problems }))).into_response()
}

/// Which content of which manifest has been read, and whether the maps follow all of it.
async fn manifests(State(api): State<Api>) -> Response {
    let read = api.read.borrow();
    let in_force = read.revision == api.view.borrow().revision;
    json(&json!({ "files": read.files, "in_force": in_force }))
}

async fn endpoint(State(api): State<Api>, UrlPath(link): UrlPath<String>) -> Response {
    let find = move |api: &Api| {
        let endpoint = api.view.borrow().endpoint(&link);
        endpoint.map(|it| json(&it)).with_context(|| format!("there is no endpoint {link}"))
    };
    answer(api, find).await
}

async fn put(
    State(api): State<Api>,
    UrlPath(link): UrlPath<String>,
    Json(new): Json<NewEndpoint>,
) -> Response {
    ask(&api, link, |link, answer| Event::Put(link, new, answer)).await
}

async fn delete(State(api): State<Api>, UrlPath(link): UrlPath<String>) -> Response {
    ask(&api, link, Event::Delete).await
}

/// Asks the engine, which answers when the maps are written.
async fn ask(
    api: &Api,
    link: String,
    event: impl FnOnce(String, oneshot::Sender<Result<()>>) -> Event,
) -> Response {
    if !is_host_link(&link) {
        return problem(StatusCode::BAD_REQUEST, format!("{link:?} is no host end of ours"));
    }
    let (answer, answered) = oneshot::channel();
    let sent = api.engine.send(event(link, answer));
    match answered.await {
        Ok(Ok(())) if sent.is_ok() => json(&()),
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
    let find = move |api: &Api| {
        let (source, destination, question, faults) = {
            let view = api.view.borrow();
            let (source, destination) = (view.find(&pair.from)?, view.find(&pair.to)?);
            let question = view.question(source.0.clone(), destination.0.clone());
            let both = [source.1, destination.1];
            let faults = both.into_iter().flatten().filter_map(|it| view.fault_at(it));
            (source, destination, question, faults.collect())
        };
        let (explanation, live) = (question.answer(), live::look_up(&source, &destination)?);
        let (source, destination) = (source.0, destination.0);
        Ok(json(&Explained { source, destination, explanation, live, faults }))
    };
    answer(api, find).await
}

async fn metrics(State(api): State<Api>) -> Response {
    let encode = |api: &Api| {
        let text = api.metrics.encode(&api.copy());
        Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
    };
    answer(api, encode).await
}
