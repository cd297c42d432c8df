//! The page: the frame and the style that every HTML file of the host has. A page is one file that needs nothing from
//! elsewhere, carries no script, and follows the reader's own choice of a light or a dark palette.
//!
//! Whatever is put into it goes through maud, which escapes what a model or a dataset wrote.

mod style;

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A whole page around its body.
pub fn page(title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(style::STYLE)) }
            }
            body { main { (body) } }
        }
    }
    .into_string()
}

/// A figure with its name above and a note below.
pub fn card(name: &str, figure: &str, note: &str) -> Markup {
    html! { div.card { div.soft { (name) } div.figure { (figure) } div.soft { (note) } } }
}
