//! The protection of a task, as it asks for it itself (ecs-semantics §5.6, §3.11): what is asked, over HTTP and of the
//! control plane, and what is answered. The agent keeps nothing of it.
//!
//! ```text
//! task ─ GET, PUT {"ProtectionEnabled": …, "ExpiresInMinutes": …} ─▶ agent ─ link ─▶ control plane
//!      ◀─ {"protection": …} | {"failure": …} | {"error": …} ───────┘ ◀── outcome ──┘
//! ```

use std::time::Duration;

use http::StatusCode;
use model::TaskId;
use model::link::{ProtectionChange, ProtectionOutcome};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Questions that the session has not taken yet.
pub const QUESTIONS_MAX: usize = 16;
/// The control plane must have answered by then.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// Of a PUT.
pub const BODY_BYTES_MAX: usize = 4 << 10;

/// For the session to bring to the control plane. Whoever drops it has no answer.
#[derive(Debug)]
pub struct Question {
    pub task: TaskId,
    /// `None`: only to be told.
    pub change: Option<ProtectionChange>,
    pub answer: oneshot::Sender<ProtectionOutcome>,
}

/// A document for the task, with its status.
pub type Reply = (StatusCode, Value);

/// What a PUT asks for, of a task of this ARN, if there is one.
///
/// # Errors
/// The refusal.
pub fn read(body: &[u8], arn: Option<&str>) -> Result<ProtectionChange, Reply> {
    let Some(Body { enabled, expires_in_minutes }) = decode(body) else {
        return Err(refused("", "UpdateTaskProtection: failed to decode request"));
    };
    let arn = arn.ok_or_else(unknown)?;
    let enabled = enabled.ok_or_else(|| refused(arn, "Invalid request: does not contain 'ProtectionEnabled' field"))?;
    Ok(ProtectionChange { enabled, expires_in_minutes })
}

/// Nothing is known by the id that was asked by.
pub fn unknown() -> Reply {
    let text = "Failed to find a task for the request";
    (StatusCode::NOT_FOUND, error("", "ResourceNotFoundException", text, None))
}

