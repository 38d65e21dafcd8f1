//! Colours. Each palette keeps its distance from its ground (3:1 and more) and stays apart for people who see few hues.

use plotters::style::RGBColor;
use serde::{Deserialize, Serialize};

/// On paper or on a dark screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

/// Everything that has a colour.
pub(crate) struct Colours {
    pub(crate) ground: RGBColor,
    pub(crate) text: RGBColor,
    pub(crate) quiet: RGBColor,
    pub(crate) grid: RGBColor,
    pub(crate) axis: RGBColor,
    pub(crate) threshold: RGBColor,
    lines: [RGBColor; 8],
}

const fn rgb(hex: u32) -> RGBColor {
    RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const LIGHT: Colours = Colours {
    ground: rgb(0xFF_FFFF),
    text: rgb(0x1B_1F27),
    quiet: rgb(0x5E_6673),
    grid: rgb(0xE7_E9ED),
    axis: rgb(0xBF_C4CC),
    threshold: rgb(0xC6_2828),
    lines: [
        rgb(0x25_63EB),
        rgb(0xD9_6B00),
        rgb(0x0B_8A63),
        rgb(0xB8_3280),
        rgb(0x6D_4AE0),
        rgb(0x0E_84A5),
        rgb(0x8A_6A0A),
        rgb(0x64_6C7A),
    ],
};

const DARK: Colours = Colours {
    ground: rgb(0x13_161B),
    text: rgb(0xE8_EAED),
    quiet: rgb(0x9A_A2AE),
    grid: rgb(0x26_2B33),
    axis: rgb(0x45_4C57),
    threshold: rgb(0xFF_7B72),
    lines: [
        rgb(0x6A_A2FF),
        rgb(0xFF_A657),
        rgb(0x4F_D1A0),
        rgb(0xF2_7FBC),
        rgb(0xA8_93FF),
        rgb(0x56_CBE8),
        rgb(0xE0_C15A),
        rgb(0xA7_AFBC),
    ],
};

impl Colours {
    /// The colour of the line with this number. From the ninth on the colours come again, each time paler.
    pub(crate) fn line(&self, number: usize) -> RGBColor {
        let colour = self.lines[number % self.lines.len()];
        let share = 0.7_f64.powi(i32::try_from(number / self.lines.len()).unwrap_or(i32::MAX)).max(0.3);
        let mix = |a: u8, b: u8| (f64::from(a) * share + f64::from(b) * (1.0 - share)).round() as u8;
        let ground = self.ground;
        RGBColor(mix(colour.0, ground.0), mix(colour.1, ground.1), mix(colour.2, ground.2))
    }
}

impl Theme {
    pub(crate) const fn colours(self) -> &'static Colours {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}
