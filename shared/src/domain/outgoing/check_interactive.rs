//! Rules of interactive messages.

use crate::domain::outgoing::check::{
    Checked, INVALID, MISSING, VALUE, Violation, action, at_most, file, filled, holds, length, link, unique, words,
};
use crate::domain::outgoing::emoji;
use crate::domain::outgoing::limits::FLOW_CTA_MAX;
use crate::domain::outgoing::{
    BUTTON_ID_MAX, BUTTON_TITLE_MAX, BUTTONS_MAX, Button, CALL_TTL_MINUTES, CARD_BODY_MAX, CARD_LINE_BREAKS_MAX, CARDS,
    CarouselCard, Flow, HEADER_TEXT_MAX, Header, INTERACTIVE_BODY_MAX, Interactive, LinkButton, Named, PRODUCTS_MAX,
    Product, ProductSections, ROW_DESCRIPTION_MAX, ROW_ID_MAX, ROW_TITLE_MAX, ROWS_MAX, Replies, Rows, SECTIONS_MAX,
    TEXT_BODY_MAX, VoiceCall,
};

/// Header that a kind of message allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Headers {
    Any,
    Text,
    TextRequired,
    None,
}

/// Position of reply buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    CarouselCard,
}

impl Interactive {
    pub(super) fn check(&self) -> Checked {
        let (headers, body_max, body_required) = match self {
            Self::Button(_) | Self::CtaUrl(_) | Self::Flow(_) | Self::OrderDetails(_) => {
                (Headers::Any, INTERACTIVE_BODY_MAX, true)
            }
            Self::List(_) => (Headers::Text, TEXT_BODY_MAX, true),
            Self::ProductList(_) => (Headers::TextRequired, INTERACTIVE_BODY_MAX, true),
            Self::Product(_) => (Headers::None, INTERACTIVE_BODY_MAX, false),
            _ => (Headers::None, INTERACTIVE_BODY_MAX, true),
        };
        self.check_shown(headers, body_max, body_required)?;
        let field = "interactive.action";
        match self {
            Self::Button(card) => replies(field, &card.action, Place::Message),
            Self::List(card) => rows(field, &card.action),
            Self::CtaUrl(card) => link_button(field, &card.action),
            Self::LocationRequestMessage(card) => named(field, &card.action, "send_location"),
            Self::RequestContactInfo(card) => named(field, &card.action, "request_contact_info"),
            Self::Product(card) => product(field, &card.action),
            Self::ProductList(card) => products(field, &card.action),
            Self::CatalogMessage(card) => {
                named(field, &card.action, "catalog_message")?;
                let thumbnail = card.action.parameters.as_ref().and_then(|it| it.thumbnail_product_retailer_id.clone());
                filled(&format!("{field}.parameters"), &[("thumbnail_product_retailer_id", &thumbnail)])
            }
            Self::Carousel(card) => carousel(&card.action.cards),
            Self::Flow(card) => flow(field, &card.action),
            Self::AddressMessage(card) => {
                let country = &required(field, &card.action, "address_message")?.country;
                holds("interactive.action.parameters.country", VALUE, country == "IN", "must be IN: India only")
            }
            Self::CallPermissionRequest(card) => named(field, &card.action, "call_permission_request"),
            Self::VoiceCall(card) => voice_call(field, &card.action),
            Self::OrderDetails(card) => required(field, &card.action, "review_and_pay").map(|_| ()),
            Self::OrderStatus(card) => required(field, &card.action, "review_order").map(|_| ()),
        }
    }

    fn check_shown(&self, headers: Headers, body_max: usize, body_required: bool) -> Checked {
        let (header, body, footer) = self.shown();
        let carousel = matches!(self, Self::Carousel(_));
        match header {
            None => holds("interactive.header", MISSING, headers != Headers::TextRequired, "is required")?,
            Some(_) if headers == Headers::None => {
                return Err(Violation::new("interactive.header", INVALID, "is not shown with this kind".to_owned()));
            }
            Some(Header::Text { text }) => words("interactive.header.text", text, HEADER_TEXT_MAX)?,
            Some(_) if headers != Headers::Any => {
                return Err(Violation::new("interactive.header.type", INVALID, "must be text".to_owned()));
            }
            Some(header) => header_file("interactive", header)?,
        }
        match body {
            Some(body) => words("interactive.body.text", &body.text, body_max)?,
            None => holds("interactive.body", MISSING, !body_required, "is required")?,
        }
        match footer {
            Some(_) if carousel => {
                Err(Violation::new("interactive.footer", INVALID, "is not shown with a carousel".to_owned()))
            }
            Some(footer) => words("interactive.footer.text", &footer.text, HEADER_TEXT_MAX),
            None => Ok(()),
        }
    }
}

fn header_file(path: &str, header: &Header) -> Checked {
    let Some((kind, media)) = header.file() else { return Ok(()) };
    holds(&format!("{path}.header.{kind}.caption"), INVALID, media.caption.is_none(), "is not for headers")?;
    file(&format!("{path}.header.{kind}"), media, false, kind == "document")
}

