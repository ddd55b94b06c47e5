//! The agent's monitor: an event in a line, with names and reasons.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError::{self, Lagged};

use super::app_state::AppState;
use super::event::Event;
use crate::agent::reconcile::view::View;

/// As many events are sent at once, if there are so many.
const CHUNK: usize = 256;

/// Those who listen take turns: of the threads for answers, one is always left for who asks.
static TURN: Semaphore = Semaphore::const_new(1);

/// A line of JSON for each event, until the caller hangs up.
pub async fn monitor(State(state): State<AppState>) -> Response {
    let events = BroadcastStream::new(state.monitor.subscribe().await).ready_chunks(CHUNK);
    let lines = events.then(move |events| {
        let view = state.view.clone();
        async move {
            let _turn = TURN.acquire().await;
            let lines =
                move || events.into_iter().map(|event| line(&view, event)).collect::<String>();
            spawn_blocking(lines).await
        }
    });
    Body::from_stream(lines).into_response()
}

fn line(view: &watch::Receiver<View>, event: Result<Event, BroadcastStreamRecvError>) -> String {
    let line = match event {
        Ok(event) => {
            let (mut named, question) = view.borrow().with_names(event);
            named.explanation = question.map(|question| question.answer());
            serde_json::to_value(named).unwrap_or_default()
        }
        Err(Lagged(count)) => json!({ "lost": count }),
    };
    format!("{line}\n")
}
