// Every parameter there is. A parameter is here from the day on which it does something.

/// The parameters of `etrnd.cf`, in the order in which the manual lists them.
///
/// A parameter that Postfix has keeps Postfix's name, meaning and default.
public enum ParameterTable {
    /// A name that stands for this machine's host name and that nobody can set.
    static let machineName = "machine_name"

    public static let all: [Parameter] = general + flushing + http + smtp + etrn + postfix + spool

    private static let longTime = 1...3650 * 86400
    private static let longTimeOrZero = 0...3650 * 86400

    private static let general: [Parameter] = [
        Parameter(
            "queue_engine", .choice(["spool", "postfix"]), "spool",
            "The mail queue behind the service: the embedded spool, or that of the Postfix on this machine."),
        Parameter(
            "state_directory", .path(required: true), "/var/lib/etrnd",
            "The directory for the database, the per-destination log files below flush and the mail below spool."),
        Parameter(
            "log_level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), "info",
            "The least severe messages that are logged."),
        Parameter(
            "shutdown_timeout", .duration(unit: .seconds, seconds: 0...3600), "10s",
            "How long a stop waits for requests, sessions and deliveries that are under way."),
    ]

    private static let flushing: [Parameter] = [
        Parameter(
            "relay_domains", .list, "store:",
            "The domains that mail is relayed to; store: stands for those that were provisioned through the API."),
        Parameter(
            "fast_flush_domains", .list, "$relay_domains",
            "The domains whose mail can be flushed without touching other mail; empty turns fast flush off."),
        Parameter(
            "parent_domain_matches_subdomains", .words(["fast_flush_domains", "relay_domains"]), "fast_flush_domains, relay_domains",
            "The lists in which a domain also matches every domain below it; in the others .domain does that."),
        Parameter(
            "slow_flush", .choice(["permit", "reject"]), "permit",
            "What a flush does for a domain outside fast_flush_domains: permit tries the whole queue, reject refuses."),
        Parameter(
            "slow_flush_interval", .duration(unit: .seconds, seconds: longTimeOrZero), "5m",
            "The least time between two flushes of the whole queue; a request in between is run at its end."),
        Parameter(
            "fast_flush_refresh_time", .duration(unit: .hours, seconds: longTime), "12h",
            "How long a record may wait without being asked for until its mail is tried anyway."),
        Parameter(
            "fast_flush_purge_time", .duration(unit: .days, seconds: longTime), "7d",
            "How long an empty record is kept."),
        Parameter(
            "reconcile_interval", .duration(unit: .seconds, seconds: longTime), "10m",
            "The time between two comparisons of the record with the queue on disk."),
        Parameter(
            "flush_probe_messages", .integer(0...100_000), "20",
            "How many messages of a flush are tried first to see whether the site is up; 0 releases everything at once."),
        Parameter(
            "flush_probe_wait", .duration(unit: .seconds, seconds: longTime), "30s",
            "How long a flush waits for the first outcome of its probes."),
        Parameter(
            "flush_outcome_limit", .duration(unit: .seconds, seconds: longTime), "1h",
            "How long a flush waits for the outcomes of what it released."),
    ]

    private static let http: [Parameter] = [
        Parameter(
            "http_listen", .addresses(required: true), "unix:$state_directory/etrnd.sock, 127.0.0.1:8025",
            "Where the HTTP API listens: UNIX sockets and addresses with a port."),
        Parameter(
            "http_trusted_networks", .networks, "",
            "The clients that may use the HTTP API over TCP."),
        Parameter(
            "http_host_names", .list, "",
            "Values of the Host field that are accepted besides the listened-on addresses and localhost."),
        Parameter(
            "http_connection_limit", .integer(1...1_000_000), "16384",
            "How many HTTP connections may be open; further ones wait."),
        Parameter(
            "http_idle_timeout", .duration(unit: .seconds, seconds: 1...86400), "75s",
            "How long an HTTP connection may be idle between two requests."),
    ]