/// Asks the control plane for the task of this ARN.
pub async fn ask(
    questions: &mpsc::Sender<Question>,
    (task, arn): (TaskId, &str),
    change: Option<ProtectionChange>,
) -> Reply {
    let asked = async {
        let (answer, answered) = oneshot::channel();
        questions.send(Question { task, change, answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(ANSWER_LIMIT, asked).await {
        Ok(Some(outcome)) => write(arn, outcome),
        // The session ended, which nobody waits for any longer.
        Ok(None) => {
            let text = "Unexpected error occurred";
            (StatusCode::INTERNAL_SERVER_ERROR, error(arn, "ServerException", text, None))
        }
        Err(_) => {
            let text = "Timed out calling ECS Task Protection API";
            (StatusCode::GATEWAY_TIMEOUT, error(arn, "RequestCanceled", text, None))
        }
    }
}

fn write(arn: &str, outcome: ProtectionOutcome) -> Reply {
    match outcome {
        ProtectionOutcome::Protection { until } => {
            let until = until.map(|until| until.to_string());
            let protection = json!({"ExpirationDate": until, "ProtectionEnabled": until.is_some(), "TaskArn": arn});
            (StatusCode::OK, json!({"protection": protection}))
        }
        ProtectionOutcome::Failure { reason, detail } => {
            (StatusCode::OK, json!({"failure": {"Arn": arn, "Reason": reason, "Detail": detail}}))
        }
        ProtectionOutcome::Error { status, code, message, request_id } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, error(arn, &code, &message, Some(&request_id)))
        }
    }
}

fn refused(arn: &str, text: &str) -> Reply {
    (StatusCode::BAD_REQUEST, error(arn, "InvalidParameterException", text, None))
}

fn error(arn: &str, code: &str, message: &str, request_id: Option<&str>) -> Value {
    let mut error = Map::new();
    if !arn.is_empty() {
        error.insert("Arn".to_owned(), json!(arn));
    }
    error.insert("Code".to_owned(), json!(code));
    error.insert("Message".to_owned(), json!(message));
    let mut document = Map::new();
    if let Some(id) = request_id {
        document.insert("requestID".to_owned(), json!(id));
    }
    document.insert("error".to_owned(), Value::Object(error));
    Value::Object(document)
}

struct Body {
    enabled: Option<bool>,
    expires_in_minutes: Option<i64>,
}

/// As the ECS agent reads it: names in any case, null for what is not there, and nothing else beside.
fn decode(body: &[u8]) -> Option<Body> {
    let mut read = Body { enabled: None, expires_in_minutes: None };
    let fields = match serde_json::from_slice(body).ok()? {
        Value::Null => return Some(read),
        Value::Object(fields) => fields,
        _ => return None,
    };
    for (name, value) in fields {
        match value {
            _ if name.eq_ignore_ascii_case("ProtectionEnabled") => read.enabled = nullable(value, Value::as_bool)?,
            _ if name.eq_ignore_ascii_case("ExpiresInMinutes") => {
                read.expires_in_minutes = nullable(value, Value::as_i64)?;
            }
            _ => return None,
        }
    }
    Some(read)
}

fn nullable<T>(value: Value, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(&value).map(Some) }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    const ARN: &str = "arn:task";

    #[test]
    fn a_body_is_read_or_refused() {
        let change = |enabled, expires_in_minutes| Ok(ProtectionChange { enabled, expires_in_minutes });
        let undecodable = || {
            let text = "UpdateTaskProtection: failed to decode request";
            let error = json!({"error": {"Code": "InvalidParameterException", "Message": text}});
            Err((StatusCode::BAD_REQUEST, error))
        };
        let lacking = || {
            let text = "Invalid request: does not contain 'ProtectionEnabled' field";
            let error = json!({"error": {"Arn": ARN, "Code": "InvalidParameterException", "Message": text}});
            Err((StatusCode::BAD_REQUEST, error))
        };
        let check = |body: &str, expected: Result<ProtectionChange, Reply>| {
            assert_eq!(read(body.as_bytes(), Some(ARN)), expected, "{body}");
        };
        check(r#"{"ProtectionEnabled":true}"#, change(true, None));
        check(r#" {"protectionenabled":false, "ExpiresInMinutes":60} "#, change(false, Some(60)));
        check(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":null}"#, change(true, None));
        check(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":-4}"#, change(true, Some(-4)));
        for body in ["null", "{}", r#"{"ProtectionEnabled":null}"#, r#"{"ExpiresInMinutes":5}"#] {
            check(body, lacking());
        }
        for body in [
            "",
            "true",
            "[]",
            "{",
            r#""{}""#,
            r#"{"ProtectionEnabled":"true"}"#,
            r#"{"ProtectionEnabled":true,"ExpiresInMinutes":1.5}"#,
            r#"{"ProtectionEnabled":true,"ExpiresInMinutes":"60"}"#,
            r#"{"ProtectionEnabled":true,"ExpiresInMinutes":99999999999999999999}"#,
            r#"{"ProtectionEnabled":true,"TaskArn":"arn:other"}"#,
            "\u{0}",
        ] {
            check(body, undecodable());
        }
        assert_eq!(read(br#"{"ProtectionEnabled":true}"#, None), Err(unknown()));
        assert_eq!(read(b"nonsense", None), undecodable(), "what is read first is judged first");
    }

    #[test]
    fn an_outcome_is_written_as_the_ecs_agent_does() {
        let check = |outcome, status: u16, expected: Value| {
            assert_eq!(write(ARN, outcome), (StatusCode::from_u16(status).unwrap(), expected));
        };
        let protection = |until, enabled: bool| {
            let protection = json!({"ExpirationDate": until, "ProtectionEnabled": enabled, "TaskArn": ARN});
            json!({"protection": protection})
        };
        let until = Some(Timestamp(1_703_109_464_000));
        check(ProtectionOutcome::Protection { until }, 200, protection(json!("2023-12-20T21:57:44.000Z"), true));
        check(ProtectionOutcome::Protection { until: None }, 200, protection(Value::Null, false));
        let failure = json!({"failure": {"Arn": ARN, "Reason": "TASK_NOT_VALID", "Detail": null}});
        check(ProtectionOutcome::Failure { reason: "TASK_NOT_VALID".to_owned(), detail: None }, 200, failure);
        let outcome = ProtectionOutcome::Error {
            status: 400,
            code: "InvalidParameterException".to_owned(),
            message: "no".to_owned(),
            request_id: "id".to_owned(),
        };
        let error = json!({"Arn": ARN, "Code": "InvalidParameterException", "Message": "no"});
        check(outcome, 400, json!({"requestID": "id", "error": error}));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_answer_the_task_is_told_so_in_time() {
        let (questions, mut asked) = mpsc::channel(1);
        let mut replies = Vec::new();
        for _ in 0..3 {
            let (status, body) = ask(&questions, (TaskId(1), ARN), None).await;
            replies.push((status.as_u16(), body["error"]["Code"].clone()));
        }
        assert_eq!(replies, vec![(504, json!("RequestCanceled")); 3], "the queue is full, or nobody answers");
        let told = tokio::join!(ask(&questions, (TaskId(1), ARN), None), async { drop(asked.recv().await) });
        assert_eq!(told.0.0.as_u16(), 504, "the first question was asked too long ago");
        drop(asked);
        assert_eq!(ask(&questions, (TaskId(1), ARN), None).await.0.as_u16(), 500);
    }
}
