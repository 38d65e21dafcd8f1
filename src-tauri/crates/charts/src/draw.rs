//! A sheet to draw on, in units that do not know how many pixels the picture has.

use crate::{
    ChartError,
    font::{self, CAPITAL, FAMILY},
};
use plotters::{
    coord::Shift,
    drawing::DrawingArea,
    element::{Circle, PathElement, Polygon, Rectangle, Text},
    prelude::DrawingBackend,
    style::{
        Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// A point on the sheet, from the upper left corner.
pub(crate) type At = (f64, f64);

/// Where the point given for a text lies in it, from side to side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letters {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) colour: RGBColor,
    pub(crate) side: Side,
}

/// How letters come onto the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lettering {
    /// As text, which the viewer sets.
    Text,
    /// As pixels.
    Pixels,
}

/// Draws on one backend; a unit is `scale` of its pixels.
pub(crate) struct Sheet<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
    scale: f64,
    lettering: Lettering,
}

fn failed(error: impl std::fmt::Display) -> ChartError {
    ChartError::Drawing(error.to_string())
}

impl<DB: DrawingBackend> Sheet<DB> {
    pub(crate) const fn new(area: DrawingArea<DB, Shift>, scale: f64, lettering: Lettering) -> Self {
        Self { area, scale, lettering }
    }

    fn at(&self, (x, y): At) -> (i32, i32) {
        // A value far beyond its axis would not fit a pixel's number; `as` stops at the ends.
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn stroke(&self, colour: RGBColor, width: f64) -> ShapeStyle {
        ShapeStyle {
            color: colour.to_rgba(),
            filled: false,
            stroke_width: (width * self.scale).round().max(1.0) as u32,
        }
    }

    pub(crate) fn fill(&self, colour: RGBColor) -> Result<(), ChartError> {
        self.area.fill(&colour).map_err(failed)
    }

    /// A straight line along the sheet's sides, drawn as a box so that its edges are sharp.
    pub(crate) fn rule(
        &self,
        (x0, y0): At,
        (x1, y1): At,
        colour: RGBColor,
        width: f64,
    ) -> Result<(), ChartError> {
        let (dx, dy) = if y0 == y1 { (0.0, width / 2.0) } else { (width / 2.0, 0.0) };
        self.block((x0 - dx, y0 - dy), (x1 + dx, y1 + dy), colour)
    }

    pub(crate) fn line(&self, points: &[At], colour: RGBColor, width: f64) -> Result<(), ChartError> {
        let points: Vec<(i32, i32)> = points.iter().map(|p| self.at(*p)).collect();
        self.area.draw(&PathElement::new(points, self.stroke(colour, width))).map_err(failed)
    }

    /// A dashed line from side to side.
    pub(crate) fn dashes(&self, (from, to): (f64, f64), y: f64, colour: RGBColor) -> Result<(), ChartError> {
        const ON: f64 = 6.0;
        const OFF: f64 = 4.0;
        let count = ((to - from) / (ON + OFF)).ceil().max(0.0) as usize;
        for i in 0..count {
            let start = from + i as f64 * (ON + OFF);
            self.rule((start, y), ((start + ON).min(to), y), colour, 1.5)?;
        }
        Ok(())
    }

    /// A box.
    pub(crate) fn block(&self, from: At, to: At, colour: RGBColor) -> Result<(), ChartError> {
        self.area.draw(&Rectangle::new([self.at(from), self.at(to)], colour.filled())).map_err(failed)
    }

    pub(crate) fn dot(&self, at: At, colour: RGBColor, radius: f64) -> Result<(), ChartError> {
        let radius = (radius * self.scale).round().max(1.0) as i32;
        self.area.draw(&Circle::new(self.at(at), radius, colour.filled())).map_err(failed)
    }

    pub(crate) fn surface(&self, points: &[At], colour: RGBColor, strength: f64) -> Result<(), ChartError> {
        let points: Vec<(i32, i32)> = points.iter().map(|p| self.at(*p)).collect();
        self.area.draw(&Polygon::new(points, colour.mix(strength).filled())).map_err(failed)
    }

    /// A line of text; `y` is the middle of its capitals.
    pub(crate) fn text(&self, text: &str, (x, y): At, letters: Letters) -> Result<(), ChartError> {
        match self.lettering {
            Lettering::Text => self.as_text(text, (x, y), letters),
            Lettering::Pixels => self.as_pixels(text, (x, y), letters),
        }
    }

    fn as_text(&self, text: &str, (x, y): At, letters: Letters) -> Result<(), ChartError> {
        // The backend puts the middle of an `x` (0.546 of the size in Inter) at the point, and divides the size by this.
        const HALF_X: f64 = 0.273;
        const LINE_PER_EM: f64 = 1.24;
        let at = self.at((x, y + (CAPITAL / 2.0 - HALF_X) * letters.size));
        let side = match letters.side {
            Side::Left => HPos::Left,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Right,
        };
        let weight = if letters.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::Name(FAMILY), letters.size * self.scale * LINE_PER_EM, weight);
        let style = font.color(&letters.colour).pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), at, style)).map_err(failed)
    }

    fn as_pixels(&self, text: &str, (x, y): At, letters: Letters) -> Result<(), ChartError> {
        let size = letters.size * self.scale;
        let wide = font::width(text, size, letters.bold);
        let left = x * self.scale
            - match letters.side {
                Side::Left => 0.0,
                Side::Middle => wide / 2.0,
                Side::Right => wide,
            };
        let base = (y * self.scale + size * CAPITAL / 2.0).round();
        for glyph in font::letters(text, size, letters.bold, left, base) {
            let corner = glyph.px_bounds().min;
            let mut drawn = Ok(());
            glyph.draw(|dx, dy, cover| {
                if cover > 0.0 && drawn.is_ok() {
                    let at = (corner.x as i32 + dx as i32, corner.y as i32 + dy as i32);
                    drawn = self.area.draw_pixel(at, &letters.colour.mix(f64::from(cover.min(1.0))));
                }
            });
            drawn.map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn done(&self) -> Result<(), ChartError> {
        self.area.present().map_err(failed)
    }
}
