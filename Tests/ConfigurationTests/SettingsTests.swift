// The configuration as a whole: where values come from, and what stops the start.

import Testing

@testable import Configuration

/// Settings from a file called `etrnd.cf`.
func settings(
    _ text: String = "", environment: [String: String] = [:], overrides: [(String, String)] = []
) throws(ConfigurationError) -> Settings {
    try Settings(file: "etrnd.cf", text: text, environment: environment, overrides: overrides)
}

/// The lines of the error that the file causes; empty when it is accepted.
func problems(_ text: String, environment: [String: String] = [:], overrides: [(String, String)] = []) -> [String] {
    do throws(ConfigurationError) {
        _ = try settings(text, environment: environment, overrides: overrides)
        return []
    } catch { return error.problems.map(\.description) }
}

@Suite struct SettingsTests {
    @Test func anEmptyFileGivesTheDefaults() throws {
        let settings = try settings()

        #expect(settings.text("state_directory") == "/var/lib/etrnd")
        #expect(settings.list("http_listen") == ["unix:/var/lib/etrnd/etrnd.sock", "127.0.0.1:8025"])
        #expect(settings.duration("fast_flush_refresh_time") == .seconds(12 * 3600))
        #expect(settings.duration("maximal_queue_lifetime") == .seconds(5 * 86400))
        #expect(settings.bytes("message_size_limit") == 10_240_000)
        #expect(settings.integer("flush_probe_messages") == 20)
        #expect(settings.text("fast_flush_domains") == "store:")
        #expect(settings.networks("http_trusted_networks").isEmpty)
        #expect(!settings.text("myhostname").isEmpty)
        #expect(settings.warnings.isEmpty)
        #expect(settings.effective.count == ParameterTable.all.count)
        #expect(settings.effective.allSatisfy { $0.isDefault && $0.source == "default" })
    }
}

@Suite struct SettingsErrorTests {
    @Test(arguments: [
        ("\nfast_flush_domain = a", "etrnd.cf:2: unknown parameter 'fast_flush_domain'; did you mean 'fast_flush_domains'?"),
        ("Queue_engine = spool", "etrnd.cf:1: unknown parameter 'Queue_engine'; did you mean 'queue_engine'?"),
        ("recipient_delimiter = +", "etrnd.cf:1: unknown parameter 'recipient_delimiter'"),
        ("machine_name = x", "etrnd.cf:1: unknown parameter 'machine_name'"),
        ("\netrn_queues = {ships = a.example} {north = b.example", "etrnd.cf:2: bad value of etrn_queues: a '{' without its '}'"),
    ]) func aBadLineIsNamed(text: String, problem: String) {
        #expect(problems(text) == [problem])
    }

