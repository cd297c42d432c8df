//! The page: the frame and the style that every HTML file of the host has. A page is one file that needs nothing from
//! elsewhere, carries no script, and follows the reader's own choice of a light or a dark palette. It tells the browser to
//! load and run nothing, so that even a hole in the escaping would fetch nothing.
//!
//! Whatever is put into it goes through maud, which escapes what a model or a dataset wrote. Control characters and marks
//! that turn a text around are shown as pictures, as on a terminal.

mod style;

use hilora_contract::terminal::visible;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Nothing is loaded and no script is run; styles are the page's own.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A whole page around its body.
pub fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(style::STYLE)) }
            }
            body { main { (body) } }
        }
    };
    // The frame and the charts have none of these characters.
    visible(&page.into_string()).into_owned()
}

/// A figure with its name above and a note below.
pub fn card(name: &str, figure: &str, note: &str) -> Markup {
    html! { div.card { div.soft { (name) } div.figure { (figure) } div.soft { (note) } } }
}
