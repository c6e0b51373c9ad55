//! Meta's limits of what may be sent (`facts/messages.md` §3 to §6). Characters are counted in UTF-16 units, the stricter
//! reading of Meta's word "characters".

/// Text body, in characters.
pub const TEXT_BODY_MAX: usize = 4_096;
/// Caption of a picture, film or document, in characters.
pub const CAPTION_MAX: usize = 1_024;
/// Body of an interactive message, in characters; a list's is [`TEXT_BODY_MAX`].
pub const INTERACTIVE_BODY_MAX: usize = 1_024;
/// Header text and footer of an interactive message, in characters.
pub const HEADER_TEXT_MAX: usize = 60;
/// Reply buttons of a message.
pub const BUTTONS_MAX: usize = 3;
/// Label of a button, in characters.
pub const BUTTON_TITLE_MAX: usize = 20;
/// Id of a button, in characters.
pub const BUTTON_ID_MAX: usize = 256;
/// Sections of a list, and of a list of products.
pub const SECTIONS_MAX: usize = 10;
/// Rows of a list, over all its sections.
pub const ROWS_MAX: usize = 10;
/// Title of a section and of a row, in characters.
pub const ROW_TITLE_MAX: usize = 24;
/// Id of a row, in characters.
pub const ROW_ID_MAX: usize = 200;
/// Second line of a row, in characters.
pub const ROW_DESCRIPTION_MAX: usize = 72;
/// Products of a list of products.
pub const PRODUCTS_MAX: usize = 30;
/// Fewest and most cards of a carousel.
pub const CARDS: std::ops::RangeInclusive<usize> = 2..=10;
/// Text of a carousel card, in characters.
pub const CARD_BODY_MAX: usize = 160;
/// Line breaks in the text of a carousel card.
pub const CARD_LINE_BREAKS_MAX: usize = 2;
/// Address cards of a message: Meta's pages say 257, its OpenAPI description 5; the smaller is safe.
pub const CONTACTS_MAX: usize = 5;
/// How long a call button works, in minutes: a minute to thirty days.
pub const CALL_TTL_MINUTES: std::ops::RangeInclusive<u32> = 1..=43_200;
/// Name of a template, in characters.
pub const TEMPLATE_NAME_MAX: usize = 512;
/// All text values of a template's body together, in characters: the rendered body may not be longer.
pub const TEMPLATE_BODY_MAX: usize = 1_024;
/// Spaces in a row in a text value of a template's body.
pub const TEMPLATE_SPACES_MAX: usize = 4;
/// Buttons of a template.
pub const TEMPLATE_BUTTONS_MAX: usize = 10;
/// What a template's quick-reply button sends back, in characters; Meta's page is silent, clients use 256.
pub const PAYLOAD_MAX: usize = 256;
/// A coupon code, in characters; Meta's page says 15, some clients 20.
pub const COUPON_MAX: usize = 15;
/// A link, in characters.
pub const LINK_MAX: usize = 2_000;
/// A file's name, in characters: what file systems take.
pub const FILENAME_MAX: usize = 240;
