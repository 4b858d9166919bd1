//! A request whose client goes away is dropped at any point; it must leave nothing behind.

use super::world::World;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Polls `work` so often, then drops it.
async fn given_up_after<T>(polls: usize, work: impl Future<Output = T>) {
    let mut work = pin!(work);
    for _ in 0..polls {
        let done = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())).await;
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_transaction_given_up_while_it_begins_stays_open_on_no_connection() {
    let world = World::new().await;
    let database = world.catalog.database();
    for round in 0..200 {
        given_up_after(round % 5, database.write()).await;
    }
    let mut write = database.write().await.unwrap();
    sqlx::query("CREATE TABLE given_up (number BIGINT)").execute(write.connection()).await.unwrap();
    write.commit().await.unwrap();
    // By whichever connection each of them comes, it is there at once for every other one.
    for number in 0..20_i64 {
        sqlx::query("INSERT INTO given_up VALUES ($1)").bind(number).execute(database.pool()).await.unwrap();
        let mut elsewhere = database.write().await.unwrap();
        let count = "SELECT COUNT(*) AS rows_there FROM given_up";
        let row = sqlx::query(count).fetch_one(elsewhere.connection()).await.unwrap();
        let there: i64 = sqlx::Row::get(&row, "rows_there");
        // Rolled back: had the insert come by a transaction left open, it would be undone with it.
        drop(elsewhere);
        assert_eq!(there, number + 1);
    }
}
