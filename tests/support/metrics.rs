//! What the admin listener counts: the Prometheus text format, read.

use std::net::SocketAddr;

use super::Browser;

/// All samples of one reading.
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Reads them.
    pub fn read(admin: SocketAddr) -> Self {
        let answer = Browser::new(admin).get("/metrics");
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            samples
                .filter_map(|line| line.rsplit_once(' '))
                .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }

    /// The sum of all series of this name (with or without `_total`) that carry
    /// all these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect::<Vec<_>>();
        self.0
            .iter()
            .filter(|(series, _)| {
                let own = series.split('{').next().unwrap_or_default();
                let same = own == name || own.strip_suffix("_total") == Some(name);
                same && wanted.iter().all(|label| series.contains(label.as_str()))
            })
            .map(|(_, value)| value)
            .sum()
    }

    /// All series, for searches.
    pub fn text(&self) -> String {
        self.0
            .iter()
            .map(|(series, _)| series.clone() + "\n")
            .collect()
    }
}
