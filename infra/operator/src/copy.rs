//! Copies items between tables: from a restored table into the one in use, or newer items into a restored table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;

/// Number of items copied and skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Items written.
    pub written: usize,
    /// Items left unchanged because the target table has an item under the same key.
    pub stood: usize,
}

/// The copy stopped early. It may be repeated.
#[derive(Debug, thiserror::Error)]
#[error("after {} items: {cause}", .copied.written)]
pub struct CopyStopped {
    /// Items copied and skipped before the error.
    pub copied: Copied,
    /// DynamoDB's error.
    pub cause: String,
}

/// Copies every item whose `pk` begins with `begins` from the table `from` into the table `to`.
///
/// An item that exists in `to` is overwritten only with `replace`. Cost: a scan of the whole of `from`, one read unit
/// per 4 KB.
///
/// # Errors
/// When DynamoDB does not answer, or a table does not exist.
pub async fn copy_items(
    client: &Client,
    from: &str,
    to: &str,
    begins: &str,
    replace: bool,
) -> Result<Copied, CopyStopped> {
    let mut copied = Copied::default();
    let mut position: Option<HashMap<String, AttributeValue>> = None;
    loop {
        let scan = client.scan().table_name(from).consistent_read(true).set_exclusive_start_key(position);
        let scan = scan.filter_expression("begins_with(pk, :begins)");
        let scan = scan.expression_attribute_values(":begins", AttributeValue::S(begins.to_owned()));
        let stopped = |cause| CopyStopped { copied, cause };
        let page = scan.send().await.map_err(|error| stopped(DisplayErrorContext(error).to_string()))?;
        for item in page.items.unwrap_or_default() {
            let put = client.put_item().table_name(to).set_item(Some(item));
            let put = if replace { put } else { put.condition_expression("attribute_not_exists(pk)") };
            match put.send().await {
                Ok(_) => copied.written += 1,
                Err(error)
                    if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) =>
                {
                    copied.stood += 1;
                }
                Err(error) => return Err(CopyStopped { copied, cause: DisplayErrorContext(error).to_string() }),
            }
        }
        position = page.last_evaluated_key;
        if position.is_none() {
            return Ok(copied);
        }
    }
}
