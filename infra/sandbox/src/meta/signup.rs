//! The signup popup and the objects of businesses at Meta: accounts, numbers, codes, tokens, subscriptions,
//! registrations (`docs/meta/onboarding.md`). Faults can be ordered for every call by its name.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::clock::SignedDuration;
use shared::vault::random_secret;

use super::business::{BusinessAccount, PopupOrder};
use super::partner::{Partner, Share};
use super::request::{Refusal, is_proof};
use super::{Meta, MetaNumber, ScriptedFault};

/// Lifetime of a code, which can be exchanged once.
const CODE_FOR: SignedDuration = SignedDuration::from_secs(30);
/// Maximum registrations of a number within [`REGISTERS_WITHIN`].
const REGISTERS_MAX: usize = 10;
const REGISTERS_WITHIN: SignedDuration = SignedDuration::from_hours(72);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Code {
    order: PopupOrder,
    made_at: i64,
    used: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Token {
    app: String,
    order: PopupOrder,
    valid: bool,
    /// Expiry in Unix seconds; 0: never.
    #[serde(default)]
    expires_at: i64,
}

impl Token {
    fn is_good(&self, now: i64) -> bool {
        self.valid && (self.expires_at == 0 || self.expires_at > now)
    }
}

/// The objects of all businesses.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Businesses {
    pub(super) accounts: BTreeMap<String, BusinessAccount>,
    codes: BTreeMap<String, Code>,
    tokens: BTreeMap<String, Token>,
    faults: BTreeMap<String, VecDeque<ScriptedFault>>,
    /// Number of calls that took effect, by call name.
    calls: BTreeMap<String, usize>,
    /// Webhook fields to which the app is subscribed; by default all that Switchboard needs.
    #[serde(default)]
    fields: Option<Vec<String>>,
    #[serde(default)]
    pub(super) partner: Partner,
    /// Shares of the partner's credit line, by id.
    #[serde(default)]
    pub(super) shares: BTreeMap<String, Share>,
}

impl Meta {
    /// Adds an account with its numbers.
    pub fn put_account(&self, account: BusinessAccount) {
        self.lock().businesses.accounts.insert(account.id.clone(), account);
    }

    /// Returns the account of this id.
    #[must_use]
    pub fn business_account(&self, id: &str) -> Option<BusinessAccount> {
        self.lock().businesses.accounts.get(id).cloned()
    }

    /// Returns all accounts.
    #[must_use]
    pub fn business_accounts(&self) -> Vec<BusinessAccount> {
        self.lock().businesses.accounts.values().cloned().collect()
    }

    /// Completes the popup for a business and returns the code that the page gets.
    #[must_use]
    pub fn popup(&self, order: PopupOrder) -> String {
        let mut state = self.lock();
        state.serial += 1;
        let code = format!("AQ{:024}", state.serial);
        let made_at = self.clock.now().as_millisecond();
        state.businesses.codes.insert(code.clone(), Code { order, made_at, used: false });
        code
    }

    /// Completes a popup whose configuration returns no code, and returns the short-lived user token that the page
    /// gets.
    #[must_use]
    pub fn popup_for_token(&self, order: PopupOrder) -> String {
        let mut state = self.lock();
        state.serial += 1;
        let token = format!("EAAuser{:024}", state.serial);
        state.businesses.tokens.insert(token.clone(), Token { app: String::new(), order, valid: true, expires_at: 0 });
        token
    }

    /// Returns, for the partner's system user, the token that a business granted to the app: an existing one with
    /// `fetch`, or a new one valid for sixty days.
    pub(super) fn business_token(&self, client: &str, business: &str, fetch: bool) -> Result<Value, Refusal> {
        const NONE: Refusal = (100, "The business has given this app no access");
        let state = self.lock();
        let owned = |id: &String| state.businesses.accounts.get(id).is_some_and(|account| account.owner() == business);
        let shared: Vec<String> = state.businesses.accounts.keys().filter(|id| owned(id)).cloned().collect();
        let now = self.clock.now().as_second();
        let standing = state.businesses.tokens.iter().rev().find(|(_, known)| {
            known.is_good(now) && known.app == client && known.order.accounts.iter().any(|id| shared.contains(id))
        });
        if let (true, Some((token, _))) = (fetch, standing) {
            return Ok(json!({"access_token": token}));
        }
        if shared.is_empty() || (fetch && state.businesses.partner.hosted.is_none()) {
            return Err(NONE);
        }
        let hosted = state.businesses.partner.hosted.clone().unwrap_or_default();
        let order = PopupOrder { accounts: shared, days: if fetch { hosted.days } else { Some(60) }, ..hosted };
        let secret = state.app.as_ref().map(|app| app.secret.clone()).unwrap_or_default();
        drop(state);
        self.exchange(client, &secret, &self.popup(order))
    }

