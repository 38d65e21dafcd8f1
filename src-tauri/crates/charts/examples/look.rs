use clusterdeck_charts::*;
use clusterdeck_domain::{Metric, Point, Series};
fn series(
    metric: Metric,
    node: &str,
    from: i64,
    step: i64,
    n: i64,
    f: impl Fn(i64) -> Option<f64>,
) -> Series {
    Series {
        metric,
        unit: metric.unit(),
        node: node.into(),
        points: (0..n).map(|i| Point { at: from + i * step, value: f(i) }).collect(),
    }
}
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let from = 1_795_345_200_000_i64;
    let spec = |metric, w, h, theme, span: i64| ChartSpec {
        metric,
        title: None,
        from,
        to: from + span,
        utc_offset_seconds: 0,
        width: w,
        height: h,
        theme,
        thresholds: vec![],
    };
    let wave = |k: f64, a: f64, b: f64| {
        move |i: i64| Some(a + b * ((i as f64 / 30.0 + k).sin() + 0.3 * (i as f64 * 1.7 + k).sin()))
    };
    let mib = 1048576.0;
    let save = |name: &str, s: &ChartSpec, d: &[Series]| {
        let t = std::time::Instant::now();
        let svg = render_svg(s, d).unwrap();
        let t1 = t.elapsed();
        let t = std::time::Instant::now();
        let png = render_png(s, d).unwrap();
        println!("{name}: svg {} B {t1:?}, png {} B {:?}", svg.len(), png.len(), t.elapsed());
        std::fs::write(format!("{dir}/{name}.svg"), svg).unwrap();
        std::fs::write(format!("{dir}/{name}.png"), png).unwrap();
    };
    let h = 3_600_000;
    let three: Vec<Series> = (0..3)
        .map(|n| {
            series(Metric::MemoryBytes, &format!("demo-{}", n + 1), from, 10_000, 361, move |i| {
                if n == 1 && (120..160).contains(&i) {
                    None
                } else {
                    wave(n as f64, 500.0 * mib, (60.0 + 20.0 * n as f64) * mib)(i)
                }
            })
        })
        .collect();
    let mut s = spec(Metric::MemoryBytes, 960, 400, Theme::Light, h);
    s.title = Some("demo · Memory".into());
    s.thresholds = vec![Threshold { value: 768.0 * mib, label: "alert above 768 MiB".into() }];
    save("memory-light", &s, &three);
    s.theme = Theme::Dark;
    s.utc_offset_seconds = 7200;
    save("memory-dark", &s, &three);
    s.width = 1920;
    s.height = 800;
    save("memory-2x", &s, &three);
    let cpu = vec![series(Metric::CpuPercent, "demo-1", from, 10_000, 361, |i| {
        Some(if i == 200 { 88.0 } else { 4.0 + (i % 7) as f64 })
    })];
    save("cpu-one", &spec(Metric::CpuPercent, 960, 400, Theme::Light, h), &cpu);
    save("empty", &spec(Metric::OperationsPerSecond, 960, 400, Theme::Light, 24 * h), &[]);
    save("empty-dark", &spec(Metric::CpuPercent, 480, 240, Theme::Dark, 24 * h), &[]);
    let many: Vec<Series> = (0..40)
        .map(|n| {
            series(
                Metric::OperationsPerSecond,
                &format!("orders-{}", n + 1),
                from,
                60_000,
                1441,
                wave(n as f64 * 0.4, 4000.0 + 300.0 * n as f64, 900.0),
            )
        })
        .collect();
    save("many", &spec(Metric::OperationsPerSecond, 960, 400, Theme::Light, 24 * h), &many);
    save(
        "small",
        &spec(Metric::NetworkInBytesPerSecond, 320, 180, Theme::Light, 300_000),
        &[series(Metric::NetworkInBytesPerSecond, "demo-1", from, 2000, 151, wave(0.0, 30000.0, 9000.0))],
    );
    save(
        "tiny",
        &spec(Metric::NetworkInBytesPerSecond, 160, 160, Theme::Light, 300_000),
        &[series(Metric::NetworkInBytesPerSecond, "demo-1", from, 2000, 151, wave(0.0, 30000.0, 9000.0))],
    );
    save(
        "month",
        &spec(Metric::HitRatePercent, 960, 400, Theme::Dark, 30 * 24 * h),
        &[
            series(Metric::HitRatePercent, "demo-1", from, 1_800_000, 1441, wave(0.0, 92.0, 4.0)),
            series(Metric::HitRatePercent, "demo-2", from, 1_800_000, 1441, |i| {
                if i % 200 < 40 { None } else { Some(70.0 + (i % 13) as f64) }
            }),
        ],
    );
    save("huge", &spec(Metric::MemoryBytes, 4096, 4096, Theme::Light, h), &three);
}