    private static let smtp: [Parameter] = [
        Parameter(
            "smtp_listen", .addresses(required: false), "127.0.0.1:2525",
            "Where SMTP is spoken: ETRN, and with the spool mail for relay domains; empty speaks none."),
        Parameter(
            "myhostname", .hostName, "$" + machineName,
            "This host's name in SMTP greetings and Received fields."),
        Parameter(
            "smtp_connection_limit", .integer(1...100_000), "100",
            "How many SMTP connections may be open; the next 16 are told 421, further ones wait."),
        Parameter(
            "smtpd_client_connection_count_limit", .integer(1...100_000), "50",
            "How many SMTP connections one client may have open."),
        Parameter(
            "smtpd_timeout", .duration(unit: .seconds, seconds: 1...86400), "300s",
            "How long the server waits for an SMTP client's next command."),
        Parameter(
            "smtpd_recipient_limit", .integer(1...10_000), "1000",
            "How many recipients one message may have."),
        Parameter(
            "smtpd_hard_error_limit", .integer(1...100_000), "20",
            "After how many errors an SMTP session is ended."),
        Parameter(
            "smtpd_junk_command_limit", .integer(1...1_000_000_000), "100",
            "How many commands an SMTP client may send without a message; after them its session is ended."),
        Parameter(
            "message_size_limit", .bytes(1024...1 << 40), "10240000",
            "The size of the largest message that is taken, in bytes."),
    ]

    private static let etrn: [Parameter] = [
        Parameter(
            "etrn_networks", .networks, "127.0.0.0/8 [::1]",
            "The clients that may send ETRN; others are answered 459."),
        Parameter(
            "etrn_empty_reply", .choice(["251", "253"]), "251",
            "The reply to an ETRN for which nothing waits: 251, or 253 with the number 0."),
        Parameter(
            "etrn_queues", .list, "",
            "The queues that ETRN #name can ask for, each one {name = domain, ...}."),
        Parameter(
            "smtpd_client_etrn_rate_limit", .integer(0...1_000_000), "600",
            "How many ETRN commands one client may send in anvil_rate_time_unit; 0 sets no limit."),
        Parameter(
            "anvil_rate_time_unit", .duration(unit: .seconds, seconds: 1...86400), "60s",
            "The time for which a client's commands are counted."),
    ]

    private static let postfix: [Parameter] = [
        Parameter(
            "postfix_config_directory", .path(required: true), "/etc/postfix",
            "The directory of main.cf; Postfix's own settings are read there at start."),
        Parameter(
            "postfix_log", .path(required: false), "",
            "The file that Postfix logs to; with it a flush tells what was delivered from what was bounced."),
    ]

    private static let spool: [Parameter] = [
        Parameter(
            "relayhost", .text, "",
            "The next hop, [host]:port, for reports of undelivered mail; without one they are kept and listed."),
        Parameter(
            "hopcount_limit", .integer(1...10_000), "50",
            "A message with this many Received fields or more is in a loop and refused."),
        Parameter(
            "queue_minfree", .bytes(0...1 << 50), "0",
            "The free space below which no mail is taken, in bytes."),
        Parameter(
            "delivery_concurrency", .integer(1...10_000), "20",
            "How many deliveries may run at the same time."),
        Parameter(
            "minimal_backoff_time", .duration(unit: .seconds, seconds: longTime), "300s",
            "The least time between two attempts to deliver a message, and the time for which a dead next hop is left alone."),
        Parameter(
            "maximal_backoff_time", .duration(unit: .seconds, seconds: longTime), "4000s",
            "The longest time between two attempts to deliver a message."),
        Parameter(
            "queue_run_delay", .duration(unit: .seconds, seconds: longTime), "300s",
            "How long the retry schedule sleeps at most, so that a clock that was set is noticed."),
        Parameter(
            "maximal_queue_lifetime", .duration(unit: .days, seconds: longTimeOrZero), "5d",
            "How long a message is tried until it goes back to its sender; 0 tries once."),
    ]
}
