//! Meta's limits for outgoing messages (`docs/meta/messages.md#section-3` to `#section-6`). Meta speaks of
//! "characters"; they are counted as UTF-16 units here, the stricter reading.

/// Longest text of a text message, in characters.
pub const TEXT_BODY_MAX: usize = 4_096;
/// Longest caption of an image, video or document, in characters.
pub const CAPTION_MAX: usize = 1_024;
/// Longest body of an interactive message, in characters. The body of a list may have [`TEXT_BODY_MAX`].
pub const INTERACTIVE_BODY_MAX: usize = 1_024;
/// Longest header text and longest footer of an interactive message, in characters.
pub const HEADER_TEXT_MAX: usize = 60;
/// Most reply buttons of a message.
pub const BUTTONS_MAX: usize = 3;
/// Longest label of a button, in characters.
pub const BUTTON_TITLE_MAX: usize = 20;
/// Longest label of the button that opens a flow.
pub const FLOW_CTA_MAX: usize = 30;
/// Longest id of a button, in characters.
pub const BUTTON_ID_MAX: usize = 256;
/// Most sections of a list, and of a list of products.
pub const SECTIONS_MAX: usize = 10;
/// Most rows of a list, over all its sections.
pub const ROWS_MAX: usize = 10;
/// Longest title of a section or a row, in characters.
pub const ROW_TITLE_MAX: usize = 24;
/// Longest id of a row, in characters.
pub const ROW_ID_MAX: usize = 200;
/// Longest second line of a row, in characters.
pub const ROW_DESCRIPTION_MAX: usize = 72;
/// Most products of a list of products.
pub const PRODUCTS_MAX: usize = 30;
/// Fewest and most cards of a carousel.
pub const CARDS: std::ops::RangeInclusive<usize> = 2..=10;
/// Longest text of a carousel card, in characters.
pub const CARD_BODY_MAX: usize = 160;
/// Most line breaks in the text of a carousel card.
pub const CARD_LINE_BREAKS_MAX: usize = 2;
/// Most contact cards of a message. Meta's documentation says 257, its OpenAPI description 5; the smaller value is
/// safe.
pub const CONTACTS_MAX: usize = 5;
/// Lifetime of a call button in minutes, from one minute to 30 days.
pub const CALL_TTL_MINUTES: std::ops::RangeInclusive<u32> = 1..=43_200;
/// Longest name of a template, in characters.
pub const TEMPLATE_NAME_MAX: usize = 512;
/// Longest sum of all text values of a template's body, in characters. The filled-in body has the same limit.
pub const TEMPLATE_BODY_MAX: usize = 1_024;
/// Most consecutive spaces in a text value of a template's body.
pub const TEMPLATE_SPACES_MAX: usize = 4;
/// Most buttons of a template.
pub const TEMPLATE_BUTTONS_MAX: usize = 10;
/// Longest payload of a template's quick-reply button, in characters. Meta's documentation gives no limit; clients use
/// 256.
pub const PAYLOAD_MAX: usize = 256;
/// Longest coupon code, in characters. Meta's documentation says 15, some clients allow 20.
pub const COUPON_MAX: usize = 15;
/// Longest link, in characters.
pub const LINK_MAX: usize = 2_000;
/// Longest file name, in characters: a length that common file systems accept.
pub const FILENAME_MAX: usize = 240;
