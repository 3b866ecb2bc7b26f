//! Owns the watching of one relay's log file.

use std::path::PathBuf;

use super::file::Followed;
use super::trouble::Trouble;
use super::{Desk, LOOK};
use crate::core::names::RelayName;

/// Follows the log at `path` until it is aborted.
pub(super) async fn follow(desk: Desk, relay: RelayName, path: PathBuf) {
    let name = format!("the log of relay {relay}, {}", path.display());
    let mut trouble = Trouble::new(format!("{name}, cannot be read"));
    let mut unwritten = Trouble::new(format!("how far {name}, was read cannot be written down"));
    let mut followed = Followed::new(&path, desk.places.file(&path), desk.zone.clone());
    loop {
        let (now, began) = (desk.clock.now(), desk.clock.elapsed());
        let looked = tokio::task::spawn_blocking(move || {
            let look = followed.look(now);
            (followed, look)
        });
        let look = match looked.await {
            Ok((back, look)) => {
                followed = back;
                look
            }
            // Only the end of the runtime cancels it.
            Err(_) => return,
        };
        let mut more = false;
        match look {
            Ok(look) => {
                trouble.over("it is read again");
                look.remark.iter().for_each(|remark| tracing::warn!("{name}: {remark}"));
                desk.hand_over(look.heard, &name).await;
                more = look.more;
                if let Some(place) = look.place {
                    let (places, path) = (desk.places.clone(), path.clone());
                    match tokio::task::spawn_blocking(move || places.set_file(&path, place)).await {
                        Ok(Ok(())) => unwritten.over("it is written again"),
                        Ok(Err(error)) => unwritten.is(&error.to_string()),
                        Err(_) => return,
                    }
                }
            }
            Err(error) => trouble.is(&error.to_string()),
        }
        if more {
            desk.rest(began).await;
        } else {
            desk.clock.sleep(LOOK).await;
        }
    }
}
