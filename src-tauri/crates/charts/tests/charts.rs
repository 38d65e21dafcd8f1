//! Pictures as a whole: what must be in them, and that nothing that comes in breaks them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop so")]

use clusterdeck_charts::{
    ChartError, ChartSpec, MAX_SERIES, MAX_SIDE, MIN_SIDE, Theme, Threshold, render_png, render_svg,
};
use clusterdeck_domain::{METRICS, Metric, Point, Series};

/// 2026-11-22 11:00 UTC.
const FROM: i64 = 1_795_345_200_000;
const HOUR: i64 = 3_600_000;
const MIB: f64 = 1_048_576.0;

fn spec(metric: Metric) -> ChartSpec {
    ChartSpec {
        metric,
        title: None,
        from: FROM,
        to: FROM + HOUR,
        utc_offset_seconds: 0,
        width: 480,
        height: 240,
        theme: Theme::Light,
        thresholds: Vec::new(),
    }
}

fn series(metric: Metric, node: &str, values: &[Option<f64>]) -> Series {
    let step = HOUR / (values.len() as i64).max(2);
    let points =
        values.iter().enumerate().map(|(i, value)| Point { at: FROM + i as i64 * step, value: *value });
    Series { metric, unit: metric.unit(), node: node.to_owned(), points: points.collect() }
}

fn flat(metric: Metric, node: &str, value: f64) -> Series {
    series(metric, node, &[Some(value); 13])
}

/// Red, green and blue of each pixel, row by row, and how many there are in a row.
fn pixels(png: &[u8]) -> (Vec<[u8; 3]>, usize, usize) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    let all = buffer.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    (all, info.width as usize, info.height as usize)
}

fn texts(svg: &str) -> Vec<&str> {
    let of =
        |piece: &'_ str| -> Option<(usize, usize)> { Some((piece.find('>')? + 1, piece.find("</text>")?)) };
    svg.split("<text ").skip(1).filter_map(|p| of(p).map(|(a, b)| p[a..b].trim())).collect()
}

#[test]
fn a_chart_says_what_it_shows_by_itself() {
    let data =
        [flat(Metric::MemoryBytes, "demo-1", 300.0 * MIB), flat(Metric::MemoryBytes, "demo-2", 700.0 * MIB)];
    let svg = render_svg(&spec(Metric::MemoryBytes), &data).unwrap();
    let texts = texts(&svg);
    for expected in
        ["Memory", "22 Nov 2026, 11:00 – 12:00 UTC", "0 B", "512 MiB", "11:30", "demo-1", "demo-2"]
    {
        assert!(texts.contains(&expected), "`{expected}` is in {texts:?}");
    }
    assert!(svg.starts_with("<svg width=\"480\" height=\"240\""), "it has the size asked for");
    assert!(svg.contains("<title>Memory, 22 Nov 2026, 11:00 – 12:00 UTC</title>"), "and a name");
    assert!(svg.trim_end().ends_with("</svg>"));
}

#[test]
fn times_are_those_of_the_wall_asked_for() {
    let spec = ChartSpec { utc_offset_seconds: 5 * 3_600 + 1_800, ..spec(Metric::Clients) };
    let svg = render_svg(&spec, &[flat(Metric::Clients, "demo-1", 3.0)]).unwrap();
    assert!(texts(&svg).contains(&"22 Nov 2026, 16:30 – 17:30 UTC+05:30"), "{:?}", texts(&svg));
}

#[test]
fn a_chart_without_data_says_so_and_keeps_its_axes() {
    let silent = series(Metric::CpuPercent, "demo-1", &[None; 10]);
    for data in [&[][..], &[silent], &[flat(Metric::Clients, "demo-1", 1.0)]] {
        let svg = render_svg(&spec(Metric::CpuPercent), data).unwrap();
        let texts = texts(&svg);
        assert!(texts.contains(&"No data") && texts.contains(&"100 %"), "{texts:?}");
        assert_eq!(svg.matches("<polyline").count(), 0, "no line is drawn");
    }
    let some = render_svg(&spec(Metric::CpuPercent), &[flat(Metric::CpuPercent, "demo-1", 1.0)]).unwrap();
    assert!(!texts(&some).contains(&"No data"));
}