    @Test(arguments: [
        ("queue_engine", "spol", "'spol' is none of spool, postfix; did you mean 'spool'?"),
        ("queue_engine", "", "'' is none of spool, postfix"),
        ("postfix_log", "mail.log", "'mail.log' is no absolute path; it must begin with '/'"),
        ("etrn_empty_reply", "250", "'250' is none of 251, 253; did you mean '251'?"),
        ("etrn_networks", "somewhere", "'somewhere' is no network: 'somewhere' is no IP address"),
        ("smtpd_client_etrn_rate_limit", "-1", "'-1' is no whole number"),
        ("slow_flush", "allow", "'allow' is none of permit, reject"),
        ("state_directory", "var", "'var' is no absolute path; it must begin with '/'"),
        ("state_directory", "", "'' is no absolute path; it must begin with '/'"),
        ("flush_probe_messages", "-1", "'-1' is no whole number"),
        ("flush_probe_messages", "", "'' is no whole number"),
        ("flush_probe_messages", "1000000", "'1000000' is outside the range from 0 to 100000"),
        ("hopcount_limit", "0", "'0' is outside the range from 1 to 10000"),
        ("hopcount_limit", "99999999999999999999", "'99999999999999999999' is no whole number"),
        ("hopcount_limit", "١", "'١' is no whole number"),
        ("queue_minfree", "1t", "'1t' is no number of bytes; k, m or g may follow the number"),
        ("queue_minfree", "g", "'g' is no number of bytes; k, m or g may follow the number"),
        ("message_size_limit", "0", "'0' is outside the range from 1024 to 1099511627776"),
        ("message_size_limit", "9999999999g", "'9999999999g' is outside the range from 1024 to 1099511627776"),
        ("reconcile_interval", "10 m", "'10 m' is no time; it is a number and one of the units s, m, h, d, w"),
        ("reconcile_interval", "1h30m", "'1h30m' is no time; it is a number and one of the units s, m, h, d, w"),
        ("reconcile_interval", "0", "'0' is outside the range from 1s to 315360000s"),
        ("reconcile_interval", "9000000000000000000w", "'9000000000000000000w' is outside the range from 1s to 315360000s"),
        ("http_listen", "", "at least one address is needed"),
        ("http_listen", "*:8025", "'*:8025': every address is written 0.0.0.0:8025 or [::]:8025"),
        ("http_listen", ":8025", "':8025': every address is written 0.0.0.0:8025 or [::]:8025"),
        ("http_listen", "127.0.0.1", "'127.0.0.1' is none of address:port, [IPv6 address]:port and unix:/path"),
        ("http_listen", "127.0.0.1:", "'127.0.0.1:': the port must be a number from 0 to 65535"),
        ("http_listen", "127.0.0.1:65536", "'127.0.0.1:65536': the port must be a number from 0 to 65535"),
        ("http_listen", "::1:25", "'::1:25' is none of address:port, [IPv6 address]:port and unix:/path"),
        ("http_listen", "[127.0.0.1]:25", "'[127.0.0.1]:25' is none of address:port, [IPv6 address]:port and unix:/path"),
        (
            "http_listen", "127.0.0.1%lo:25", "'127.0.0.1%lo:25' is none of address:port, [IPv6 address]:port and unix:/path"
        ),
        ("http_listen", "unix:sock", "'unix:sock': the path of a UNIX socket must begin with '/'"),
        ("smtp_listen", "localhost:25", "'localhost:25' is none of address:port, [IPv6 address]:port and unix:/path"),
        ("myhostname", "-mail.example", "'-mail.example' is no host name"),
        ("myhostname", "192.0.2.1", "'192.0.2.1' is no host name"),
        ("myhostname", "mail..example", "'mail..example' is no host name"),
        ("myhostname", "mail.example\n  two", "'mail.example two' is no host name"),
        ("myhostname", "", "'' is no host name"),
        (
            "parent_domain_matches_subdomains", "relay_domain",
            "'relay_domain' is none of fast_flush_domains, relay_domains; did you mean 'relay_domains'?"
        ),
        (
            "http_trusted_networks", "127.0.0.1/8",
            "'127.0.0.1/8' is no network: the address has bits set behind its prefix; the network is 127.0.0.0/8"
        ),
        ("http_host_names", "{a", "a '{' without its '}'"),
        ("relay_domains", "$fast_flush_domains", "the value refers to itself: relay_domains -> fast_flush_domains -> relay_domains"),
        ("relay_domains", "$relay_domain", "'$' with an unknown parameter 'relay_domain'; did you mean '$relay_domains'?"),
        ("minimal_backoff_time", "2h", "minimal_backoff_time is longer than maximal_backoff_time"),
        ("maximal_backoff_time", "2s", "minimal_backoff_time is longer than maximal_backoff_time"),
    ]) func aBadValueIsNamed(name: String, value: String, reason: String) {
        #expect(problems("# first\n\(name) = \(value)") == ["etrnd.cf:2: bad value of \(name): \(reason)"])
    }

