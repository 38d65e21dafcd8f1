//! The handlers, one file per noun. Each is glue: take the request apart, ask the engine, turn the answer into a shape.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod charts;
pub(crate) mod clusters;
pub(crate) mod credentials;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod nodes;
pub(crate) mod operations;
pub(crate) mod prometheus;
pub(crate) mod settings;

use crate::{extract::Params, problem::Problem, wire::List};
use axum::Json;

/// What a handler that answers JSON returns.
pub(crate) type Answer<T> = Result<Json<T>, Problem>;

/// One page of a list that is wholly in memory, in the order of its keys. The cursor is the last key of the page
/// before, so that what is added or removed in between neither repeats nor hides an item.
pub(crate) fn page<T>(mut items: Vec<T>, params: &Params, key: impl Fn(&T) -> String) -> Answer<List<T>> {
    let limit = params.limit()? as usize;
    items.sort_by_cached_key(&key);
    if let Some(after) = params.text("cursor") {
        items.retain(|item| key(item).as_str() > after);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(key);
    Ok(Json(List { items, next_cursor }))
}

/// A list that is never long and keeps its order.
pub(crate) fn whole<T>(items: Vec<T>) -> Json<List<T>> {
    Json(List { items, next_cursor: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{extract::FromRequestParts, http::Request};

    async fn paged(items: &[&'static str], query: &str) -> (Vec<&'static str>, Option<String>) {
        let (mut parts, ()) = Request::get(format!("/x?{query}")).body(()).expect("a request").into_parts();
        let Ok(params) = Params::from_request_parts(&mut parts, &()).await else { panic!("a query") };
        let Ok(Json(list)) = page(items.to_vec(), &params, |item| (*item).to_owned()) else {
            panic!("a page")
        };
        (list.items, list.next_cursor)
    }

    #[tokio::test]
    async fn a_page_goes_on_after_its_cursor_also_when_items_came_and_went_in_between() {
        assert_eq!(paged(&["c", "a", "b"], "limit=2").await, (vec!["a", "b"], Some("b".to_owned())));
        assert_eq!(
            paged(&["c", "a", "d"], "limit=2&cursor=b").await,
            (vec!["c", "d"], None),
            "`b` is gone, `d` is new"
        );
        assert_eq!(paged(&["a"], "limit=2&cursor=a").await, (vec![], None));
    }
}
