//! Who makes the changes of a request, known to whatever writes them down without being handed from function to function.
//!
//! A layer names the actor for the time of the request; a task that the request spawns takes it along with [`carried`].

use crate::auth::{ADMIN_SECRET_HEADER, AuthState};
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use domain::ids::ApiKeyId;
use std::future::Future;

/// Who makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The holder of an API key.
    ApiKey(ApiKeyId),
    /// The operator, by the admin secret.
    Operator,
    /// Tollgate itself: a clock that moved, a billing run.
    System,
}

tokio::task_local! {
    static CURRENT: Actor;
}

impl Actor {
    /// The actor of the current request; outside of one, Tollgate itself.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(|actor| *actor).unwrap_or(Self::System)
    }
}

/// A layer that names the actor of each request. It refuses nobody: that is the handlers' part.
pub async fn named(State(auth): State<AuthState>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let actor = if headers.contains_key(AUTHORIZATION) {
        match auth.authenticate(headers).await.map(|caller| caller.key_id) {
            Ok(Some(key)) => Actor::ApiKey(key),
            _ => Actor::System,
        }
    } else if headers.contains_key(ADMIN_SECRET_HEADER) {
        Actor::Operator
    } else {
        Actor::System
    };
    CURRENT.scope(actor, next.run(request)).await
}

/// The future with the actor of the task that calls this, wherever it is polled.
pub fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(Actor::current(), future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_spawned_task_keeps_the_actor_only_when_it_is_carried() {
        let seen = CURRENT
            .scope(Actor::Operator, async {
                let carried = tokio::spawn(carried(async { Actor::current() })).await.unwrap();
                let left = tokio::spawn(async { Actor::current() }).await.unwrap();
                (carried, left)
            })
            .await;
        assert_eq!(seen, (Actor::Operator, Actor::System));
        assert_eq!(Actor::current(), Actor::System);
    }
}
