//! The agent's API, for the plugin and for people: see [`crate::api`].

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::app_state::AppState;
use super::explain::{Explanation, FlowEnd, Wish};
use super::live::{self, Live};
use super::metrics;
use super::monitor;
use crate::agent::objects::services::translations;
use crate::agent::reconcile::message::Message;
use crate::api::{NewEndpoint, Problem, is_host_link};

/// The answer to [`explain`](mod@super::explain)'s question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explained {
    /// Who asks.
    pub source: FlowEnd,
    /// Who is asked.
    pub destination: FlowEnd,
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
pub fn router(state: AppState) -> Router {
    let endpoints = |State(state): State<AppState>| {
        answer(state, |state| Ok(json(&state.copy().endpoint_list())))
    };
    let identities = |State(state): State<AppState>| {
        answer(state, |state| Ok(json(&state.copy().identity_list())))
    };
    Router::new()
        .route("/v1/healthz", get(healthz))
        .route("/v1/endpoint", get(endpoints))
        .route("/v1/endpoint/{link}", get(endpoint).put(put).delete(delete))
        .route("/v1/identity", get(identities))
        .route("/v1/manifests", get(manifests))
        .route("/v1/explain", get(explain))
        .route("/v1/service/{address}", get(service))
        .route("/v1/monitor", get(monitor::monitor))
        .route("/metrics", get(metrics))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing of that name") })
        .with_state(state)
}

/// Finds an answer in a thread that may take its time.
async fn answer(
    state: AppState,
    find: impl FnOnce(&AppState) -> Result<Response> + Send + 'static,
) -> Response {
    match spawn_blocking(move || find(&state)).await {
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

async fn healthz(State(state): State<AppState>) -> Response {
    if !*state.ready.borrow() {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "not all pods, namespaces and policies are known yet",
        );
    }
    let view = state.view.borrow();
    let status = if view.is_sound { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, json(&json!({ "problems": view.problems }))).into_response()
}

/// Which content of which manifest has been read, and whether the maps follow all of it.
async fn manifests(State(state): State<AppState>) -> Response {
    let snapshot = state.snapshot.borrow();
    let in_force = snapshot.revision == state.view.borrow().revision;
    json(&json!({ "files": snapshot.files, "in_force": in_force }))
}

async fn endpoint(State(state): State<AppState>, UrlPath(link): UrlPath<String>) -> Response {
    let find = move |state: &AppState| {
        let endpoint = state.view.borrow().endpoint(&link);
        endpoint.map(|status| json(&status)).with_context(|| format!("there is no endpoint {link}"))
    };
    answer(state, find).await
}

async fn put(
    State(state): State<AppState>,
    UrlPath(link): UrlPath<String>,
    Json(new): Json<NewEndpoint>,
) -> Response {
    ask(&state, link, |link, answer| Message::Put(link, new, answer)).await
}

async fn delete(State(state): State<AppState>, UrlPath(link): UrlPath<String>) -> Response {
    ask(&state, link, Message::Delete).await
}

/// Asks the engine, which answers when the maps are written.
async fn ask(
    state: &AppState,
    link: String,
    message: impl FnOnce(String, oneshot::Sender<Result<()>>) -> Message,
) -> Response {
    if !is_host_link(&link) {
        return problem(StatusCode::BAD_REQUEST, format!("{link:?} is no host end of ours"));
    }
    let (answer, answered) = oneshot::channel();
    let sent = state.engine.send(message(link, answer));
    match answered.await {
        Ok(Ok(())) if sent.is_ok() => json(&()),
        Ok(Err(error)) => problem(StatusCode::CONFLICT, format!("{error:#}")),
        _ => problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending"),
    }
}

/// Whom a question is about, and for what.
#[derive(Debug, Deserialize)]
struct Asked {
    from: String,
    to: String,
    port: Option<u16>,
    protocol: Option<u8>,
}

/// What policies and maps say of a connection.
async fn explain(State(state): State<AppState>, Query(asked): Query<Asked>) -> Response {
    let find = move |state: &AppState| {
        let wish = asked.protocol.map(|protocol| Wish { protocol, port: asked.port });
        let (source, destination, question, faults) = {
            let view = state.view.borrow();
            let (source, destination) = (view.find(&asked.from)?, view.find(&asked.to)?);
            let question = view.question(source.clone(), destination.clone(), wish);
            let both = [source.address, destination.address];
            let faults = both.into_iter().flatten().filter_map(|address| view.fault_at(address));
            (source, destination, question, faults.collect())
        };
        let explanation = question.answer();
        let live = live::look_up(&source, &destination, wish)?;
        Ok(json(&Explained { source, destination, explanation, live, faults }))
    };
    answer(state, find).await
}

/// Which Service has an address, and where that leads.
async fn service(State(state): State<AppState>, UrlPath(address): UrlPath<Ipv4Addr>) -> Response {
    let find = move |state: &AppState| {
        let found = translations(address, state.manifests.as_deref());
        Ok(json(&Handle::current().block_on(found)?))
    };
    answer(state, find).await
}

async fn metrics(State(state): State<AppState>) -> Response {
    let encode = |state: &AppState| {
        let text = metrics::metrics(&state.counters, &state.copy());
        Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
    };
    answer(state, encode).await
}
