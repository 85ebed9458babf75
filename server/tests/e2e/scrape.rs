//! What `/metrics` shows at one moment.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use convene_harness::{http, server::Server};

const LIMIT: Duration = Duration::from_secs(20);

/// The metrics of a server, as text.
pub struct Scrape(String);

impl Scrape {
    /// Scrapes a server that demands no credentials.
    pub async fn of(server: &Server) -> Self {
        Self::read(server, None).await
    }

    /// Scrapes until a series has a value.
    pub async fn until(server: &Server, series: &str, value: f64) -> Self {
        Self::read_until(server, None, series, value).await
    }

    /// Scrapes until a series has a value, with an API token that may read metrics.
    pub async fn until_for_reader(server: &Server, secret: &str, series: &str, value: f64) -> Self {
        Self::read_until(server, Some(secret), series, value).await
    }

    async fn read_until(server: &Server, secret: Option<&str>, series: &str, value: f64) -> Self {
        let deadline = Instant::now() + LIMIT;
        loop {
            let scrape = Self::read(server, secret).await;
            if scrape.get(series) == Some(value) {
                return scrape;
            }
            assert!(Instant::now() < deadline, "{series} is not {value}:\n{}", scrape.0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn read(server: &Server, secret: Option<&str>) -> Self {
        let request = http::client().get(format!("{}/metrics", server.url));
        let request = secret.iter().fold(request, |request, secret| request.bearer_auth(secret));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Self(answer.text().await.unwrap())
    }

    /// The value of a series, which is written like in a query.
    pub fn get(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// The value of a series that there is.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| panic!("{series} is missing:\n{}", self.0))
    }

    /// The names of all metrics.
    pub fn names(&self) -> Vec<&str> {
        self.types().into_iter().map(|(name, _)| name).collect()
    }

    /// The names of all metrics, with their types.
    pub fn types(&self) -> Vec<(&str, &str)> {
        self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
    }

    /// The labels of a metric, with their values. The buckets of a histogram have one more, of the format.
    pub fn labels(&self, metric: &str) -> BTreeSet<(&str, &str)> {
        let series = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(metric)?;
            rest.strip_prefix("_count").unwrap_or(rest).strip_prefix('{')?.rsplit_once("\"} ")
        });
        series.flat_map(|(labels, _)| labels.split("\",")).filter_map(|label| label.split_once("=\"")).collect()
    }

    /// The text as Prometheus reads it.
    pub fn text(&self) -> &str {
        &self.0
    }
}
