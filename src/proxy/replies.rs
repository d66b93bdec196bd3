//! Contents of replies that the child leaves out or gets wrong.

use crate::errors::CellError;
use crate::wire::Message;
use serde_json::{Value, json};

/// What Jupyter asks of a kernel when it meets it. What the child says beyond that stays.
pub fn kernel_info(mut content: Value, language_version: &str) -> Value {
    if !content.is_object() {
        content = json!({});
    }
    content["status"] = "ok".into();
    content["protocol_version"] = "5.3".into();
    content["implementation"] = "wider-clip".into();
    content["implementation_version"] = env!("CARGO_PKG_VERSION").into();
    content["language_info"] = json!({
        "name": "rust",
        "version": language_version,
        "mimetype": "text/x-rustsrc",
        "file_extension": ".rs",
        "pygments_lexer": "rust",
        "codemirror_mode": "rust",
        // nbconvert has no exporter of the name "rust"; this one writes the cells with the file extension above.
        "nbconvert_exporter": "script",
    });
    if content["banner"].as_str().unwrap_or_default().is_empty() {
        content["banner"] = "Rust notebooks of wider-clip".into();
    }
    content
}

/// The reply to a request that the child is done with and did not answer; `None` where none is due.
pub fn instead_of_child(request: &Message) -> Option<Value> {
    match request.kind.as_str() {
        "comm_info_request" => Some(json!({"status": "ok", "comms": {}})),
        "history_request" => Some(json!({"status": "ok", "history": []})),
        kind if kind.ends_with("_request") => Some(json!({
            "status": "error", "ename": "NotSupported", "evalue": format!("this kernel does not answer {kind}"),
            "traceback": [],
        })),
        _ => None,
    }
}

/// The child's `execute_reply`, completed.
pub fn executed(mut content: Value, number: u64, error: Option<&CellError>) -> Value {
    if !content.is_object() {
        content = json!({});
    }
    content["execution_count"] = number.into();
    content["user_expressions"] = json!({});
    content["payload"] = json!([]);
    let Some(error) = error else { return content };
    content["status"] = "error".into();
    content["ename"] = error.name.clone().into();
    content["evalue"] = error.value.clone().into();
    content["traceback"] = error.traceback.clone().into();
    content
}
