//! A picture of figures that grow: both axes are logarithmic, so a straight line is a power, and a flat one a constant.

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::*;

/// The size of a picture in pixels.
const SIZE: (u32, u32) = (900, 520);

/// Draws one line for each name and its points to an SVG file.
pub(super) fn lines(
    path: &Path,
    across: &str,
    lines: &[(String, Vec<(u64, f64)>)],
) -> anyhow::Result<()> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let left = points().map(|(x, _)| *x).min().unwrap_or(1).max(1);
    let right = points().map(|(x, _)| *x).max().unwrap_or(10).max(left + 1);
    let low = points()
        .map(|(_, y)| *y)
        .fold(f64::INFINITY, f64::min)
        .clamp(0.001, 1e9);
    let high = points().map(|(_, y)| *y).fold(low, f64::max);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(
                (left..right).log_scale(),
                (low / 2.0..high * 2.0).log_scale(),
            )?;
        chart
            .configure_mesh()
            .x_desc(across)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (n, (name, points)) in lines.iter().enumerate() {
            let colour = Palette99::pick(n).to_rgba();
            let line =
                LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
            chart.draw_series(line)?.label(name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
            });
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .position(SeriesLabelPosition::UpperLeft)
            .draw()?;
        area.present()?;
        Ok(())
    };
    drawn()
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("the picture cannot be written to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_line_and_a_name_for_each_series() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("growth.svg");
        let series = [
            ("intake".to_owned(), vec![(1_000, 0.5), (1_000_000, 0.7)]),
            ("search".to_owned(), vec![(1_000, 2.0), (1_000_000, 9.0)]),
        ];
        lines(&path, "stored events", &series).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("intake") && svg.contains("search"));
        assert!(svg.contains("stored events"));
        assert!(svg.matches("<polyline").count() >= 2, "{svg}");
    }
}