    @Test func allProblemsAreToldAtOnce() {
        let text = "no_such = 1\nqueue_engine = spool\nnonsense\n  queue_minfree = 1\nlog_level = loud\n"

        #expect(
            problems(text) == [
                "etrnd.cf:1: unknown parameter 'no_such'",
                "etrnd.cf:3: white space in the parameter name 'nonsense queue_minfree'",
                "etrnd.cf:5: bad value of log_level: 'loud' is none of trace, debug, info, notice, warning, error, critical",
            ])
    }

    @Test func aFileThatIsNoConfigurationGivesABoundedError() {
        let found = problems(String(repeating: "GIF89a\n", count: 10_000))

        #expect(found.count == ConfigurationError.maximumProblems + 1)
        #expect(found.last == "etrnd.cf: 9950 more problems")
    }

    @Test func thousandsOfUnknownOrRepeatedNamesGiveABoundedAnswer() throws {
        let lines = 5_000
        #expect(problems(String(repeating: "smtpd_tieout =1\n", count: lines)).count == ConfigurationError.maximumProblems + 1)
        #expect(try settings(String(repeating: "hopcount_limit=\n", count: lines - 1) + "hopcount_limit=9").warnings.count == 50)
    }

    @Test func aBadValueInOneParameterIsNotToldAgainForThoseThatUseIt() {
        #expect(problems("state_directory = relative").count == 1)
        #expect(problems("relay_domains = $relay_domains").count == 1)
        #expect(problems("relay_domains = $fast_flush_domains\nfast_flush_domains = $relay_domains\nhttp_host_names = $relay_domains").count == 1)
    }

    @Test func aDefaultThatANameMakesBadIsTold() {
        let found = problems("state_directory = /" + String(repeating: "x", count: 200))

        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("default: bad value of http_listen: 'unix:/xxx") == true)
    }

    @Test func textFromOutsideIsCutAndCannotWriteToTheTerminal() {
        let found = problems("", overrides: [("\u{1B}[31m\u{202E}" + String(repeating: "y", count: 10_000), "1")])

        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("command line: unknown parameter '\\u{1B}[31m\\u{202E}yyy") == true)
        #expect((found.first?.utf8.count ?? .max) < 300)
    }

    /// Texts made of the pieces that mean something, from fixed seeds: none may trap, and every problem has its place.
    @Test(arguments: 1...20) func textsPutTogetherAtRandomAreReadOrRefused(seed: UInt64) {
        let pieces = [
            "relay_domains", "http_listen", "myhostname", "queue_minfree", "smtpd_timeout", "=", " = ", "\n", "\n ", "#", "$", "$$", "${", "$(", "{",
            "}", ")",
            "?", ":", ",", "[::1]", "127.0.0.1", "/8", ":25", "unix:/", "9", "99999999999999999999", "k", "w", "ü", "\r\n", "\t", "\u{0}", "!", "%",
            "x",
        ]
        var state = seed
        for _ in 0..<40 {
            var text = ""
            for _ in 0..<60 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                text += pieces[Int(state >> 33) % pieces.count]
            }
            let lines = text.utf8.count { $0 == 0x0A } + 1

            for problem in (#expect(throws: ConfigurationError.self) { try settings("nonsense\n" + text) })?.problems ?? [] {
                #expect((1...lines + 1).contains(problem.line ?? 0), "seed \(seed): \(problem)")
            }
        }
    }

    @Test func aParserOfAValueCanNameItsPlace() throws {
        let settings = try settings("\nrelayhost = mail.example", environment: ["ETRND_LOG_LEVEL": "debug"])

        #expect(settings.problem("relayhost", "no brackets").description == "etrnd.cf:2: bad value of relayhost: no brackets")
        #expect(settings.problem("log_level", "x").description == "environment ETRND_LOG_LEVEL: bad value of log_level: x")
    }
}

@Suite struct SettingsSourceTests {
    @Test func flagsOverrideTheEnvironmentAndThatTheFile() throws {
        let settings = try settings(
            "log_level = info\nslow_flush = reject\nhopcount_limit = 10",
            environment: ["ETRND_LOG_LEVEL": "debug", "ETRND_SLOW_FLUSH": "permit", "PATH": "/bin"],
            overrides: [("log_level", "trace"), ("log_level", " error ")])

        #expect(settings.text("log_level") == "error")
        #expect(settings.text("slow_flush") == "permit")
        #expect(settings.integer("hopcount_limit") == 10)
        let set = settings.effective.filter { !$0.isDefault }.map { "\($0.name) \($0.source)" }
        #expect(set == ["log_level command line", "slow_flush environment ETRND_SLOW_FLUSH", "hopcount_limit etrnd.cf:3"])
        #expect(settings.warnings.isEmpty)
    }

    @Test func overridesComeBeforeNamesAreExpanded() throws {
        let settings = try settings(
            "state_directory = /file\nrelay_domains = a.example", environment: ["ETRND_STATE_DIRECTORY": "/environment"],
            overrides: [("fast_flush_domains", "$relay_domains, some.other.domain")])

        #expect(settings.list("http_listen").first == "unix:/environment/etrnd.sock")
        #expect(settings.text("fast_flush_domains") == "a.example, some.other.domain")
        #expect(settings.effective.first { $0.name == "fast_flush_domains" }?.unexpanded == "$relay_domains, some.other.domain")
    }

    @Test func emptyIsAValue() throws {
        let settings = try settings("fast_flush_domains =\nsmtp_listen =", environment: ["ETRND_RELAY_DOMAINS": ""])

        #expect(settings.list("fast_flush_domains").isEmpty)
        #expect(settings.list("smtp_listen").isEmpty)
        #expect(settings.list("relay_domains").isEmpty)
    }

    @Test func aDuplicateWinsWithAWarningThatNamesBothLines() throws {
        let settings = try settings("log_level = info\n\nlog_level = debug")

        #expect(settings.text("log_level") == "debug")
        #expect(settings.warnings == ["etrnd.cf:3: 'log_level' overrides the entry of line 1"])
    }

