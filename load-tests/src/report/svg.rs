//! Line charts as SVG, without a library: the page must open anywhere, offline, in light and dark.
#![expect(clippy::float_arithmetic, reason = "coordinates of plotted measurements")]

use super::text::figure;
use std::fmt::Write;

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// Points by rising x: along the axis, value.
    pub points: Vec<(f64, f64)>,
}

/// How values are placed on the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0, evenly.
    Linear,
    /// By powers of ten; values below a thousandth of the greatest lie on the floor.
    Logarithmic,
}

/// What lies along the horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    /// Time since a start; where nothing is known for a while, lines are broken.
    Seconds,
    /// A rate; lines join whatever points there are.
    EventsPerSecond,
}

/// A chart of a few lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Unit of the values.
    pub unit: String,
    /// Vertical axis.
    pub scale: Scale,
    /// Horizontal axis.
    pub across: Across,
    /// Lines, at most as many as there are colours (6) keep apart.
    pub lines: Vec<Line>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// Points further apart than this, in seconds, are not joined: a line across an outage would hide it.
const LONGEST_STEP: f64 = 2.5;

/// The extent of a chart's values.
struct Frame {
    seconds: f64,
    least: f64,
    greatest: f64,
    scale: Scale,
}

impl Chart {
    /// The chart as a `<figure>`; empty when there is nothing to draw.
    #[must_use]
    pub fn render(&self) -> String {
        let Some(frame) = self.frame() else { return String::new() };
        let mut svg = format!(
            "<figure><figcaption>{} <small>({})</small></figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">",
            escape(&self.title),
            escape(&self.unit)
        );
        self.grid(&frame, &mut svg);
        for (index, line) in self.lines.iter().enumerate() {
            let is_joined = |before: f64, after: f64| self.across != Across::Seconds || after - before <= LONGEST_STEP;
            for stretch in line.points.chunk_by(|(before, _), (after, _)| is_joined(*before, *after)) {
                let points: Vec<String> =
                    stretch.iter().map(|(x, y)| format!("{:.1},{:.1}", frame.x(*x), frame.y(*y))).collect();
                // Writing to a String cannot fail.
                let _ = write!(svg, "<polyline class=\"l{}\" points=\"{}\"/>", index % 6, points.join(" "));
            }
        }
        svg.push_str("</svg><p class=\"legend\">");
        for (index, line) in self.lines.iter().enumerate() {
            let _ = write!(svg, "<span class=\"k{}\">{}</span> ", index % 6, escape(&line.name));
        }
        svg.push_str("</p></figure>");
        svg
    }

    fn frame(&self) -> Option<Frame> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let seconds = points().map(|(x, _)| *x).reduce(f64::max)?.max(1.0);
        let greatest = points().map(|(_, y)| *y).reduce(f64::max)?;
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let least = match self.scale {
            Scale::Linear => 0.0,
            Scale::Logarithmic => {
                let positive = points().map(|(_, y)| *y).filter(|y| *y > 0.0);
                let floor = positive.reduce(f64::min).unwrap_or(greatest).max(greatest / 1_000.0);
                10_f64.powf(floor.log10().floor())
            }
        };
        let greatest = match self.scale {
            Scale::Linear => nice_step(greatest) * (greatest / nice_step(greatest)).ceil(),
            Scale::Logarithmic => 10_f64.powf(greatest.log10().ceil()).max(least * 10.0),
        };
        Some(Frame { seconds, least, greatest, scale: self.scale })
    }

    fn grid(&self, frame: &Frame, svg: &mut String) {
        for value in frame.ticks() {
            let y = frame.y(value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                tick(value)
            );
        }
        let unit = if self.across == Across::Seconds { " s" } else { "/s" };
        let step = nice_step(frame.seconds);
        let mut second = 0.0;
        while second <= frame.seconds + step / 1_000.0 {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}{unit}</text>",
                frame.x(second),
                HEIGHT - 8.0,
                tick(second)
            );
            second += step;
        }
    }
}

impl Frame {
    fn x(&self, second: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => value / self.greatest,
            Scale::Logarithmic => (value.max(self.least) / self.least).log10() / (self.greatest / self.least).log10(),
        };
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0))
    }

    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut value = self.least;
        while value <= self.greatest * 1.000_001 && ticks.len() < 20 {
            ticks.push(value);
            value = match self.scale {
                Scale::Linear => value + nice_step(self.greatest),
                Scale::Logarithmic => value * 10.0,
            };
        }
        ticks
    }
}

/// The label of a tick: whole numbers without decimals.
fn tick(value: f64) -> String {
    let text = figure(value);
    if value.fract() == 0.0 && text.contains('.') { format!("{value:.0}") } else { text }
}

/// 1, 2 or 5 times a power of ten, four to ten of which make up `extent`.
fn nice_step(extent: f64) -> f64 {
    let magnitude = 10_f64.powf((extent / 4.0).log10().floor());
    let within = [5.0, 2.0].into_iter().find(|factor| extent / (magnitude * factor) >= 4.0);
    magnitude * within.unwrap_or(1.0)
}

/// Text that is safe between tags and in attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale, points: Vec<(f64, f64)>) -> String {
        let line = Line { name: "a<b".into(), points };
        Chart { title: "T".into(), unit: "u".into(), scale, across: Across::Seconds, lines: vec![line] }.render()
    }

    #[test]
    fn a_chart_stays_in_its_frame_and_escapes_names() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let svg = chart(scale, vec![(0.0, 0.0), (5.0, 123.0), (9.0, 9_999.0)]);
            assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
            for point in points.split(' ') {
                let (x, y) = point.split_once(',').unwrap();
                assert!(
                    (LEFT..=WIDTH).contains(&x.parse().unwrap())
                        && (TOP..=HEIGHT - BOTTOM).contains(&y.parse().unwrap())
                );
            }
        }
    }

    #[test]
    fn an_outage_breaks_the_line() {
        let svg = chart(Scale::Linear, vec![(0.0, 1.0), (1.0, 1.0), (5.0, 1.0), (6.0, 1.0)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">5 s<") && svg.contains(">1<"), "{svg}");
    }

    #[test]
    fn nothing_to_draw_draws_nothing_and_zeros_draw_a_line() {
        assert_eq!(chart(Scale::Linear, Vec::new()), "");
        assert!(chart(Scale::Logarithmic, vec![(0.0, 0.0)]).contains("polyline"));
    }

    #[test]
    fn steps_are_one_two_or_five() {
        assert_eq!([10.0, 9.0, 60.0, 400_000.0].map(nice_step), [2.0, 2.0, 10.0, 100_000.0]);
    }
}
