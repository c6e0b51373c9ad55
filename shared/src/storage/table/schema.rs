//! The table's definition.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};

use crate::storage::table::keys::{FEED, LIST};

/// Creates the table, for the sandbox and tests; `template.yaml` has the same definition for CloudFormation.
///
/// # Errors
/// When DynamoDB does not answer or refuses to create the table.
pub async fn schema(client: &aws_sdk_dynamodb::Client, table: &str) -> Result<(), aws_sdk_dynamodb::Error> {
    let attribute = |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let part = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let keys_only = || Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let global = |name: &str, hash: &str, range: &str| {
        GlobalSecondaryIndex::builder()
            .index_name(name)
            .key_schema(part(hash, KeyType::Hash)?)
            .key_schema(part(range, KeyType::Range)?)
            .projection(keys_only())
            .build()
    };
    client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("sk", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("feed", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("feed_at", ScalarAttributeType::N)?)
        .attribute_definitions(attribute("list", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("list_at", ScalarAttributeType::N)?)
        .key_schema(part("pk", KeyType::Hash)?)
        .key_schema(part("sk", KeyType::Range)?)
        .global_secondary_indexes(global(FEED, "feed", "feed_at")?)
        .global_secondary_indexes(global(LIST, "list", "list_at")?)
        .send()
        .await?;
    Ok(())
}