fn replies(field: &str, action: &Replies, place: Place) -> Checked {
    let path = format!("{field}.buttons");
    let some = (1..=BUTTONS_MAX).contains(&action.buttons.len());
    holds(&path, VALUE, some, &format!("must be 1 to {BUTTONS_MAX} buttons"))?;
    let mut replies = Vec::new();
    for (at, button) in action.buttons.iter().enumerate() {
        let (kind, reply) = match (button, place) {
            (Button::Reply { reply }, Place::Message) => ("reply", reply),
            (Button::QuickReply { quick_reply }, Place::CarouselCard) => ("quick_reply", quick_reply),
            (_, Place::Message) => {
                return Err(Violation::new(&format!("{path}[{at}].type"), INVALID, "must be reply".to_owned()));
            }
            (_, Place::CarouselCard) => {
                return Err(Violation::new(&format!("{path}[{at}].type"), INVALID, "must be quick_reply".to_owned()));
            }
        };
        let path = format!("{path}[{at}].{kind}");
        words(&format!("{path}.title"), &reply.title, BUTTON_TITLE_MAX)?;
        words(&format!("{path}.id"), &reply.id, BUTTON_ID_MAX)?;
        let bare = reply.id.trim() == reply.id;
        holds(&format!("{path}.id"), VALUE, bare, "must not begin or end with a space")?;
        replies.push(reply);
    }
    unique(&path, "id", replies.iter().map(|reply| reply.id.as_str()))?;
    unique(&path, "title", replies.iter().map(|reply| reply.title.as_str()))
}

fn rows(field: &str, action: &Rows) -> Checked {
    words(&format!("{field}.button"), &action.button, BUTTON_TITLE_MAX)?;
    let path = format!("{field}.sections");
    let some = (1..=SECTIONS_MAX).contains(&action.sections.len());
    holds(&path, VALUE, some, &format!("must be 1 to {SECTIONS_MAX} sections"))?;
    let count: usize = action.sections.iter().map(|section| section.rows.len()).sum();
    holds(&path, VALUE, (1..=ROWS_MAX).contains(&count), &format!("must have 1 to {ROWS_MAX} rows in all"))?;
    for (at, section) in action.sections.iter().enumerate() {
        let path = format!("{path}[{at}]");
        title(&path, section.title.as_deref(), action.sections.len())?;
        holds(&format!("{path}.rows"), MISSING, !section.rows.is_empty(), "must not be empty")?;
        for (at, row) in section.rows.iter().enumerate() {
            let path = format!("{path}.rows[{at}]");
            words(&format!("{path}.id"), &row.id, ROW_ID_MAX)?;
            words(&format!("{path}.title"), &row.title, ROW_TITLE_MAX)?;
            at_most(
                &format!("{path}.description"),
                row.description.as_deref().unwrap_or_default(),
                ROW_DESCRIPTION_MAX,
            )?;
        }
    }
    let ids = action.sections.iter().flat_map(|section| section.rows.iter().map(|row| row.id.as_str()));
    unique(&path, "row id", ids)
}

/// Checks a section's title, which is required if there are several sections.
fn title(path: &str, title: Option<&str>, sections: usize) -> Checked {
    let path = format!("{path}.title");
    match title {
        Some(title) => words(&path, title, ROW_TITLE_MAX),
        None => holds(&path, MISSING, sections == 1, "is required where there are several sections"),
    }
}

fn named<P>(field: &str, action: &Named<P>, name: &str) -> Checked {
    holds(&format!("{field}.name"), VALUE, action.name == name, &format!("must be {name}"))
}

fn required<'a, P>(field: &str, action: &'a Named<P>, name: &str) -> Result<&'a P, Violation> {
    named(field, action, name)?;
    let missing = || Violation::new(&format!("{field}.parameters"), MISSING, "is required".to_owned());
    action.parameters.as_ref().ok_or_else(missing)
}

fn link_button(field: &str, action: &Named<LinkButton>) -> Checked {
    let button = required(field, action, "cta_url")?;
    words(&format!("{field}.parameters.display_text"), &button.display_text, BUTTON_TITLE_MAX)?;
    link(&format!("{field}.parameters.url"), &button.url)
}

fn product(field: &str, action: &Product) -> Checked {
    words(&format!("{field}.catalog_id"), &action.catalog_id, BUTTON_ID_MAX)?;
    words(&format!("{field}.product_retailer_id"), &action.product_retailer_id, BUTTON_ID_MAX)
}

fn products(field: &str, action: &ProductSections) -> Checked {
    words(&format!("{field}.catalog_id"), &action.catalog_id, BUTTON_ID_MAX)?;
    let path = format!("{field}.sections");
    let some = (1..=SECTIONS_MAX).contains(&action.sections.len());
    holds(&path, VALUE, some, &format!("must be 1 to {SECTIONS_MAX} sections"))?;
    let count: usize = action.sections.iter().map(|section| section.product_items.len()).sum();
    holds(
        &path,
        VALUE,
        (1..=PRODUCTS_MAX).contains(&count),
        &format!("must have 1 to {PRODUCTS_MAX} products in all"),
    )?;
    for (at, section) in action.sections.iter().enumerate() {
        title(&format!("{path}[{at}]"), section.title.as_deref(), action.sections.len())?;
        for (item, product) in section.product_items.iter().enumerate() {
            let path = format!("{path}[{at}].product_items[{item}].product_retailer_id");
            words(&path, &product.product_retailer_id, BUTTON_ID_MAX)?;
        }
    }
    Ok(())
}