    @Test func anUnknownVariableOfTheEnvironmentOnlyWarns() throws {
        let settings = try settings(
            environment: [
                "ETRND_PORT_8025_TCP": "tcp://10.0.0.1:8025", "ETRND_LOG_LEVLE": "debug", "ETRND_log_level": "debug", "ETRND_URL": "x", "ETRND_": "",
            ])

        #expect(
            settings.warnings == [
                "environment: the variable 'ETRND_' names no parameter",
                "environment: the variable 'ETRND_LOG_LEVLE' names no parameter; did you mean 'ETRND_LOG_LEVEL'?",
                "environment: the variable 'ETRND_PORT_8025_TCP' names no parameter",
                "environment: the variable 'ETRND_log_level' names no parameter; did you mean 'ETRND_LOG_LEVEL'?",
            ])
        #expect(settings.text("log_level") == "info")
    }

    @Test(arguments: [
        ("no_such", "1", "command line: unknown parameter 'no_such'"),
        ("log_levle", "1", "command line: unknown parameter 'log_levle'; did you mean 'log_level'?"),
        ("log_level", "\u{0}", "command line: a control character in the value of 'log_level'"),
        ("log_level", "loud", "command line: bad value of log_level: 'loud' is none of trace, debug, info, notice, warning, error, critical"),
        ("relay_domains", String(repeating: "x", count: 65537), "command line: the value of 'relay_domains' is longer than 65536 bytes"),
    ]) func aBadFlagIsNamed(name: String, value: String, problem: String) {
        #expect(problems("", overrides: [(name, value)]) == [problem])
    }

    @Test func aBadVariableIsNamed() {
        let found = problems("log_level = loud", environment: ["ETRND_LOG_LEVEL": "silent"])

        #expect(
            found == ["environment ETRND_LOG_LEVEL: bad value of log_level: 'silent' is none of trace, debug, info, notice, warning, error, critical"]
        )
    }

    @Test func aFlagsArgumentIsTakenApart() throws {
        #expect(try Settings.override(parsing: " log_level = a b ") == ("log_level", "a b"))
        #expect(try Settings.override(parsing: "smtp_listen=") == ("smtp_listen", ""))
        for bad in ["", "log_level", "=x", "#a=b", "a=b\nc=d", "a b=c"] {
            #expect(throws: ConfigurationError.self, "\(bad)") { try Settings.override(parsing: bad) }
        }
    }
}

@Suite struct SettingsValueTests {
    @Test(arguments: [
        ("fast_flush_refresh_time", "2", 7200), ("fast_flush_purge_time", "2", 172800), ("maximal_queue_lifetime", "0", 0), ("smtpd_timeout", "7", 7),
        ("smtpd_timeout", "7S", 7), ("smtpd_timeout", "7m", 420), ("smtpd_timeout", "7h", 25200), ("smtpd_timeout", "1D", 86400),
        ("reconcile_interval", "1w", 604800),
    ]) func timesHavePostfixsUnits(name: String, value: String, seconds: Int) throws {
        #expect(try settings("\(name) = \(value)").duration(name) == .seconds(seconds))
    }

    @Test(arguments: [("0", 0), ("2048", 2048), ("2k", 2048), ("1M", 1 << 20), ("3g", 3 << 30)])
    func bytesHavePowersOf1024(value: String, bytes: Int) throws {
        #expect(try settings("queue_minfree = \(value)").bytes("queue_minfree") == bytes)
    }

    @Test(arguments: [("yes", true), ("NO", false), ("true", nil), ("", nil)] as [(String, Bool?)])
    func booleansAreYesAndNo(value: String, expected: Bool?) {
        let table = [Parameter("b", .boolean, value, "")]
        let settings = try? Settings(file: nil, text: "", environment: [:], overrides: [], table: table, machineName: "x")

        #expect(settings?.boolean("b") == expected)
    }

    @Test func aMachineNameIsTheDefaultOfMyhostname() throws {
        let settings = try Settings(
            file: nil, text: "", environment: [:], overrides: [], table: ParameterTable.all, machineName: "relay.example")

        #expect(settings.text("myhostname") == "relay.example")
    }

    @Test func listeningAddressesOfEverySortAreTaken() throws {
        let text = "0.0.0.0:0, [::]:65535 [fe80::1%eth0]:25\n  unix:/run/etrnd.sock"

        #expect(
            try settings("http_listen = \(text)").list("http_listen") == ["0.0.0.0:0", "[::]:65535", "[fe80::1%eth0]:25", "unix:/run/etrnd.sock"])
    }
}
