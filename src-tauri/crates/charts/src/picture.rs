//! The page: title and span above, the chart with its axes, the legend below.

use crate::{
    ChartError, ChartSpec, MAX_SERIES, MAX_SIDE, MIN_SIDE,
    draw::{At, Lettering, Letters, Sheet, Side},
    font::{fitted, width},
    line::{Piece, pieces, thinned},
    theme::Colours,
    time::TimeAxis,
    value::{ValueAxis, drawable},
};
use clusterdeck_domain::Series;
use plotters::{
    backend::{BitMapBackend, SVGBackend},
    drawing::IntoDrawingArea,
    prelude::DrawingBackend,
    style::RGBColor,
};

/// The size at which the letters have their usual size; larger pictures have larger letters.
const USUAL: (f64, f64) = (960.0, 400.0);
/// Steps of a pixel in an SVG, so that lines are smooth: the drawing library knows whole numbers only.
const FINE: f64 = 8.0;
/// Most pixels while a PNG is drawn larger than it will be, to smooth its edges: 48 MiB.
const ROOM: u64 = 16 << 20;

const MARGIN: f64 = 16.0;
const TITLE: f64 = 15.0;
const SMALL: f64 = 11.0;
const LEGEND_LINE: f64 = 18.0;
const SWATCH: f64 = 14.0;
const LINE: f64 = 1.6;