fn carousel(cards: &[CarouselCard]) -> Checked {
    let path = "interactive.action.cards";
    let (least, most) = CARDS.into_inner();
    holds(path, VALUE, CARDS.contains(&cards.len()), &format!("must be {least} to {most} cards"))?;
    for (at, card) in cards.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let in_order = usize::try_from(card.card_index) == Ok(at);
        holds(&format!("{path}.card_index"), VALUE, in_order, "must count up from 0")?;
        holds(&format!("{path}.type"), VALUE, card.kind == cards[0].kind, "must be the same on all cards")?;
        if let Some(body) = &card.body {
            words(&format!("{path}.body.text"), &body.text, CARD_BODY_MAX)?;
            let lines = body.text.matches('\n').count();
            let rule = format!("must have at most {CARD_LINE_BREAKS_MAX} line breaks");
            holds(&format!("{path}.body.text"), VALUE, lines <= CARD_LINE_BREAKS_MAX, &rule)?;
        }
        carousel_action(&path, card)?;
    }
    Ok(())
}

fn carousel_action(path: &str, card: &CarouselCard) -> Checked {
    let field = format!("{path}.action");
    let media = || match &card.header {
        Some(header @ (Header::Image { .. } | Header::Video { .. })) => header_file(path, header),
        _ => Err(Violation::new(&format!("{path}.header"), MISSING, "must be an image or a video".to_owned())),
    };
    match card.kind.as_str() {
        "cta_url" => {
            media()?;
            link_button(&field, &action(&field, &card.action)?)
        }
        "button" => {
            media()?;
            replies(&field, &action(&field, &card.action)?, Place::CarouselCard)
        }
        "product" => product(&field, &action(&field, &card.action)?),
        _ => Err(Violation::new(&format!("{path}.type"), VALUE, "must be cta_url, button or product".to_owned())),
    }
}

fn flow(field: &str, action: &Named<Flow>) -> Checked {
    let flow = required(field, action, "flow")?;
    let path = format!("{field}.parameters");
    let one = flow.flow_id.is_some() != flow.flow_name.is_some();
    holds(&path, INVALID, one, "needs flow_id or flow_name, not both")?;
    words(&format!("{path}.flow_message_version"), &flow.flow_message_version, BUTTON_ID_MAX)?;
    filled(&path, &[("flow_id", &flow.flow_id), ("flow_name", &flow.flow_name), ("flow_token", &flow.flow_token)])?;
    words(&format!("{path}.flow_cta"), &flow.flow_cta, FLOW_CTA_MAX)?;
    holds(&format!("{path}.flow_cta"), VALUE, !emoji::is_in(&flow.flow_cta), "must not contain emoji")?;
    let modes = ["published", "draft"];
    let mode = flow.mode.as_deref().is_none_or(|mode| modes.contains(&mode));
    holds(&format!("{path}.mode"), VALUE, mode, "must be published or draft")?;
    let payload = flow.flow_action_payload.as_ref();
    match flow.flow_action.as_deref() {
        None | Some("navigate") => {
            // Without a payload the flow opens its first screen.
            let screen = payload.is_none_or(|payload| !payload.screen.is_empty());
            holds(&format!("{path}.flow_action_payload.screen"), MISSING, screen, "must not be empty")
        }
        Some("data_exchange") => {
            let rule = "must be left out with data_exchange";
            holds(&format!("{path}.flow_action_payload"), INVALID, payload.is_none(), rule)
        }
        Some(_) => {
            Err(Violation::new(&format!("{path}.flow_action"), VALUE, "must be navigate or data_exchange".to_owned()))
        }
    }
}

fn voice_call(field: &str, action: &Named<VoiceCall>) -> Checked {
    named(field, action, "voice_call")?;
    let Some(call) = &action.parameters else { return Ok(()) };
    let path = format!("{field}.parameters");
    if let Some(label) = &call.display_text {
        words(&format!("{path}.display_text"), label, BUTTON_TITLE_MAX)?;
    }
    filled(&path, &[("payload", &call.payload)])?;
    let within = call.ttl_minutes.is_none_or(|minutes| CALL_TTL_MINUTES.contains(&minutes));
    holds(&format!("{path}.ttl_minutes"), VALUE, within, "must be 1 to 43200 (30 days)")?;
    let payload = call.payload.as_deref().is_none_or(|payload| length(payload) <= BUTTON_ID_MAX);
    holds(&format!("{path}.payload"), VALUE, payload, &format!("must be at most {BUTTON_ID_MAX} characters"))
}
