//! Asking the journal over REST: events, plugins, the queue, replays, the audit chain.
//!
//! Shapes here are the public contract; the journal's own types may change beneath them. Errors
//! are RFC 9457 problems. Nothing here writes, except `POST`.

mod audit;
mod events;
mod pause;
mod plugins;
mod problem;
mod queue;
mod reactions;
mod replays;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::pipeline::Pipeline;

pub use problem::Problem;

/// The routes that need an API token, with their OpenAPI description.
#[must_use]
pub fn routes() -> OpenApiRouter<Arc<Pipeline>> {
    OpenApiRouter::new()
        .routes(routes!(events::list))
        .routes(routes!(events::show))
        .routes(routes!(events::raw))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::switch_mode))
        .routes(routes!(pause::show, pause::pause))
        .routes(routes!(pause::resume))
        .routes(routes!(queue::show))
        .routes(routes!(reactions::show))
        .routes(routes!(reactions::revert))
        .routes(routes!(replays::create))
        .routes(routes!(replays::show))
        .routes(routes!(audit::verify))
}
