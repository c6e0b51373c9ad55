//! The job format of the onboarding queue.

use serde::{Deserialize, Serialize};

use crate::domain::ids::OnboardingId;
use crate::queue::job::BadJob;

/// An onboarding whose next steps are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnboardingJob {
    /// The onboarding.
    pub id: OnboardingId,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "job")]
enum Wire {
    #[serde(rename = "onboarding.v1")]
    OnboardingV1 { id: String },
}

impl OnboardingJob {
    /// Returns the job as a queue message.
    ///
    /// # Errors
    /// Never for values of this type; the signature is serde_json's.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Wire::OnboardingV1 { id: self.id.to_string() })
    }

    /// Reads a queue message.
    ///
    /// # Errors
    /// [`BadJob`] when it is not such a job.
    pub fn decode(body: &str) -> Result<Self, BadJob> {
        let Wire::OnboardingV1 { id } = serde_json::from_str(body).map_err(|_| BadJob)?;
        Ok(Self { id: OnboardingId::parse(&id).map_err(|_| BadJob)? })
    }
}