    pub(super) fn extend(&self, client: &str, secret: &str, token: &str) -> Result<Value, Refusal> {
        let now = self.clock.now().as_second();
        let known = self.lock().businesses.tokens.get(token).filter(|known| known.is_good(now)).cloned();
        let known = known.ok_or((190, "Error validating access token."))?;
        let code = self.popup(known.order);
        self.exchange(client, secret, &code)
    }

    /// Subscribes the app to these fields only.
    pub fn subscribe_fields(&self, fields: &[&str]) {
        self.lock().businesses.fields = Some(fields.iter().map(|field| (*field).to_owned()).collect());
    }

    /// Stores an account and a token that the business created by hand.
    pub fn put_token(&self, token: &str, account: BusinessAccount) {
        let app = self.client_id();
        let order = PopupOrder { accounts: vec![account.id.clone()], ..PopupOrder::default() };
        let known = Token { app, order, valid: true, expires_at: 0 };
        self.lock().businesses.tokens.insert(token.to_owned(), known);
        self.put_account(account);
    }

    /// Returns the app's webhook subscriptions. Requires the app's own access token.
    pub(super) fn app_subscriptions(&self, app_token: &str) -> Result<Value, Refusal> {
        let state = self.lock();
        let app = state.app.as_ref().ok_or((190, "Invalid OAuth access token."))?;
        if app_token != format!("{}|{}", app.client_id, app.secret) {
            return Err((190, "Invalid OAuth access token."));
        }
        let all = ["messages", "account_update", "history", "smb_app_state_sync", "smb_message_echoes"];
        let fields = state.businesses.fields.clone().unwrap_or_else(|| all.map(str::to_owned).to_vec());
        let fields: Vec<Value> = fields.iter().map(|name| json!({"name": name, "version": "v25.0"})).collect();
        Ok(json!({"data": [{"object": "whatsapp_business_account", "callback_url": app.callback_url,
            "active": true, "fields": fields}]}))
    }

    /// Orders faults for the next calls of this name, such as `register`.
    pub fn script_call(&self, call: &str, faults: impl IntoIterator<Item = ScriptedFault>) {
        self.lock().businesses.faults.entry(call.to_owned()).or_default().extend(faults);
    }

    /// Returns how often a call took effect.
    #[must_use]
    pub fn calls_of(&self, call: &str) -> usize {
        self.lock().businesses.calls.get(call).copied().unwrap_or(0)
    }

    /// Returns the tokens of an account that were not revoked.
    #[must_use]
    pub fn tokens_of(&self, account: &str) -> Vec<String> {
        let state = self.lock();
        let of = |known: &Token| known.valid && known.order.accounts.iter().any(|id| id == account);
        state.businesses.tokens.iter().filter(|(_, known)| of(known)).map(|(token, _)| token.clone()).collect()
    }