pub(crate) fn svg(spec: &ChartSpec, series: &[Series]) -> Result<String, ChartError> {
    let chart = Chart::of(spec, series)?;
    let mut text = String::new();
    let (w, h) = (f64::from(spec.width) * FINE, f64::from(spec.height) * FINE);
    {
        let area = SVGBackend::with_string(&mut text, (w as u32, h as u32)).into_drawing_area();
        chart.draw(&Sheet::new(area, chart.zoom * FINE, Lettering::Text))?;
    }
    // The library writes the fine size into the first tag; the picture has its own, and a name for who cannot see it.
    let body = text.find('>').map_or("", |end| &text[end + 1..]);
    let name = escaped(&format!("{}, {}", chart.title, chart.time.captions()[0]));
    Ok(format!(
        "<svg width=\"{}\" height=\"{}\" viewBox=\"0 0 {w} {h}\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <title>{name}</title>{body}",
        spec.width, spec.height
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(crate) fn png(spec: &ChartSpec, series: &[Series]) -> Result<Vec<u8>, ChartError> {
    let chart = Chart::of(spec, series)?;
    let pixels = u64::from(spec.width) * u64::from(spec.height);
    let times = [3_u32, 2].into_iter().find(|t| pixels * u64::from(t * t) <= ROOM).unwrap_or(1);
    let (w, h) = (spec.width * times, spec.height * times);
    // The library leaves out the last row and column when it fills a sheet.
    let ground = chart.colours().ground;
    let mut large = [ground.0, ground.1, ground.2].repeat(w as usize * h as usize);
    {
        let area = BitMapBackend::with_buffer(&mut large, (w, h)).into_drawing_area();
        chart.draw(&Sheet::new(area, chart.zoom * f64::from(times), Lettering::Pixels))?;
    }
    let image = shrunk(large, spec.width as usize, spec.height as usize, times as usize);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, spec.width, spec.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let failed = |e: png::EncodingError| ChartError::Drawing(e.to_string());
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&image).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// Each pixel is the mean of the `times` by `times` ones it was drawn as.
fn shrunk(large: Vec<u8>, w: usize, h: usize, times: usize) -> Vec<u8> {
    if times == 1 {
        return large;
    }
    let count = (times * times) as u16;
    let mut small = Vec::with_capacity(w * h * 3);
    let mut sums = vec![0_u16; w * 3];
    for rows in large.chunks_exact(w * times * 3 * times) {
        sums.fill(0);
        for row in rows.chunks_exact(w * times * 3) {
            for (sum, drawn) in sums.chunks_exact_mut(3).zip(row.chunks_exact(times * 3)) {
                for pixel in drawn.chunks_exact(3) {
                    for (s, p) in sum.iter_mut().zip(pixel) {
                        *s += u16::from(*p);
                    }
                }
            }
        }
        small.extend(sums.iter().map(|s| ((s + count / 2) / count) as u8));
    }
    small
}

/// One line of the legend and the pieces it stands for.
struct Line {
    name: String,
    pieces: Vec<Piece>,
}

/// Everything decided before the first stroke.
struct Chart<'a> {
    spec: &'a ChartSpec,
    title: String,
    lines: Vec<Line>,
    /// Series beyond the limit.
    left_out: usize,
    time: TimeAxis,
    /// Pixels of a unit.
    zoom: f64,
    /// The sheet in units.
    size: (f64, f64),
}

/// The chart inside its axes, in units.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl<'a> Chart<'a> {
    fn of(spec: &'a ChartSpec, series: &[Series]) -> Result<Self, ChartError> {
        let sides = MIN_SIDE..=MAX_SIDE;
        if !sides.contains(&spec.width) || !sides.contains(&spec.height) {
            return Err(ChartError::Size { width: spec.width, height: spec.height });
        }
        let time = TimeAxis::new(spec.from, spec.to, spec.utc_offset_seconds)?;
        let ours: Vec<&Series> = series.iter().filter(|s| s.metric == spec.metric).collect();
        let (w, h) = (f64::from(spec.width), f64::from(spec.height));
        let zoom = (w / USUAL.0).min(h / USUAL.1).max(1.0);
        let columns = (w / zoom) as usize;
        let line = |s: &&Series| Line {
            name: s.node.clone(),
            pieces: pieces(&s.points, spec.from, spec.to)
                .iter()
                .map(|p| thinned(p, spec.from, spec.to, columns))
                .collect(),
        };
        Ok(Self {
            spec,
            title: spec.title.clone().unwrap_or_else(|| spec.metric.title().to_owned()),
            lines: ours.iter().take(MAX_SERIES).map(line).collect(),
            left_out: ours.len().saturating_sub(MAX_SERIES),
            time,
            zoom,
            size: (w / zoom, h / zoom),
        })
    }

    fn colours(&self) -> &'static Colours {
        self.spec.theme.colours()
    }

    fn colour(&self, line: usize) -> RGBColor {
        self.colours().line(line)
    }

    fn small(&self, colour: RGBColor, side: Side) -> Letters {
        Letters { size: SMALL, bold: false, colour, side }
    }

    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> Result<(), ChartError> {
        sheet.fill(self.colours().ground)?;
        let top = self.head(sheet)?;
        let bottom = self.legend(sheet)?;
        let values = self.values(bottom - top);
        let labels = values.ticks.iter().map(|t| width(&values.label(*t), SMALL, false)).fold(0.0, f64::max);
        let frame = Frame {
            left: MARGIN + labels + 8.0,
            right: self.size.0 - MARGIN,
            top: top + 8.0,
            // Below it the labels of the time axis.
            bottom: bottom - 22.0,
        };
        self.axes(sheet, frame, &values)?;
        self.thresholds(sheet, frame, &values)?;
        if self.lines.iter().all(|l| l.pieces.is_empty()) {
            let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
            let letters =
                Letters { size: 14.0, bold: false, colour: self.colours().quiet, side: Side::Middle };
            let half = width("No data", letters.size, false) / 2.0 + 10.0;
            let (x, y) = middle;
            sheet.block((x - half, y - 12.0), (x + half, y + 12.0), self.colours().ground)?;
            sheet.text("No data", middle, letters)?;
        }
        for (i, line) in self.lines.iter().enumerate() {
            self.line(sheet, frame, &values, i, line)?;
        }
        sheet.done()
    }

    /// Title to the left, span to the right; the span goes below where both do not fit. Returns where the chart may begin.
    fn head<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> Result<f64, ChartError> {
        let colours = self.colours();
        let (left, right) = (MARGIN, self.size.0 - MARGIN);
        let fits = |text: &String| width(text, SMALL, false) <= right - left;
        let caption = self.time.captions().into_iter().find(fits).unwrap_or_default();
        let title = fitted(&self.title, TITLE, true, right - left);
        let beside = width(&title, TITLE, true) + 24.0 + width(&caption, SMALL, false) <= right - left;
        let first = MARGIN + TITLE / 2.0;
        let letters = Letters { size: TITLE, bold: true, colour: colours.text, side: Side::Left };
        sheet.text(&title, (left, first), letters)?;
        if beside {
            sheet.text(&caption, (right, first), self.small(colours.quiet, Side::Right))?;
            return Ok(first + TITLE / 2.0 + 8.0);
        }
        let second = first + TITLE / 2.0 + 4.0 + SMALL / 2.0;
        sheet.text(&caption, (left, second), self.small(colours.quiet, Side::Left))?;
        Ok(second + SMALL / 2.0 + 8.0)
    }

    /// Names in rows from the lower edge up, as many as a third of the sheet holds. Returns where the chart must end.
    fn legend<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> Result<f64, ChartError> {
        let end = self.size.1 - MARGIN;
        let room = self.size.0 - 2.0 * MARGIN;
        let most_rows = ((self.size.1 / 3.0 / LEGEND_LINE) as usize).max(1);
        let mut rows: Vec<Vec<(String, Option<usize>, f64)>> = Vec::new();
        let mut used = f64::INFINITY;
        let mut shown = 0;
        for (i, line) in self.lines.iter().enumerate() {
            let name = fitted(&line.name, SMALL, false, room - SWATCH - 6.0);
            let wide = SWATCH + 6.0 + width(&name, SMALL, false) + 18.0;
            if used + wide - 18.0 > room {
                // The last row keeps room for the count of those that are not shown.
                if rows.len() == most_rows {
                    break;
                }
                rows.push(Vec::new());
                used = 0.0;
            }
            if let Some(row) = rows.last_mut() {
                row.push((name, Some(i), used));
            }
            used += wide;
            shown += 1;
        }
        let mut hidden = self.lines.len() - shown + self.left_out;
        if hidden > 0
            && let Some(row) = rows.last_mut()
        {
            // Names give way until the count fits behind them.
            loop {
                let text = format!("and {hidden} more");
                let at = row
                    .last()
                    .map_or(0.0, |(name, _, at)| at + SWATCH + 6.0 + width(name, SMALL, false) + 18.0);
                if at + width(&text, SMALL, false) <= room || row.is_empty() {
                    row.push((text, None, at));
                    break;
                }
                row.pop();
                hidden += 1;
            }
        }
        let start = end - rows.len() as f64 * LEGEND_LINE;
        for (r, row) in rows.iter().enumerate() {
            let y = start + (r as f64 + 0.5) * LEGEND_LINE + 4.0;
            for (name, line, at) in row {
                let x = MARGIN + at;
                let mut text_at = x;
                if let Some(line) = line {
                    sheet.rule((x, y), (x + SWATCH, y), self.colour(*line), 3.0)?;
                    text_at += SWATCH + 6.0;
                }
                let colour = if line.is_some() { self.colours().text } else { self.colours().quiet };
                sheet.text(name, (text_at, y), self.small(colour, Side::Left))?;
            }
        }
        Ok(start)
    }

    fn values(&self, height: f64) -> ValueAxis {
        let measured = self.lines.iter().flat_map(|l| l.pieces.iter().flatten().map(|p| p.1));
        let marked = self.spec.thresholds.iter().map(|t| t.value).filter(|v| drawable(*v));
        let (low, high) = measured.chain(marked).fold((0.0_f64, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        ValueAxis::new(self.spec.metric.unit(), low, high, ((height / 44.0) as usize).clamp(2, 8))
    }

    fn axes<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        f: Frame,
        values: &ValueAxis,
    ) -> Result<(), ChartError> {
        let colours = self.colours();
        for tick in &values.ticks {
            let y = f.y(values.place(*tick));
            let colour = if *tick == 0.0 { colours.axis } else { colours.grid };
            sheet.rule((f.left, y), (f.right, y), colour, 1.0)?;
            sheet.text(&values.label(*tick), (f.left - 8.0, y), self.small(colours.quiet, Side::Right))?;
        }
        for (at, label) in self.time.ticks(((f.right - f.left) / 84.0) as usize) {
            let x = f.x(self.time.place(at));
            sheet.rule((x, f.bottom), (x, f.bottom + 4.0), colours.axis, 1.0)?;
            // A label stays on the sheet; its mark stays where it is.
            let half = width(&label, SMALL, false) / 2.0;
            let middle = x.clamp(half + 2.0, self.size.0 - half - 2.0);
            sheet.text(&label, (middle, f.bottom + 13.0), self.small(colours.quiet, Side::Middle))?;
        }
        Ok(())
    }

    fn thresholds<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        f: Frame,
        values: &ValueAxis,
    ) -> Result<(), ChartError> {
        let colour = self.colours().threshold;
        for mark in self.spec.thresholds.iter().filter(|t| drawable(t.value)) {
            let y = f.y(values.place(mark.value));
            sheet.dashes((f.left, f.right), y, colour)?;
            let label = fitted(&mark.label, SMALL, false, f.right - f.left);
            // Above its line, or below where that would leave the chart.
            let at = if y - 10.0 < f.top { y + 10.0 } else { y - 9.0 };
            sheet.text(&label, (f.right - 2.0, at), self.small(colour, Side::Right))?;
        }
        Ok(())
    }

    fn line<DB: DrawingBackend>(
        &self,
        sheet: &Sheet<DB>,
        f: Frame,
        values: &ValueAxis,
        index: usize,
        line: &Line,
    ) -> Result<(), ChartError> {
        for piece in &line.pieces {
            let points: Vec<At> =
                piece.iter().map(|(at, v)| (f.x(self.time.place(*at)), f.y(values.place(*v)))).collect();
            let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
            if points.len() == 1 {
                sheet.dot(*first, self.colour(index), 2.5)?;
                continue;
            }
            if self.lines.len() == 1 {
                let ground = f.y(values.place(0.0));
                let around = [&points[..], &[(last.0, ground), (first.0, ground)]].concat();
                sheet.surface(&around, self.colour(index), 0.12)?;
            }
            sheet.line(&points, self.colour(index), LINE)?;
        }
        Ok(())
    }
}

impl Frame {
    fn x(self, place: f64) -> f64 {
        self.left + (self.right - self.left) * place
    }
    fn y(self, place: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * place
    }
}
