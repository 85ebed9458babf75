mod follow;

use std::time::Duration;

use clap::Args;
use reqwest::Method;

use crate::{
    cli::{LogFormat, TableFormat},
    command_error::CommandError,
    progress::Progress,
    registry::{Event, Events, RegistryError, Request, Verbatim},
    stdout,
    table::Table,
    target::{ClusterArgs, Target},
};

/// The flags of `convene cluster events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only events after this revision
    #[arg(long, value_name = "REVISION")]
    after: Option<u64>,
    /// Keep printing new events until interrupted
    #[arg(short = 'f', long)]
    follow: bool,
    /// Format of the result; json prints one object per line
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(arguments: &EventsArgs, log_format: LogFormat) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let mut printer = Printer { output: arguments.output, has_printed_headings: false };
    if arguments.follow {
        let progress = Progress::new(log_format, target.to_string());
        return follow::run(&target, arguments.after, &mut printer, &progress).await;
    }
    print_existing(&target, arguments.after, &mut printer).await
}

/// Prints page after page until the last one.
async fn print_existing(target: &Target, mut after: Option<u64>, printer: &mut Printer) -> Result<(), CommandError> {
    loop {
        let page = read(target, after, Duration::ZERO).await.map_err(|error| explain(target, after, error))?;
        printer.print(&page.events)?;
        if page.events.is_empty() {
            return Ok(());
        }
        after = Some(page.last_revision);
    }
}

/// Reads the next events. If there are none yet, the server holds the response for `wait`.
async fn read(target: &Target, after: Option<u64>, wait: Duration) -> Result<Events, RegistryError> {
    let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
    let path = target.path(&format!("/events?wait={}{after}", wait.as_secs()));
    target.registry.send(Request::new(Method::GET, path).long_poll(wait)).await
}

fn explain(target: &Target, after: Option<u64>, error: RegistryError) -> CommandError {
    match error.compacted() {
        Some(oldest) if Some(oldest) > after => {
            let last = oldest.saturating_sub(1);
            CommandError::Refused(format!("{error} (use --after {last} for the oldest available)"))
        }
        _ => target.explain(error),
    }
}

/// Prints events as they arrive. The headings are printed once.
struct Printer {
    output: TableFormat,
    has_printed_headings: bool,
}

impl Printer {
    fn print(&mut self, events: &[Verbatim<Event>]) -> Result<(), CommandError> {
        match self.output {
            TableFormat::Table => self.print_table(events),
            TableFormat::Json => events.iter().try_for_each(stdout::print_json),
        }
    }

    fn print_table(&mut self, events: &[Verbatim<Event>]) -> Result<(), CommandError> {
        // The widths of a time, of the longest kind and of an ID.
        let mut table =
            Table::new(&["REVISION", "TIME", "KIND", "MEMBER", "BY", "MESSAGE"]).min_widths(&[8, 24, 18, 16, 20, 0]);
        for Verbatim { value: event, .. } in events {
            let member = event.member_id.as_ref().map(ToString::to_string).unwrap_or_default();
            table.row([
                event.revision.to_string(),
                event.at.clone(),
                event.kind.clone(),
                member,
                by(event),
                event.message.clone(),
            ]);
        }
        let text = if self.has_printed_headings { table.rows() } else { table.with_headings() };
        self.has_printed_headings = true;
        stdout::print(&text)
    }
}

/// Who made the change, and from where.
fn by(event: &Event) -> String {
    let by = event.by.clone().unwrap_or_default();
    event.from.as_ref().map_or(by.clone(), |from| format!("{by} ({from})"))
}
