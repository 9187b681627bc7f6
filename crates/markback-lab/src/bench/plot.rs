//! A picture of costs that grow: a small panel for each, whose axes are both logarithmic, so a straight line is a power, and
//! a flat one a constant.

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::*;

/// The size of a panel, and of the head, in pixels.
const PANEL: (u32, u32) = (300, 190);
const HEAD: u32 = 60;
const ACROSS: usize = 4;
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 181), RGBColor(200, 80, 20)];

/// One cost, with its points on each line: how many times as large the size is, and the cost.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) lines: [Vec<(f64, f64)>; 2],
}

/// Draws the panels to an SVG file, with the names of the two lines above them.
pub(super) fn panels(path: &Path, names: &[String; 2], panels: &[Panel]) -> anyhow::Result<()> {
    let rows = panels.len().div_ceil(ACROSS);
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        let (across, down) = (u32::try_from(ACROSS)?, u32::try_from(rows)?);
        let size = (PANEL.0 * across, PANEL.1 * down + HEAD);
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        let (head, body) = area.split_vertically(HEAD);
        for ((n, name), colour) in (0i32..).zip(names).zip(COLOURS) {
            let y = 18 + n * 22;
            let points = [(16, y), (40, y)];
            head.draw(&PathElement::new(points, colour.stroke_width(2)))?;
            head.draw(&Text::new(name.as_str(), (48, y - 8), ("sans-serif", 16)))?;
        }
        for (panel, area) in panels.iter().zip(body.split_evenly((rows, ACROSS))) {
            panel.draw(&area)?;
        }
        area.present()?;
        Ok(())
    };
    drawn()
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("the picture cannot be written to {}", path.display()))
}

impl Panel {
    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.lines.iter().flatten();
        let right = points().map(|(x, _)| *x).fold(10.0, f64::max);
        let low = points().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        let low = low.clamp(1e-3, 1e9);
        // Two powers of ten at least, so that small differences look small.
        let high = points().map(|(_, y)| *y).fold(low * 20.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 15))
            .margin(8)
            .x_label_area_size(22)
            .y_label_area_size(48)
            .build_cartesian_2d(
                (1.0..right).log_scale(),
                (low / 5.0..high * 2.0).log_scale(),
            )?;
        chart
            .configure_mesh()
            .x_labels(4)
            .y_labels(5)
            .light_line_style(TRANSPARENT)
            .y_label_formatter(&|y| format!("{y}"))
            .draw()?;
        for (points, colour) in self.lines.iter().zip(COLOURS) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            chart.draw_series(line.point_size(3))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_panel_for_each_cost_and_names_both_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("growth.svg");
        let panel = |title: &str, cost: f64| Panel {
            title: title.to_owned(),
            lines: [
                vec![(1.0, cost), (100.0, 2.0 * cost)],
                vec![(1.0, cost), (100.0, cost)],
            ],
        };
        let names = ["times as many events", "times as many schools"].map(str::to_owned);
        panels(&path, &names, &[panel("intake", 0.5), panel("search", 9.0)]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg"));
        for text in [
            "intake",
            "search",
            "times as many events",
            "times as many schools",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.matches("<polyline").count() >= 4, "{svg}");
    }
}
