//! The status line.

use serde_json::json;
use std::time::{Duration, Instant};
use wider_clip::proxy::status::StatusLine;
use wider_clip::proxy::wire::Message;

#[test]
fn a_status_is_one_display_that_is_replaced_ten_times_a_second_and_emptied() {
    let request = Message::new("execute_request", &json!({}));
    let (mut line, start) = (StatusLine::default(), Instant::now());
    let mut sent = Vec::new();
    for step in 0..1000 {
        sent.extend(line.set(&request, &format!("{step}"), start + Duration::from_millis(step)));
    }
    assert_eq!(line.deadline(), Some(start + Duration::from_secs(1)));
    sent.extend(line.tick(&request, start + Duration::from_secs(1)));
    assert_eq!(line.deadline(), None);
    sent.extend(line.end(&request));
    sent.extend(line.end(&request));
    assert_eq!(sent.len(), 12);
    let texts: Vec<_> = sent.iter().map(|message| message.content()["data"]["text/plain"].clone()).collect();
    assert_eq!((&texts[0], &texts[10], &texts[11]), (&json!("0"), &json!("999"), &json!("")));
    assert_eq!(sent[0].kind, "display_data");
    assert!(sent[1..].iter().all(|message| message.kind == "update_display_data"));
    assert!(sent.iter().all(|message| message.content()["transient"] == sent[0].content()["transient"]));
}
