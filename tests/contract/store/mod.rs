//! Owns the stories of the store. Each is told on a store in memory and on one in a file.
//!
//! Invariant: nothing here waits in real time, and every story ends with the promises checked (`World::check`).

mod claiming;
mod filing;
mod folding;
mod leasing;
mod loading;
mod ordering;
mod reporting;
mod settling;
mod steering;
mod telling;
mod wandering;
mod world;

pub(crate) use world::*;

/// Tells a story on both kinds of store.
macro_rules! stories {
    ($($(#[$doc:meta])* async fn $name:ident($world:ident: World) $body:block)+) => {
        $(mod $name {
            use super::*;

            async fn tell($world: World) $body

            #[tokio::test]
            async fn in_memory() {
                tell(World::in_memory()).await;
            }

            #[tokio::test]
            async fn in_a_file() {
                tell(World::in_a_file()).await;
            }
        })+
    };
}
pub(crate) use stories;