#[test]
fn a_gap_is_drawn_as_a_gap() {
    let whole = [Some(1.0); 12];
    let mut broken = whole;
    broken[5] = None;
    let lines = |values: &[Option<f64>]| {
        let svg = render_svg(&spec(Metric::Clients), &[series(Metric::Clients, "demo-1", values)]).unwrap();
        svg.matches("<polyline").count()
    };
    assert_eq!((lines(&whole), lines(&broken)), (1, 2));
}

#[test]
fn one_value_alone_is_still_seen() {
    let mut one = [None; 9];
    one[4] = Some(2.0);
    let svg = render_svg(&spec(Metric::Clients), &[series(Metric::Clients, "demo-1", &one)]).unwrap();
    assert_eq!(svg.matches("<circle").count(), 1, "as a dot");
}

#[test]
fn a_threshold_is_drawn_with_its_name_and_fits_the_axis() {
    let mut spec = spec(Metric::MemoryBytes);
    spec.thresholds = vec![
        Threshold { value: 900.0 * MIB, label: "alert above 900 MiB".to_owned() },
        Threshold { value: f64::NAN, label: "nothing".to_owned() },
    ];
    let svg = render_svg(&spec, &[flat(Metric::MemoryBytes, "demo-1", 10.0 * MIB)]).unwrap();
    let texts = texts(&svg);
    assert!(texts.contains(&"alert above 900 MiB") && texts.contains(&"1 GiB"), "{texts:?}");
    assert!(!texts.contains(&"nothing"), "what is no number is nowhere");
}

#[test]
fn names_cannot_break_out_of_the_picture() {
    let evil = "<script>alert('x')</script>&\"";
    let spec = ChartSpec { title: Some(evil.to_owned()), ..spec(Metric::Clients) };
    let svg = render_svg(&spec, &[flat(Metric::Clients, evil, 1.0)]).unwrap();
    assert!(!svg.contains("<script"), "{svg}");
    assert!(svg.contains("&lt;script&gt;"));
}

#[test]
fn every_metric_can_be_drawn_in_both_themes_and_forms() {
    for metric in METRICS {
        for theme in [Theme::Light, Theme::Dark] {
            let spec = ChartSpec { theme, width: 200, height: 160, ..spec(metric) };
            let data = [flat(metric, "demo-1", 12.0)];
            assert!(texts(&render_svg(&spec, &data).unwrap()).contains(&metric.title()));
            let (all, w, h) = pixels(&render_png(&spec, &data).unwrap());
            assert_eq!((w, h, all.len()), (200, 160, 200 * 160), "{metric:?}");
        }
    }
}

#[test]
fn a_bitmap_has_its_ground_to_the_edges_and_its_line_in_the_middle() {
    for (theme, ground, line) in [
        (Theme::Light, [255, 255, 255], [0x25, 0x63, 0xEB]),
        (Theme::Dark, [0x13, 0x16, 0x1B], [0x6A, 0xA2, 0xFF]),
    ] {
        let spec = ChartSpec { theme, ..spec(Metric::CpuPercent) };
        let (all, w, h) = pixels(&render_png(&spec, &[flat(Metric::CpuPercent, "demo-1", 50.0)]).unwrap());
        for corner in [0, w - 1, (h - 1) * w, h * w - 1, (h - 1) * w + w / 2] {
            assert_eq!(all[corner], ground, "{theme:?}, pixel {corner}");
        }
        let near = |p: &[u8; 3]| p.iter().zip(line).all(|(a, b)| a.abs_diff(b) < 24);
        let column = |x: usize| (0..h).filter(|y| near(&all[y * w + x])).count();
        assert!((1..=3).contains(&column(w / 2)), "{theme:?}: {} pixels of the line", column(w / 2));
        let greys = all.iter().filter(|p| **p != ground).count();
        assert!(greys > 1_000, "letters and lines are there: {greys}");
    }
}

#[test]
fn more_nodes_than_have_room_are_counted() {
    let many: Vec<Series> =
        (1..=90).map(|n| flat(Metric::Clients, &format!("orders-{n}"), f64::from(n))).collect();
    let svg = render_svg(&spec(Metric::Clients), &many).unwrap();
    let texts = texts(&svg);
    let named = texts.iter().filter(|t| t.starts_with("orders-")).count();
    let rest =
        texts.iter().find_map(|t| t.strip_prefix("and ")?.strip_suffix(" more")?.parse::<usize>().ok());
    assert_eq!(named + rest.unwrap(), 90, "{texts:?}");
    assert_eq!(svg.matches("<polyline").count(), MAX_SERIES);
    render_png(&spec(Metric::Clients), &many).unwrap();
}

