//! Charges as Meta reports them (`docs/meta/messages.md#section-13`). Meta calls the figures approximate.

use reqwest::Method;
use serde::Deserialize;

use crate::domain::accounts::token::AccessToken;
use crate::domain::ids::WabaId;
use crate::provider::meta::graph::{CallFailure, GraphClient, call};
use crate::provider::meta::oauth::unreadable;

/// Charges of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Billed {
    /// The account's currency, such as `USD`.
    pub currency: Option<String>,
    /// Charges by day, number, category and pricing type.
    pub points: Vec<BilledPoint>,
}

/// Charges of one day, number, category and pricing type.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BilledPoint {
    /// Start of the day, in Unix seconds.
    pub start: i64,
    /// The phone number's digits.
    #[serde(default)]
    pub phone_number: Option<String>,
    /// Pricing category, such as `MARKETING`.
    #[serde(default)]
    pub pricing_category: Option<String>,
    /// Pricing type, such as `REGULAR`.
    #[serde(default)]
    pub pricing_type: Option<String>,
    /// Number of delivered messages.
    #[serde(default)]
    pub volume: u64,
    /// Cost in the account's currency; absent if a partner's credit line pays.
    #[serde(default)]
    pub cost: Option<f64>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    pricing_analytics: Option<Analytics>,
}

#[derive(Deserialize)]
struct Analytics {
    data: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    data_points: Vec<BilledPoint>,
}

impl GraphClient {
    /// Returns an account's charges per day between two times, in Unix seconds.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn billed(
        &self,
        token: &AccessToken,
        account: &WabaId,
        start: i64,
        end: i64,
    ) -> Result<Billed, CallFailure> {
        let wanted = format!(
            "currency,pricing_analytics.start({start}).end({end}).granularity(DAILY).metric_types(COST,VOLUME)\
             .dimensions(PHONE,PRICING_CATEGORY,PRICING_TYPE)"
        );
        let request = self.with_token_or_refusal(Method::GET, account.as_str(), token)?;
        let answered = call(request.query(&[("fields", wanted.as_str())])).await?;
        let answer: Answer =
            serde_json::from_slice(&answered).map_err(|_| unreadable("Meta's answer is no list of charges"))?;
        let series = answer.pricing_analytics.map(|analytics| analytics.data).unwrap_or_default();
        let points = series.into_iter().flat_map(|series| series.data_points).collect();
        Ok(Billed { currency: answer.currency, points })
    }
}
