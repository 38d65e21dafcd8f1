//! The one typeface, carried along: a server without a screen has no fonts.
//!
//! Letters of a bitmap are set here. The drawing library sets each as if it had no room of its own at its left, which
//! makes small text uneven.

use ab_glyph::{Font, FontRef, OutlinedGlyph, PxScale, ScaleFont, point};
use std::sync::LazyLock;

/// What stands in an SVG: a viewer without Inter takes its own.
pub(crate) const FAMILY: &str = "Inter, sans-serif";
/// Height of a capital, in the size of the text (Inter's `OS/2` table: 1490 of 2048).
pub(crate) const CAPITAL: f64 = 0.727;

static REGULAR: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../fonts/Inter-Regular.ttf")).ok());
static BOLD: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../fonts/Inter-SemiBold.ttf")).ok());

/// The typeface. A test holds both files to be readable; without one the text stays away, not the chart.
fn face(bold: bool) -> Option<&'static FontRef<'static>> {
    if bold { BOLD.as_ref() } else { REGULAR.as_ref() }
}

/// The library's size of a text whose em is `size` pixels: it reckons from ascender to descender.
fn scale(font: &FontRef<'_>, size: f64) -> PxScale {
    let em = f64::from(font.units_per_em().unwrap_or(2048.0));
    PxScale::from((size * f64::from(font.height_unscaled()) / em) as f32)
}

/// How wide a text is, in pixels like its size.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let Some(font) = face(bold) else { return 0.0 };
    let scaled = font.as_scaled(scale(font, size));
    text.chars().map(|c| f64::from(scaled.h_advance(scaled.glyph_id(c)))).sum()
}

/// The outlines of a line of text that begins at `x` on the base line `y`.
pub(crate) fn letters(text: &str, size: f64, bold: bool, x: f64, y: f64) -> Vec<OutlinedGlyph> {
    let Some(font) = face(bold) else { return Vec::new() };
    let scale = scale(font, size);
    let scaled = font.as_scaled(scale);
    let mut at = x as f32;
    let mut outlines = Vec::new();
    for c in text.chars() {
        let id = scaled.glyph_id(c);
        outlines.extend(font.outline_glyph(id.with_scale_and_position(scale, point(at, y as f32))));
        at += scaled.h_advance(id);
    }
    outlines
}

/// The text, shortened with an ellipsis to fit. A name may be as long as it likes: no more of it is measured than fits.
pub(crate) fn fitted(text: &str, size: f64, bold: bool, room: f64) -> String {
    let advance = |c: char| width(c.encode_utf8(&mut [0; 4]), size, bold);
    let dots = advance('…');
    let mut used = 0.0;
    // Where the text ends when an ellipsis must follow.
    let mut end = None;
    for (at, c) in text.char_indices() {
        if end.is_none() && used + advance(c) + dots > room {
            end = Some(at);
        }
        used += advance(c);
        if used > room {
            return match end {
                Some(end) if end > 0 => format!("{}…", &text[..end]),
                _ => String::new(),
            };
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_shortened_and_not_cut() {
        assert!(face(false).is_some() && face(true).is_some(), "both files can be read");
        let room = width("production-o", 12.0, false);
        let short = fitted("production-orders-3", 12.0, false, room);
        assert!(short.ends_with('…') && width(&short, 12.0, false) <= room, "{short}");
        assert_eq!(fitted("demo", 12.0, false, room), "demo");
        assert_eq!(fitted("demo", 12.0, false, 0.0), "", "no room, no text");
    }
}