#[test]
fn many_points_make_no_large_picture_and_lose_no_spike() {
    let mut values = vec![Some(1.0); 50_000];
    values[31_234] = Some(77.0);
    let svg = render_svg(&spec(Metric::Clients), &[series(Metric::Clients, "demo-1", &values)]).unwrap();
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
    assert!(texts(&svg).contains(&"100"), "the axis reaches the spike: {:?}", texts(&svg));
    let line = svg.split("<polyline").nth(1).unwrap();
    let heights = line.split("points=\"").nth(1).unwrap().split_whitespace().take_while(|p| p.contains(','));
    let ys: Vec<i64> = heights
        .map(|p| p.split(',').nth(1).unwrap().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap())
        .collect();
    assert!(ys.iter().max().unwrap() - ys.iter().min().unwrap() > 500, "the spike is drawn");
}

#[test]
fn sizes_spans_and_zones_that_cannot_be_drawn_are_refused() {
    let refused = |edit: &dyn Fn(&mut ChartSpec)| {
        let mut spec = spec(Metric::Clients);
        edit(&mut spec);
        let svg = render_svg(&spec, &[]).unwrap_err();
        assert_eq!(render_png(&spec, &[]).unwrap_err(), svg, "both forms refuse the same");
        svg
    };
    for (w, h) in [(MIN_SIDE - 1, 300), (300, MIN_SIDE - 1), (MAX_SIDE + 1, 300), (300, u32::MAX), (0, 0)] {
        let error = refused(&|s| (s.width, s.height) = (w, h));
        assert_eq!(error, ChartError::Size { width: w, height: h });
    }
    assert!(matches!(refused(&|s| s.to = s.from), ChartError::Range { .. }));
    assert!(matches!(refused(&|s| (s.from, s.to) = (i64::MIN, i64::MAX)), ChartError::Range { .. }));
    assert!(matches!(refused(&|s| s.utc_offset_seconds = i32::MAX), ChartError::Offset(_)));
}

#[test]
fn odd_values_break_nothing() {
    for value in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.0, 1e300, -5.0, 9e18] {
        for metric in METRICS {
            let data = [series(metric, "demo-1", &[Some(value), Some(0.0), Some(value)])];
            render_svg(&spec(metric), &data).unwrap();
            render_png(&ChartSpec { width: 160, height: 160, ..spec(metric) }, &data).unwrap();
        }
    }
    let long = "n".repeat(5_000);
    let spec = ChartSpec { title: Some(long.clone()), ..spec(Metric::Clients) };
    let svg =
        render_svg(&spec, &[flat(Metric::Clients, &long, 1.0), flat(Metric::Clients, "", 2.0)]).unwrap();
    assert!(texts(&svg).iter().all(|t| t.chars().count() < 200), "long names are shortened");
}

#[test]
fn the_same_data_make_the_same_picture() {
    let data = [flat(Metric::LagBytes, "demo-2", 1_000.0)];
    let spec = ChartSpec { width: 200, height: 160, ..spec(Metric::LagBytes) };
    assert_eq!(render_svg(&spec, &data).unwrap(), render_svg(&spec, &data).unwrap());
    assert_eq!(render_png(&spec, &data).unwrap(), render_png(&spec, &data).unwrap());
}

/// A small chart in full; a difference fails, `UPDATE_GOLDEN=1 cargo test` writes it anew. Look at it in a browser then.
#[test]
fn a_chart_looks_as_it_did() {
    let mut spec = spec(Metric::MemoryBytes);
    spec.title = Some("demo · Memory".to_owned());
    spec.thresholds = vec![Threshold { value: 768.0 * MIB, label: "alert above 768 MiB".to_owned() }];
    let wave = |k: f64| -> Vec<Option<f64>> {
        (0..25).map(|i| (i != 9).then(|| (400.0 + k * f64::from((i * 7) % 11)).round() * MIB)).collect()
    };
    let data = [
        series(Metric::MemoryBytes, "demo-1", &wave(10.0)),
        series(Metric::MemoryBytes, "demo-2", &wave(-15.0)),
    ];
    let found = render_svg(&spec, &data).unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/memory.svg");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, &found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap();
    assert!(
        found == expected,
        "the picture differs from {file}; look at it and write it with UPDATE_GOLDEN=1"
    );
}