    /// Returns all tokens that codes were exchanged for.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        self.lock().businesses.tokens.keys().cloned().collect()
    }

    /// Invalidates an account's tokens, as when the business removes the app.
    pub fn withdraw_tokens(&self, account: &str) {
        let tokens = &mut self.lock().businesses.tokens;
        for token in tokens.values_mut().filter(|token| token.order.accounts.iter().any(|id| id == account)) {
            token.valid = false;
        }
    }

    /// Whether the token is known here and is no longer valid.
    pub(super) fn is_spent(&self, token: &str) -> bool {
        let now = self.clock.now().as_second();
        self.lock().businesses.tokens.get(token).is_some_and(|known| !known.is_good(now))
    }

    /// Whether the token was issued for this account.
    pub(super) fn sends_for(&self, token: &str, account: &str) -> bool {
        let state = self.lock();
        state.businesses.tokens.get(token).is_some_and(|known| known.order.accounts.iter().any(|id| id == account))
    }

    pub(super) fn next_call_fault(&self, call: &str) -> Option<ScriptedFault> {
        self.lock().businesses.faults.get_mut(call)?.pop_front()
    }

    pub(super) fn took_effect(&self, call: &str) {
        *self.lock().businesses.calls.entry(call.to_owned()).or_default() += 1;
    }

    pub(super) fn exchange(&self, client: &str, secret: &str, code: &str) -> Result<Value, Refusal> {
        const USED: Refusal = (100, "This authorization code has been used or has expired.");
        let fresh = random_secret().map_err(|_| (2, "no randomness"))?;
        let mut state = self.lock();
        if state.app.as_ref().is_none_or(|app| app.secret != secret) {
            return Err((101, "Error validating application. Invalid application secret."));
        }
        let now = self.clock.now().as_millisecond();
        let latest = now.saturating_sub(i64::try_from(CODE_FOR.as_millis()).unwrap_or(i64::MAX));
        let known = state.businesses.codes.get_mut(code).ok_or(USED)?;
        if known.used || known.made_at < latest {
            return Err(USED);
        }
        known.used = true;
        let order = known.order.clone();
        let token = format!("EAA{}", fresh.expose());
        // From now on the account's numbers send with the new token.
        for account in &order.accounts {
            let numbers = state.businesses.accounts.get(account).map(|one| one.numbers.clone()).unwrap_or_default();
            for number in numbers {
                let connected = MetaNumber {
                    phone_number_id: number.id.clone(),
                    display_phone_number: number.display_phone_number.clone(),
                    waba_id: account.clone(),
                    token: token.clone(),
                };
                state.numbers.insert(number.id, connected);
            }
        }
        let expires_at = order.days.map_or(0, |days| now / 1_000 + days * 86_400);
        let made = Token { app: client.to_owned(), order, valid: true, expires_at };
        state.businesses.tokens.insert(token.clone(), made);
        Ok(json!({"access_token": token, "token_type": "bearer"}))
    }

    pub(super) fn debug(&self, app_token: &str, token: &str) -> Result<Value, Refusal> {
        let state = self.lock();
        let ours = app_token.split_once('|').map(|(_, secret)| secret);
        if state.app.as_ref().map(|app| app.secret.as_str()) != ours {
            return Err((190, "Invalid OAuth access token."));
        }
        let Some(known) = state.businesses.tokens.get(token) else {
            return Ok(
                json!({"data": {"is_valid": false, "scopes": [], "error": {"code": 190, "message": "malformed"}}}),
            );
        };
        let asked = ["whatsapp_business_management", "whatsapp_business_messaging"].map(str::to_owned);
        let scopes = known.order.scopes.clone().unwrap_or_else(|| asked.to_vec());
        let target = |scope: &String| match known.order.unnamed {
            true => json!({"scope": scope}),
            false => json!({"scope": scope, "target_ids": known.order.accounts}),
        };
        let granular: Vec<Value> = scopes.iter().map(target).collect();
        Ok(
            json!({"data": {"app_id": known.app, "type": "SYSTEM_USER", "user_id": signer(&known.order), "is_valid": known.is_good(self.clock.now().as_second()), "expires_at": known.expires_at,
            "data_access_expires_at": 0, "scopes": scopes, "granular_scopes": granular}}),
        )
    }

    /// Returns the account, if the token can access it and `proof` matches the token.
    pub(super) fn reach(&self, token: &str, proof: Option<&str>, account: &str) -> Result<BusinessAccount, Refusal> {
        let state = self.lock();
        let now = self.clock.now().as_second();
        let known = state.businesses.tokens.get(token).filter(|known| known.is_good(now));
        let known = known.ok_or((190, "Error validating access token."))?;
        is_proof(&state, token, proof)?;
        if !known.order.accounts.iter().any(|id| id == account) {
            return Err((
                100,
                "Unsupported get request. Object does not exist, or cannot be loaded due to missing permissions",
            ));
        }
        state.businesses.accounts.get(account).cloned().ok_or((100, "Object does not exist"))
    }

    /// Returns the popup order of a valid token whose proof matches.
    pub(super) fn holder(&self, token: &str, proof: Option<&str>) -> Result<PopupOrder, Refusal> {
        let state = self.lock();
        let now = self.clock.now().as_second();
        let known = state.businesses.tokens.get(token).filter(|known| known.is_good(now));
        let known = known.ok_or((190, "Error validating access token."))?;
        is_proof(&state, token, proof)?;
        Ok(known.order.clone())
    }

    /// Revokes a token.
    pub(super) fn revoke(&self, secret: &str, token: &str) -> Result<Value, Refusal> {
        let mut state = self.lock();
        if state.app.as_ref().is_none_or(|app| app.secret != secret) {
            return Err((101, "Error validating application. Invalid application secret."));
        }
        let known = state.businesses.tokens.get_mut(token).filter(|known| known.valid);
        known.ok_or((190, "Error validating access token."))?.valid = false;
        Ok(json!({"success": true}))
    }

    /// Returns the account of a number.
    pub(super) fn account_of(&self, number: &str) -> Option<String> {
        let state = self.lock();
        let has = |account: &&BusinessAccount| account.numbers.iter().any(|one| one.id == number);
        state.businesses.accounts.values().find(has).map(|account| account.id.clone())
    }

    pub(super) fn subscribe_app(&self, account: &str, token: &str) {
        let mut state = self.lock();
        let Some(app) = state.businesses.tokens.get(token).map(|known| known.app.clone()) else { return };
        if let Some(account) = state.businesses.accounts.get_mut(account)
            && !account.subscribed.contains(&app)
        {
            account.subscribed.push(app);
        }
    }

    pub(super) fn unsubscribe_app(&self, account: &str, token: &str) {
        let mut state = self.lock();
        let app = state.businesses.tokens.get(token).map(|known| known.app.clone());
        if let Some(account) = state.businesses.accounts.get_mut(account) {
            account.subscribed.retain(|known| Some(known) != app.as_ref());
            account.override_url = None;
        }
    }

    pub(super) fn override_account(&self, account: &str, url: Option<String>) {
        if let Some(account) = self.lock().businesses.accounts.get_mut(account) {
            account.override_url = url;
        }
    }

    pub(super) fn register_number(&self, number: &str, pin: &str) -> Result<(), Refusal> {
        let now = self.clock.now().as_millisecond();
        let since = now.saturating_sub(i64::try_from(REGISTERS_WITHIN.as_millis()).unwrap_or(i64::MAX));
        let mut state = self.lock();
        let numbers = state.businesses.accounts.values_mut().flat_map(|account| &mut account.numbers);
        let known = numbers.into_iter().find(|one| one.id == number).ok_or((100, "Object does not exist"))?;
        if known.on_biz_app {
            return Err((100, "Registration is not available for SMB numbers"));
        }
        if pin.len() != 6 || !pin.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err((100, "Param pin must be 6 digits"));
        }
        if known.registers.iter().filter(|at| **at > since).count() >= REGISTERS_MAX {
            return Err((133_016, "Account register deregister rate limit exceeded"));
        }
        known.registers.push(now);
        if known.pin.as_ref().is_some_and(|known| known != pin) {
            return Err((133_005, "Two step verification PIN mismatch"));
        }
        known.pin = Some(pin.to_owned());
        known.registered = true;
        Ok(())
    }

    pub(super) fn sync_number(&self, number: &str, what: &str) -> Result<(), Refusal> {
        let mut state = self.lock();
        let numbers = state.businesses.accounts.values_mut().flat_map(|account| &mut account.numbers);
        let known = numbers.into_iter().find(|one| one.id == number).ok_or((100, "Object does not exist"))?;
        if !known.on_biz_app || !["smb_app_state_sync", "history"].contains(&what) {
            return Err((100, "Invalid parameter"));
        }
        if known.synced.iter().any(|done| done == what) {
            return Err((2_593_107, "This sync was requested before"));
        }
        known.synced.push(what.to_owned());
        Ok(())
    }

    /// Whether a number of a business account is not registered yet.
    pub(super) fn is_unregistered(&self, number: &str) -> bool {
        let state = self.lock();
        let numbers = state.businesses.accounts.values().flat_map(|account| &account.numbers);
        numbers.into_iter().any(|one| one.id == number && !one.registered && !one.on_biz_app)
    }
}

/// Returns the app-scoped id of the person who gave the order.
fn signer(order: &PopupOrder) -> String {
    order.user.clone().unwrap_or_else(|| "900100200300002".to_owned())
}
