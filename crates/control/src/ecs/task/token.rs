//! Client tokens: a request that is repeated gets the answer of the first one; of RunTask, its tasks.

use model::Arn;
use sha2::{Digest, Sha256};
use store::client_token::{self, ClientToken, TokenUse};
use wire::ecs;
use wire::ecs::Error;
use wire::value::Structure;

use super::to_wire;
use crate::Cx;

const CLIENT_TOKEN_LENGTH_MAX: usize = 64;
/// When a token comes with another request than before.
pub const USED_OTHERWISE: &str = "The clientToken was used with another request before.";

/// A client token with the request that it came with.
pub struct Token {
    /// The API's name.
    operation: &'static str,
    token: String,
    request_hash: String,
}

impl Token {
    /// `request` is without its token.
    ///
    /// # Errors
    /// `InvalidParameterException`.
    pub fn of(operation: &'static str, token: String, request: &dyn Structure) -> Result<Self, Error> {
        if token.len() > CLIENT_TOKEN_LENGTH_MAX || !token.bytes().all(|byte| (33..=126).contains(&byte)) {
            return Err(Error::invalid_parameter(format!(
                "clientToken can have at most {CLIENT_TOKEN_LENGTH_MAX} printable ASCII characters without spaces."
            )));
        }
        let mut json = Vec::new();
        wire::json::write(request, &mut json);
        Ok(Self { operation, token, request_hash: hex::encode(Sha256::digest(&json)) })
    }

    /// What is known of the token.
    pub fn used(&self, cx: &Cx<'_>) -> TokenUse {
        client_token::find(cx.txn, cx.scope(), self.operation, &self.token, &self.request_hash, cx.now)
    }

    /// RunTask's answer to the first request with this token; `None` when this is the first.
    ///
    /// # Errors
    /// `ConflictException` when it was another request.
    pub fn answer(&self, cx: &Cx<'_>) -> Result<Option<ecs::RunTaskResponse>, Error> {
        let ids = match self.used(cx) {
            TokenUse::New => return Ok(None),
            TokenUse::Same(ids) => ids,
            TokenUse::Conflict => return Err(self.conflict(cx)),
        };
        let rows = ids.iter().filter_map(|id| cx.txn.tasks.get(&id.parse().ok()?));
        let tasks = rows.map(|task| to_wire(cx.txn, task, true)).collect();
        Ok(Some(ecs::RunTaskResponse { tasks: Some(tasks), failures: Some(Vec::new()) }))
    }

    fn conflict(&self, cx: &Cx<'_>) -> Error {
        let key = (cx.scope().clone(), self.operation.to_owned(), self.token.clone());
        let ids = cx.txn.client_tokens.get(&key).map(|row| row.answer.as_slice()).unwrap_or_default();
        let rows = ids.iter().filter_map(|id| cx.txn.tasks.get(&id.parse().ok()?));
        let arns = rows.map(|task| Arn::task_text(&task.scope, &task.cluster, task.id));
        Error::ConflictException(ecs::ConflictException {
            message: Some(USED_OTHERWISE.to_owned()),
            resource_ids: Some(arns.collect()),
        })
    }

    /// Remembers what the first request with this token is answered with.
    pub fn keep(self, cx: &mut Cx<'_>, answer: Vec<String>) {
        let row = ClientToken {
            scope: cx.scope().clone(),
            operation: self.operation.to_owned(),
            token: self.token,
            request_hash: self.request_hash,
            answer,
            used_at: cx.now,
        };
        cx.txn.put(row);
    }
}
